"""--deadline: when a job is too late to start, and the time it has when it starts.

Source: sbatch(1), --deadline and --time-min; observed on 26.05: a job ends DEADLINE as soon as the least time it asks
for no longer fits, held or not.
"""

from __future__ import annotations

from slurm_compat.controller.jobs import Job
from slurm_compat.core.model import UNLIMITED


def last_start(job: Job) -> int:
    """The last moment at which the job may start, epoch seconds; 0: it has no deadline."""
    least = job.time_minimum or job.time_limit
    return job.deadline - (0 if least == UNLIMITED else least * 60) if job.deadline else 0


def limit_at(job: Job, start: int) -> int:
    """The job's time limit, minutes, when it starts then: as much of it as the deadline leaves, --time-min at least."""
    if not job.deadline:
        return job.time_limit
    left = max((job.deadline - start) // 60, job.time_minimum or 1)
    return min(job.time_limit, left)
