"""Priorities grow old: every minute those of waiting jobs are worked out again, and who waits stands in line anew.

What was already handed to Armada keeps the order it was handed over in.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from slurm_compat.core.states import PENDING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds; PriorityCalcPeriod as `scontrol show config` says it
AT_ONCE = 500  # jobs between which others have their turn


async def keep(controller: Controller) -> None:
    while True:
        await asyncio.sleep(EVERY)
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
            priority = controller.priority(job)
            if priority != job.priority:
                job.priority = priority
                controller.staging.reorder(job, controller.queue_of(job))
        await asyncio.sleep(0)
