"""What the engine remembers: jobs, their states, queues and the event streams, in SQLite.

One thread writes. Batches that come while it commits are committed together with the next, so that being durable costs
one disk flush for many jobs. A batch is published (its events delivered, its answer given) once it is on disk.
"""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY, queue TEXT NOT NULL, job_set TEXT NOT NULL, uri TEXT NOT NULL, submitted REAL NOT NULL,
    spec BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS jobs_by_uri ON jobs (queue, job_set, uri) WHERE uri != '';
CREATE TABLE IF NOT EXISTS states (
    job_id TEXT PRIMARY KEY, state INTEGER NOT NULL, live INTEGER NOT NULL, run_id TEXT NOT NULL, data TEXT NOT NULL)
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS states_live ON states (job_id) WHERE live = 1;
CREATE INDEX IF NOT EXISTS states_by_run ON states (run_id) WHERE run_id != '';
CREATE TABLE IF NOT EXISTS client_ids (
    queue TEXT NOT NULL, client_id TEXT NOT NULL, job_id TEXT NOT NULL, stored REAL NOT NULL,
    PRIMARY KEY (queue, client_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, queue TEXT NOT NULL, job_set TEXT NOT NULL, UNIQUE (queue, job_set));
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, stream INTEGER NOT NULL, created REAL NOT NULL, message BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_stream ON events (stream, seq);
"""
VERSION = 1  # of the schema, in user_version

RETENTION = 14 * 86400  # seconds that events and finished jobs are kept
CLIENT_ID_RETENTION = 168 * 3600
MAX_EVENTS = 2_000_000  # rows; the oldest go first
MAX_JOBS = 1_000_000  # rows; the oldest that are finished go first
PRUNE_EVERY = 600  # seconds between two looks, only when something is written
PRUNE_CHUNK = 5000  # rows of one look, so that no commit waits for long
RETRY_DELAY = 0.5  # seconds, after a failed commit

log = logging.getLogger(__name__)


@dataclass
class EventRow:
    seq: int
    stream: int
    key: tuple[str, str]  # queue, job set
    created: float
    message: Any  # EventMessage


@dataclass
class Batch:
    """What becomes durable together. `may_fail`: the caller can tell its user that it did not."""

    may_fail: bool = False
    queues: dict[str, bytes | None] = field(default_factory=dict)  # None: deleted
    jobs: list[tuple[str, str, str, str, float, bytes]] = field(default_factory=list)
    states: dict[str, tuple[int, bool, str, dict[str, Any]]] = field(default_factory=dict)
    client_ids: list[tuple[str, str, str, float]] = field(default_factory=list)
    streams: list[tuple[int, str, str]] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    done: Callable[[Exception | None], None] | None = None

    def __bool__(self) -> bool:
        return bool(
            self.queues or self.jobs or self.states or self.client_ids or self.streams or self.events or self.done
        )


def connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    return connection


class EventLog:
    """`publish(batches)` is called in the writer's thread after each commit; the engine hands it to its loop."""

    def __init__(self, path: str, publish: Callable[[list[Batch], Exception | None], None]) -> None:
        self._path = path
        self._publish = publish
        self.reader = connect(path)
        (version,) = self.reader.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise RuntimeError(f"{path} was written by a newer version (schema {version}, ours is {VERSION})")
        self.reader.executescript(SCHEMA)
        self.reader.execute(f"PRAGMA user_version = {VERSION}")
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._stopping = False
        self._pruned_at = 0.0
        self._thread = threading.Thread(target=self._write_all, name="eventlog", daemon=True)
        self._thread.start()

    def write(self, batch: Batch) -> None:
        self._batches.put(batch)

    def close(self) -> None:
        """Write what is there, then stop."""
        self._stopping = True
        self._batches.put(None)
        self._thread.join()
        self.reader.close()

    # the writer's thread

    def _write_all(self) -> None:
        connection = connect(self._path)
        while True:
            batches: list[Batch] = []
            item = self._batches.get()
            while item is not None:
                batches.append(item)
                try:
                    item = self._batches.get_nowait()
                except queue.Empty:
                    break
            if batches:
                self._commit(connection, batches)
                self._prune(connection)
            if item is None:
                connection.close()
                return

    def _commit(self, connection: sqlite3.Connection, batches: list[Batch]) -> None:
        try:
            transaction(connection, batches)
        except Exception as problem:
            log.error("%s: %s", self._path, problem)
            self._commit_singly(connection, batches)
        else:
            self._publish(batches, None)

    def _commit_singly(self, connection: sqlite3.Connection, batches: list[Batch]) -> None:
        """The disk is full, say: what may fail is refused, the rest is tried until it holds. In order, always."""
        for batch in batches:
            while True:
                try:
                    transaction(connection, [batch])
                except Exception as problem:
                    if batch.may_fail:
                        self._publish([batch], problem)
                        break
                    if self._stopping:
                        return
                    time.sleep(RETRY_DELAY)
                else:
                    self._publish([batch], None)
                    break

    def _prune(self, connection: sqlite3.Connection) -> None:
        now = time.time()
        if now - self._pruned_at < PRUNE_EVERY:
            return
        try:
            if not prune(connection, now):
                self._pruned_at = now
        except sqlite3.Error as problem:
            self._pruned_at = now
            log.error("%s: pruning: %s", self._path, problem)

    # questions, answered from what is committed

    def last_seq(self) -> int:
        return int(self.reader.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    def all_streams(self) -> list[tuple[int, str, str]]:
        return self.reader.execute("SELECT id, queue, job_set FROM streams").fetchall()

    def all_queues(self) -> list[tuple[str, bytes]]:
        return self.reader.execute("SELECT name, message FROM queues ORDER BY name").fetchall()

    def live_jobs(self) -> list[tuple[bytes, float, int, dict[str, Any]]]:
        """(spec, submitted, state, what changes) of each."""
        rows = self.reader.execute(
            "SELECT spec, submitted, state, data FROM states JOIN jobs USING (job_id) WHERE live = 1 ORDER BY job_id"
        )
        return [(spec, submitted, state, json.loads(data)) for spec, submitted, state, data in rows]

    def events_after(self, stream: int, seq: int, limit: int) -> list[tuple[int, float, bytes]]:
        return self.reader.execute(
            "SELECT seq, created, message FROM events WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?",
            (stream, seq, limit),
        ).fetchall()

    def job_ids_of_clients(self, queue: str, client_ids: Iterable[str]) -> dict[str, str]:
        """client id: the job that it was first used for."""
        found: dict[str, str] = {}
        wanted = [client_id for client_id in client_ids if client_id]
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            found.update(
                self.reader.execute(
                    f"SELECT client_id, job_id FROM client_ids WHERE queue = ? AND client_id IN ({marks(part)})",
                    (queue, *part),
                ).fetchall()
            )
        return found

    def jobs_of_uri(self, queue: str, job_set: str, uri: str) -> list[str]:
        rows = self.reader.execute(
            "SELECT job_id FROM jobs WHERE queue = ? AND job_set = ? AND uri = ? AND uri != ''", (queue, job_set, uri)
        )
        return [job_id for (job_id,) in rows]

    def states_of(self, ids: list[str]) -> dict[str, int]:
        return dict(
            self.reader.execute(f"SELECT job_id, state FROM states WHERE job_id IN ({marks(ids)})", ids).fetchall()
        )

    def details_of(self, ids: list[str]) -> dict[str, tuple[bytes, float, int, dict[str, Any]]]:
        """job id: (spec, submitted, state, what changes)."""
        rows = self.reader.execute(
            "SELECT job_id, spec, submitted, state, data FROM states JOIN jobs USING (job_id) "
            f"WHERE job_id IN ({marks(ids)})",
            ids,
        )
        return {job_id: (spec, submitted, state, json.loads(data)) for job_id, spec, submitted, state, data in rows}

    def jobs_of_runs(self, run_ids: list[str]) -> list[str]:
        rows = self.reader.execute(f"SELECT job_id FROM states WHERE run_id IN ({marks(run_ids)})", run_ids)
        return [job_id for (job_id,) in rows]


def marks(values: list[str]) -> str:
    return ",".join("?" * len(values))


def transaction(connection: sqlite3.Connection, batches: list[Batch]) -> None:
    """All of the batches or nothing. A job that several of them changed is written once, as the last says."""
    states: dict[str, tuple[int, bool, str, dict[str, Any]]] = {}
    connection.execute("BEGIN IMMEDIATE")
    try:
        for batch in batches:
            for name, message in batch.queues.items():
                if message is None:
                    connection.execute("DELETE FROM queues WHERE name = ?", (name,))
                else:
                    connection.execute("INSERT OR REPLACE INTO queues VALUES (?, ?)", (name, message))
            if batch.streams:
                connection.executemany("INSERT OR IGNORE INTO streams VALUES (?, ?, ?)", batch.streams)
            if batch.jobs:
                connection.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", batch.jobs)
            if batch.client_ids:
                connection.executemany("INSERT OR REPLACE INTO client_ids VALUES (?, ?, ?, ?)", batch.client_ids)
            if batch.events:
                connection.executemany(
                    "INSERT INTO events VALUES (?, ?, ?, ?)",
                    [(row.seq, row.stream, row.created, row.message.SerializeToString()) for row in batch.events],
                )
            states.update(batch.states)
        connection.executemany(
            "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?)",
            [(job_id, state, live, run, json.dumps(data)) for job_id, (state, live, run, data) in states.items()],
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def prune(connection: sqlite3.Connection, now: float) -> bool:
    """Forget a chunk of what is older than the retention; True while there is more of it."""
    (first, last) = connection.execute("SELECT min(seq), max(seq) FROM events").fetchone()
    deleted = 0
    if first is not None:
        floor = last - MAX_EVENTS
        rows = connection.execute(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?) "
            "AND (created < ? OR seq <= ?)",
            (PRUNE_CHUNK, now - RETENTION, floor),
        )
        deleted = max(deleted, rows.rowcount)
    old = connection.execute(
        "SELECT job_id FROM jobs JOIN states USING (job_id) "
        "WHERE jobs.rowid IN (SELECT rowid FROM jobs ORDER BY rowid LIMIT ?) AND live = 0 "
        "AND (submitted < ? OR jobs.rowid <= (SELECT max(rowid) FROM jobs) - ?)",
        (PRUNE_CHUNK, now - RETENTION, MAX_JOBS),
    ).fetchall()
    if old:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM jobs WHERE job_id = ?", old)
        connection.executemany("DELETE FROM states WHERE job_id = ?", old)
        connection.execute("COMMIT")
    deleted = max(deleted, len(old))
    connection.execute("DELETE FROM client_ids WHERE stored < ?", (now - CLIENT_ID_RETENTION,))
    return deleted >= PRUNE_CHUNK
