"""A job that requeues itself, as checkpointing ones do."""

from pathlib import Path

from tests.system.conftest import Cluster, until


def test_its_scontrol_is_answered_before_the_job_is_ended(cluster: Cluster, folder: Path) -> None:
    log = folder / "log"
    command = f"trap : TERM; scontrol requeue $SLURM_JOB_ID >> {log} 2>&1; echo requeued $? >> {log}; sleep 60"
    job = cluster.wrap(command, "-o", "/dev/null")
    until(lambda: log.exists() and "requeued" in log.read_text(), "the job's own words")
    assert log.read_text() == "requeued 0\n"
    assert cluster.run("scancel", job) == (0, "", "")
