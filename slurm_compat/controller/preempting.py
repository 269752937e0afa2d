"""Running jobs that give way: whose may be preempted for whom, which ones are chosen, and how they end.

A job that waits inside Armada for room, and would have it without some jobs that it may preempt, has the fewest and
least of them preempted. The agents end them, so that their scripts see Slurm's signals and words; Armada only sees its
pods go. Jobs that are going already count as gone, so nothing has to be remembered over a restart. Meanwhile jobs of
lower priority are kept from the room that is being made.
Source: slurm.conf(5), PreemptType and PreemptMode; observed on 26.05.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.makingroom import Freed, choose, given_back, place, taken, with_freed
from slurm_compat.core import preemption
from slurm_compat.core.cluster import QosConf
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.preemption import CANCEL, NONE, OFF, PARTITION_PRIO, QOS, REQUEUE
from slurm_compat.core.states import COMPLETING, PENDING, RUNNING
from slurm_compat.store.changes import Change
from slurm_compat.translators.shapes import Member, Room

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds between looks at who could be preempted for whom
KEPT = 30.0  # seconds for which room that was made is kept for whom it was made
AT_ONCE = 100  # waiting jobs a look considers, the first in line


class Preempting:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._claims: dict[int, tuple[int, frozenset[str]]] = {}  # waiting job: its priority and partitions
        self._made: dict[int, float] = {}  # of these, since when there is room for it

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                self.look()
            except Exception:
                log.exception("preempting")

    @property
    def _type(self) -> str:
        return preemption.type_of(self._controller.conf.preempt_type)

    # who may

    def may(self, job: Job, other: Job) -> bool:
        """Whether `other`, which runs, may be preempted for `job`."""
        if other.state != RUNNING or COMPLETING in other.flags or other.het_offset or self.mode_of(other) == OFF:
            return False
        if self._type == QOS:
            qos = self._qos(job)
            return qos is not None and other.qos in qos.preempt
        if self._type == PARTITION_PRIO:
            return self._tier(job) > self._tier(other)
        return False

    def mode_of(self, job: Job) -> str:
        """OFF, CANCEL or REQUEUE for a job that would be preempted: its QOS's or partition's, else the cluster's."""
        word = ""
        if self._type == QOS:
            qos = self._qos(job)
            word = qos.preempt_mode if qos is not None else ""
        elif self._type == PARTITION_PRIO:
            part = self._controller.cluster.partitions.get(job.partition)
            word = part.preempt_mode if part is not None else ""
        mode = preemption.mode_of(word) or preemption.mode_of(self._controller.conf.preempt_mode)
        return CANCEL if mode == REQUEUE and not (job.requeue and job.has_script) else mode or OFF

    def shown_exempt_until(self, job: Job) -> int:
        """PreemptEligibleTime; 0 where nothing is preempted."""
        return self.exempt_until(job) if self._type != NONE and job.start_time else 0

    def for_good(self, job: Job) -> bool:
        """Whether a job that Armada itself has preempted isn't to run again: PreemptMode=CANCEL."""
        qos, part = self._qos(job), self._controller.cluster.partitions.get(job.partition)
        words = (qos.preempt_mode if qos is not None else "", part.preempt_mode if part is not None else "")
        modes = [mode for mode in map(preemption.mode_of, words) if mode not in ("", OFF)]
        return (modes or [preemption.mode_of(self._controller.conf.preempt_mode)])[0] == CANCEL

    def exempt_until(self, job: Job) -> int:
        """When the job has run long enough to be preempted."""
        qos = self._qos(job)
        text = (qos.preempt_exempt_time if qos is not None else "") or self._controller.conf.preempt_exempt_time
        return job.start_time + preemption.seconds(text)

    def grace_of(self, job: Job) -> int:
        """Seconds between the first signal and the end."""
        qos, part = self._qos(job), self._controller.cluster.partitions.get(job.partition)
        if self._type == QOS:
            return (qos.grace_time or 0) if qos is not None else 0
        return part.grace_time if part is not None else 0

    def _qos(self, job: Job) -> QosConf | None:
        return self._controller.limiter.book.qos.get(job.qos)

    def _tier(self, job: Job) -> int:
        parts = self._controller.cluster.partitions
        return max((parts[name].priority_tier for name in job.partition.split(",") if name in parts), default=0)

    def _preempts(self, job: Job) -> bool:
        """Whether there may be anybody for this job to preempt."""
        if self._type == QOS:
            qos = self._qos(job)
            return qos is not None and bool(qos.preempt)
        parts = self._controller.cluster.partitions.values()
        return self._tier(job) > min((part.priority_tier for part in parts), default=0)

    # choosing

    def look(self) -> None:
        """Who waits for room that others could be made to give: once for all, the first in line first."""
        if self._type not in (QOS, PARTITION_PRIO):
            self._settle({})
            return
        table = self._controller.table
        waiting = [job for job in map(table.jobs.__getitem__, table.pending) if job.staged and self._preempts(job)]
        if not waiting:
            self._settle({})
            return
        waiting.sort(key=lambda job: (-job.priority, job.job_id))
        going = {
            job.job_id: given_back(job)
            for job in table.jobs.values()
            if job.resources and (COMPLETING in job.flags or (job.state == RUNNING and job.preempt_time))
        }
        promised: list[tuple[str, Member]] = []  # room that a job before will take
        claims: dict[int, tuple[int, frozenset[str]]] = {}
        for job in waiting[:AT_ONCE]:
            if self._look_for(job, going, promised):
                claims[job.job_id] = (job.priority, frozenset(job.partition.split(",")))
        self._settle(claims)

    def _look_for(self, job: Job, going: dict[int, Freed], promised: list[tuple[str, Member]]) -> bool:
        """Whether room is being made for the job."""
        cluster = self._controller.cluster
        for name in job.partition.split(","):
            if name not in cluster.partitions:
                continue
            nodes = self._nodes(job, name)
            free = taken(cluster.rooms(nodes, free=True, open_only=True), promised)
            if self._fits(job, name, free, (), promised):
                # what was made free for it stays so until it runs, if that doesn't take too long
                first = self._made.setdefault(job.job_id, time.monotonic()) if job.job_id in self._claims else 0.0
                return job.job_id in self._claims and time.monotonic() - first < KEPT
            if going and self._fits(job, name, free, going.values(), promised):
                return True
            victims = self._victims(job, name, going)
            if not victims:
                continue
            chosen = choose(job.request, cluster.defaults(name), free, list(going.values()), victims)
            if chosen:
                for victim in chosen:
                    going[victim.job_id] = given_back(victim)
                self._fits(job, name, free, going.values(), promised)
                self._give_way(job, chosen)
                return True
        return False

    def _nodes(self, job: Job, partition: str) -> list[str]:
        """The partition's nodes without those that reservations keep it from."""
        barred = set(job.barred)
        return [name for name in self._controller.cluster.partitions[partition].node_names if name not in barred]

    def _fits(
        self, job: Job, partition: str, free: list[Room], more: Iterable[Freed], promised: list[tuple[str, Member]]
    ) -> bool:
        placed = choose_nodes(self._controller, job, partition, free, more)
        promised += placed
        return bool(placed)

    def _victims(self, job: Job, partition: str, going: dict[int, Freed]) -> list[Job]:
        """Those that may be preempted on the partition's nodes, the least first: of the lowest QOS or partition."""
        table, now = self._controller.table, self._controller.now()
        nodes = set(self._nodes(job, partition))
        found = [
            other
            for other in map(table.jobs.__getitem__, table.running)
            if other.job_id not in going
            and other.job_id != job.job_id
            and any(entry[0] in nodes for entry in other.resources)
            and self.may(job, other)
            and self.exempt_until(other) <= now
        ]
        found.sort(
            key=lambda other: (
                self._rank(other), other.node_count, other.array_job_id or other.job_id, other.array_task_id or 0
            )
        )  # fmt: skip
        return found

    def _rank(self, job: Job) -> int:
        if self._type == PARTITION_PRIO:
            return self._tier(job)
        qos = self._qos(job)
        return qos.priority if qos is not None else 0

    # doing

    def _give_way(self, job: Job, victims: Iterable[Job]) -> None:
        for victim in victims:
            log.info("job %d gives way to job %d: %s", victim.job_id, job.job_id, self.mode_of(victim))
            self._controller.count("preempted")
            change = Change()
            self.preempt(victim, change)
            self._controller.commit(change)

    def preempt(self, job: Job, change: Change) -> None:
        """Signal it, and end it when its grace is over; at once where it has none."""
        grace = self.grace_of(job)
        if grace <= 0:
            self.end(job, change)
            return
        now = self._controller.now()
        job = copy.copy(job)
        job.preempt_time = now
        self._controller.put(change, job, "preempted", f"grace {grace}")

        def warn() -> None:
            for number in preemption.WARNING:
                self._controller.agents.tell(job.job_id, {"msg": "signal", "to": "steps", "signal": number})

        change.then.append(warn)
        self.watch_grace(job)

    def watch_grace(self, job: Job) -> None:
        self._controller.due.at(job.preempt_time + self.grace_of(job), "preempt", job.job_id)

    def end(self, job: Job, change: Change) -> None:
        if job.state != RUNNING:
            return
        for_good = self.mode_of(job) != REQUEUE
        event = Event("lost", self._controller.now(), reason="PREEMPTION", flag=for_good)
        self._controller.apply(job, event, change)

    # keeping others away

    def holds_back(self, job: Job) -> bool:
        """Whether room is being made for a job before this one, in a partition of this one's."""
        if not self._claims or job.job_id in self._claims:
            return False
        names = set(job.partition.split(","))
        return any(job.priority < priority and names & parts for priority, parts in self._claims.values())

    def _settle(self, claims: dict[int, tuple[int, frozenset[str]]]) -> None:
        """These are the claims now. Who waits in Armada behind a new one comes back; who was kept away goes again."""
        fewer = self._claims.keys() - claims.keys()
        more = claims.keys() - self._claims.keys()
        self._claims = claims
        self._made = {job_id: since for job_id, since in self._made.items() if job_id in claims}
        if more:
            change = Change()
            for job_id in list(self._controller.staging.inside):
                job = self._controller.table.jobs.get(job_id)
                if job is None or job.state != PENDING or not job.staged or not self.holds_back(job):
                    continue
                after = self._controller.handover.take_back(job, change, "room is made for another")
                self._controller.readiness.changed(after, change)
            if change:
                self._controller.commit(change)
        if fewer:
            self._controller.handover.retry_blocked()


def choose_nodes(
    controller: Controller, job: Job, partition: str, free: list[Room], more: Iterable[Freed]
) -> list[tuple[str, Member]]:
    """The members a job would have, with the nodes they fit on; [] when it does not fit."""
    try:
        return place(job.request, controller.cluster.defaults(partition), with_freed(free, more))
    except SlurmError:
        return []
