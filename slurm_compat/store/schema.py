"""The tables, and how an older store becomes a newer one.

`jobs` has a row for each run of each job: the columns that questions are asked by, and the whole record as msgpack.
`live` rows are what a restarted controller reads; the others are history. A row's `data` belongs to the controller.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    select,
    text,
)  # fmt: skip

metadata = MetaData()

# SQLite numbers its rows itself only when the key is its own INTEGER
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

jobs = Table(
    "jobs",
    metadata,
    Column("db_index", BigInteger, primary_key=True, autoincrement=False),  # the SLUID: one a run
    Column("job_id", BigInteger, nullable=False),
    Column("array_job_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("submit_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),  # 0 while it has none
    Column("live", Boolean, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("jobs_job_id", "job_id"),
    Index("jobs_array", "array_job_id"),
    Index("jobs_user_end", "user_id", "end_time"),
    Index("jobs_end", "end_time"),
    Index("jobs_live", "db_index", sqlite_where=text("live"), postgresql_where=text("live")),
)

steps = Table(
    "steps",
    metadata,
    Column("db_index", BigInteger, primary_key=True, autoincrement=False),
    Column("step_id", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

events = Table(  # what happened to each job, in order; kept for the operator's questions
    "events",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("db_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("data", Text, nullable=False),
    Index("events_job", "db_index"),
)

texts = Table(  # scripts and environments, each content once
    "texts",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # script, environment
    Column("used", BigInteger, nullable=False),  # when last submitted
    Column("data", LargeBinary, nullable=False),
)

outbox = Table(  # what must be done outside because of a committed change; gone when done
    "outbox",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)

submissions = Table(  # keys of submissions and what was answered: a repeat gets the same answer
    "submissions",
    metadata,
    Column("key", Text, primary_key=True),  # uid and the client's key
    Column("at", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Index("submissions_at", "at"),
)

streams = Table(  # how far each of Armada's event streams has been read
    "streams",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("job_set", Text, primary_key=True),
    Column("last_id", Text, nullable=False),
)

things = Table(  # nodes', partitions' and the like's changed keys
    "things",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("data", Text, nullable=False),
)

TABLES = {table.name: table for table in metadata.sorted_tables}


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


# version reached: how to get there from the one before
MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _first}
VERSION = max(MIGRATIONS)


class WrongVersion(Exception):
    """The store was written by a newer slurm-compat than this."""


def migrate(connection: Connection) -> None:
    """Bring the store to VERSION, in the caller's transaction. Raises WrongVersion for one from the future."""
    meta.create(connection, checkfirst=True)
    row = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).first()
    version = int(row.value) if row else 0
    if version > VERSION:
        raise WrongVersion(f"the store's schema is {version}, this program knows {VERSION}; upgrade slurm-compat")
    for target in range(version + 1, VERSION + 1):
        MIGRATIONS[target](connection)
    if not row:
        connection.execute(meta.insert().values(key="schema", value=str(VERSION)))
    elif version != VERSION:
        connection.execute(meta.update().where(meta.c.key == "schema").values(value=str(VERSION)))
