"""What the controller asks the store: what lives, what has been, a script. Each is a function of a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, func, or_, select

from slurm_compat.store.schema import jobs, meta, outbox, steps, streams, submissions, texts, things

_SOME = 500  # keys a statement


class Saved(NamedTuple):
    """All that a starting controller reads."""

    meta: dict[str, str]
    jobs: list[bytes]
    steps: list[bytes]
    outbox: list[tuple[str, str, int, Any]]  # key, kind, job_id, data
    streams: dict[tuple[str, str], str]
    things: list[tuple[str, str, Any]]  # kind, name, data


def saved(connection: Connection) -> Saved:
    live = select(jobs.c.db_index).where(jobs.c.live)
    return Saved(
        {row.key: row.value for row in connection.execute(select(meta))},
        [row.data for row in connection.execute(select(jobs.c.data).where(jobs.c.live).order_by(jobs.c.db_index))],
        [row.data for row in connection.execute(select(steps.c.data).where(steps.c.db_index.in_(live)))],
        [(row.key, row.kind, row.job_id, json.loads(row.data)) for row in connection.execute(select(outbox))],
        {(row.queue, row.job_set): row.last_id for row in connection.execute(select(streams))},
        [(row.kind, row.name, json.loads(row.data)) for row in connection.execute(select(things))],
    )


def things_of(connection: Connection, kind: str) -> list[str]:
    """The things of one kind, as they are kept."""
    return [row.data for row in connection.execute(select(things.c.data).where(things.c.kind == kind))]


def highest_job_id(connection: Connection) -> int:
    return int(connection.execute(select(func.max(jobs.c.job_id))).scalar() or 0)


def text_of(connection: Connection, hash_: str) -> bytes | None:
    row = connection.execute(select(texts.c.data).where(texts.c.hash == hash_)).first()
    return bytes(row.data) if row else None


class Filter(NamedTuple):
    job_ids: Sequence[int] = ()
    user_ids: Sequence[int] = ()
    start: int = 0  # ended at or after, or not yet
    end: int = 0  # submitted at or before; 0: open


def history(connection: Connection, which: Filter) -> list[bytes]:
    """Records of jobs that are no longer live, oldest first."""
    conditions = [~jobs.c.live]
    if which.job_ids:
        ids = list(which.job_ids)[:_SOME]
        conditions.append(or_(jobs.c.job_id.in_(ids), jobs.c.array_job_id.in_(ids)))
    if which.user_ids:
        conditions.append(jobs.c.user_id.in_(list(which.user_ids)))
    if which.start:
        conditions.append(or_(jobs.c.end_time >= which.start, jobs.c.end_time == 0))
    if which.end:
        conditions.append(jobs.c.submit_time <= which.end)
    return [
        row.data for row in connection.execute(select(jobs.c.data).where(and_(*conditions)).order_by(jobs.c.db_index))
    ]


def ended_since(connection: Connection, since: int) -> Iterator[bytes]:
    """Records of jobs that are no longer live and ended at or after that moment, some at a time."""
    query = select(jobs.c.data).where(and_(~jobs.c.live, jobs.c.end_time >= since))
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield row.data


def steps_of(connection: Connection, db_indexes: Iterable[int]) -> list[bytes]:
    wanted = list(db_indexes)
    found: list[bytes] = []
    for start in range(0, len(wanted), _SOME):
        some = wanted[start : start + _SOME]
        found.extend(row.data for row in connection.execute(select(steps.c.data).where(steps.c.db_index.in_(some))))
    return found


def forget_submissions(connection: Connection, before: int) -> None:
    """Keys older than any client retries."""
    connection.execute(delete(submissions).where(submissions.c.at < before))
    connection.commit()


def forget_environments(connection: Connection, before: int, in_use: set[str]) -> None:
    """Environments that were last submitted before that moment and that no live job needs. Scripts stay."""
    query = select(texts.c.hash).where(and_(texts.c.kind == "environment", texts.c.used < before))
    gone = [row.hash for row in connection.execute(query) if row.hash not in in_use]
    for start in range(0, len(gone), _SOME):
        some = gone[start : start + _SOME]
        connection.execute(delete(texts).where(and_(texts.c.hash.in_(some), texts.c.used < before)))
    connection.commit()


def recent_answers(connection: Connection, since: int) -> list[tuple[str, Any]]:
    """Keys of submissions and their answers, oldest first."""
    query = select(submissions.c.key, submissions.c.answer).where(submissions.c.at >= since).order_by(submissions.c.at)
    return [(row.key, json.loads(row.answer)) for row in connection.execute(query)]
