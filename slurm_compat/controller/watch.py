"""Armada's event streams: one for each (queue, job set) with live jobs, resumed from the last event that was read.

What is read may come again; the machine absorbs repeats. An event can be faster than the answer to the submission that
caused it: such events wait until the job's Armada ids are known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from slurm_compat.armada.client import Armada, ArmadaError
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event, wait_status
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change
from slurm_compat.translators import events

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 0.2, 10.0  # seconds
EARLY = 20_000  # events kept for jobs whose ids are not known yet
MARK_EVERY = 2.0  # seconds between notes of how far a stream was read
IDLE_AFTER = 3600.0  # seconds without live jobs after which a past day's stream is left

Stream = tuple[str, str]  # queue, job set

# what Armada says of a failure, in the words of the agents' reasons
CAUSES = {
    events.OUT_OF_MEMORY: "OUT OF MEMORY",
    events.TIMEOUT: "TIME LIMIT",
    events.EVICTED: "NODE FAILURE",
}


class Watch:
    def __init__(self, controller: Controller, armada: Armada) -> None:
        self._controller = controller
        self._armada = armada
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self.last: dict[Stream, str] = {}
        self._known: dict[str, tuple[int, int, int]] = {}  # Armada id: job id, attempt, rank
        self._early: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()
        self._over: dict[tuple[int, int], set[int]] = {}  # (job id, attempt): ranks whose pods are over
        self._busy: dict[Stream, float] = {}  # when something was last submitted there
        self._marked: dict[Stream, float] = {}

    def follow(self, queue: str, job_set: str) -> None:
        """Read this stream from now on, if it isn't read already."""
        stream = (queue, job_set)
        self._busy[stream] = time.monotonic()
        task = self._tasks.get(stream)
        if task is None or task.done():
            self._tasks[stream] = asyncio.ensure_future(self._read(stream))

    def learn(self, job: Job) -> None:
        """The job's Armada ids are known: what was heard of them before counts now."""
        for rank, placement in enumerate(job.placements):
            self._known[placement.armada_id] = (job.job_id, job.attempt, rank)
        for placement in job.placements:
            for event in self._early.pop(placement.armada_id, ()):
                self._heard(event)

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _read(self, stream: Stream) -> None:
        queue, job_set = stream
        delay = FIRST_RETRY
        while True:
            try:
                async for message_id, event in self._armada.events(queue, job_set, self.last.get(stream, "")):
                    delay = FIRST_RETRY
                    self._heard(event)
                    self.last[stream] = message_id
                    self._mark(stream)
                    if self._idle(stream):
                        return
            except ArmadaError as problem:
                log.debug("events of %s %s: %s", queue, job_set, problem)
            except Exception:
                log.exception("events of %s %s", queue, job_set)
            if self._idle(stream):
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY)

    def _mark(self, stream: Stream) -> None:
        """Note how far the stream was read. Now and then: what is read again does no harm."""
        now = time.monotonic()
        if now - self._marked.get(stream, 0.0) < MARK_EVERY:
            return
        self._marked[stream] = now
        change = Change()
        self.mark(change, stream)
        self._controller.commit(change)

    def mark(self, change: Change, stream: Stream) -> None:
        queue, job_set = stream
        change.put("streams", stream, {"queue": queue, "job_set": job_set, "last_id": self.last[stream]})

    def _idle(self, stream: Stream) -> bool:
        """A past day's stream in which nothing lives any more."""
        if time.monotonic() - self._busy.get(stream, 0.0) < IDLE_AFTER:
            return False
        table = self._controller.table
        ids = [*table.pending, *table.running]
        return not any((table.jobs[job_id].queue, table.jobs[job_id].job_set) == stream for job_id in ids)

    def _heard(self, event: dict[str, Any]) -> None:
        armada_id = event.get("job_id", "")
        known = self._known.get(armada_id)
        if known is None:
            self._keep_early(armada_id, event)
            return
        told = events.translate(event)
        if told is None or told.name in (events.LEASED, events.PENDING, events.RUNNING):
            return
        job_id, attempt, rank = known
        if told.name != events.RETURNED:
            self._known.pop(armada_id, None)
        job = self._controller.table.jobs.get(job_id)
        if job is None or job.attempt != attempt or not job.staged:
            return  # of an attempt that is over, or was taken back by ourselves
        self._tell(job, rank, told, int(event.get("created") or self._controller.now()))

    def _keep_early(self, armada_id: str, event: dict[str, Any]) -> None:
        if not armada_id or event.get("kind") in ("submitted", "queued", "leased", "pending", "running"):
            return
        self._early.setdefault(armada_id, []).append(event)
        while len(self._early) > EARLY:
            self._early.popitem(last=False)

    def _tell(self, job: Job, rank: int, told: events.Told, at: int) -> None:
        """What the end of one pod means for its job."""
        controller = self._controller
        text = str(told.facts.get("reason") or "")
        if told.name == events.RETURNED:
            return  # Armada tries elsewhere; the job still waits there
        over = self._over.setdefault((job.job_id, job.attempt), set())
        over.add(rank)
        all_over = len(over) >= len(job.placements)
        if all_over:
            del self._over[job.job_id, job.attempt]
        if COMPLETING in job.flags:
            if all_over:
                change = Change()
                controller.agents.pods_over(job, change)
                controller.commit(change)
            return
        if job.is_final:
            return
        change = Change()
        event = self._event(job, told, at, text)
        after = controller.apply(job, event, change)
        if after is not job:
            log.info("job %d: Armada says %s (%s): %s", job.job_id, told.name, text or "-", after.state)
        if COMPLETING in after.flags and all_over:
            controller.agents.pods_over(after, change)
        elif after.state == PENDING and not after.staged and COMPLETING not in after.flags:
            controller.readiness.changed(after, change)
        elif COMPLETING in after.flags:
            controller.withdraw(after, change, "sibling ended")
        controller.commit(change)

    def _event(self, job: Job, told: events.Told, at: int, text: str) -> Event:
        if told.name == events.REJECTED:
            return Event("rejected", at, text=text)
        if told.name == events.CANCELLED:
            return Event("taken away", at, text=text)
        if told.name == events.PREEMPTED:
            for_good = self._controller.preempting.for_good(job)
            return Event("lost", at, reason="PREEMPTION", text=text, flag=for_good)
        if told.name == events.LOST:
            return Event("lost", at, reason="NODE FAILURE", text=text)
        if told.name == events.SUCCEEDED and not job.has_script:
            return Event("ended", at)
        exit_code = int(told.facts.get("exit_code") or 0)
        reason = CAUSES.get(str(told.facts.get("cause") or ""), "")
        # an agent that was killed, or ended without a word, took the job with it
        return Event("lost", at, wait_status(exit_code) if not reason else 0, reason, text)
