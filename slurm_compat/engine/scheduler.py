"""The engine's mind: jobs in, placements out. It does nothing to the world; what must be done leaves in an Outcome.

Every method takes the moment and fills an Outcome: events for the streams, jobs to store, pods to start and to kill.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.engine import events
from slurm_compat.engine.backlog import Backlog, Group, Unit
from slurm_compat.engine.eviction import victims
from slurm_compat.engine.fairness import Shares
from slurm_compat.engine.jobs import (
    CANCELLED,
    FAILED,
    HAS_RUN,
    LEASED,
    LIVE,
    PENDING,
    PREEMPTED,
    QUEUED,
    REJECTED,
    RUNNING,
    SUCCEEDED,
    Job,
    Run,
)  # fmt: skip
from slurm_compat.engine.nodes import DISK, GPU, GRES_PREFIX, Node
from slurm_compat.engine.place import Pool
from slurm_compat.engine.validation import PRIORITY_CLASSES

MAX_ATTEMPTS = 4  # maxRetries + 1: a lease that comes back more often fails the job
KNOWN_RESOURCES = frozenset({"cpu", "memory", DISK, GPU})


@dataclass(frozen=True)
class QueueFacts:
    """What placement needs to know of a queue."""

    priority_factor: float = 1.0
    cordoned: bool = False


@dataclass
class Ended:
    """How a pod ended, as the kubelet tells. `cause` is "" for success, else a name of events.OUTCOMES."""

    cause: str = ""
    reason: str = ""
    containers: list[dict[str, Any]] = field(default_factory=list)
    at: float = 0
    category: str = ""
    subcategory: str = ""


@dataclass
class Outcome:
    events: list[tuple[Job, Any]] = field(default_factory=list)  # the job, an EventMessage
    changed: dict[str, Job] = field(default_factory=dict)
    starts: list[tuple[Job, Run]] = field(default_factory=list)  # only once this outcome is stored
    kills: list[Job] = field(default_factory=list)

    def event(self, job: Job, message: Any) -> None:
        self.events.append((job, message))
        self.changed[job.id] = job


class Scheduler:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.shares = Shares(pool.total)
        self.queues: dict[str, QueueFacts] = {}
        self.jobs: dict[str, Job] = {}  # the live ones
        self.sets: dict[tuple[str, str], dict[str, None]] = {}  # (queue, job set): ids of live jobs, oldest first
        self.backlog = Backlog()
        self._units: dict[str, Unit] = {}  # job id: the queued unit it is in
        self._gangs: dict[tuple[str, str], dict[str, Job]] = {}  # (queue, gang id): live members
        self._preemptible: dict[str, Job] = {}  # job id: those with a run
        self._freed: set[str] = set()  # nodes with more room than at the last round
        self._unchecked: dict[str, Unit] = {}  # job id: units of a cordoned queue, whose check waits

    # jobs come

    def submit(self, jobs: Iterable[Job], now: float, out: Outcome) -> None:
        """Take in jobs that are stored. Those that can never fit are rejected now; Armada does so a cycle later."""
        complete: dict[int, Unit] = {}
        for job in jobs:
            self._add(job)
            if (unit := self._enter(job, now, out)) is not None:
                complete[id(unit)] = unit
        for unit in complete.values():
            if not unit.gone:
                self._check(unit, now, out)

    def restore(self, jobs: Iterable[Job], now: float, out: Outcome) -> None:
        """After a restart: live jobs with the state they had. Runs keep their places."""
        for job in sorted(jobs, key=lambda job: job.id):
            self._add(job)
            if job.gang is not None:
                self._gangs.setdefault((job.queue, job.gang.id), {})[job.id] = job
            if job.state in HAS_RUN and job.run is not None:
                self._hold(job, job.run)
        units: dict[int, Unit] = {}
        for job in list(self.jobs.values()):
            if job.state == QUEUED and job.id not in self._units:
                unit = self._enter(job, now, out)
                if unit is not None:
                    units[id(unit)] = unit
        for unit in units.values():
            if not unit.gone:
                self._check(unit, now, out)

    def _add(self, job: Job) -> None:
        self.jobs[job.id] = job
        self.sets.setdefault((job.queue, job.job_set), {})[job.id] = None

    def _enter(self, job: Job, now: float, out: Outcome) -> Unit | None:
        """Queue the job; the unit it completes, None while its gang is not complete."""
        if job.gang is None:
            return self._queue([job])
        members = self._gangs.setdefault((job.queue, job.gang.id), {})
        members[job.id] = job
        if reason := self._gang_fault(members):
            for member in [m for m in members.values() if m.state == QUEUED]:
                self._reject(member, now, out, reason)
            return None
        if len(members) < job.gang.cardinality:
            return None
        if any(member.id in self._units for member in members.values()):
            return self._units.get(job.id)
        return self._queue(list(members.values()))

    def _gang_fault(self, members: dict[str, Job]) -> str:
        first = next(iter(members.values()))
        assert first.gang is not None
        if len(members) > first.gang.cardinality:
            return (
                f"gang {first.gang.id} has {len(members)} jobs, more than its cardinality of {first.gang.cardinality}"
            )
        if any(member.state in HAS_RUN for member in members.values()):
            return f"gang {first.gang.id} already has running jobs"
        if any(member.gang != first.gang for member in members.values()):
            return f"jobs of gang {first.gang.id} differ in their gang annotations"
        if any(member.shape.priority_class != first.shape.priority_class for member in members.values()):
            return f"jobs of gang {first.gang.id} differ in priority class"
        return ""

    def _queue(self, jobs: list[Job]) -> Unit:
        unit = Unit(jobs)
        for job in jobs:
            self._units[job.id] = unit
        self.backlog.add(unit)
        return unit

    def _unqueue(self, job: Job) -> None:
        """Take the job's unit out of the backlog; what is left of a gang waits for a member that may never come."""
        unit = self._units.get(job.id)
        if unit is None:
            return
        self.backlog.remove(unit)
        for member in unit.jobs:
            self._units.pop(member.id, None)
            self._unchecked.pop(member.id, None)

    # the submit check

    def _check(self, unit: Unit, now: float, out: Outcome) -> None:
        if self.queues.get(unit.queue, QueueFacts()).cordoned:
            for job in unit.jobs:
                self._unchecked[job.id] = unit
            return
        if reason := self.why_never(unit):
            for job in unit.jobs:
                self._reject(job, now, out, reason)

    def why_never(self, unit: Unit) -> str:
        """Why the unit can't run even on the empty cluster, "" when it can."""
        for shape in unit.shapes:
            if shape.priority_class not in PRIORITY_CLASSES:
                return f"priority class {shape.priority_class} is not known to the scheduler"
            for name, amount in shape.amounts:
                if amount and name not in self.pool.total and name not in KNOWN_RESOURCES:
                    return f"resource {name} is not supported by any node" + (
                        "; declare it as Gres of a node" if name.startswith(GRES_PREFIX) else ""
                    )
        if self.pool.could_ever(unit.shapes, unit.uniformity):
            return ""
        what = "gang" if len(unit.jobs) > 1 else "job"
        reasons = [f"{what} does not fit on any node" if len(unit.jobs) == 1 else "gang does not fit on distinct nodes"]
        for shape in unit.shapes[:1]:
            allowed = self.pool.allowed(shape)
            reasons.append(f"{len(allowed)} of {len(self.pool.nodes)} nodes match its labels")
            asks = ", ".join(f"{name}={amount / 1000:g}" for name, amount in shape.amounts)
            reasons.append(f"it asks for {asks}")
        return "\n".join(reasons)

    def _reject(self, job: Job, now: float, out: Outcome, reason: str) -> None:
        job.error = reason
        out.event(
            job,
            events.failed(job, None, now, reason, cause="Rejected", category="internal", subcategory="job-rejected"),
        )
        self._finish(job, REJECTED, now)

    # jobs are placed

    def schedule(self, now: float, out: Outcome) -> None:
        """Place all that fits now."""
        if self._freed:
            freed, self._freed = self._freed, set()
            self.backlog.unblock(lambda group: self._may_fit(group, freed))
        ready = [name for name in self.backlog.ready_queues() if not self.queues.get(name, QueueFacts()).cordoned]
        if not ready:
            return
        fronts = self.backlog.fronts(ready)
        while (unit := self._next(fronts.heads())) is not None:
            nodes = self.pool.place(unit.shapes, unit.uniformity)
            if nodes is None:
                assert unit.group is not None
                self.backlog.block(unit.group)
                self._make_room(unit, now, out)
                continue
            self._unqueue(unit.jobs[0])
            for job, node in zip(unit.jobs, nodes, strict=True):
                self._lease(job, node, now, out)

    def _make_room(self, unit: Unit, now: float, out: Outcome) -> None:
        """Preempt what stands in the way of a queue's fair share. The unit is placed when the pods are gone."""
        if not self._preemptible:
            return
        active = {job.queue for job in self.jobs.values()}
        factors = {name: self.queues.get(name, QueueFacts()).priority_factor for name in active}
        live = {job.run.run_id for job in self.jobs.values() if job.run is not None}
        leaving = [key for key in self.pool.taken if key not in live]
        chosen = victims(unit, self.pool, self.shares, factors, self._preemptible.values(), leaving)
        self.preempt(chosen, "", "preempted to fair share", now, out)

    def _next(self, heads: Iterable[Unit]) -> Unit | None:
        """The queues take turns by what they would hold then; a higher priority class goes before all."""
        best, best_key = None, None
        for unit in heads:
            factor = self.queues.get(unit.queue, QueueFacts()).priority_factor
            key = (unit.order[0], self.shares.cost(unit.queue, factor, unit.asks()), unit.queue)
            if best_key is None or key < best_key:
                best, best_key = unit, key
        return best

    def _may_fit(self, group: Group, freed: set[str]) -> bool:
        return any(self.pool.fits_on(s, node) and node in self.pool.allowed(s) for s in group.shapes for node in freed)

    def _lease(self, job: Job, node: str, now: float, out: Outcome) -> None:
        run = Run(run_id=str(uuid.uuid4()), node=node, leased=now, pending=now, state=PENDING)
        job.runs.append(run)
        self._hold(job, run)
        out.event(job, events.leased(job, now))
        out.event(job, events.pending(job, run, now))
        job.state, job.last_transition = PENDING, now
        out.starts.append((job, run))

    def _hold(self, job: Job, run: Run) -> None:
        if run.node in self.pool.by_name:  # else the cluster file lost the node since
            self.pool.take(run.run_id, run.node, job.shape.asks())
            self.pool.tenants.come(run.run_id, run.node, job.shape)
        self.shares.add(job.queue, job.shape.asks())
        if job.preemptible:
            self._preemptible[job.id] = job

    def hold_pod(self, run_id: str, node: str, amounts: dict[str, int]) -> None:
        """A pod of a job that is over still has its place, until the kubelet says it ended."""
        if run_id not in self.pool.taken and node in self.pool.by_name:
            self.pool.take(run_id, node, amounts)

    def _let_go(self, job: Job) -> None:
        """It counts for its queue no longer; its place is another matter."""
        self.shares.remove(job.queue, job.shape.asks())
        self._preemptible.pop(job.id, None)

    def pod_gone(self, run_id: str) -> None:
        """The pod is no more; its place is free. A repeat changes nothing."""
        node = self.pool.release(run_id)
        if node is not None:
            self._freed.add(node)

    def renew(self, nodes: Iterable[Node]) -> None:
        """The nodes are others, or open, closed and labelled otherwise."""
        self.pool.renew(nodes)
        self.shares.renew(self.pool.total)
        self._freed.update(self.pool.by_name)

    def set_queue(self, name: str, facts: QueueFacts, now: float, out: Outcome) -> None:
        self.queues[name] = facts
        if not facts.cordoned:
            waiting = {id(unit): unit for unit in self._unchecked.values() if unit.queue == name}
            for unit in waiting.values():
                for job in unit.jobs:
                    self._unchecked.pop(job.id, None)
                if not unit.gone:
                    self._check(unit, now, out)

    # pods tell

    def pod_running(self, job_id: str, run_id: str, at: float, out: Outcome) -> None:
        job = self.jobs.get(job_id)
        if job is None or job.run is None or job.run.run_id != run_id or job.state not in (LEASED, PENDING):
            return
        job.run.started, job.run.state = at, RUNNING
        job.state, job.last_transition = RUNNING, at
        out.event(job, events.running(job, job.run, at))

    def pod_ended(self, job_id: str, run_id: str, ended: Ended, now: float, out: Outcome) -> None:
        """The job's end, unless it was over already (cancelled, preempted)."""
        self.pod_gone(run_id)
        job = self.jobs.get(job_id)
        if job is None or job.run is None or job.run.run_id != run_id or job.state not in HAS_RUN:
            return
        at = ended.at or now
        if not ended.cause:
            out.event(job, events.message("succeeded", job, at))
            self._finish(job, SUCCEEDED, at)
            return
        job.run.error = ended.reason
        out.event(
            job,
            events.failed(
                job, job.run, at, ended.reason, ended.cause, ended.containers, ended.category, ended.subcategory
            ),
        )  # fmt: skip
        self._finish(job, FAILED, at)

    def pod_not_started(self, job_id: str, run_id: str, reason: str, now: float, out: Outcome) -> None:
        """The kubelet could not start it: the lease comes back; the job is tried up to MAX_ATTEMPTS times."""
        self.pod_gone(run_id)
        job = self.jobs.get(job_id)
        if job is None or job.run is None or job.run.run_id != run_id or job.state not in HAS_RUN:
            return
        run = job.run
        run.error, run.finished, run.state = reason, now, QUEUED
        if job.gang is not None or len(job.runs) >= MAX_ATTEMPTS:
            out.event(job, events.failed(job, run, now, reason, category="internal", subcategory="max-runs-exceeded"))
            self._finish(job, FAILED, now)
            return
        out.event(job, events.lease_returned(job, run, now, reason))
        self._let_go(job)
        job.state, job.last_transition = QUEUED, now
        self._queue([job])

    # users ask

    def chosen(self, queue: str, job_set: str, ids: Iterable[str]) -> list[Job]:
        """The live jobs of these ids that are in that queue and job set; any others are passed over."""
        found = (self.jobs.get(job_id) for job_id in dict.fromkeys(ids))
        return [job for job in found if job is not None and (job.queue, job.job_set) == (queue, job_set)]

    def of_set(self, queue: str, job_set: str) -> list[Job]:
        return [self.jobs[job_id] for job_id in self.sets.get((queue, job_set), ())]

    def cancel(self, jobs: Iterable[Job], requestor: str, now: float, out: Outcome) -> None:
        """Over at once: CANCELLED comes before the pod is dead, and the pod keeps its place until it is."""
        for job in jobs:
            out.event(job, events.message("cancelling", job, now, requestor=requestor))
            out.event(job, events.message("cancelled", job, now, requestor=requestor))
            job.cancel_ts, job.cancel_user = now, requestor
            if job.state in HAS_RUN:
                out.kills.append(job)
            self._finish(job, CANCELLED, now)

    def preempt(self, jobs: Iterable[Job], requestor: str, reason: str, now: float, out: Outcome) -> None:
        """Only what runs and is of a preemptible class; everything else is passed over in silence.

        Without a requestor the scheduler itself wants it so.
        """
        for job in jobs:
            if job.run is None or job.state not in HAS_RUN or not job.preemptible:
                continue
            text = reason or "preempted through the API"
            if requestor:
                out.event(job, events.message("preempting", job, now, requestor=requestor, reason=reason))
            out.event(
                job,
                events.message(
                    "preempted", job, now, cluster_id=events.CLUSTER_ID, run_id=job.run.run_id, reason=text,
                    requestor=requestor,
                ),
            )  # fmt: skip
            job.run.error = text
            out.event(job, events.failed(job, None, now, text))
            out.kills.append(job)
            self._finish(job, PREEMPTED, now)

    def reprioritize(self, jobs: Iterable[Job], priority: int, requestor: str, now: float, out: Outcome) -> None:
        for job in jobs:
            out.event(job, events.message("reprioritizing", job, now, new_priority=priority, requestor=requestor))
            out.event(job, events.message("reprioritized", job, now, new_priority=priority, requestor=requestor))
            if job.priority == priority:
                continue
            unit = self._units.get(job.id)
            unchecked = job.id in self._unchecked
            self._unqueue(job)
            job.priority = priority
            if unit is not None:
                again = self._queue(unit.jobs)
                if unchecked:
                    self._unchecked.update(dict.fromkeys((member.id for member in again.jobs), again))

    # jobs end

    def _finish(self, job: Job, state: int, now: float) -> None:
        if job.state == QUEUED:
            self._unqueue(job)
        elif job.state in HAS_RUN:
            self._let_go(job)
            if job.run is not None:
                job.run.state = state
                job.run.finished = now
        job.state, job.last_transition = state, now
        assert state not in LIVE
        del self.jobs[job.id]
        key = (job.queue, job.job_set)
        ids = self.sets[key]
        del ids[job.id]
        if not ids:
            del self.sets[key]
        if job.gang is not None:
            members = self._gangs.get((job.queue, job.gang.id), {})
            members.pop(job.id, None)
            if not members:
                self._gangs.pop((job.queue, job.gang.id), None)
