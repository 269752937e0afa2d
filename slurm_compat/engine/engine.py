"""The engine: the scheduler's mind joined to its memory (eventlog), its ears (service) and its hands (the kubelet).

Nothing is told to anybody before it is durable: answers, events and orders to the kubelet go out once the batch that
holds them is on disk. So a kill -9 at any point leaves pods that the log knows, and no pod twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from armada_client.armada import submit_pb2

from slurm_compat.engine import events, podspec
from slurm_compat.engine.eventlog import Batch, EventLog, EventRow
from slurm_compat.engine.jobs import HAS_RUN, LIVE, PENDING, RUNNING, Job
from slurm_compat.engine.kubelink import KubeletLink
from slurm_compat.engine.nodes import Node, free_address
from slurm_compat.engine.place import Pool
from slurm_compat.engine.queues import Queues
from slurm_compat.engine.scheduler import Ended, Outcome, Scheduler
from slurm_compat.engine.streams import Streams
from slurm_compat.engine.submission import external_uri_of, job_of, spec_of
from slurm_compat.engine.ulid import Ulids
from slurm_compat.engine.validation import check_request

STOP_PATIENCE = 5.0  # seconds

log = logging.getLogger(__name__)


class NotStored(Exception):
    """The log could not be written: the caller's request did not happen."""


class Engine:
    def __init__(self, nodes: Iterable[Node], state: str, principal: str, now: Callable[[], float] = time.time) -> None:
        self.nodes = list(nodes)
        self.principal = principal
        self._now = now
        self._loop = asyncio.get_running_loop()
        self.log = EventLog(os.path.join(state, "engine.sqlite"), self._committed_in_thread)
        self.streams = Streams(self.log)
        self.scheduler = Scheduler(Pool(self.nodes))
        self.queues = Queues(self.log.all_queues())
        self._ulids = Ulids()
        self._submitting: dict[tuple[str, str], str] = {}  # (queue, client id): job id, until it is stored
        self._out = Outcome()
        self._turn_is_due = False
        self._up = False  # the kubelet has told what it has
        self._after: dict[int, tuple[Outcome, list[str]]] = {}  # id(batch): what to do once it is stored
        self._forgets: list[str] = []
        self.link = KubeletLink(state, self._hello, self._frame, self._down)
        self._restore()

    def start(self) -> None:
        self.link.start()

    async def stop(self) -> None:
        await self.link.stop()
        with contextlib.suppress(asyncio.TimeoutError):  # a full disk: what is not written is told again by the kubelet
            await asyncio.wait_for(self.durable(), STOP_PATIENCE)
        self.log.close()

    def _restore(self) -> None:
        for name, facts in self.queues.facts():
            self.scheduler.queues[name] = facts
        jobs = []
        for data, submitted, state, changing in self.log.live_jobs():
            job = job_of(submit_pb2.Job.FromString(data), submitted)
            job.restore(state, changing)
            jobs.append(job)
        self.scheduler.restore(jobs, self._now(), self._out)
        self._touch()

    # what is asked of us

    async def submit(self, request: Any) -> list[str]:
        """The job ids of the items. Raises Invalid, NotStored. The queue is known to exist."""
        check_request(request)
        now = self._now()
        queue = request.queue
        known = self.log.job_ids_of_clients(queue, [item.client_id for item in request.job_request_items])
        ids: list[str] = []
        jobs: list[Job] = []
        batch = Batch(may_fail=True)
        for item in request.job_request_items:
            client_id = item.client_id
            original = known.get(client_id) or self._submitting.get((queue, client_id)) if client_id else None
            if original:
                ids.append(original)
                continue
            job_id = self._ulids.next(now)
            ids.append(job_id)
            job = job_of(spec_of(item, job_id, queue, request.job_set_id, self.principal, now), now)
            jobs.append(job)
            batch.jobs.append((job.id, queue, job.job_set, external_uri_of(item), now, job.spec))
            batch.states[job.id] = state_row(job)
            if client_id:
                batch.client_ids.append((queue, client_id, job_id, now))
        if not jobs:
            return ids
        # only now: two items of one request with the same client id are two jobs, as they are in Armada
        claimed = {(queue, client_id): job_id for _, client_id, job_id, _ in batch.client_ids}
        self._submitting.update(claimed)
        first: list[tuple[Job, Any]] = []
        for job in jobs:
            first += [(job, events.submitted(job, now)), (job, events.message("queued", job, now))]
        self._add_events(batch, now, first)
        try:
            await self._write_and_wait(batch)
        finally:
            for key in claimed:
                self._submitting.pop(key, None)
        self.scheduler.submit(jobs, self._now(), self._out)
        self._touch()
        return ids

    async def cancel(self, jobs: list[Job]) -> None:
        self.scheduler.cancel(jobs, self.principal, self._now(), self._out)
        await self.durable()

    async def preempt(self, jobs: list[Job], reason: str) -> None:
        self.scheduler.preempt(jobs, self.principal, reason, self._now(), self._out)
        await self.durable()

    async def reprioritize(self, jobs: list[Job], priority: int) -> None:
        self.scheduler.reprioritize(jobs, priority, self.principal, self._now(), self._out)
        await self.durable()

    async def store_queue(self, name: str, queue: Any | None) -> None:
        """Keep a queue, or with None forget it."""
        batch = Batch(may_fail=True, queues={name: None if queue is None else queue.SerializeToString()})
        await self._write_and_wait(batch)
        self.queues.put(name, queue)
        self.scheduler.set_queue(name, self.queues.facts_of(name), self._now(), self._out)
        self._touch()

    def renew(self, nodes: Iterable[Node]) -> None:
        """Go on with these nodes: new ones take pods, others may be open or closed, and those that are gone are closed.

        A node keeps its address, for pods on it go by it.
        """
        addresses = {node.name: node.address for node in self.nodes}
        taken = set(addresses.values())
        found: list[Node] = []
        for node in nodes:
            address = addresses.get(node.name, node.address)
            if node.name not in addresses and address in taken:
                address = free_address(taken)
            taken.add(address)
            found.append(replace(node, address=address))
        there = {node.name for node in found}
        found += [replace(node, schedulable=False) for node in self.nodes if node.name not in there]
        self.nodes = found
        self.scheduler.renew(found)
        self.link.send({"op": "nodes", "nodes": self._hello()["nodes"]})
        self._touch()

    async def durable(self) -> None:
        """Returns when all that happened up to now is on disk."""
        self._flush()
        await self._write_and_wait(Batch())

    # one turn: place, write

    def _touch(self) -> None:
        """Something changed: a turn comes before the loop sleeps, one for all that changes in this pass."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if self._up:
            self.scheduler.schedule(self._now(), self._out)
        self._flush()

    def _flush(self) -> None:
        out, forgets = self._out, self._forgets
        if not (out.events or out.changed or out.starts or out.kills or forgets):
            return
        self._out, self._forgets = Outcome(), []
        batch = Batch(done=lambda _problem: None)
        self._add_events(batch, self._now(), out.events)
        for job in out.changed.values():
            batch.states[job.id] = state_row(job)
        self._after[id(batch)] = (out, forgets)
        self.log.write(batch)

    def _add_events(self, batch: Batch, now: float, messages: Iterable[tuple[Job, Any]]) -> None:
        for job, message in messages:
            key = (job.queue, job.job_set)
            number, is_new = self.streams.stream(key)
            # a batch that may fail can't count on a row that another such batch would bring
            if is_new or (batch.may_fail and (number, *key) not in batch.streams):
                batch.streams.append((number, *key))
            batch.events.append(EventRow(self.streams.next_seq(), number, key, now, message))

    async def _write_and_wait(self, batch: Batch) -> None:
        future: asyncio.Future[None] = self._loop.create_future()

        def done(problem: Exception | None) -> None:
            if future.done():
                return
            if problem is None:
                future.set_result(None)
            else:
                future.set_exception(NotStored(str(problem)))

        batch.done = done
        self.log.write(batch)
        await future

    def _committed_in_thread(self, batches: list[Batch], problem: Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._committed, batches, problem)
        except RuntimeError:
            log.info("the loop is closed; what was just stored is told after the next start")

    def _committed(self, batches: list[Batch], problem: Exception | None) -> None:
        for batch in batches:
            if problem is None:
                self.streams.publish(batch.events)
                out, forgets = self._after.pop(id(batch), (None, ()))
                if out is not None:
                    self._act(out)
                for run_id in forgets:
                    self.link.send({"op": "forget", "run_id": run_id})
            elif batch.streams:
                # the next event of this stream has to bring its row again
                for _, queue, job_set in batch.streams:
                    self.streams.ids.pop((queue, job_set), None)
            if batch.done is not None:
                batch.done(problem)

    def _act(self, out: Outcome) -> None:
        for job, run in out.starts:
            if job.state not in HAS_RUN or job.run is not run:
                # over before it began: no pod will ever tell that it ended
                self.scheduler.pod_gone(run.run_id)
                self._touch()
                continue
            self._start_pod(job)
        for job in out.kills:
            if job.run is not None:
                self.link.send({"op": "kill", "run_id": job.run.run_id})

    def _start_pod(self, job: Job) -> None:
        run = job.run
        assert run is not None
        node = self.scheduler.pool.by_name.get(run.node)
        try:
            if node is None:
                raise podspec.CannotRun(f"node {run.node} is no longer in the cluster file")
            frame = podspec.start_frame(job, run, node)
        except podspec.CannotRun as problem:
            ended = Ended("Error", str(problem), category="internal", subcategory="job-creation-failed")
            self.scheduler.pod_ended(job.id, run.run_id, ended, self._now(), self._out)
            self._touch()
            return
        self.link.send(frame)

    # what the kubelet tells

    def _hello(self) -> dict[str, Any]:
        nodes = [
            {"name": n.name, "address": n.address, "cpus": n.cpus, "first_cpu": n.first_cpu, "gpus": n.gpus}
            for n in self.nodes
        ]
        return {"op": "hello", "nodes": nodes}

    def _down(self) -> None:
        self._up = False

    def _frame(self, frame: dict[str, Any]) -> None:
        kind = frame["op"]
        if kind == "pods":
            self._reconcile(frame["pods"])
        elif kind == "running":
            self.scheduler.pod_running(frame["job_id"], frame["run_id"], frame["at"], self._out)
        elif kind == "ended":
            self._ended(frame)
        elif kind == "not_started":
            self.scheduler.pod_not_started(frame["job_id"], frame["run_id"], frame["reason"], self._now(), self._out)
        self._touch()

    def _ended(self, frame: dict[str, Any]) -> None:
        ended = Ended(
            cause=frame["cause"],
            reason=frame["reason"],
            containers=frame["containers"],
            at=frame["at"],
            category=frame.get("category", ""),
            subcategory=frame.get("subcategory", ""),
        )
        if frame.get("started"):  # its start may have been told while we were away
            self.scheduler.pod_running(frame["job_id"], frame["run_id"], frame["started"], self._out)
        self.scheduler.pod_ended(frame["job_id"], frame["run_id"], ended, self._now(), self._out)
        self._forgets.append(frame["run_id"])

    def _reconcile(self, pods: list[dict[str, Any]]) -> None:
        """After a (re)connection: make what we believe and what the kubelet has the same."""
        there = {pod["run_id"]: pod for pod in pods}
        for job in list(self.scheduler.jobs.values()):
            run = job.run
            if run is None or job.state not in HAS_RUN or run.run_id in there:
                continue
            if job.state == RUNNING:
                lost = Ended("Error", "pod missing", category="internal", subcategory="pod-missing")
                self.scheduler.pod_ended(job.id, run.run_id, lost, self._now(), self._out)
            elif job.state == PENDING and not self._start_is_due(run.run_id):
                self._start_pod(job)
        for key in [key for key in self.scheduler.pool.taken if key not in there]:
            if not self._belongs_to_live(key):
                self.scheduler.pod_gone(key)
        for pod in pods:
            self._reconcile_pod(pod)
        self._up = True

    def _reconcile_pod(self, pod: dict[str, Any]) -> None:
        job = self.scheduler.jobs.get(pod["job_id"])
        ours = job is not None and job.run is not None and job.run.run_id == pod["run_id"] and job.state in HAS_RUN
        if ours:
            self.scheduler.pod_running(pod["job_id"], pod["run_id"], pod["started"], self._out)
        else:
            self.scheduler.hold_pod(pod["run_id"], pod["node"], pod["amounts"])
        if pod["ended"] is not None:
            self._ended(pod["ended"])
        elif not ours:
            self.link.send({"op": "kill", "run_id": pod["run_id"]})

    def _start_is_due(self, run_id: str) -> bool:
        """Whether its lease is still being written: its start follows by itself."""
        return any(run.run_id == run_id for out, _ in self._after.values() for _, run in out.starts)

    def _belongs_to_live(self, run_id: str) -> bool:
        return any(job.run is not None and job.run.run_id == run_id for job in self.scheduler.jobs.values())


def state_row(job: Job) -> tuple[int, bool, str, dict[str, Any]]:
    return job.state, job.state in LIVE, job.run.run_id if job.run else "", job.changing()
