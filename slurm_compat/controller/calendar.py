"""The reservations of the cluster as they come, go on and end, and what that does to jobs.

Kept in the store's `things` of kind "reservation": a row "ID" for each there is, and "ID START" (epoch seconds) for
each occurrence that is over, with `past` true and `end_time` when it really ended. A row's data is
`reservation.Reservation` as JSON: who reports on reservations reads all of the kind, and sums nodes, cores and `tres`
("cpu=8") from `start_time` to `end_time`.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import launching, reserved
from slurm_compat.controller.due import Due
from slurm_compat.controller.jobs import NO_HOLD, USER_HOLD, Job
from slurm_compat.controller.reservation import Reservation, advanced
from slurm_compat.controller.resvnodes import Place
from slurm_compat.controller.views import shown_end
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.resvflags import PURGE_COMP
from slurm_compat.core.states import PENDING, RESV_DEL_HOLD
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

KIND = "reservation"


class Calendar:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._due = Due(lambda kind, key: self._rung())
        self._next = 0  # when the clock is looked at next; 0: nothing is expected
        self.next_id = 1

    @property
    def all(self) -> dict[str, Reservation]:
        return self._controller.cluster.reservations

    # kept

    def restore(self, things: Iterable[tuple[str, str, Any]]) -> None:
        """What the store has of them, in the order in which they were made."""
        rows = [(name, data) for kind, name, data in things if kind == KIND]
        self.next_id = 1 + max((int(name.partition(" ")[0]) for name, _ in rows), default=0)
        found = [msgspec.convert(data, Reservation) for _, data in rows if not data.get("past")]
        for one in sorted(found, key=lambda one: one.reservation_id):
            self.all[one.name] = one

    def keep(self, one: Reservation, change: Change) -> None:
        """It is new, or other than it was."""
        if one.reservation_id >= self.next_id:
            self.next_id = one.reservation_id + 1
        self.all[one.name] = one
        _put(change, str(one.reservation_id), one)

    def remove(self, one: Reservation, change: Change, now: int) -> None:
        del self.all[one.name]
        change.delete("things", (KIND, str(one.reservation_id)))
        self._remember(one, change, now)

    def _remember(self, one: Reservation, change: Change, now: int) -> None:
        """The occurrence that is over, for those who ask later. One that never began leaves nothing."""
        start, end = one.window(now)
        if start < now and "TIME_FLOAT" not in one.flags:
            past = msgspec.structs.replace(one, end_time=min(end, now), past=True)
            _put(change, f"{one.reservation_id} {start}", past)

    # time goes by

    def stop(self) -> None:
        self._due.stop()

    def tick(self) -> None:
        """Look at the clock: end what is over, and judge jobs anew."""
        change = Change()
        self.settle(change)
        if change:
            self._controller.commit(change)

    def settle(self, change: Change) -> None:
        """Something of the reservations changed, or the time may have come."""
        now = self._controller.now()
        for one in list(self.all.values()):
            if one.window(now)[1] <= now or self._purged(one, now):
                self._over(one, change, now)
            else:
                self._refill(one, change, now)
        changes = self._recheck(change, now)
        self._controller.handover.reoffer(list(self._controller.staging.blocked))
        self._controller.reasons.stale()
        self._arm(now, changes)

    def _rung(self) -> None:
        self._next = 0
        self.tick()

    def _look_at(self, moment: int) -> None:
        """Look then at the latest; a look before it finds out by itself what is next."""
        if moment and not 0 < self._next <= moment:
            self._next = moment
            self._due.at(moment, "settle", 0)

    def _arm(self, now: int, changes: int) -> None:
        """The next look: a beginning, an end, or (`changes`) a job inside Armada whose nodes become others."""
        self._look_at(changes)
        for one in self.all.values():
            start, end = one.window(now)
            if "TIME_FLOAT" in one.flags:
                continue
            moment = start if start > now else end
            if PURGE_COMP in one.flags and one.idle_since:
                moment = min(moment, max(one.idle_since, start) + one.purge_after)
            self._look_at(moment)

    def _over(self, one: Reservation, change: Change, now: int) -> None:
        """An occurrence has ended. Its running jobs are ended by their agents, who know when."""
        if one.recurs:
            self._remember(one, change, now)
            after = advanced(one, max(now, one.end_time))
            self.keep(after, change)
            return
        self.remove(one, change, now)
        log.info("reservation %s is over", one.name)
        for job in self._jobs_of(one):
            self._forget(job, one, change)

    def _forget(self, job: Job, one: Reservation, change: Change) -> None:
        """A job goes on without a reservation that is gone: held, when it waited for that one alone."""
        left = ",".join(name for name in reserved.named(job.request.reservation) if name != one.name)
        if job.state != PENDING:
            job.request = msgspec.structs.replace(job.request, reservation=left)
            self._controller.put(change, job)
            return
        job = copy.copy(self._controller.handover.take_back(job, change, "its reservation is over"))
        job.request = msgspec.structs.replace(job.request, reservation=left)
        if not left and "NO_HOLD_JOBS_AFTER_END" not in one.flags and job.hold == NO_HOLD:
            job.hold, job.priority = USER_HOLD, 0
            job.reason, job.description = "ReservationDeleted", f"Reservation {one.name} was deleted"
            job.flags = [*job.flags, RESV_DEL_HOLD]
        self._controller.readiness.changed(job, change, "reservation deleted", one.name)

    def _purged(self, one: Reservation, now: int) -> bool:
        """PURGE_COMP: nobody has waited or run in it for so long."""
        if PURGE_COMP not in one.flags or not one.active(now):
            return False
        if self.in_use(one):
            one.idle_since = 0
            return False
        one.idle_since = one.idle_since or now
        return now - one.idle_since >= one.purge_after

    def _recheck(self, change: Change, now: int) -> int:
        """Jobs that wait inside Armada with an answer that no longer holds come back.

        The answer: when the next one's will no longer hold, 0 where nobody knows.
        """
        controller = self._controller
        moments = []
        for job_id in list(controller.staging.inside):
            job = controller.table.jobs.get(job_id)
            if job is None or not job.staged or job.state != PENDING:
                continue
            waits = reserved.waits_for(controller.cluster, job, now)
            if waits or set(job.barred) != reserved.barred(controller.cluster, job, now):
                again = copy.copy(controller.handover.take_back(job, change, "reservations changed"))
                controller.readiness.changed(again, change)
            elif moment := reserved.changes_at(controller.cluster, job, now):
                moments.append(moment)
        return min(moments, default=0)

    # nodes that are replaced

    def _refill(self, one: Reservation, change: Change, now: int) -> None:
        """Other nodes for those that went down, or with REPLACE are its jobs'; where none are free the old stay."""
        cluster = self._controller.cluster
        if {"SPEC_NODES", "STATIC"} & set(one.flags) or not one.whole or not one.nodes:
            return
        if one.active(now) and not {"REPLACE", "REPLACE_DOWN"} & set(one.flags):
            return
        nodes = [cluster.nodes[name] for name in one.nodes if name in cluster.nodes]
        bad = [node.name for node in nodes if not node.available or ("REPLACE" in one.flags and node.held)]
        part = cluster.partitions.get(one.partition)
        if not bad or part is None:
            return
        after = msgspec.structs.replace(one)
        place = Place(cluster, after, now, self.last_end)
        good = [name for name in one.nodes if name not in bad]
        for name in bad:
            try:
                good += place.more(part, [*one.nodes, *good], 1)
            except SlurmError:
                good.append(name)
        if set(good) != set(one.nodes):
            self.keep(place.with_nodes(good), change)

    # jobs

    def _jobs_of(self, one: Reservation) -> list[Job]:
        jobs = self._controller.table.jobs.values()
        return [
            job for job in jobs if not job.is_final and one.name in reserved.named(job.request.reservation)
        ]  # fmt: skip

    def in_use(self, one: Reservation) -> bool:
        """Whether a job waits for it or runs in it."""
        return bool(self._jobs_of(one))

    def last_end(self, node: str, but_of: int) -> int:
        """When the last job on a node is over at the latest, but for those of a reservation; 0 when none is there."""
        now, table = self._controller.now(), self._controller.table
        held = self._controller.cluster.nodes[node].held
        there = (table.jobs[job_id] for job_id in held if job_id in table.jobs)
        jobs = [job for job in there if job.resv_id != but_of]
        return max((shown_end(job) or reserved.lasts_until(job, job.start_time or now) for job in jobs), default=0)

    def handed(self, job: Job) -> None:
        """The job goes to Armada now: with these nodes left out, and until then."""
        cluster, now = self._controller.cluster, self._controller.now()
        job.barred = sorted(reserved.barred(cluster, job, now)) if cluster.reservations else []
        self._look_at(reserved.changes_at(cluster, job, now))

    def attract(self, job: Job) -> None:
        """A job that is about to go may run in a MAGNETIC reservation, if that is where there is room."""
        cluster = self._controller.cluster
        if job.attracted:
            job.request, job.attracted = msgspec.structs.replace(job.request, reservation=""), False
        if any("MAGNETIC" in one.flags for one in self.all.values()):
            name = reserved.attracted(cluster, job, self._controller.now())
            if name:
                job.request, job.attracted = msgspec.structs.replace(job.request, reservation=name), True

    def started(self, job: Job) -> None:
        """The job has its nodes: which of the reservations it runs in, and so when that ends it."""
        job.resv_id = job.resv_ends_at = 0
        now = self._controller.now()
        names = {entry[0] for entry in job.resources}
        for one in reserved.of_job(self._controller.cluster, job):
            if not one.nodes or one.flexible or names <= set(one.nodes):
                job.resv_id = one.reservation_id
                job.resv_ends_at = self._ends(one, job, now)
                break
        if any("REPLACE" in one.flags for one in self.all.values()):
            self._look_at(now)

    def _ends(self, one: Reservation, job: Job, now: int) -> int:
        """When a job is ended with it, 0: never. OverTimeLimit, which agents add, is none of a reservation's."""
        if one.flexible or "TIME_FLOAT" in one.flags:
            return 0
        return one.window(now)[1] - launching.over_time_limit(self._controller, job) * 60

    def ended(self, job: Job) -> None:
        """A job is gone: what it left may be another's, and its reservation empty."""
        if self.all and (job.resv_id or any(not one.whole or PURGE_COMP in one.flags for one in self.all.values())):
            self._look_at(self._controller.now())

    def tell_ends(self, one: Reservation, change: Change) -> None:
        """Its end is another: agents of its running jobs hear of it."""
        now = self._controller.now()
        for job_id in list(self._controller.table.running):
            job = self._controller.table.jobs[job_id]
            if job.resv_id == one.reservation_id and job.resv_ends_at != self._ends(one, job, now):
                job.resv_ends_at = self._ends(one, job, now)
                self._controller.put(change, job)
                message = {"msg": "update", "end_time": launching.end_time(job)}
                change.then.append(partial(self._controller.agents.say, job_id, message))


def _put(change: Change, name: str, one: Reservation) -> None:
    data: Mapping[str, Any] = msgspec.to_builtins(one)
    change.put("things", (KIND, name), {"kind": KIND, "name": name, "data": json.dumps(data)})
