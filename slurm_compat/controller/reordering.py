"""What waits inside Armada is put into the order of its priorities again, at most every ReprioritizeInterval seconds.

A change that a user made (nice, priority, top) is told at once when nothing was told lately; what time and use change
is looked at in each interval. controller/armadaorder.py says what must be told.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from slurm_compat.controller.armadaorder import Move, Waiting, moves
from slurm_compat.controller.jobs import Job
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change
from slurm_compat.translators.jobspec import armada_priority

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

MOST_CALLS = 100  # of one round, in each queue those that start soonest first; the others have theirs in the next


class Reordering:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._last = float("-inf")  # when a round was, on the monotonic clock
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0  # of the queues: each begins a round some day

    def soon(self) -> None:
        """Priorities changed: a round, when the interval lets it."""
        if self._timer is None and self._controller.staging.has_inside:
            wait = self._last + self._controller.conf.armada.reprioritize_interval - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(wait, 0), self._round)

    async def keep(self) -> None:
        """For ever: looks in each interval, for jobs come and priorities grow."""
        while True:
            await asyncio.sleep(max(self._controller.conf.armada.reprioritize_interval, 1))
            self.soon()

    def _round(self) -> None:
        self._timer = None
        self._last = time.monotonic()
        change = Change()
        queues = list(self._controller.staging.by_queue())
        first = self._turn % max(len(queues), 1)
        left = MOST_CALLS
        for queue, job_ids in queues[first:] + queues[:first]:
            left -= self.reorder(queue, job_ids, change, left)
            self._turn += 1
            if left <= 0:
                break  # the next queue is the first of the next round
        if change:
            self._controller.commit(change)

    def reorder(self, queue: str, job_ids: list[int], change: Change, most: int = MOST_CALLS) -> int:
        """Tell Armada what stands in the wrong place of this queue, in so many calls at most; how many it takes."""
        units = self._units(job_ids)
        order = sorted(units.values(), key=lambda jobs: (-jobs[0].priority, jobs[0].array_job_id or jobs[0].job_id))
        wanted = [Waiting(jobs[0].job_id, jobs[0].told_priority, jobs[0].placements[0].armada_id) for jobs in order]
        told = moves(wanted)[:most]
        for move in told:
            self._tell(queue, move, units, change)
        return len(told)

    def _units(self, job_ids: list[int]) -> dict[int, list[Job]]:
        """Jobs that wait there by their id; the components of a heterogeneous job are one unit, its first leading."""
        table = self._controller.table
        units: dict[int, list[Job]] = {}
        for job_id in job_ids:
            job = table.jobs.get(job_id)
            # one whose submission is still under way is told its priority with that
            if job is None or job.state != PENDING or COMPLETING in job.flags or not job.placements:
                continue
            units.setdefault(job.het_job_id or job_id, []).append(job)
        for jobs in units.values():
            jobs.sort(key=lambda job: job.job_id)
        return {jobs[0].job_id: jobs for jobs in units.values()}

    def _tell(self, queue: str, move: Move, units: dict[int, list[Job]], change: Change) -> None:
        ids: dict[str, list[str]] = {}  # by job set: one call names one
        for job_id in move.job_ids:
            for job in units[job_id]:
                job.told_priority = move.number
                self._controller.table.put(change, job)
                for placement in job.placements:
                    ids.setdefault(placement.job_set, []).append(placement.armada_id)
        for job_set, some in ids.items():
            self._controller.outbox.reprioritize(change, queue, job_set, some, armada_priority(move.number))
