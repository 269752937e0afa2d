"""What has been: the records of jobs that are over, found by the columns they are searched by, and read in order.

A listing may be of a million jobs: `keys` finds which, in the order they are shown in, as mere numbers, and `records`
reads some at a time, so that nothing holds the store open or a listing in memory while a slow reader takes its time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from slurm_compat.store.schema import jobs, steps

SOME = 500  # keys a statement


class Filter(NamedTuple):
    """Empty ones match all. Times are epoch seconds; 0: open."""

    job_ids: Sequence[int] = ()  # or of these arrays
    db_indexes: Sequence[int] = ()  # or these runs
    user_ids: Sequence[int] = ()
    start: int = 0  # ended at or after
    end: int = 0  # submitted at or before
    ended_by: int = 0  # ended at or before
    states: Sequence[str] = ()  # the last ones
    accounts: Sequence[str] = ()
    names: Sequence[str] = ()
    partitions: Sequence[str] = ()
    qos: Sequence[str] = ()
    wckeys: Sequence[str] = ()


_AMONG = (
    ("user_ids", jobs.c.user_id),
    ("states", jobs.c.state),
    ("accounts", jobs.c.account),
    ("names", jobs.c.name),
    ("partitions", jobs.c.partition),
    ("qos", jobs.c.qos),
    ("wckeys", jobs.c.wckey),
)


def _conditions(which: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [~jobs.c.live]
    if which.job_ids or which.db_indexes:
        ids, runs = list(which.job_ids), list(which.db_indexes)
        named = [column.in_(ids) for column in (jobs.c.job_id, jobs.c.array_job_id) if ids]
        found.append(or_(*named, *([jobs.c.db_index.in_(runs)] if runs else [])))
    for name, column in _AMONG:
        if wanted := getattr(which, name):
            found.append(column.in_(list(wanted)))
    if which.start:
        found.append(jobs.c.end_time >= which.start)
    if which.end:
        found.append(jobs.c.submit_time <= which.end)
    if which.ended_by:
        found.append(jobs.c.end_time <= which.ended_by)
    return found


def keys(connection: Connection, which: Filter) -> array[int]:
    """The db_index of each, in sacct's order: by their submission, then jobs by their ids, then tasks of arrays."""
    found = array("q")
    ids = list(which.job_ids)
    order = (jobs.c.submit_time, jobs.c.array_job_id, jobs.c.task, jobs.c.job_id, jobs.c.db_index)
    if len(ids) > SOME:  # more than a statement takes: their own order has to do
        for start in range(0, len(ids), SOME):
            found.extend(keys(connection, which._replace(job_ids=ids[start : start + SOME], db_indexes=())))
        if which.db_indexes:
            found.extend(keys(connection, which._replace(job_ids=())))
        return found
    query = select(jobs.c.db_index).where(and_(*_conditions(which))).order_by(*order)
    for some in connection.execution_options(yield_per=5000).execute(query).scalars().partitions():
        found.extend(some)
    return found


def run_again(connection: Connection, which: Filter) -> list[int]:
    """Ids of which there are several runs among them."""
    if len(which.job_ids) > SOME:
        which = which._replace(job_ids=())
    job_id = jobs.c.job_id + 0  # the sum keeps SQLite from walking the whole index of ids for its order
    query = select(job_id).where(and_(*_conditions(which))).group_by(job_id).having(func.count() > 1)
    return list(connection.execute(query).scalars())


def records(connection: Connection, db_indexes: Sequence[int]) -> list[bytes]:
    """The records of these keys, in their order. A job that was forgotten meanwhile is left out."""
    found: dict[int, Any] = {}
    for start in range(0, len(db_indexes), SOME):
        some = list(db_indexes[start : start + SOME])
        query = select(jobs.c.db_index, jobs.c.data).where(jobs.c.db_index.in_(some))
        found.update((row.db_index, row.data) for row in connection.execute(query))
    return [found[key] for key in db_indexes if key in found]


def overlapping(connection: Connection, start: int, end: int) -> Iterator[bytes]:
    """Records of all jobs, live ones too, of which some part may lie between the two; in no order."""
    past = and_(~jobs.c.live, jobs.c.end_time > start, jobs.c.submit_time < end)
    for condition in (past, jobs.c.live):
        query = select(jobs.c.data).where(condition)
        yield from connection.execution_options(yield_per=1000).execute(query).scalars()


def sizes(connection: Connection, which: Filter, start: int, end: int) -> list[tuple[str, str, str, float, int]]:
    """(account, workload key, TRES of each, seconds at work, jobs) of what ran and is over, of start..end."""
    columns = jobs.c
    inside = case((columns.end_time < end, columns.end_time), else_=end) - case(
        (columns.start_time > start, columns.start_time), else_=start
    )
    whole = columns.end_time - columns.start_time
    at_work = inside * 1.0 * (whole - columns.suspended) / whole
    by = (columns.account, columns.wckey, columns.tres)
    ran = [columns.start_time > 0, whole > columns.suspended, columns.tres != "", columns.start_time < end]
    query = (
        select(*by, func.sum(at_work), func.count())
        .where(and_(*_conditions(which), columns.end_time > start, *ran))
        .group_by(*by)
    )
    return [(row[0], row[1], row[2], float(row[3]), int(row[4])) for row in connection.execute(query)]


def living(connection: Connection) -> Iterator[bytes]:
    """Records of the jobs that are not history yet."""
    yield from connection.execute(select(jobs.c.data).where(jobs.c.live)).scalars()


def steps_of(connection: Connection, db_indexes: Iterable[int]) -> list[bytes]:
    wanted = list(db_indexes)
    found: list[bytes] = []
    for start in range(0, len(wanted), SOME):
        some = wanted[start : start + SOME]
        found.extend(row.data for row in connection.execute(select(steps.c.data).where(steps.c.db_index.in_(some))))
    return found
