"""Handing ready jobs over to Armada, in their order and as many as fit its window; and taking them back."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from slurm_compat.controller import arrays, het, pending, placing
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.core import reasons
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

NEXT_RETRY = 0.1  # seconds between looks at some of very many blocked jobs


class Handover:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._pumping = False
        self._gathering_until = 0.0  # by the monotonic clock
        self._retry_soon = False
        self._to_retry = 0  # blocked jobs that have not been looked at since something was freed
        self._out_of_turn = False  # the next round is of jobs that were blocked

    def pump_soon(self) -> None:
        if time.monotonic() < self._gathering_until:
            return  # the round at the end of that time takes these too
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def gather(self, seconds: float) -> None:
        """A batch job came: it and those that come within this time go in the order of their priorities."""
        now = time.monotonic()
        if now >= self._gathering_until and not self._pumping:
            self._gathering_until = now + seconds
            asyncio.get_running_loop().call_later(seconds, self._gathered)

    def _gathered(self) -> None:
        self._gathering_until = 0.0
        self.pump_soon()

    def _pump(self) -> None:
        self._pumping = False
        change = Change()
        began = time.perf_counter()
        depth = started = 0

        def pick(job_id: int, queue: str) -> bool | None:
            nonlocal depth, started
            depth += 1
            staged = self._controller.staging.handed
            answer = self._pick(job_id, queue, change)
            started += self._controller.staging.handed - staged
            return answer

        waiting = self._controller.staging.waiting
        self._controller.staging.take(pick)
        out_of_turn, self._out_of_turn = self._out_of_turn, False
        spent = time.perf_counter() - began
        self._controller.statistics.round(out_of_turn, spent, depth, waiting, started, self._controller.now())
        if change:
            self._controller.commit(change)

    def _pick(self, job_id: int, queue: str, change: Change) -> bool | None:
        job = self._controller.table.jobs.get(job_id)
        if job is None or job.state != PENDING or job.staged or job.hold or COMPLETING in job.flags:
            return None
        if job.dependency or job.begin_time > self._controller.now():
            return None
        if job.het_job_id:
            return het.pick(self._controller, job, queue, change)
        if job.array_max_tasks and len(self._controller.table.active.get(job.array_job_id, ())) >= job.array_max_tasks:
            if job.reason != "JobArrayTaskLimit":
                job.reason, job.description = "JobArrayTaskLimit", ""
            self._controller.staging.throttle(job.array_job_id, job.job_id)
            return None
        self._controller.calendar.attract(job)
        blocked = pending.blocked(job, self._controller.cluster, self._controller.now())
        if blocked is not None:
            if blocked[0] == reasons.RESERVATION:  # until it begins, the job is not eligible
                job.eligible_time = job.accrue_time = 0
            if blocked[0] in (reasons.RESERVATION, reasons.NODE_NOT_AVAIL):
                job.waited_for = blocked[0]
            if (job.reason, job.description) != blocked:
                job.reason, job.description = blocked
            return False
        if self._controller.preempting.holds_back(job):
            job.reason, job.description = "Resources", ""
            return False
        if not placing.lay_out(self._controller, job):
            job.reason, job.description = "Resources", ""
            return False
        if job.is_array_record:
            self._stage_task(job, queue, change)
            return True
        self.stage(job, queue, change)
        return None

    def _stage_task(self, record: Job, queue: str, change: Change) -> None:
        """The record's first task goes to Armada; it stays shown in the record until it starts."""
        task = record.array_ranges[0][0]
        if len(record.array_ranges) == 1 and record.array_ranges[0][0] == record.array_ranges[0][1]:
            self.stage(record, queue, change)
            return
        job, rest = arrays.split(record, task, self._controller.new_job_id(), self._controller.new_db_index())
        assert rest is not None
        job.folded = True
        rest.eligible_time = 0
        self._controller.table.put(change, rest)
        self.stage(job, queue, change)

    def stage(self, job: Job, queue: str, change: Change) -> Job:
        """Hand the job to Armada: the outbox does it once this is durable."""
        self.prepare(job, queue)
        self._controller.table.put(change, job, "staged", self._controller.now())
        self.entered(job, change)
        return job

    def prepare(self, job: Job, queue: str) -> None:
        job.attempt += 1
        job.staged = True
        job.token = secrets.token_urlsafe(24)
        job.queue = queue
        job.job_set = f"slurm-{self._controller.conf.cluster_name}-{time.strftime('%Y%m%d')}"
        job.placements = []
        self._controller.calendar.handed(job)

    def entered(self, job: Job, change: Change) -> None:
        self._controller.staging.entered(job.job_id, job.queue)
        self._controller.outbox.submit(change, job)
        self._controller.follow(job.queue, job.job_set)

    def offer_array(self, array_job_id: int) -> None:
        """A slot of the array may have become free."""
        waiting = self._controller.staging.throttled.pop(array_job_id, None)
        if waiting:
            asyncio.get_running_loop().call_soon(self.reoffer, list(waiting))

    def reoffer(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            job = self._controller.table.jobs.get(job_id)
            if job is None or job.state != PENDING or job.staged or job.hold or COMPLETING in job.flags:
                continue
            if job.dependency or job.begin_time > self._controller.now():
                continue
            self._controller.staging.offer(job, self._controller.queue_of(job))
        self.pump_soon()

    def retry_blocked(self) -> None:
        """Something was freed: each of the blocked is looked at again, some at once and the others bit by bit."""
        self._to_retry = len(self._controller.staging.blocked)
        if self._to_retry and not self._retry_soon:
            self._retry_soon = True
            asyncio.get_running_loop().call_soon(self._retry)

    def _retry(self) -> None:
        self._retry_soon = False
        self._out_of_turn = True
        some = self._controller.staging.some_blocked()
        self._to_retry -= len(some)
        self.reoffer(some)
        if some and self._to_retry > 0:
            self._retry_soon = True
            asyncio.get_running_loop().call_later(NEXT_RETRY, self._retry)

    def take_back(self, job: Job, change: Change, why: str) -> Job:
        """A pending job that waits inside Armada waits here again."""
        if not job.staged or COMPLETING in job.flags:  # the old run of a requeued job ends by itself
            return job
        return self._controller.apply(job, Event("withdrawn", self._controller.now(), reason=why), change)
