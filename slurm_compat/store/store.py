"""The store: SQLite or PostgreSQL behind one writer thread that commits many changes at once.

A caller hands over a change and learns, on its own event loop, when it is durable. While one commit waits for the
disk the next changes gather, so durability costs a commit a batch and not a commit a change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection as Connection
from sqlalchemy import Dialect, Engine, Table, bindparam, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError

from slurm_compat.store.changes import Batch, Change, Row
from slurm_compat.store.schema import TABLES, migrate

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between attempts while the store can't take a change that must not be lost
MAX_BATCH = 2000  # changes; bounds how long the first of them waits

_STOP = None
POISON = (DataError, IntegrityError, OverflowError, TypeError, ValueError)  # the change's fault, not the store's


class StoreFull(Exception):
    """The store could not take a refusable change."""


def engine_for(url: str) -> Engine:
    """`url`: SQLAlchemy's, or the path of an SQLite file."""
    if "://" not in url:
        url = f"sqlite:///{url}"
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # WAL's default may lose the last commits when power fails
            connection.execute("PRAGMA busy_timeout=10000")
            connection.execute("PRAGMA cache_size=-8192")

    return engine


class Statement:
    """A statement for many rows, compiled once: building it anew each time costs more than SQLite takes to do it."""

    def __init__(self, statement: Any, dialect: Dialect, names: list[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names, for_executemany=True)
        self._sql = str(compiled)
        self._order: list[str] | None = compiled.positiontup  # of the parameters; None where they go by name

    def execute(self, connection: Connection, rows: list[Row]) -> None:
        if self._order is None:
            connection.exec_driver_sql(self._sql, rows)
        else:
            order = self._order
            connection.exec_driver_sql(self._sql, [tuple(row[name] for name in order) for row in rows])


def _upsert(table: Table, dialect: Dialect) -> Statement:
    """INSERT … ON CONFLICT: the row of that key is replaced."""
    insert = (sqlite if dialect.name == "sqlite" else postgresql).insert(table)
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key]
    others = {name: insert.excluded[name] for name in names if name not in keys}
    return Statement(insert.on_conflict_do_update(index_elements=keys, set_=others), dialect, names)


def _append(table: Table, dialect: Dialect) -> Statement:
    """INSERT of rows whose key the database gives."""
    return Statement(table.insert(), dialect, [column.name for column in table.columns if not column.primary_key])


def _delete(table: Table, dialect: Dialect) -> Statement:
    keys = list(table.primary_key)
    where = [column == bindparam(column.name) for column in keys]
    return Statement(table.delete().where(*where), dialect, [column.name for column in keys])


def _key_row(table: Table, key: Any) -> Row:
    names = [column.name for column in table.primary_key]
    return dict(zip(names, key if len(names) > 1 else (key,), strict=True))


class Store:
    def __init__(self, url: str) -> None:
        self.engine = engine_for(url)
        with self.engine.begin() as connection:
            migrate(connection)
        dialect = self.engine.dialect
        self._upserts = {name: _upsert(table, dialect) for name, table in TABLES.items() if name != "events"}
        self._deletes = {name: _delete(table, dialect) for name, table in TABLES.items()}
        self._append = _append(TABLES["events"], dialect)
        self._queue: queue.SimpleQueue[tuple[Change, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.commits = 0
        self.changes = 0

    # the writer

    def start(self) -> None:
        """Begin to write; to be called on the loop that will ask for commits."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_forever, name="store-writer", daemon=True)
        self._thread.start()

    def commit(self, change: Change) -> asyncio.Future[None]:
        """Done when the change is durable; StoreFull for a refusable one that the store could not take."""
        assert self._loop is not None, "start() comes first"
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((change, future))
        return future

    async def stop(self) -> None:
        """Write what was handed over, then end."""
        if self._thread is not None:
            self._stopping = True
            self._queue.put(_STOP)
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(None, thread.join)
        self.engine.dispose()

    def _write_forever(self) -> None:
        stop = False
        while not stop:
            items = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(items) < MAX_BATCH:
                    items.append(self._queue.get_nowait())
            stop = _STOP in items
            work = [item for item in items if item is not None]
            if work:
                self._write(work)

    def _write(self, work: list[tuple[Change, asyncio.Future[None]]]) -> None:
        """One transaction of all. When that fails, refusable changes are given up, the others tried until it works."""
        while work:
            try:
                self._transaction(Batch(change for change, _ in work))
            except POISON as problem:
                # no later attempt would fare better: who caused it is told, and nobody else waits for it
                if len(work) > 1:
                    for item in work:
                        self._write([item])
                    return
                log.exception("a change that the store can't hold")
                self._tell([work[0][1]], StoreFull(str(problem)))
                return
            except SQLAlchemyError as problem:
                cause = str(getattr(problem, "orig", None) or problem)
                refused = [item for item in work if item[0].refusable]
                work = [item for item in work if not item[0].refusable]
                log.error("the store can't write (%s): %d refused, %d wait", cause, len(refused), len(work))
                self._tell([future for _, future in refused], StoreFull(cause))
                if not isinstance(problem, OperationalError) and work:
                    log.exception("unexpected error of the store")
                if work and self._stopping:
                    self._tell([future for _, future in work], StoreFull(cause))
                    return
                if work:
                    time.sleep(RETRY_SECONDS)
            else:
                self.commits += 1
                self.changes += len(work)
                self._tell([future for _, future in work], None)
                return

    def _transaction(self, batch: Batch) -> None:
        with self.engine.begin() as connection:
            for name, rows in batch.puts.items():
                self._upserts[name].execute(connection, rows)
            if batch.events:
                self._append.execute(connection, batch.events)
            for name, keys in batch.deletes.items():
                self._deletes[name].execute(connection, [_key_row(TABLES[name], key) for key in keys])

    def _tell(self, futures: list[asyncio.Future[None]], problem: Exception | None) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, futures, problem)

    @property
    def waiting(self) -> int:
        """Changes that the writer has not taken up yet."""
        return self._queue.qsize()

    # readers

    async def read(self, question: Callable[[Connection], Any]) -> Any:
        """The answer of a function of a connection, asked off the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.ask, question)

    def ask(self, question: Callable[[Connection], Any]) -> Any:
        with self.engine.connect() as connection:
            return question(connection)


def _settle(futures: Iterable[asyncio.Future[None]], problem: Exception | None) -> None:
    for future in futures:
        if future.done():  # its caller went away
            continue
        if problem is None:
            future.set_result(None)
        else:
            future.set_exception(problem)
