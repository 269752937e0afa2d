"""srun and salloc over several components, steps whose srun no agent reaches, and tasks that are bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import CLUSTER, PATIENCE, Cluster, running_cluster, until

WHO = "echo $SLURM_PROCID/$SLURM_NTASKS $SLURM_NODEID $SLURM_JOB_ID.$SLURM_STEP_ID $SLURMD_NODENAME"


@pytest.fixture(scope="module")
def bound() -> Iterator[Cluster]:
    with running_cluster(f"TaskPlugin: task/affinity\n{CLUSTER}") as one:
        yield one


def test_a_step_over_components_that_srun_allocates(bound: Cluster) -> None:
    done = bound.run("srun", "-l", "-N2", "-n2", "sh", "-c", WHO, ":", "-n1", "sh", "-c", WHO)
    job = done.err.split()[2]
    assert done.err.splitlines() == [
        f"srun: job {job} queued and waiting for resources",
        f"srun: job {job} has been allocated resources",
    ]
    assert sorted(done.out.splitlines()) == [
        f"0: 0/3 0 {job}.0 node01",
        f"1: 1/3 1 {job}.0 node02",
        f"2: 2/3 2 {job}.0 node03",
    ]
    bound.ended(job)
    steps = bound.run("sacct", "-nP", "-j", job, "-o", "jobid,ntasks,state").out.splitlines()
    assert {f"{job}+0.0|2|COMPLETED", f"{job}+1.0|1|COMPLETED"} <= set(steps)


def test_steps_within_salloc(bound: Cluster, folder: Path) -> None:
    script = folder / "within.sh"
    script.write_text(
        "srun -l sh -c 'echo plain'\n"
        "srun -l --het-group=1,0 sh -c 'exit $SLURM_PROCID'; echo rc $?\n"
        "srun -l --het-group=0 echo a : --het-group=1 echo b\n"
        "srun --het-group=2 true; echo rc $?\n"
        "echo $SLURM_HET_SIZE $SLURM_NTASKS ${SLURM_JOB_NODELIST-none} $SLURM_JOB_NODELIST_HET_GROUP_1\n"
    )
    done = bound.run("salloc", "-n1", ":", "-n1", "sh", str(script))
    lines = done.out.splitlines()
    assert lines[0] == "0: plain"
    assert lines[1] == "rc 1"
    assert sorted(lines[2:4]) == ["0: a", "1: b"]
    assert lines[4:] == ["rc 1", "2 2 none node02"]
    assert "srun: error: node02: task 0: Exited with exit code 1" in done.err
    assert "Requested het-group offset exceeds highest hetjob index (2 > 1)" in done.err


def test_scancel_of_a_step_ends_it_in_all_components(bound: Cluster) -> None:
    srun = bound.popen("srun", "-n1", "-J", "cut", "sleep", "600", ":", "-n1", "sleep", "600")

    def running() -> list[str]:
        lines = bound.run("squeue", "-hs", "-o", "%i %j").out.splitlines()
        found = [line.split()[0] for line in lines if line.endswith((" cut", " sleep"))]
        return found if len(found) == 2 else []

    with srun:
        steps = until(running, "both parts of the step run")
        assert bound.run("scancel", min(steps)).code == 0
        _, err = srun.communicate(timeout=PATIENCE)
    assert srun.returncode == 137
    assert err.count(b"task 0: Killed") == 2


@pytest.mark.parametrize("host", ["none", "127.0.0.1"])
def test_output_and_input_through_the_controller(bound: Cluster, host: str) -> None:
    env = {"SLURM_COMPAT_SRUN_HOST": host}
    script = "head -c 3000000 /dev/zero | srun -n1 sh -c 'wc -c; head -c 5000000 /dev/zero' | wc -c"
    assert bound.run("sh", "-c", script, env=env).out.split() == ["5000008"]
    done = bound.run("srun", "-N2", "-n2", "-l", "sh", "-c", "exit $((SLURM_PROCID + 3))", env=env)
    assert done.code == 4


def test_tasks_say_what_they_are_bound_to(bound: Cluster) -> None:
    shown = "grep Cpus_allowed_list /proc/self/status; env | grep ^SLURM_CPU_BIND= "
    done = bound.run("srun", "-n1", "--cpu-bind=v,map_cpu:0", "sh", "-c", shown)
    assert done.err.startswith("cpu-bind=MAP  - node01, task  0  0 [")
    assert done.err.rstrip().endswith("]: mask 0x1 set")
    assert done.out.splitlines() == ["Cpus_allowed_list:\t0", "SLURM_CPU_BIND=verbose,map_cpu:0"]
    done = bound.run("srun", "-n1", "--cpu-bind=map_cpu:4000", "true")
    assert done.code == 1
    assert "Unable to satisfy cpu bind request" in done.err
    done = bound.run("srun", "-n1", "--cpu-bind=bogus", "true")
    assert done.err.splitlines() == [
        'srun: error: unrecognized --cpu-bind argument "bogus"',
        "srun: fatal: Failed to parse --cpu-bind= values.",
    ]


def test_the_program_is_copied_to_the_nodes(bound: Cluster, folder: Path) -> None:
    program = folder / "prog"
    program.write_text("#!/bin/sh\necho $0 $1\n")
    program.chmod(0o755)
    done = bound.run("srun", "-N2", "-n2", f"--bcast={folder}/copy", "./prog", "x", cwd=folder)
    assert (done.code, done.out.splitlines()) == (0, [f"{folder}/copy x"] * 2), done.err
    done = bound.run("srun", "-n1", "--bcast", "./prog", "y", cwd=folder)
    name = done.out.split()[0].rpartition("/")[2]
    assert name.startswith("slurm_bcast_") and name.endswith(".0_node01")
    done = bound.run("srun", "-n1", "--bcast=/nonexistent/copy", "./prog", cwd=folder)
    assert (done.code, done.err.splitlines()) == (
        1,
        [
            "srun: error: REQUEST_FILE_BCAST(node01): No such file or directory",
            f"srun: fatal: Failed to broadcast '{folder}/./prog'. Step launch aborted.",
        ],
    )


def test_steps_that_a_script_leaves_behind_are_ended_and_say_so(bound: Cluster, folder: Path) -> None:
    started = folder / "started"
    script = f"srun sh -c 'touch {started}; exec sleep 600' & while ! test -e {started}; do sleep 0.02; done"
    job = bound.wrap(script, "-n1", "-o", f"{folder}/out")
    assert bound.ended(job)[job] == ("COMPLETED", "0:0")
    lines = (folder / "out").read_text().splitlines()
    assert lines[0] == "srun: Job step aborted: Waiting up to 3 seconds for job step to finish."
    assert lines[1].startswith("[") and f"*** STEP {job}.0 ON node01 CANCELLED AT" in lines[1]
    assert lines[1].endswith("DUE to SIGNAL Terminated ***")


def test_sbcast_and_sattach_through_the_controller(bound: Cluster, folder: Path) -> None:
    sent, kept, started, done = (folder / name for name in ("sent", "kept", "started", "done"))
    sent.write_bytes(bytes(range(256)) * 4000)
    script = folder / "script"
    script.write_text(
        "#!/bin/sh\n"
        f"sbcast {sent} {kept} && cmp {sent} {kept} && echo same\n"
        f"srun sh -c 'while ! test -e {done}; do echo tick; touch {started}; sleep 0.02; done' > /dev/null &\n"
        f"while ! test -e {started}; do sleep 0.02; done\n"
        f"sattach $SLURM_JOB_ID.0 > {folder}/heard &\n"
        f"while ! test -s {folder}/heard; do sleep 0.02; done\n"
        f"touch {done}\n"
        "wait\n"
    )
    job = bound.sbatch("-o", f"{folder}/out", script, env={"SLURM_COMPAT_SRUN_HOST": "none"})
    assert bound.ended(job)[job] == ("COMPLETED", "0:0"), (folder / "out").read_text()
    assert (folder / "out").read_text() == "same\n"
    assert set((folder / "heard").read_text().splitlines()) == {"tick"}
