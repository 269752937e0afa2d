"""sattach, sbcast, a shell in a running job, and heterogeneous jobs, end to end."""

from __future__ import annotations

import os
import pty
import select
import time
from pathlib import Path

from tests.system.conftest import PATIENCE, Cluster, until


def running_step(cluster: Cluster, folder: Path, line: str, *options: str) -> str:
    """A job whose script runs `line`; its id once its first step runs."""
    (folder / "job.sh").write_text(f"#!/bin/bash\n{line}\nsleep 600\n")
    job = cluster.sbatch(*options, "-o", "/dev/null", "job.sh", cwd=folder)
    until(lambda: f"{job}.0" in cluster.run("squeue", "-hs", "-j", job).out, "the step runs")
    return job


def test_sattach_hears_a_step_and_speaks_to_it(cluster: Cluster, folder: Path) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    task = 'while read x; do echo "$SLURM_PROCID $x"; [ "$x" = end ] && exit $((SLURM_PROCID * 3)); done'
    line = f"srun -N2 -n2 bash -c '{task}' < {fifo} &\nexec 9>{fifo}; wait"
    job = running_step(cluster, folder, line, "-N2", "-n2")
    done = cluster.run("sattach", "--layout", f"{job}.0")
    assert done.out.splitlines()[:2] == ["Job step layout:", "\t2 tasks, 2 nodes (node[01-02])"]
    done = cluster.run("sattach", "-l", "--output-filter=1", f"{job}.0", stdin=b"hello\nend\n")
    assert (done.code, done.out) == (3, "1: 1 hello\n1: 1 end\n")
    assert done.err == "sattach: error: task 1 exited with exit code 3\n"
    cluster.run("scancel", job)
    cluster.ended(job)


def test_sbcast_writes_to_the_nodes_of_a_job(cluster: Cluster, folder: Path) -> None:
    job = running_step(cluster, folder, "srun sleep 600 &", "-n1")
    (folder / "source").write_bytes(os.urandom(3_000_000))
    (folder / "source").chmod(0o750)
    assert cluster.run("sbcast", "-j", job, "source", "copy", cwd=folder) == (0, "", "")
    assert (folder / "copy").read_bytes() == (folder / "source").read_bytes()
    assert (folder / "copy").stat().st_mode & 0o777 == 0o750
    exists = "sbcast: error: REQUEST_FILE_BCAST(node01): File exists\n"
    assert cluster.run("sbcast", "-j", job, "source", "copy", cwd=folder) == (17, "", exists)
    assert cluster.run("sbcast", "-f", "-j", f"{job}.0", "source", "copy", cwd=folder) == (0, "", "")
    cluster.run("scancel", job)
    cluster.ended(job)


def test_a_shell_in_a_running_job_from_outside(cluster: Cluster, folder: Path) -> None:
    job = running_step(cluster, folder, "srun sleep 600 &", "-n1")
    ours, theirs = pty.openpty()
    shell = cluster.popen(
        "srun", f"--jobid={job}", "--overlap", "--pty", "bash", "--norc", stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"echo in:$SLURM_JOB_ID:$(tty >/dev/null && echo tty); exit 5\n")
    shown, deadline = b"", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        select.select([ours], [], [], 1)
        try:
            shown += os.read(ours, 4096)
        except OSError:
            break
        if b"exit code 5" in shown:
            break
    assert shell.wait(PATIENCE) == 5
    os.close(ours)
    assert f"in:{job}:tty\r\n".encode() in shown
    cluster.run("scancel", job)
    cluster.ended(job)


def test_a_heterogeneous_job(cluster: Cluster, folder: Path) -> None:
    (folder / "het.sh").write_text(
        "#!/bin/bash\n#SBATCH -n 1 -J het\n#SBATCH hetjob\n#SBATCH -N2 -n 3\n"
        "echo $SLURM_HET_SIZE $SLURM_JOB_NODELIST $SLURM_JOB_NODELIST_HET_GROUP_1 $SLURM_NTASKS_HET_GROUP_1\n"
        "srun --het-group=1 -l sh -c 'echo $SLURM_JOB_ID' | sort\nexit 4\n"
    )
    job = cluster.sbatch("-o", "out", "het.sh", cwd=folder)
    other = int(job) + 1
    until(lambda: cluster.accounts([job]).get(f"{job}+1", ("",))[0] == "FAILED", "both end")
    assert (folder / "out").read_text().splitlines() == [
        "2 node01 node[02-03] 3", f"0: {job}", f"1: {job}", f"2: {job}"
    ]  # fmt: skip
    assert cluster.accounts([job]) == {f"{job}+0": ("FAILED", "4:0"), f"{job}+1": ("FAILED", "4:0")}
    done = cluster.run("sacct", "-nP", "-j", str(other), "-o", "jobid,jobidraw,nodelist,ntasks")
    assert done.out.splitlines() == [
        f"{job}+1|{other}|node[02-03]|", f"{job}+1.extern|{other}.extern|node[02-03]|2",
        f"{job}+1.0|{other}.0|node[02-03]|3",
    ]  # fmt: skip
