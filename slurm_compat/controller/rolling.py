"""Keeps the roll-ups: after every hour what was used in it is added up from the store's records, and kept there.

How far that has come is the store's mark. An hour that is added up again replaces itself, so a controller that was
killed, or news of something that happened in an hour already added up, cost no more than doing it again from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import associations, nodeevents
from slurm_compat.controller.rollup import HOUR, Down, Hour, Reserved, Window, run_of
from slurm_compat.core import tres
from slurm_compat.core.errors import BadValue
from slurm_compat.store import history, questions, rollups
from slurm_compat.store.changes import Change
from slurm_compat.store.store import Connection

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.nodes import Cluster

log = logging.getLogger(__name__)

DAY = 24 * HOUR
AT_ONCE = 31 * DAY  # of the past that one look at the records adds up
SETTLE = 5.0  # seconds after an hour's end, in which its last news arrive
RESERVATION = "reservation"  # kind of the use inside one: (name, its start)


def whole_hour(at: int) -> int:
    """The beginning of the hour by the local clock."""
    return at - (at + time.localtime(at).tm_gmtoff) % HOUR


class Rolling:
    """How far the hours are added up."""

    def __init__(self) -> None:
        self.to = 0  # 0: not known yet
        self._late = 0  # the earliest moment that news were of while hours were being added up

    def news(self, at: int, change: Change) -> None:
        """Something happened at `at`: when that hour is added up already, it will be again."""
        if 0 < at < self.to:
            self.to = whole_hour(at)
            self._late = min(self._late or at, at)
            change.put("meta", rollups.ROLLED, rollups.mark_row(rollups.ROLLED, self.to))

    def begin(self) -> None:
        self._late = 0

    def done(self, end: int) -> int:
        """The hours up to `end` are kept; answers up to where that may be believed."""
        self.to = min(end, whole_hour(self._late)) if self._late else end
        return self.to


async def keep(controller: Controller) -> None:
    while True:
        try:
            await roll(controller)
        except Exception:
            log.exception("adding up the hours")
        now = controller.now()
        await asyncio.sleep(whole_hour(now) + HOUR - now + SETTLE)


async def roll(controller: Controller) -> None:
    """Add up every whole hour that is over and was not yet."""
    rolling, store = controller.rolling, controller.store
    since, start = await store.read(rollups.marks)
    if not since:
        since = await store.read(rollups.first_start) or controller.now()
        change = Change()
        change.put("meta", rollups.SINCE, rollups.mark_row(rollups.SINCE, since))
        await controller.commit(change)
    start = start or whole_hour(since)
    rolling.to = rolling.to or start
    last = whole_hour(controller.now())
    while start < last:
        end = min(start + AT_ONCE, last)
        rolling.begin()
        capacity = capacity_of(controller.cluster)
        known = owners_of(controller.cluster)
        hours = await store.read(partial(added_up, start=start, end=end, capacity=capacity, since=since, known=known))
        for place in range(0, len(hours), 24):  # a transaction a day: others write meanwhile
            await store.read(partial(keep_hours, hours=hours[place : place + 24]))
        change = Change()
        start = rolling.done(end)
        change.put("meta", rollups.ROLLED, rollups.mark_row(rollups.ROLLED, start))
        await controller.commit(change)


def capacity_of(cluster: Cluster) -> dict[str, int]:
    total = dict.fromkeys(associations.tres_names(cluster.conf), 0)
    for node in cluster.nodes.values():
        tres.add(total, node.tres(cluster.tres_listed))
    return total


def owners_of(cluster: Cluster) -> list[Owner]:
    """Every user's associations."""
    tree = associations.tree(cluster.conf)
    return list(dict.fromkeys((entry.account, entry.user) for entry in tree if entry.user))


def added_up(
    connection: Connection, start: int, end: int, capacity: dict[str, int], since: int, known: list[Owner]
) -> list[Hour]:
    window = Window(start, end, capacity, since)
    for event in nodeevents.between(connection, start, end):
        window.down(Down(event.start, event.end, amounts(event.tres)))
    for one in recorded(connection, start, end):
        window.reservation(
            Reserved(one.name, one.start_time, one.end_time, amounts(one.tres), "MAINT" in one.flags, one.owners(known))
        )
    for data in history.overlapping(connection, start, end):
        window.job(run_of(data))
    return window.settled()


Owner = tuple[str, str]  # account and user; no user: the account itself


class Record(msgspec.Struct):
    """A reservation as the store keeps it, past or not."""

    name: str
    start_time: int
    end_time: int
    reservation_id: int = 0
    tres: str = ""
    nodes: list[str] = []
    flags: list[str] = []
    users: list[str] = []
    accounts: list[str] = []
    denied: list[str] = []

    def owners(self, known: Iterable[Owner]) -> tuple[Owner, ...]:
        """Whom its unused time is charged to, of the associations `known`: its users', in its accounts where it has
        any; else its accounts themselves."""
        users = [] if "users" in self.denied else self.users
        accounts = [] if "accounts" in self.denied else self.accounts
        if not users:
            return tuple((account, "") for account in accounts)
        return tuple(one for one in known if one[1] in users and (not accounts or one[0] in accounts))


def recorded(connection: Connection, start: int, end: int) -> list[Record]:
    """Those of which some part is between the two, by their start."""
    kept = [_record(data) for data in questions.things_of(connection, "reservation")]
    there = [one for one in kept if one.start_time < end and one.end_time > start]
    return sorted(there, key=lambda one: (one.start_time, one.name))


_record = msgspec.json.Decoder(Record).decode


def amounts(text: str) -> dict[str, int]:
    try:
        return tres.parse(text)
    except BadValue:
        return {}


def keep_hours(connection: Connection, hours: list[Hour]) -> None:
    start, end = hours[0].start, hours[-1].start + HOUR
    days = list(days_around(start, end))
    rollups.replace(connection, start, end, _usage_rows(hours), _cluster_rows(hours), days)


def days_around(start: int, end: int) -> Iterator[rollups.Span]:
    """The days, by the local clock, that have something of start..end."""
    day = time.localtime(start)
    begin = start - HOUR
    for number in range((end - start) // DAY + 3):
        first, begin = begin, int(time.mktime((day.tm_year, day.tm_mon, day.tm_mday + number, 0, 0, 0, 0, 0, -1)))
        if number and begin > start:
            yield first, begin
        if begin >= end:
            return


def days_within(start: int, end: int) -> list[rollups.Span]:
    """The whole days of start..end."""
    return [day for day in days_around(start, end) if day[0] >= start and day[1] <= end]


def _usage_rows(hours: list[Hour]) -> Iterator[dict[str, Any]]:
    for hour in hours:
        for ((kind, first, second), name), seconds in hour.used.items():
            yield _usage_row(kind, hour.start, first, second, name, seconds)
        for reservation, amounts in hour.reserved.items():
            for name, seconds in amounts.items():
                yield _usage_row(RESERVATION, hour.start, reservation, "", name, seconds)


def _usage_row(kind: str, hour: int, first: str, second: str, name: str, seconds: int) -> dict[str, Any]:
    return {"kind": kind, "hour": hour, "first": first, "second": second, "tres": name, "seconds": seconds}


def _cluster_rows(hours: list[Hour]) -> Iterator[dict[str, Any]]:
    for hour in hours:
        for name, of in hour.cluster.items():
            yield {"hour": hour.start, "tres": name, **vars(of)}
