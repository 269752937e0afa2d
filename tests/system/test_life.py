"""Jobs from sbatch to sacct, as a user sees them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.conftest import ALICE, BOB, Cluster, processes_of, until


def test_output_and_accounting_of_a_script(cluster: Cluster, folder: Path) -> None:
    (folder / "job.sh").write_text(
        "#!/bin/sh\n#SBATCH -J little\n#SBATCH -n 2\n#SBATCH --mem=50\n"
        'echo "$SLURM_JOB_NAME $SLURM_NTASKS $1 $SLURM_JOB_ID"; pwd; echo oops >&2\n'
    )
    job = cluster.sbatch("job.sh", "word", cwd=folder)
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    assert (folder / f"slurm-{job}.out").read_text() == f"little 2 word {job}\n{folder}\noops\n"
    done = cluster.run("sacct", "-nP", "-j", job, "-o", "jobid,jobname,state,alloccpus,nodelist")
    assert done.out == (
        f"{job}|little|COMPLETED|2|node01\n{job}.batch|batch|COMPLETED|2|node01\n{job}.extern|extern|COMPLETED|2|node01\n"
    )


@pytest.mark.parametrize(
    "script, state, code, wait",
    [
        ("exit 0", "COMPLETED", "0:0", 0),
        ("exit 7", "FAILED", "7:0", 7),
        ("kill -9 $$", "FAILED", "0:9", 1),
        ("kill -TERM $$", "FAILED", "0:15", 1),
        ("no_such_command", "FAILED", "127:0", 127),
    ],
)
def test_how_it_ended(cluster: Cluster, script: str, state: str, code: str, wait: int) -> None:
    done = cluster.run("sbatch", "--wait", "--parsable", "-o", "/dev/null", "--wrap", script)
    job = done.out.strip()
    assert (done.code, done.err) == (wait, "")
    assert cluster.ended(job)[job] == (state, code)


def test_a_time_limit(cluster: Cluster, folder: Path, as_root: None) -> None:
    job = cluster.wrap("trap 'echo caught; exit 3' TERM; sleep 600 & wait", "-t", "1", "-o", f"{folder}/out")
    cluster.becomes(job, "RUNNING")
    assert cluster.run("scontrol", "update", f"jobid={job}", "endtime=now+1second") == (0, "", "")
    assert cluster.ended(job)[job][0] == "TIMEOUT"
    text = (folder / "out").read_text()
    assert f"*** JOB {job} ON node01 CANCELLED AT " in text and "DUE TO TIME LIMIT ***" in text


def test_too_much_memory(cluster: Cluster, folder: Path) -> None:
    eat = "import time; x = bytearray(200 << 20); time.sleep(60)"
    job = cluster.wrap(f"exec python3 -c '{eat}'", "--mem=60", "-o", f"{folder}/out")
    assert cluster.ended(job)[job][0] == "OUT_OF_MEMORY"


def test_cancelling(cluster: Cluster, folder: Path) -> None:
    running = cluster.wrap("echo in; sleep 600", "-o", f"{folder}/out")
    pending = cluster.wrap("echo never", "--begin=now+1hour", "-o", f"{folder}/never")
    cluster.becomes(running, "RUNNING")
    assert cluster.run("scancel", running, pending) == (0, "", "")
    by = f"CANCELLED by {os.getuid()}"
    ended = cluster.ended(running, pending)
    assert ended[pending] == (by, "0:0") and ended[running][0] == by
    assert f"*** JOB {running} ON node01 CANCELLED AT " in (folder / "out").read_text()
    assert not (folder / "never").exists()


def test_a_signal_for_the_script(cluster: Cluster, folder: Path) -> None:
    job = cluster.wrap(
        f"trap 'echo usr1; exit 0' USR1; touch {folder}/ready; while :; do sleep 0.1; done", "-o", f"{folder}/out"
    )
    until((folder / "ready").exists, "it is ready")
    assert cluster.run("scancel", "-b", "-s", "USR1", job) == (0, "", "")
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    assert (folder / "out").read_text() == "usr1\n"


def test_requeueing(cluster: Cluster, folder: Path) -> None:
    script = f"echo ${{SLURM_RESTART_COUNT:-0}} >> {folder}/runs; test $SLURM_RESTART_COUNT || sleep 600"
    job = cluster.wrap(script, "-o", "/dev/null", "--requeue")
    until(lambda: (folder / "runs").exists() and (folder / "runs").read_text() == "0\n", "it runs")
    cluster.becomes(job, "RUNNING")
    assert cluster.run("scontrol", "requeue", job) == (0, "", "")
    # Slurm lets a requeued job wait two minutes; who is in a hurry says so
    until(lambda: cluster.state_of(job) in ("PENDING", "REQUEUED"), "it waits")
    cluster.run("scontrol", "update", f"jobid={job}", "starttime=now")
    until(lambda: (folder / "runs").read_text() == "0\n1\n", "it ran again")
    until(lambda: cluster.run("scontrol", "show", "job", job).out.count("JobState=COMPLETED"), "it ended")
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", job).out


def test_an_array_with_one_failing_task(cluster: Cluster, folder: Path) -> None:
    done = cluster.run(
        "sbatch", "--wait", "--parsable", "-a", "1-5", "-o", f"{folder}/%A_%a.out", "--wrap",
        "echo task $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT; test $SLURM_ARRAY_TASK_ID != 3 || exit 9",
    )  # fmt: skip
    job = done.out.strip()
    assert (done.code, done.err) == (9, "")
    assert cluster.ended(job) == {
        f"{job}_{task}": ("FAILED", "9:0") if task == 3 else ("COMPLETED", "0:0") for task in range(1, 6)
    }
    for task in range(1, 6):
        assert (folder / f"{job}_{task}.out").read_text() == f"task {task} of 5\n"


def test_steps_of_a_batch_script(cluster: Cluster, folder: Path) -> None:
    (folder / "job.sh").write_text(
        "#!/bin/sh\n#SBATCH -n 3\nsrun -l sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS' | sort\n"
        "srun -n 1 sh -c 'exit 5'; echo code $?\necho input | srun -n 1 cat\n"
    )
    job = cluster.sbatch("-o", "out", "job.sh", cwd=folder)
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    lines = (folder / "out").read_text().splitlines()
    assert [line for line in lines if not line.startswith("srun: ")] == [
        "0: 0 of 3", "1: 1 of 3", "2: 2 of 3", "code 5", "input",
    ]  # fmt: skip
    assert "srun: error: node01: task 0: Exited with exit code 5" in lines
    done = cluster.run("sacct", "-nP", "-j", job, "-o", "jobid,state,exitcode,ntasks")
    assert f"{job}.0|COMPLETED|0:0|3" in done.out and f"{job}.1|FAILED|5:0|1" in done.out


def test_srun_on_its_own(cluster: Cluster, folder: Path) -> None:
    done = cluster.run(
        "srun", "-N", "2", "-n", "2", "-l", "sh", "-c", "echo $SLURM_NODEID $SLURMD_NODENAME", cwd=folder
    )
    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.splitlines()) == ["0: 0 node01", "1: 1 node02"]
    done = cluster.run("srun", "cat", cwd=folder, stdin=b"through\n")
    assert done == (0, "through\n", "")


def test_commands_inside_a_job_reach_the_same_cluster(cluster: Cluster, folder: Path) -> None:
    script = (
        "squeue -h -j $SLURM_JOB_ID -o '%i %T'; scontrol show job $SLURM_JOB_ID | head -1; "
        "sbatch --parsable -o inner.out --wrap 'echo inner' > inner.id"
    )
    job = cluster.wrap(script, "-J", "outer", "-o", "out", cwd=folder)
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    assert (folder / "out").read_text() == f"{job} RUNNING\nJobId={job} JobName=outer\n"
    inner = (folder / "inner.id").read_text().strip()
    assert cluster.ended(inner)[inner] == ("COMPLETED", "0:0")
    assert (folder / "inner.out").read_text() == "inner\n"


def test_what_a_job_leaves_behind_ends_with_it(cluster: Cluster, folder: Path) -> None:
    mark = f"LEFT_BEHIND={folder}"
    script = (
        f"export {mark}; sleep 601 & setsid sleep 602 & nohup sh -c 'sleep 603 & sleep 604' >/dev/null 2>&1 & sleep 0.1"
    )
    job = cluster.wrap(script, "-o", "/dev/null")
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    until(lambda: not processes_of(mark), "nothing of the job is left")


def test_dependent_jobs(cluster: Cluster, folder: Path) -> None:
    first = cluster.wrap("exit 1", "--hold", "-o", "/dev/null")
    after = cluster.wrap(f"echo any >> {folder}/ran", "-d", f"afterany:{first}", "-o", "/dev/null")
    never = cluster.wrap(
        f"echo ok >> {folder}/ran", "-d", f"afterok:{first}", "--kill-on-invalid-dep=yes", "-o", "/dev/null"
    )
    cluster.run("scontrol", "release", first)
    ended = cluster.ended(first, after, never)
    assert (ended[first], ended[after]) == (("FAILED", "1:0"), ("COMPLETED", "0:0"))
    assert ended[never][0].startswith("CANCELLED")
    assert (folder / "ran").read_text() == "any\n"


def test_a_job_on_several_nodes(cluster: Cluster, folder: Path) -> None:
    job = cluster.wrap("srun sh -c 'echo $SLURMD_NODENAME' | sort", "-N", "3", "-o", f"{folder}/out")
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    assert (folder / "out").read_text() == "node01\nnode02\nnode03\n"
    assert cluster.run("sacct", "-nXP", "-j", job, "-o", "nodelist").out == "node[01-03]\n"


def test_names_of_nodes(cluster: Cluster, folder: Path, as_root: None) -> None:
    job = cluster.wrap("hostname; getent hosts node02 | wc -l", "-w", "node03", "-o", f"{folder}/out")
    cluster.ended(job)
    assert (folder / "out").read_text() == "node03\n1\n"


def test_each_user_has_their_own(cluster: Cluster, folder: Path, as_root: None) -> None:
    job = cluster.wrap(f"id -un; touch {folder}/made; sleep 600", "-o", f"{folder}/out", user=ALICE)
    cluster.becomes(job, "RUNNING")
    until((folder / "made").exists, "it wrote")
    assert (folder / "made").owner() == (folder / "out").owner() == ALICE
    assert (folder / "out").read_text() == f"{ALICE}\n"
    denied = f"scancel: error: Kill job error on job id {job}: Access/permission denied\n"
    done = cluster.run("scancel", job, user=BOB)
    assert (done.code, done.err) == (2002 & 0xFF, denied)
    done = cluster.run("scontrol", "hold", job, user=BOB)
    assert done == (1, "", f"Invalid user id for job {job}\nslurm_suspend error:Invalid user id\n")
    assert cluster.state_of(job) == "RUNNING"
    assert cluster.run("sacct", "-nX", user=BOB).out == "", "one's own jobs unless asked"
    assert cluster.run("scancel", job, user=ALICE) == (0, "", "")
    assert cluster.ended(job)[job][0].startswith("CANCELLED by ")
