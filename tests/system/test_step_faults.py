"""srun or an agent killed in the middle of a step: what ends, what is written of it, and that nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import PATIENCE, Cluster, running_cluster, until


@pytest.fixture(scope="module")
def hurt() -> Iterator[Cluster]:
    with running_cluster() as one:
        yield one


COLD = {"SLURM_COMPAT_COLD": "1"}  # the process that is killed is srun itself, not its launcher
TASK = "echo $$ > {folder}/$SLURM_PROCID.tmp; mv {folder}/$SLURM_PROCID.tmp {folder}/$SLURM_PROCID; exec sleep 600"


def pids_of(folder: Path, tasks: int) -> list[int]:
    until(lambda: all((folder / str(rank)).exists() for rank in range(tasks)), "all tasks run")
    return [int((folder / str(rank)).read_text()) for rank in range(tasks)]


def gone(pids: list[int]) -> None:
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the tasks are gone")


def steps_of(cluster: Cluster, job: str) -> dict[str, tuple[str, str]]:
    lines = cluster.run("sacct", "-nP", "-j", job, "-o", "jobid,state,exitcode").out.splitlines()
    return {name: (state, code) for name, state, code in (line.split("|") for line in lines)}


def newest(cluster: Cluster) -> str:
    return max(cluster.run("squeue", "-h", "-o", "%i").out.split(), key=int)


@pytest.mark.parametrize("env", [COLD, {}], ids=["cold", "warm"])
def test_an_srun_that_is_killed_takes_its_job_with_it(hurt: Cluster, folder: Path, env: dict[str, str]) -> None:
    srun = hurt.popen("srun", "-N2", "-n4", "sh", "-c", TASK.format(folder=folder), env=env)
    with srun:
        pids = pids_of(folder, 4)
        job = newest(hurt)
        srun.send_signal(signal.SIGKILL)
        gone(pids)
        srun.communicate(timeout=PATIENCE)
    me = os.getuid()
    state = hurt.ended(job)[job][0]
    assert state == f"CANCELLED by {me}"
    until(lambda: steps_of(hurt, job)[f"{job}.0"][0] == f"CANCELLED by {me}", "the step is written of")
    assert steps_of(hurt, job)[f"{job}.0"][1] == "0:9"
    assert hurt.run("squeue", "-hs", "-j", job).out == ""


def test_an_srun_that_is_killed_in_a_job_ends_its_step_alone(hurt: Cluster, folder: Path) -> None:
    script = (
        f"srun -n2 sh -c '{TASK.format(folder=folder)}' & while ! test -e {folder}/1; do sleep 0.05; done;"
        " kill -9 $!; wait $!; echo code $?; srun echo next"
    )
    job = hurt.wrap(script, "-N1", "-n2", "-o", f"{folder}/out", env=COLD)
    pids = pids_of(folder, 2)
    assert hurt.ended(job)[job] == ("COMPLETED", "0:0")
    gone(pids)
    lines = [line for line in (folder / "out").read_text().splitlines() if line in ("code 137", "next")]
    assert lines == ["code 137", "next", "next"]
    steps = steps_of(hurt, job)
    assert steps[f"{job}.0"] == (f"CANCELLED by {os.getuid()}", "0:9")
    assert steps[f"{job}.1"] == ("COMPLETED", "0:0")


def test_an_agent_that_is_killed_takes_all_nodes_of_the_step_with_it(hurt: Cluster, folder: Path) -> None:
    agent = "cut -d' ' -f4 /proc/$(cut -d' ' -f4 /proc/$$/stat)/stat"  # the task's step process's parent
    task = f"if [ $SLURM_PROCID = 1 ]; then {agent} > {folder}/agent; fi; " + TASK.format(folder=folder)
    job = hurt.wrap(
        'srun -N2 -n2 sh -c "$TASK"; echo code $?',
        "-N2",
        "-n2",
        "--no-requeue",
        "-o",
        f"{folder}/out",
        env={"TASK": task},
    )
    pids = pids_of(folder, 2)
    killed = int((folder / "agent").read_text())
    assert hurt.state in Path(f"/proc/{killed}/cmdline").read_text(), "forked from our kubelet"
    os.kill(killed, signal.SIGKILL)
    assert hurt.ended(job)[job][0] in ("FAILED", "NODE_FAIL")
    gone(pids)
    assert steps_of(hurt, job)[f"{job}.0"][0].split()[0] in ("CANCELLED", "FAILED", "NODE_FAIL")


def test_a_step_over_two_nodes_outlives_a_restart_of_the_controller(hurt: Cluster, folder: Path) -> None:
    gate = folder / "gate"
    wait = f"touch {folder}/$SLURM_PROCID; while ! test -e {gate}; do sleep 0.05; done; exit $SLURM_PROCID"
    with hurt.popen("salloc", "-Q", "-N2", "-n2", "srun", "sh", "-c", wait) as salloc:
        until(lambda: (folder / "0").exists() and (folder / "1").exists(), "both tasks run")
        hurt.kill("controller")
        hurt.start()
        gate.touch()
        _, errors = salloc.communicate(timeout=PATIENCE)
    assert salloc.returncode == 1, errors
    assert b"task 1: Exited with exit code 1" in errors
