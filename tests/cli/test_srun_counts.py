"""Tasks that a step's command line counts in other words than -n; and SLURM_HOSTFILE. As observed on 26.05."""

import pytest

from slurm_compat.cli import batchopts, srun_request
from slurm_compat.core.errors import CommandError

HOSTS = "node02\nnode01  # a comment\n\nnode02\nnode[03,03]\n"


def counts(words, env=None, nodes=4):
    parsed = batchopts.parse("srun", [*words, "true"], env or {}, cwd="/")
    request = srun_request.own_tasks(parsed.request, parsed.given)
    return srun_request.step_counts(request, None, nodes)[:4]


@pytest.mark.parametrize(
    "words, env, want",
    [
        (["-N2", "--ntasks-per-node=2"], {"SLURM_NTASKS": "16"}, (4, 2, 2, 2)),
        (["-N2-3", "--ntasks-per-node=2"], {"SLURM_NTASKS": "16"}, (6, 2, 3, 2)),
        (["--ntasks-per-node=4"], {"SLURM_NTASKS": "16"}, (16, 4, 4, 4)),
        (["-N2"], {"SLURM_NTASKS": "16"}, (16, 2, 2, None)),
        (["--gpus=2", "--ntasks-per-gpu=2", "-N1"], {}, (4, 1, 1, None)),
        (["-m", "arbitrary", "-w", "node03,node01,node03", "-n3"], {"SLURM_JOB_ID": "7"}, (3, 2, 2, None)),
    ],
)
def test_how_many_tasks(words, env, want):
    assert counts(words, env) == want


@pytest.fixture
def hosts(tmp_path):
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return str(path)


@pytest.mark.parametrize(
    "words, tasks, names",
    [
        ([], 5, "node02,node01,node02,node03,node03"),
        (["-n3"], 3, "node02,node01,node02"),
        (["-m", "arbitrary"], 5, "node02,node01,node02,node03,node03"),
    ],
)
@pytest.mark.parametrize("command", ["sbatch", "srun", "salloc"])
def test_a_host_file_names_the_node_of_each_task(command, words, tasks, names, hosts):
    request = batchopts.parse(command, [*words, "true"], {"SLURM_HOSTFILE": hosts}, cwd="/").request
    assert (request.tasks, request.required_nodes, request.distribution) == (tasks, names, "arbitrary")


def test_a_node_list_outranks_the_host_file(hosts):
    request = batchopts.parse("srun", ["-w", "node01", "true"], {"SLURM_HOSTFILE": hosts}, cwd="/").request
    assert (request.required_nodes, request.distribution) == ("node01", "")


@pytest.mark.parametrize(
    "words, file, lines",
    [
        (["-n7"], "", ["Too few NodeNames in Slurm Hostfile", "Failure getting NodeNames from hostfile"]),
        (["-N2"], "", ["--nodes is incompatible with --distribution=arbitrary"]),
        ([], "/no", ["slurm_allocate_resources error opening file /no, No such file or directory",
                     "Failure getting NodeNames from hostfile"]),
    ],
)  # fmt: skip
def test_host_files_that_do_not_fit(words, file, lines, hosts):
    with pytest.raises(CommandError) as refused:
        batchopts.parse("srun", [*words, "true"], {"SLURM_HOSTFILE": file or hosts}, cwd="/")
    assert str(refused.value).splitlines() == [f"srun: error: {line}" for line in lines]


@pytest.mark.parametrize("count, words", [(2, ["-w", "node03,node01"]), (0, [])])
def test_a_list_must_have_a_name_for_each_task(count, words):
    with pytest.raises(CommandError, match=f"You asked for 4 tasks but hostlist specified {count} nodes"):
        counts(["-m", "arbitrary", "-n4", *words], {"SLURM_JOB_ID": "7"})
