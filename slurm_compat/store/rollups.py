"""Whole hours of use, as they were added up: written a day at a time, read as sums over any whole hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, literal, select

from slurm_compat.store.schema import cluster_hours, jobs, meta, usage_days, usage_hours

ROLLED = "rolled_to"  # of the store's meta: all hours before this moment are added up
SINCE = "cluster_since"  # when the cluster began
PARTS = ("alloc", "down", "pdown", "idle", "plan", "over")

Span = tuple[int, int]  # first second, and the first that no longer is of it


class Used(NamedTuple):
    """Resource-seconds of one TRES; what the names name depends on the kind."""

    first: str
    second: str
    tres: str
    seconds: int


def marks(connection: Connection) -> tuple[int, int]:
    """(when the cluster began, up to when hours are added up); 0: not yet."""
    rows = {row.key: int(row.value) for row in connection.execute(select(meta).where(meta.c.key.in_([SINCE, ROLLED])))}
    return rows.get(SINCE, 0), rows.get(ROLLED, 0)


def first_start(connection: Connection) -> int:
    """When the earliest job began; 0 when none ever did."""
    return int(connection.execute(select(func.min(jobs.c.start_time)).where(jobs.c.start_time > 0)).scalar() or 0)


def mark_row(key: str, at: int) -> dict[str, str]:
    return {"key": key, "value": str(at)}


def replace(
    connection: Connection,
    start: int,
    end: int,
    usage: Iterable[Mapping[str, Any]],
    cluster: Iterable[Mapping[str, Any]],
    days: Iterable[Span],
) -> None:
    """Put these hours in place of what there is of start..end, in one transaction. `days`: those they are of."""
    for table, rows in ((usage_hours, usage), (cluster_hours, cluster)):
        connection.execute(table.delete().where(and_(table.c.hour >= start, table.c.hour < end)))
        if values := [dict(row) for row in rows]:
            connection.execute(table.insert(), values)
    for day in days:
        _renew(connection, day)
    connection.commit()


def _renew(connection: Connection, day: Span) -> None:
    """A day's sums from its hours."""
    hour = usage_hours.c
    by = (hour.first, hour.second, hour.tres)
    sums = (
        select(hour.kind, literal(day[0]), *by, func.sum(hour.seconds))
        .where(and_(hour.hour >= day[0], hour.hour < day[1]))
        .group_by(hour.kind, *by)
    )
    connection.execute(usage_days.delete().where(usage_days.c.day == day[0]))
    connection.execute(usage_days.insert().from_select(["kind", "day", "first", "second", "tres", "seconds"], sums))


def used(connection: Connection, kind: str, start: int, end: int, days: Sequence[Span] = ()) -> list[Used]:
    """Sums over start..end by both names and TRES. `days` of it are read as such."""
    found: dict[tuple[str, str, str], int] = {}
    parts = [(usage_days, usage_days.c.day, days[0][0], days[-1][0] + 1)] if days else []
    edges = ((start, days[0][0]), (days[-1][1], end)) if days else ((start, end),)
    parts += [(usage_hours, usage_hours.c.hour, first, last) for first, last in edges if first < last]
    for table, moment, first, last in parts:
        by = (table.c.first, table.c.second, table.c.tres)
        query = (
            select(*by, func.sum(table.c.seconds))
            .where(and_(table.c.kind == kind, moment >= first, moment < last))
            .group_by(*by)
        )
        for row in connection.execute(query):
            key = (row[0], row[1], row[2])
            found[key] = found.get(key, 0) + int(row[3])
    return [Used(*key, seconds) for key, seconds in sorted(found.items())]


def used_by_hour(connection: Connection, kind: str, start: int, end: int) -> Iterable[tuple[int, str, str, str, int]]:
    """(hour, first, second, TRES, seconds) of start..end, some rows at a time."""
    table = usage_hours
    query = select(table.c.hour, table.c.first, table.c.second, table.c.tres, table.c.seconds).where(
        and_(table.c.kind == kind, table.c.hour >= start, table.c.hour < end)
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield row[0], row[1], row[2], row[3], row[4]


def cluster(connection: Connection, start: int, end: int) -> dict[str, dict[str, int]]:
    """By TRES: its latest `count`, and the sums of `total` and PARTS."""
    table = cluster_hours
    sums = [func.sum(table.c[name]) for name in ("total", *PARTS)]
    between = and_(table.c.hour >= start, table.c.hour < end)
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(table.c.tres, *sums).where(between).group_by(table.c.tres)):
        found[row[0]] = dict(zip(("total", *PARTS), (int(value) for value in row[1:]), strict=True))
    last = connection.execute(select(func.max(table.c.hour)).where(between)).scalar()
    for row in connection.execute(select(table.c.tres, table.c["count"]).where(table.c.hour == last)):
        found[row[0]]["count"] = row[1]
    return {name: {"count": 0} | values for name, values in found.items()}
