"""Priorities grow old: every PriorityCalcPeriod they are worked out again, and who waits stands in line anew.

What was already handed to Armada is put into its order there by controller/reordering.py.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from slurm_compat.controller.shares import period_of
from slurm_compat.core.states import PENDING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

AT_ONCE = 500  # jobs between which others have their turn


async def keep(controller: Controller) -> None:
    while True:
        await asyncio.sleep(period_of(controller.conf))
        try:
            await again(controller)
        except Exception:
            log.exception("working out priorities")


async def again(controller: Controller) -> None:
    waiting = list(controller.table.pending)
    for start in range(0, len(waiting), AT_ONCE):
        for job_id in waiting[start : start + AT_ONCE]:
            job = controller.table.jobs.get(job_id)
            if job is None or job.state != PENDING or job.hold or not job.priority:
                continue
            if not job.accrue_time and job.eligible_time and controller.limiter.accrues(job):
                job.accrue_time = controller.now()  # others of its owner no longer wait
                controller.limiter.tally.place(job)
            priority = controller.priority(job)
            if priority != job.priority:
                job.priority = priority
                controller.staging.reorder(job, controller.queue_of(job))
        await asyncio.sleep(0)
    controller.reordering.soon()
    controller.handover.retry_blocked()  # limits that count use or time let jobs go though nothing ends
