"""A store that an older program made has the columns of today after it was opened once."""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import inspect, text

from slurm_compat.controller.table import job_row
from slurm_compat.core.model import JobRequest
from slurm_compat.store import history
from slurm_compat.store.schema import HISTORY, VERSION, jobs, metadata
from slurm_compat.store.store import Store, engine_for

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))
from jobsmade import job

sys.path.pop(0)


def first_version(url: str, *rows: dict) -> None:
    """A store as version 1 left it."""
    engine = engine_for(url)
    later = [column.name for column in HISTORY]
    with engine.begin() as connection:
        for name in ("jobs", "steps", "events", "texts", "outbox", "submissions", "streams", "things", "meta"):
            metadata.tables[name].create(connection)
        for index in jobs.indexes:
            if any(column.name in later for column in index.columns):
                index.drop(connection)
        for name in later:
            connection.execute(text(f'ALTER TABLE jobs DROP COLUMN "{name}"'))
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('schema', '1')"))
        names = [name for name in rows[0] if name not in later]
        columns, places = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
        for row in rows:
            connection.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({places})"), {n: row[n] for n in names})
    engine.dispose()


def test_jobs_of_an_older_store_are_found_by_the_new_columns(url):
    ended = {"state": "FAILED", "start_time": 100, "end_time": 200, "nodes": "n1", "account": "physics", "qos": "high"}
    first_version(
        url,
        job_row(job(1, name="one", request=JobRequest(wckey="key"), **ended), live=False),
        job_row(job(2, name="two", array_job_id=2, array_task_id=4, **ended), live=False),
        job_row(job(3)),
    )
    store = Store(url)
    try:
        assert set(inspect(store.engine).get_table_names()) >= set(metadata.tables)
        for which, found in (
            ({"names": ["two"]}, [2]),
            ({"wckeys": ["key"]}, [1]),
            ({"accounts": ["physics"], "qos": ["high"], "states": ["FAILED"], "partitions": ["compute"]}, [1, 2]),
        ):
            keys = store.ask(lambda connection, which=which: history.keys(connection, history.Filter(**which)))
            assert list(keys) == found, which
        query = text("SELECT value FROM meta WHERE key = 'schema'")
        assert store.ask(lambda connection: connection.execute(query).scalar()) == str(VERSION)
    finally:
        store.engine.dispose()
