"""The tables, and how an older store becomes a newer one.

`jobs` has a row for each run of each job: the columns that questions are asked by, and the whole record as msgpack.
`live` rows are what a restarted controller reads; the others are history. A row's `data` belongs to the controller.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
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
    bindparam,
    inspect,
    select,
    text,
)  # fmt: skip
from sqlalchemy.schema import CreateColumn

metadata = MetaData()

# SQLite numbers its rows itself only when the key is its own INTEGER
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

# of each job, what the past is searched and sorted by; later than the other columns
HISTORY = (
    Column("start_time", BigInteger, nullable=False, server_default="0"),  # 0: it never ran
    Column("task", BigInteger, nullable=False, server_default=str(1 << 32)),  # of its array; 1 << 32: of none
    Column("state", Text, nullable=False, server_default=""),
    Column("account", Text, nullable=False, server_default=""),
    Column("name", Text, nullable=False, server_default=""),
    Column("partition", Text, nullable=False, server_default=""),
    Column("qos", Text, nullable=False, server_default=""),
    Column("wckey", Text, nullable=False, server_default=""),
    Column("tres", Text, nullable=False, server_default=""),  # allocated
    Column("suspended", BigInteger, nullable=False, server_default="0"),  # seconds
)

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
    *HISTORY,
    Index("jobs_job_id", "job_id"),
    Index("jobs_array", "array_job_id"),
    Index("jobs_user_end", "user_id", "end_time"),
    Index("jobs_account_end", "account", "end_time"),
    Index("jobs_name_end", "name", "end_time"),
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

node_events = Table(  # when nodes took no work, and why; `end` is 0 while one still does not
    "node_events",
    metadata,
    Column("node", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # DOWN, DRAIN, DOWN+DRAIN …
    Column("reason", Text, nullable=False),
    Column("uid", BigInteger, nullable=False),  # who set it so
    Column("tres", Text, nullable=False),
    Index("node_events_end", "end"),
)

transactions = Table(  # what was changed of the accounting book, by whom
    "transactions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("name", Text, nullable=False),  # what sacctmgr calls Where
    Column("info", Text, nullable=False),
)

usage_hours = Table(  # resource-seconds of whole hours, by whose they are; `kind` says what the names name
    "usage_hours",
    metadata,
    Column("kind", Text, primary_key=True),  # controller/rollup.py's
    Column("hour", BigInteger, primary_key=True, autoincrement=False),  # its first second
    Column("first", Text, primary_key=True),
    Column("second", Text, primary_key=True),
    Column("tres", Text, primary_key=True),
    Column("seconds", BigInteger, nullable=False),
    Index("usage_hours_hour", "hour"),
)

usage_days = Table(  # the same of whole days by the local clock, for quick sums: what there is of it always adds up
    "usage_days",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("first", Text, primary_key=True),
    Column("second", Text, primary_key=True),
    Column("tres", Text, primary_key=True),
    Column("seconds", BigInteger, nullable=False),
)

cluster_hours = Table(  # what became of the cluster's resources in whole hours, in resource-seconds
    "cluster_hours",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("tres", Text, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ("count", "total", "alloc", "down", "pdown", "idle", "plan", "over")
    ),
)

TABLES = {table.name: table for table in metadata.sorted_tables}


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


def _book_records(connection: Connection) -> None:
    for table in (node_events, transactions):
        table.create(connection, checkfirst=True)


def _history_columns(connection: Connection) -> None:
    """Columns of `jobs` that came later, filled from the records."""
    known = {column["name"] for column in inspect(connection).get_columns("jobs")}
    missing = [column for column in HISTORY if column.name not in known]
    for column in missing:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE jobs ADD COLUMN {definition}"))
    if missing:
        _fill_history(connection)
    for index in jobs.indexes:
        index.create(connection, checkfirst=True)
    for table in (usage_hours, usage_days, cluster_hours):
        table.create(connection, checkfirst=True)


class _Named(msgspec.Struct, frozen=True):
    wckey: str = ""


class _Record(msgspec.Struct):
    """What of a job's record has a column."""

    request: _Named = _Named()
    start_time: int = 0
    array_task_id: int | None = None
    state: str = ""
    account: str = ""
    name: str = ""
    partition: str = ""
    qos: str = ""
    tres_alloc_str: str = ""
    suspended_for: int = 0


def _fill_history(connection: Connection) -> None:
    read = msgspec.msgpack.Decoder(_Record).decode
    names = [column.name for column in HISTORY]
    update = jobs.update().where(jobs.c.db_index == bindparam("key")).values({name: bindparam(name) for name in names})
    last = -1
    while True:
        query = select(jobs.c.db_index, jobs.c.data).where(jobs.c.db_index > last).order_by(jobs.c.db_index).limit(5000)
        rows = connection.execute(query).all()
        if not rows:
            return
        values = []
        for row in rows:
            record = read(row.data)
            task = record.array_task_id if record.array_task_id is not None else 1 << 32
            values.append(
                {"key": row.db_index, "task": task, "wckey": record.request.wckey, "tres": record.tres_alloc_str}
                | {"suspended": record.suspended_for}
                | {name: getattr(record, name) for name in names if hasattr(record, name)}
            )
        connection.execute(update, values)
        last = rows[-1].db_index


# version reached: how to get there from the one before
MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _first, 2: _book_records, 3: _history_columns}
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
