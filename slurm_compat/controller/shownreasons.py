"""Why each pending job waits, as those who look are shown it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slurm_compat.controller import pending, placing
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.startestimates import starts
from slurm_compat.core.states import COMPLETING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

REASONS_EVERY = 1.0  # seconds; how long pending jobs' reasons are shown before they are worked out again


class Reasons:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._at = 0.0
        self._stale = True
        self.starts: dict[int, int] = {}  # when jobs that wait for room may start, by job id

    def stale(self) -> None:
        """What the reasons follow from has changed."""
        self._stale = True

    def refresh(self) -> None:
        """Why each pending job waits, as of the last second; asked for by those who show it."""
        clock = time.monotonic()
        if not self._stale or clock - self._at < REASONS_EVERY:
            return
        jobs = self._controller.table.jobs
        waiting = [
            job
            for job in map(jobs.__getitem__, self._controller.table.pending)
            if not job.hold and not job.folded and COMPLETING not in job.flags and not _settled(job)
        ]
        waiting.sort(key=lambda job: (-job.priority, job.job_id))
        now = self._controller.now()
        for job_id, (reason, description) in pending.reasons(waiting, self._controller.cluster, now).items():
            job = jobs[job_id]
            job.reason, job.description = reason, description
            job.last_sched_evaluation = now
        self.starts = starts(waiting, placing.running(self._controller), self._controller.cluster, now)
        self._at = time.monotonic()
        self._stale = False


def _settled(job: Job) -> bool:
    return job.reason in ("Dependency", "DependencyNeverSatisfied", "BeginTime", "JobArrayTaskLimit")
