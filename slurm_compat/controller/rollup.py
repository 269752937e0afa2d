"""Use by the hour: what jobs had, in whose name, and what became of the cluster's resources meanwhile.

Everything is resource-seconds of one whole hour. A job counts for its association, its account and QOS, its workload
key, and for the cluster; a reservation counts for the cluster as a whole, and what its jobs left unused is charged to
those it was made for. The cluster's hour is then made to add up: allocated, down, planned down, planned and idle are
what was there. Source: the accounting of Slurm, as observed on 26.05 (tests/controller/recorded_month.yaml).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import msgspec

from slurm_compat.core import taskids, tres
from slurm_compat.core.errors import BadValue

HOUR = 3600
ASSOCIATION, QOS, WCKEY = "association", "qos", "wckey"  # whose use: (account, user), (account, QOS), (key, user)

Amounts = Mapping[str, int]  # by TRES name; memory in MiB
Owner = tuple[str, str, str]  # kind and its two names


class Asked(msgspec.Struct):
    wckey: str = ""
    reservation: str = ""


class Run(msgspec.Struct):
    """What of a stored job its use follows from; reading no more of a record than this is quick."""

    user_name: str
    request: Asked
    db_index: int = 0
    account: str = ""
    qos: str = ""
    state: str = ""
    nodes: str = ""
    eligible_time: int = 0
    start_time: int = 0
    end_time: int = 0
    suspend_time: int = 0
    suspended_for: int = 0
    tres_req_str: str = ""
    tres_alloc_str: str = ""
    array_ranges: list[tuple[int, int, int]] = []


run_of = msgspec.msgpack.Decoder(Run).decode


class Down(NamedTuple):
    """A node that took no work from `start` to `end` (0: still)."""

    start: int
    end: int
    tres: Amounts


class Reserved(NamedTuple):
    """A reservation of so many resources. `owners`: (account, user) of those it was made for."""

    name: str
    start: int
    end: int
    tres: Amounts
    maintenance: bool = False
    owners: tuple[tuple[str, str], ...] = ()


@dataclass
class ClusterHour:
    """One resource of the cluster in one hour, in resource-seconds; `count` is how many there are."""

    count: int
    total: int
    alloc: int = 0
    down: int = 0
    pdown: int = 0  # planned: a reservation for maintenance
    idle: int = 0
    plan: int = 0  # kept for jobs that were waiting
    over: int = 0  # wanted by them beyond what there was

    def settle(self) -> None:
        """Make the parts add up to the whole: what was counted twice is taken off what was down, then off the use."""
        self.alloc = min(self.alloc, self.total)
        for part in ("down", "pdown", "alloc"):
            beyond = self.alloc + self.down + self.pdown - self.total
            if beyond > 0:
                setattr(self, part, max(getattr(self, part) - beyond, 0))
        self.idle = self.total - self.alloc - self.down - self.pdown
        self.over = max(self.plan - self.idle, 0)
        self.plan = min(self.plan, self.idle)
        self.idle -= self.plan


@dataclass
class Hour:
    start: int
    used: dict[tuple[Owner, str], int] = field(default_factory=dict)  # by owner and TRES
    cluster: dict[str, ClusterHour] = field(default_factory=dict)  # by TRES
    reserved: dict[str, dict[str, int]] = field(default_factory=dict)  # use inside each reservation, by TRES

    def use(self, owners: Iterable[Owner], amounts: Iterable[tuple[str, int]], seconds: float) -> None:
        used = self.used
        for name, amount in amounts:
            more = int(amount * seconds)
            for owner in owners:
                used[owner, name] = used.get((owner, name), 0) + more


class Window:
    """The hours from `start` to `end`, both whole: add what there was, in any order, then `settled`."""

    def __init__(self, start: int, end: int, capacity: Amounts, since: int = 0) -> None:
        """`since`: the cluster was not there before. `capacity`: what it has."""
        self.start, self.end = start, end
        self.hours = [Hour(begin) for begin in range(start, end, HOUR)]
        for hour in self.hours:
            there = HOUR - min(max(since - hour.start, 0), HOUR)
            for name, count in capacity.items():
                if name != "node" and there:
                    hour.cluster[name] = ClusterHour(count, count * there)
        self._reservations: dict[str, list[Reserved]] = {}

    def _parts(self, start: int, end: int) -> Iterator[tuple[Hour, int]]:
        """The hours of a span, and how many seconds of each."""
        start, end = max(start, self.start), min(end, self.end)
        if end <= start:
            return
        for hour in self.hours[(start - self.start) // HOUR : (end - self.start + HOUR - 1) // HOUR]:
            yield hour, min(end, hour.start + HOUR) - max(start, hour.start)

    def reservation(self, reserved: Reserved) -> None:
        """To be added before the jobs that ran in it."""
        self._reservations.setdefault(reserved.name, []).append(reserved)
        for hour, seconds in self._parts(reserved.start, reserved.end):
            for name, count in reserved.tres.items():
                if (of := hour.cluster.get(name)) is not None:
                    if reserved.maintenance:
                        of.pdown += count * seconds
                    else:
                        of.alloc += count * seconds

    def down(self, down: Down) -> None:
        for hour, seconds in self._parts(down.start, down.end or self.end):
            for name, count in down.tres.items():
                if (of := hour.cluster.get(name)) is not None:
                    of.down += count * seconds

    def job(self, run: Run) -> None:
        until = run.end_time or self.end
        began = run.start_time if run.nodes else 0
        if began:
            self._ran(run, began, until)
        if run.eligible_time and run.request.reservation not in self._reservations:
            self._waited(run, began or until)

    def _ran(self, run: Run, began: int, until: int) -> None:
        amounts = amounts_of(run.tres_alloc_str)
        if not amounts or until <= began:
            return
        part = at_work(run, until)
        owners: list[Owner] = [(ASSOCIATION, run.account, run.user_name), (QOS, run.account, run.qos)]
        if run.request.wckey:
            owners.append((WCKEY, run.request.wckey, run.user_name))
        inside = run.request.reservation
        for hour, seconds in self._parts(began, until):
            hour.use(owners, amounts, seconds * part)
            if inside in self._reservations:
                within = hour.reserved.setdefault(inside, {})
                for name, amount in amounts:
                    within[name] = within.get(name, 0) + int(amount * seconds * part)
                continue
            for name, amount in amounts:
                if (of := hour.cluster.get(name)) is not None:
                    of.alloc += int(amount * seconds * part)

    def _waited(self, run: Run, until: int) -> None:
        cpus = dict(amounts_of(run.tres_req_str)).get("cpu", 0)
        if run.array_ranges:
            cpus *= taskids.count(run.array_ranges)
        for hour, seconds in self._parts(run.eligible_time, until):
            if "cpu" in hour.cluster:
                hour.cluster["cpu"].plan += cpus * seconds

    def settled(self) -> list[Hour]:
        for versions in self._reservations.values():
            for reserved in versions:
                self._charge(reserved)
        for hour in self.hours:
            for of in hour.cluster.values():
                of.settle()
        return self.hours

    def _charge(self, reserved: Reserved) -> None:
        """What a reservation's jobs left unused, evenly to those it was made for."""
        if not reserved.owners:
            return
        for hour, seconds in self._parts(reserved.start, reserved.end):
            within = hour.reserved.get(reserved.name, {})
            for name, count in reserved.tres.items():
                # what ran in it is taken off twice: so does 26.05
                unused = (count * seconds - 2 * within.get(name, 0)) // len(reserved.owners)
                if unused > 0:
                    for account, user in reserved.owners:
                        hour.use([(ASSOCIATION, account, user), (QOS, account, "normal")], [(name, unused)], 1)


def at_work(run: Run, until: int) -> float:
    """The part of its time in which the job was not suspended; suspensions are spread over the run."""
    whole = until - run.start_time
    suspended = run.suspended_for
    if run.suspend_time and run.state == "SUSPENDED":
        suspended += max(0, until - run.suspend_time)
    return max(whole - suspended, 0) / whole


@lru_cache(4096)
def amounts_of(text: str) -> tuple[tuple[str, int], ...]:
    try:
        return tuple(tres.parse(text).items())
    except BadValue:
        return ()
