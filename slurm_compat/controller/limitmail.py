"""Mail when a part of a job's time has passed: --mail-type=TIME_LIMIT_50 and its like."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.launching import end_time
from slurm_compat.controller.mail import LIMITS
from slurm_compat.core.states import TIMEOUT
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

DUE = "limit mail"


def arm(controller: Controller, job: Job) -> None:
    """Wake up when the next part has passed; after a start of the job or of the controller, or a new limit."""
    if moments := [moment for _, _, moment in _owed(job)]:
        controller.due.at(min(moments), DUE, job.job_id)


def _owed(job: Job) -> list[tuple[str, int, float]]:
    """Kind, percent and moment of the mails that are still to come."""
    ends = end_time(job)
    if not ends:
        return []
    asked = [(kind, percent) for kind, percent in LIMITS.items() if kind in job.request.mail_type]
    whole = ends - job.start_time
    return [
        (kind, percent, job.start_time + whole * percent / 100)
        for kind, percent in asked
        if percent > job.limit_mailed
    ]  # fmt: skip


def fell_due(controller: Controller, job: Job) -> None:
    if not job.is_running and job.state != TIMEOUT:
        return
    change = Change()
    for kind, percent, moment in _owed(job):
        if moment <= controller.now():
            job = copy.copy(job)
            job.limit_mailed = max(job.limit_mailed, percent)
            controller.outbox.mail(change, job, kind)
            controller.put(change, job)
    if change:
        controller.commit(change)
    if job.is_running:
        arm(controller, job)
