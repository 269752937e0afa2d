"""One reservation: its times and how they recur, who may use it, and its row.

Everything is a value here: the clock comes as an argument. `start_time` and `end_time` are those of the occurrence that
is next, or goes on; a TIME_FLOAT reservation's are seconds ahead of whoever asks. Source: scontrol(1), RESERVATIONS;
observed on 26.05.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from slurm_compat.core import hostlist, resvflags
from slurm_compat.core.nodestates import MAINTENANCE, RESERVED
from slurm_compat.core.resvflags import DAILY, HOURLY, RECURRING, WEEKDAY, WEEKEND, WEEKLY

YEAR = 365 * 86400
MOST = 400  # occurrences that are looked at: those of a year of days


class Who(NamedTuple):
    """Whose job it is. `accounts`: its account and those above it."""

    user: str
    accounts: tuple[str, ...]
    groups: Callable[[str], Collection[str]]  # of a user
    qos: str = ""
    partitions: tuple[str, ...] = ()


class Reservation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Lists of names allow what they name; those in `denied` ("users", "accounts" …) allow all but what they name."""

    reservation_id: int
    name: str
    start_time: int
    end_time: int
    made_at: int = 0
    nodes: list[str] = []  # in the cluster's order
    cores: dict[str, list[int]] = {}  # node: cores; {} when it has its nodes whole
    whole: bool = True  # False: others may use what it leaves of its nodes
    core_count: int = 0
    tres: str = ""
    features: str = ""
    partition: str = ""
    flags: list[str] = []
    purge_after: int = resvflags.PURGE_AFTER  # seconds
    users: list[str] = []
    groups: list[str] = []
    accounts: list[str] = []
    qos: list[str] = []
    partitions: list[str] = []
    denied: list[str] = []
    licenses: str = ""
    burst_buffer: str = ""
    comment: str = ""
    max_start_delay: int = 0  # seconds
    idle_since: int = 0  # PURGE_COMP: since when no job of it waits or runs; 0: one does, or it has not begun
    past: bool = False  # a row of history: this occurrence is over

    # times

    def window(self, now: int) -> tuple[int, int]:
        """Start and end as of now."""
        if "TIME_FLOAT" in self.flags:
            return now + self.start_time, now + self.end_time
        return self.start_time, self.end_time

    def active(self, now: int) -> bool:
        start, end = self.window(now)
        return start <= now < end

    @property
    def recurs(self) -> bool:
        return bool(set(self.flags) & set(RECURRING))

    def occurrences(self, now: int, since: int) -> Iterator[tuple[int, int]]:
        """Windows that end after `since`, in order; one when it does not recur."""
        start, end = self.window(now)
        length = end - start
        if not self.recurs:
            if end > since:
                yield start, end
            return
        if since - end > 2 * _period(self.flags):  # straight to the neighbourhood, not a day at a time
            start = _leap(start, since - length, self.flags)
        for _ in range(MOST):
            if start + length > since:
                yield start, start + length
            start = following(start, self.flags)

    def overlaps(self, start: int, end: int, now: int) -> bool:
        """Whether any occurrence shares a moment with [start, end)."""
        for begin, over in self.occurrences(now, start):
            if begin >= end:
                return False
            if over > start:
                return True
        return False

    def begins_after(self, now: int) -> int:
        """The start of the next occurrence that has not begun; 0 when there is none."""
        return next((start for start, _ in self.occurrences(now, now) if start > now), 0)

    # who

    def allows(self, who: Who) -> bool:
        """A job must be of one of the users (or groups), and of the accounts, the QOS and the partitions."""
        return (
            self.is_for(who)
            and self._lets("qos", self.qos, (who.qos,))
            and self._lets("partitions", self.partitions, who.partitions)
        )

    def is_for(self, who: Who) -> bool:
        """Whether it is for this user and account, whatever the QOS and the partition."""
        return (
            self._lets("users", self.users, (who.user,))
            and (not self.groups or self._lets("groups", self.groups, who.groups(who.user)))
            and self._lets("accounts", self.accounts, who.accounts)
        )

    def _lets(self, kind: str, names: list[str], own: Collection[str]) -> bool:
        if not names:
            return True
        return (not set(names) & set(own)) if kind in self.denied else bool(set(names) & set(own))

    @property
    def flexible(self) -> bool:
        return "FLEX" in self.flags

    @property
    def above_others(self) -> bool:
        """It may lie over other reservations, whose nodes its jobs then have."""
        return bool({"MAINT", "OVERLAP"} & set(self.flags))

    def named(self, kind: str) -> str:
        """A list as it is shown: "alice,bob", "-bob"."""
        sign = "-" if kind in self.denied else ""
        return ",".join(sign + name for name in getattr(self, kind))


def following(start: int, flags: Collection[str]) -> int:
    """When the occurrence after the one at `start` begins: the same time of day, whatever the clock does meanwhile."""
    if HOURLY in flags:
        return start + 3600
    day = time.localtime(start)
    days = 7 if WEEKLY in flags else 1
    while True:
        found = time.mktime(
            (day.tm_year, day.tm_mon, day.tm_mday + days, day.tm_hour, day.tm_min, day.tm_sec, 0, 0, -1)
        )
        weekday = time.localtime(found).tm_wday
        if (WEEKDAY in flags and weekday > 4) or (WEEKEND in flags and weekday < 5):
            days += 1
            continue
        return int(found)


def _period(flags: Collection[str]) -> int:
    return 3600 if HOURLY in flags else 86400 if DAILY in flags else 7 * 86400


def _leap(start: int, towards: int, flags: Collection[str]) -> int:
    """A start some whole weeks (hours) on, at or before `towards`."""
    step = 3600 if HOURLY in flags else 7 * 86400
    steps = max((towards - start) // step - 1, 0)
    if HOURLY in flags:
        return start + steps * step
    day = time.localtime(start)
    at = (day.tm_year, day.tm_mon, day.tm_mday + 7 * steps, day.tm_hour, day.tm_min, day.tm_sec, 0, 0, -1)
    return int(time.mktime(at))


def advanced(reservation: Reservation, now: int) -> Reservation:
    """A recurring reservation whose occurrence is over, at the one that goes on or comes next."""
    start, length = reservation.start_time, reservation.end_time - reservation.start_time
    for begin, _ in reservation.occurrences(now, now):
        start = begin
        break
    return msgspec.structs.replace(reservation, start_time=start, end_time=start + length, idle_since=0)


def skipped(reservation: Reservation) -> Reservation:
    """`Skip`: the next occurrence instead of this one."""
    start = following(reservation.start_time, reservation.flags)
    length = reservation.end_time - reservation.start_time
    return msgspec.structs.replace(reservation, start_time=start, end_time=start + length, idle_since=0)


def clash(one: Reservation, other: Reservation, now: int) -> bool:
    """Whether some occurrences of two reservations meet."""
    since = max(one.window(now)[0], other.window(now)[0], now)
    for count, (start, end) in enumerate(one.occurrences(now, since)):
        if other.overlaps(start, end, now):
            return True
        if count > 60 or (not other.recurs and start >= other.window(now)[1]):
            return False
    return False


def on_node(reservations: Iterable[Reservation], name: str, now: int) -> tuple[str, set[str]]:
    """Names of those that go on and have the node, and the flags its state has from them."""
    there = [one for one in reservations if name in one.nodes and one.active(now)]
    flags = {RESERVED} if there else set()
    if any("MAINT" in one.flags for one in there):
        flags.add(MAINTENANCE)
    return ",".join(one.name for one in there), flags


def row(reservation: Reservation, now: int) -> Mapping[str, Any]:
    """RESERVATION_FIELDS."""
    start, end = reservation.window(now)
    return {
        "name": reservation.name,
        "reservation_id": reservation.reservation_id,
        "start_time": start,
        "end_time": end,
        "active": reservation.active(now),
        "nodes": hostlist.compress(reservation.nodes),
        "node_count": len(reservation.nodes),
        "core_count": reservation.core_count,
        "cores": [[node, numbers] for node, numbers in reservation.cores.items()],
        "tres": reservation.tres,
        "features": reservation.features,
        "partition": reservation.partition,
        "flags": [flag for flag in resvflags.SHOWN if flag in reservation.flags],
        "purge_after": reservation.purge_after,
        "users": reservation.named("users"),
        "groups": reservation.named("groups"),
        "accounts": reservation.named("accounts"),
        "qos": reservation.named("qos"),
        "partitions": reservation.named("partitions"),
        "licenses": reservation.licenses,
        "burst_buffer": reservation.burst_buffer,
        "comment": reservation.comment,
        "max_start_delay": reservation.max_start_delay,
    }
