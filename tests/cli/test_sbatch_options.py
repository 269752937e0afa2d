"""Options, scripts and environments of sbatch against what the real one did: fixtures/options/sbatch-*.txt."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest

from slurm_compat.cli import caller, main
from slurm_compat.cli.batchopts import parse
from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CommandError, SlurmError

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "options"
NOW = 1795180462.0
ENV = {"HOME": "/home/alice", "FOO": "1", "PATH": "/usr/bin"}
# what every job's environment gets, and the fixtures leave out
ALWAYS = {
    "SLURM_PRIO_PROCESS", "SLURM_SUBMIT_DIR", "SLURM_SUBMIT_HOST", "SLURM_UMASK", "OMPI_MCA_plm_slurm_args",
    "PRTE_MCA_plm_slurm_args", "HYDRA_BOOTSTRAP", "HYDRA_LAUNCHER_EXTRA_ARGS", "I_MPI_HYDRA_BOOTSTRAP",
    "I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS", "PATH",
}  # fmt: skip


class FakeController:
    """Takes every submission; or refuses with `refusal`."""

    def __init__(self, refusal=None, status=0):
        self.calls = []
        self.refusal = refusal
        self.status = status

    def call(self, name, **args):
        self.calls.append((name, args))
        if name == "config":
            return {"pairs": [["ClusterName", "oracle"], ["GresTypes", "gpu"]]}
        if self.refusal:
            raise self.refusal
        if name == "will_run":
            return {"job_id": 7, "start_time": 0, "cpus": 1, "nodes": "node01", "partition": "compute"}
        return {"job_id": 21001, "messages": []}

    def rows(self, name, fields, **args):
        return iter(())

    def events(self, name, **args):
        class Stream(list):
            def close(self):
                pass

        return Stream([{"event": "ended", "job_state": "COMPLETED", "exit_code": self.status}])


class Ran:
    def __init__(self, argv, env, cwd, stdin, controller, uid):
        out, err = io.StringIO(), io.StringIO()
        source = io.TextIOWrapper(io.BytesIO(stdin))
        self.controller = controller
        ctx = Context(
            argv=argv, env=env, cwd=str(cwd), stdin=source, stdout=out, stderr=err, connect=lambda: controller,
            now=lambda: NOW, uid=uid, gid=uid,
        )  # fmt: skip
        self.code = main.run(ctx)
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def submitted(self):
        return next(args for name, args in self.controller.calls if name == "submit")

    @property
    def request(self):
        return self.submitted["request"]

    @property
    def environment(self):
        return dict(entry.split("=", 1) for entry in self.submitted["environment"].decode().split("\0"))


@pytest.fixture
def sbatch(tmp_path):
    def run(*args, env=None, stdin=b"", controller=None, uid=2001):
        return Ran(["sbatch", *args], ENV if env is None else env, tmp_path, stdin, controller or FakeController(), uid)

    return run


def recorded(name):
    cases = (line.partition(" => ") for line in (RECORDED / name).read_text().splitlines())
    return [pytest.param(args, want.rstrip(), id=args) for args, _, want in cases]


@pytest.mark.parametrize("args, want", recorded("sbatch-values.txt"))
def test_values_are_read_and_refused_as_sbatch_does(sbatch, args, want):
    ran = sbatch(*shlex.split(args), "--version")
    assert f"{ran.code} {ran.err.replace(chr(10), '|')}".rstrip() == want


@pytest.mark.parametrize("args, want", recorded("sbatch-combinations.txt"))
def test_options_that_contradict_each_other(sbatch, args, want):
    ran = sbatch("-H", "--parsable", *shlex.split(args), "--wrap", "true")
    assert f"{ran.code} {ran.err.replace(chr(10), '|')}".rstrip() == want


@pytest.mark.parametrize("args, want", recorded("sbatch-environments.txt"))
def test_the_environment_sbatch_sends(sbatch, args, want):
    ran = sbatch(*shlex.split(args), "--wrap", "true")
    have = {name: value for name, value in ran.environment.items() if name not in ALWAYS}
    assert have == dict(entry.split("=", 1) for entry in shlex.split(want.replace("'", "\\'").replace('"', '\\"')))


USAGE = [
    ("--bogus", "unrecognized option '--bogus'"),
    ("--bogus=3", "unrecognized option '--bogus=3'"),
    ("-Z", "invalid option -- 'Z'"),
    ("-n", "option requires an argument -- 'n'"),
    ("--time", "option '--time' requires an argument"),
    ("--hold=3", "option '--hold' doesn't allow an argument"),
    ("--mem-per", "option '--mem-per' is ambiguous; possibilities: '--mem-per-cpu' '--mem-per-gpu'"),
    ("--nt=2", "option '--nt=2' is ambiguous; possibilities: '--ntasks' '--ntasks-per-core' '--ntasks-per-gpu'"
     " '--ntasks-per-node' '--ntasks-per-socket' '--ntasks-per-tres'"),
    ("--e", "option '--e' is ambiguous; possibilities: '--error' '--exclude' '--exclusive' '--export' '--export-file'"
     " '--external' '--extra' '--extra-node-info'"),
]  # fmt: skip


@pytest.mark.parametrize("args, want", USAGE)
def test_usage_errors_are_getopts(sbatch, args, want):
    ran = sbatch(*args.split())
    assert (ran.code, ran.err) == (255, f'sbatch: {want}\nTry "sbatch --help" for more information\n')


def test_abbreviations_bundles_and_values(sbatch):
    request = sbatch("-HN2", "--ntasks-per-n", "3", "--part=debug", "-Jname", "--wrap=true").request
    assert request.hold and request.minimum_nodes == 2 and request.tasks_per_node == 3
    assert request.partition == "debug" and request.name == "name"


def test_options_end_at_the_script(sbatch, tmp_path):
    (tmp_path / "job.sh").write_text("#!/bin/sh\n#SBATCH -t 5\n")
    ran = sbatch("-n", "2", "job.sh", "-n", "3", "--", "x")
    assert ran.out == "Submitted batch job 21001\n"
    assert ran.request.argv == [str(tmp_path / "job.sh"), "-n", "3", "--", "x"]
    assert (ran.request.tasks, ran.request.time_limit, ran.request.name) == (2, 5, "job.sh")
    assert ran.request.submit_line == "sbatch -n 2 job.sh -n 3 -- x"


def test_command_line_wins_over_environment_over_script(sbatch):
    script = b"#!/bin/sh\n#SBATCH -J one -t 5 -p low\n#SBATCH -J two\n"
    env = {**ENV, "SBATCH_TIMELIMIT": "33", "SBATCH_PARTITION": "env"}
    request = sbatch("-t", "44", env=env, stdin=script).request
    assert (request.name, request.time_limit, request.partition) == ("two", 44, "env")


@pytest.mark.parametrize(
    "value, on",
    [("0", False), ("1", True), ("2", True), ("no", False), ("yes", True), ("set", False), ("", True), ("-1", True),
     ("foo", False)],
)  # fmt: skip
def test_variables_of_options_without_argument(sbatch, value, on):
    assert sbatch("--wrap", "true", env={"SBATCH_OVERCOMMIT": value}).request.overcommit is on


def test_memory_of_the_command_line_puts_the_environments_aside(sbatch):
    request = sbatch("--mem=1G", "--wrap", "true", env={"SBATCH_MEM_PER_CPU": "100"}).request
    assert (request.memory_per_node, request.memory_per_cpu) == (1024, None)


def test_components_of_a_heterogeneous_job(sbatch):
    script = b"#!/bin/sh\n#SBATCH -n 1 -J het -p low --comment=c\n#SBATCH hetjob\n#SBATCH -n 2 -C rome\n"
    request = sbatch("-H", stdin=script).request
    (second,) = request.het_components
    assert (request.tasks, second.tasks, second.constraints) == (1, 2, "rome")
    # the partition is each component's own, name and remark hold on
    assert (second.name, second.comment, second.partition, second.hold) == ("het", "c", "", True)


def test_components_on_the_command_line(sbatch):
    request = sbatch("-n", "1", "--wrap", "true", ":", "-n", "2").request
    assert [request.tasks, request.het_components[0].tasks] == [1, 2]


def test_srun_gives_each_component_its_command():
    parsed = parse("srun", ["-n1", "a", "x", ":", "-n", "2", "b"], {})
    assert (parsed.rest, parsed.request.tasks) == (["a", "x"], 1)
    assert (parsed.components[0].rest, parsed.components[0].request.tasks) == (["b"], 2)


def test_srun_reads_the_variables_of_its_job():
    env = {"SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "2", "SLURM_DISTRIBUTION": "plane", "SLURM_DIST_PLANESIZE": "2"}
    request = parse("srun", ["-n", "3", "true"], env).request
    assert (request.tasks, request.minimum_nodes, request.distribution) == (3, 2, "plane=2")


def test_root_alone_chooses_whom_to_run_as(sbatch):
    assert sbatch("--uid=0", "--wrap", "true", uid=0).request.user_id == 0
    assert sbatch("--uid=0", "--wrap", "true").err == "sbatch: error: --uid only permitted by root user\n"


@pytest.mark.parametrize(
    "args, out",
    [([], "Submitted batch job 21001\n"), (["--parsable"], "21001\n"), (["-Q", "--parsable"], ""),
     (["--parsable", "-M", "oracle"], "21001;oracle\n"),
     (["-M", "all"], "Submitted batch job 21001 on cluster oracle\n")],
)  # fmt: skip
def test_what_is_printed(sbatch, args, out):
    assert sbatch(*args, "--wrap", "true").out == out


def test_an_unknown_cluster(sbatch):
    ran = sbatch("-M", "no", "--wrap", "true")
    assert (ran.code, ran.err) == (1, "sbatch: error: No cluster 'no' known by database.\nsbatch: error: 'no' can't be"
                                      " reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list"
                                      " clusters' to see available clusters.\n")  # fmt: skip


@pytest.mark.parametrize("status, code", [(0, 0), (7 << 8, 7), (44 << 8, 44), (9, 1)])
def test_wait_ends_with_the_jobs_exit_code(sbatch, status, code):
    assert sbatch("--wait", "--wrap", "x", controller=FakeController(status=status)).code == code


def test_a_refusal_is_printed_with_its_notes(sbatch):
    refusal = SlurmError(2000, notes=["invalid partition specified: nosuch"])
    ran = sbatch("-p", "nosuch", "--wrap", "true", controller=FakeController(refusal))
    assert ran.err == ("sbatch: error: invalid partition specified: nosuch\n"
                       "sbatch: error: Batch job submission failed: Invalid partition name specified\n")  # fmt: skip
    assert ran.code == 1
    again = sbatch("-p", "x", "--wrap", "y", env={"SLURM_EXIT_ERROR": "42"}, controller=FakeController(refusal))
    assert again.code == 42


def test_test_only_asks_and_makes_nothing(sbatch):
    ran = sbatch("--test-only", "--wrap", "true")
    assert ran.err.startswith("sbatch: Job 7 to start at ")
    assert ran.err.endswith(" a using 1 processors on nodes node01 in partition compute\n")
    assert [name for name, _ in ran.controller.calls] == ["will_run"]
    refused = sbatch("--test-only", "-N9", "--wrap", "x", controller=FakeController(SlurmError(2014)))
    assert (refused.code, refused.err) == (1, "allocation failure: Requested node configuration is not available\n")


def test_help_goes_to_stdout(sbatch):
    ran = sbatch("--help", "--bogus")
    assert ran.code == 0 and ran.err == "" and "--ntasks-per-node" in ran.out
    assert sbatch("--usage").out.startswith("Usage: sbatch ")


def test_umask_and_limits_go_along(sbatch, monkeypatch):
    monkeypatch.setattr(caller.os, "umask", lambda mask: 0o027)
    ran = sbatch("--propagate=NOFILE", "--wrap", "true")
    assert (ran.request.umask, list(ran.request.rlimits)) == (0o027, ["NOFILE"])
    assert sbatch("--wrap", "x", env={"SLURM_UMASK": "0077"}).request.umask == 0o077


def test_variables_from_a_file(sbatch, tmp_path):
    (tmp_path / "vars").write_bytes(b"A=1\0B=two words\0junk\0")
    for export in ("ALL", "FOO,Z=9", ""):
        env = sbatch(f"--export={export}", "--export-file=vars", "--wrap", "true", env={"FOO": "x"}).environment
        assert (env["A"], env["B"], env.get("Z")) == ("1", "two words", "9" if "Z" in export else None)
        assert not {"FOO", "SLURM_EXPORT_ENV"} & set(env)
    for export in ((), ("--export=NONE",), ("--export=NIL",)):
        env = sbatch(*export, "--export-file=vars", "--wrap", "true").environment
        assert not {"A", "B", "FOO", "SLURM_EXPORT_ENV"} & set(env)
    assert sbatch("--export-file=/no/such", "--wrap", "x").err == (
        "sbatch: error: Could not open user environment file /no/such\n"
    )


def test_a_plain_error_leaves_no_call_behind():
    with pytest.raises(CommandError):
        parse("salloc", ["--nodes=x"], {})
