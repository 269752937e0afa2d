"""Mail about a job, through the site's MailProg: `MailProg -s SUBJECT USER`, as slurmctld calls it.

Source: slurm.conf(5), MailProg; sbatch(1), --mail-type.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from slurm_compat.controller.jobs import Job
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.timefmt import duration

TIMEOUT = 30.0  # seconds that a MailProg may take

WORDS = {
    "BEGIN": "Began",
    "END": "Ended",
    "FAIL": "Failed",
    "REQUEUE": "Requeued",
    "INVALID_DEPENDENCY": "Invalid dependency",
}


def wanted(job: Job, kind: str) -> bool:
    types = job.request.mail_type
    if job.array_job_id and "ARRAY_TASKS" not in types:
        return False
    # a failed job has ended, too
    return kind in types or (kind == "FAIL" and "END" in types)


def message(job: Job, kind: str, conf: ClusterConf, now: int) -> dict[str, Any]:
    """{to, subject, environment} of a mail."""
    name = f"{job.array_job_id}_{job.array_task_id} ({job.job_id})" if job.array_job_id else str(job.job_id)
    subject = f"Slurm Job_id={name} Name={job.name} {WORDS[kind]}"
    if kind == "BEGIN":
        subject += f", Queued time {duration(max(0, job.start_time - job.submit_time))}"
    elif kind in ("END", "FAIL"):
        ran = max(0, (job.end_time or now) - job.start_time)
        subject += f", Run time {duration(ran)}, {job.state}"
        if job.state in ("COMPLETED", "FAILED"):
            subject += f", ExitCode {job.exit_code >> 8}"
    to = job.request.mail_user or job.user_name
    if conf.mail_domain and "@" not in to:
        to += "@" + conf.mail_domain
    environment = {
        "SLURM_CLUSTER_NAME": conf.cluster_name,
        "SLURM_JOB_ID": str(job.job_id),
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_USER": job.user_name,
        "SLURM_JOB_PARTITION": job.partition,
        "SLURM_JOB_ACCOUNT": job.account,
        "SLURM_JOB_STATE": job.state,
        "SLURM_JOB_MAIL_TYPE": WORDS[kind],
        "SLURM_JOB_WORK_DIR": job.request.current_working_directory,
    }
    return {"to": to, "subject": subject, "environment": environment}


async def send(prog: str, data: dict[str, Any]) -> None:
    """A mail that can't be sent is not worth holding anything up for."""
    with contextlib.suppress(OSError, ValueError, asyncio.TimeoutError):
        process = await asyncio.create_subprocess_exec(
            prog, "-s", data["subject"], "--" if data["to"].startswith("-") else data["to"],
            env=data["environment"] | {"PATH": "/usr/bin:/bin"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await asyncio.wait_for(process.wait(), TIMEOUT)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
