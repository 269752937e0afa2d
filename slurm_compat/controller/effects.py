"""What must be done outside because of a committed change: submit, cancel, reprioritise, mail.

Each is a row of the outbox, written in the change's own transaction and removed when done, so that a restart does what
is left. Every effect may safely be done twice: Armada knows a submitted item again by its client_id.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slurm_compat.armada import messages
from slurm_compat.armada.client import Armada, ArmadaError, Away, NotYet, Refused
from slurm_compat.controller import mail
from slurm_compat.controller.jobs import Job, Placement
from slurm_compat.controller.launching import end_time
from slurm_compat.controller.machine import Event
from slurm_compat.store.changes import Change
from slurm_compat.translators.jobspec import job_items, slurm_priority
from slurm_compat.translators.queues import priority_factor

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 0.2, 10.0  # seconds
MAX_BATCH = 2000  # jobs a round


class Outbox:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.armada: Armada | None = None
        self.learn: Callable[[Job], None] = lambda job: None  # told of each job's placements; the watch sets it
        self._submits: dict[tuple[int, int], None] = {}  # (job id, attempt), in order
        self._cancels: dict[str, dict[str, Any]] = {}  # key: what
        self._mails: list[tuple[str, dict[str, Any]]] = []
        self._wake = asyncio.Event()
        self._queues: set[str] = set()  # known to exist
        self.failures = 0  # in a row; 0: Armada answers

    # adding, in somebody's change

    def submit(self, change: Change, job: Job) -> None:
        job_id, attempt = job.job_id, job.attempt
        key = f"submit {job_id} {attempt}"
        change.put("outbox", key, _row(key, "submit", job_id, {"attempt": attempt}))
        change.then.append(lambda: self._add_submit(job_id, attempt))

    def cancel(self, change: Change, job_id: int, queue: str, job_set: str, ids: list[str], reason: str) -> None:
        if not ids:
            return
        key = f"cancel {ids[0]}"
        data = {"queue": queue, "job_set": job_set, "ids": ids, "reason": reason}
        change.put("outbox", key, _row(key, "cancel", job_id, data))
        change.then.append(lambda: self._add_cancel(key, data))

    def reprioritize(self, change: Change, queue: str, job_set: str, ids: list[str], priority: float) -> None:
        """Armada's numbers: the low goes first."""
        key = f"reprioritize {ids[0]} {time.monotonic_ns()}"  # the same job may be told twice before the first is sent
        data = {"queue": queue, "job_set": job_set, "ids": ids, "priority": priority}
        change.put("outbox", key, _row(key, "reprioritize", 0, data))
        change.then.append(lambda: self._add_cancel(key, data))

    def queue(self, change: Change, queue: str, factor: float) -> None:
        """A queue is to have this weight, and to be made if there is none."""
        key = f"queue {queue}"
        data = {"queue": queue, "factor": factor}
        change.put("outbox", key, _row(key, "queue", 0, data))
        change.then.append(lambda: self._add_cancel(key, data))

    def mail(self, change: Change, job: Job, kind: str) -> None:
        if not job.request.mail_type or not mail.sendable(self._controller.conf.mail_prog):
            return
        kind, tasks = mail.decided(job, kind, self._controller.table)
        if not kind:
            return
        key = f"mail {job.job_id} {job.restart_cnt} {kind}"
        data = mail.message(job, kind, self._controller.conf, self._controller.now(), tasks, end_time(job))
        change.put("outbox", key, _row(key, "mail", job.job_id, data))
        change.then.append(lambda: self._add_mail(key, data))

    def _add_submit(self, job_id: int, attempt: int) -> None:
        self._submits[job_id, attempt] = None
        self._wake.set()

    def _add_cancel(self, key: str, data: dict[str, Any]) -> None:
        self._cancels[key] = data
        self._wake.set()

    def _add_mail(self, key: str, data: dict[str, Any]) -> None:
        self._mails.append((key, data))
        self._wake.set()

    def resume(self, rows: list[tuple[str, str, int, Any]]) -> None:
        """Rows that an earlier process left."""
        for key, kind, job_id, data in rows:
            if kind == "submit":
                self._add_submit(job_id, data["attempt"])
            elif kind == "mail":
                self._add_mail(key, data)
            else:
                self._add_cancel(key, data)

    def kinds(self) -> dict[str, int]:
        """How many messages of each kind are still to be sent."""
        found = {"submit": len(self._submits), "mail": len(self._mails), "cancel": 0, "reprioritize": 0}
        for data in self._cancels.values():
            kind = "queue" if "factor" in data else "reprioritize" if "priority" in data else "cancel"
            found[kind] = found.get(kind, 0) + 1
        return {kind: count for kind, count in found.items() if count}

    @property
    def length(self) -> int:
        return len(self._submits) + len(self._cancels) + len(self._mails)

    # doing

    async def run(self) -> None:
        """Work for ever; a failure waits and tries again, a refusal is dealt with job by job."""
        delay = FIRST_RETRY
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._round()
            except (NotYet, Away) as problem:
                self.failures += 1
                level = logging.WARNING if self.failures in (5, 50) or self.failures % 500 == 0 else logging.DEBUG
                log.log(level, "Armada: %s; trying again", problem)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY)
                self._wake.set()
            else:
                self.failures = 0
                delay = FIRST_RETRY

    async def _round(self) -> None:
        await self._send_mails()
        problem: ArmadaError | None = None
        try:
            await self._send_cancels()
        except (NotYet, Away) as trouble:
            problem = trouble
        await self._send_submits()
        if problem is not None:
            raise problem

    async def _send_submits(self) -> None:
        groups: dict[tuple[str, str], list[Job]] = {}
        done = Change()
        for job_id, attempt in list(self._submits)[:MAX_BATCH]:
            job = self._controller.table.jobs.get(job_id)
            if job is None or job.attempt != attempt or not job.staged or job.placements:
                self._submits.pop((job_id, attempt), None)
                done.delete("outbox", f"submit {job_id} {attempt}")
                continue
            groups.setdefault((job.queue, job.job_set), []).append(job)
        if done:
            self._controller.commit(done)
        problem: ArmadaError | None = None
        for (queue, job_set), jobs in groups.items():
            try:
                await self._submit(queue, job_set, jobs)
            except NotYet as trouble:  # this queue isn't known yet; the others go on
                self._queues.discard(queue)
                problem = trouble
        if problem is not None:
            raise problem
        if self._submits:
            self._wake.set()

    async def _submit(self, queue: str, job_set: str, jobs: list[Job]) -> None:
        assert self.armada is not None
        if queue not in self._queues:
            await self._create_queue(queue, jobs[0].account)
        groups: list[tuple[Job, list[Any]]] = []
        for job in jobs:
            try:
                items = [messages.submit_item(values) for values in job_items(job, self._controller)]
            except ValueError as problem:
                self._refused(job, str(problem))
                continue
            groups.append((job, items))
        for request, some in _requests(queue, job_set, groups):
            try:
                ids = await self.armada.submit(request)
            except Refused as problem:
                if len(some) == 1:
                    self._refused(some[0][0], problem.text)
                    continue
                # all or nothing: find the one that is wrong
                for one in some:
                    await self._submit(queue, job_set, [one[0]])
                continue
            self._submitted(queue, job_set, some, ids)

    async def _create_queue(self, queue: str, account: str) -> None:
        assert self.armada is not None
        try:
            await self.armada.create_queue(queue, priority_factor(self._controller.conf, account))
        except (NotYet, Refused) as problem:
            # without the right to create queues the site has made them; the submit tells
            log.debug("queue %s: %s", queue, problem)
        self._queues.add(queue)

    def _submitted(self, queue: str, job_set: str, some: list[tuple[Job, list[Any]]], ids: list[str]) -> None:
        change = Change()
        position = 0
        for sent, items in some:
            own = ids[position : position + len(items)]
            position += len(items)
            self._submits.pop((sent.job_id, sent.attempt), None)
            change.delete("outbox", f"submit {sent.job_id} {sent.attempt}")
            job = self._controller.table.jobs.get(sent.job_id)
            if job is None or job.attempt != sent.attempt or not job.staged:
                # taken back while the submission was on its way
                self.cancel(change, sent.job_id, queue, job_set, own, "withdrawn")
                continue
            job.placements = [Placement(queue, job_set, armada_id) for armada_id in own]
            job.told_priority = slurm_priority(items[0].priority)
            self._controller.table.put(change, job)
            self.learn(job)
        self._controller.count("submitted to Armada", len(some))
        self._controller.commit(change)

    def _refused(self, sent: Job, text: str) -> None:
        """Armada will not have it: the job stays pending, held, and says why."""
        log.warning("Armada refuses job %d: %s", sent.job_id, text)
        self._submits.pop((sent.job_id, sent.attempt), None)
        change = Change()
        change.delete("outbox", f"submit {sent.job_id} {sent.attempt}")
        job = self._controller.table.jobs.get(sent.job_id)
        if job is not None and job.attempt == sent.attempt and job.staged:
            self._controller.apply(job, Event("rejected", self._controller.now(), text=text), change)
        self._controller.commit(change)

    async def _send_cancels(self) -> None:
        assert self.armada is not None
        for key, data in list(self._cancels.items()):
            try:
                if "factor" in data:
                    await self.armada.set_priority_factor(data["queue"], data["factor"])
                elif "priority" in data:
                    self._controller.count("reprioritize calls")
                    await self.armada.reprioritize(data["queue"], data["job_set"], data["ids"], data["priority"])
                else:
                    await self.armada.cancel(data["queue"], data["job_set"], data["ids"], data["reason"])
            except (NotYet, Refused) as problem:
                log.info("%s: %s", key, problem)  # there is nothing to cancel in a queue that isn't there
            self._cancels.pop(key, None)
            self._finish(key)

    async def _send_mails(self) -> None:
        while self._mails:
            key, data = self._mails.pop(0)
            await mail.send(self._controller.conf.mail_prog, data)
            self._finish(key)

    def _finish(self, key: str) -> None:
        change = Change()
        change.delete("outbox", key)
        self._controller.commit(change)


def _row(key: str, kind: str, job_id: int, data: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "kind": kind, "job_id": job_id, "data": json.dumps(data)}


def _requests(
    queue: str, job_set: str, groups: list[tuple[Job, list[Any]]]
) -> list[tuple[Any, list[tuple[Job, list[Any]]]]]:
    """Submit requests below the server's bound, and the jobs of each. A job's members stay together."""
    requests = []
    some: list[tuple[Job, list[Any]]] = []
    size = 0
    for job, items in groups:
        length = sum(item.ByteSize() + 8 for item in items)
        if some and size + length > messages.MAX_REQUEST:
            requests.append((messages.submit_request(queue, job_set, some), some))
            some, size = [], 0
        some.append((job, items))
        size += length
    if some:
        requests.append((messages.submit_request(queue, job_set, some), some))
    return requests
