"""The store: changes fold, commits group, refusals are told. On SQLite and on PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from slurm_compat.store import questions
from slurm_compat.store.changes import Batch, Change
from slurm_compat.store.schema import VERSION, WrongVersion
from slurm_compat.store.store import Store, StoreFull


def job_row(number, live=True, end=0, user=7, array=0):
    return {
        "db_index": number,
        "job_id": number,
        "array_job_id": array,
        "user_id": user,
        "submit_time": 100,
        "end_time": end,
        "live": live,
        "data": b"job %d" % number,
        "start_time": 0,
        "task": 1 << 32,
        "state": "COMPLETED",
        "account": "physics",
        "name": "job",
        "partition": "batch",
        "qos": "normal",
        "wckey": "",
        "tres": "",
        "suspended": 0,
    }


def with_store(url, work):
    async def run():
        store = Store(url)
        store.start()
        try:
            return await work(store)
        finally:
            await store.stop()

    return asyncio.run(run())


def test_what_was_last_said_of_a_key_counts():
    first, second = Change(), Change()
    first.put("jobs", 1, job_row(1))
    first.put("outbox", "submit 1", {"key": "submit 1"})
    first.event(1, 100, "submitted")
    second.put("jobs", 1, job_row(1, end=5))
    second.delete("outbox", "submit 1")
    second.event(1, 101, "ended")
    batch = Batch([first, second])
    assert batch.puts == {"jobs": [job_row(1, end=5)]}
    assert batch.deletes == {"outbox": ["submit 1"]}
    assert [event["name"] for event in batch.events] == ["submitted", "ended"]


def test_many_changes_share_commits_and_are_there_afterwards(url):
    async def work(store):
        futures = []
        for number in range(1, 201):
            change = Change()
            change.put("jobs", number, job_row(number))
            change.put("streams", ("q", "s"), {"queue": "q", "job_set": "s", "last_id": str(number)})
            futures.append(store.commit(change))
        await asyncio.gather(*futures)
        return store.commits

    assert with_store(url, work) < 50

    async def read(store):
        return await store.read(questions.saved)

    saved = with_store(url, read)
    assert len(saved.jobs) == 200
    assert saved.streams == {("q", "s"): "200"}


def test_history_is_what_is_no_longer_live(url):
    async def work(store):
        change = Change()
        change.put("jobs", 1, job_row(1, live=False, end=150))
        change.put("jobs", 2, job_row(2, live=False, end=300, user=8))
        change.put("jobs", 3, job_row(3))
        change.put("jobs", 4, job_row(4, live=False, end=300, array=2))
        change.put("steps", (2, "batch"), {"db_index": 2, "step_id": "batch", "data": b"batch"})
        await store.commit(change)

        def ask(**which):
            return store.ask(lambda connection: questions.history(connection, questions.Filter(**which)))

        return (
            ask(), ask(job_ids=[2]), ask(user_ids=[7]), ask(start=200), ask(end=50),
            store.ask(lambda connection: questions.steps_of(connection, [1, 2])),
        )  # fmt: skip

    every, by_id, by_user, ended_later, submitted_before, steps = with_store(url, work)
    assert every == [b"job 1", b"job 2", b"job 4"]
    assert by_id == [b"job 2", b"job 4"]
    assert by_user == [b"job 1", b"job 4"]
    assert ended_later == [b"job 2", b"job 4"]
    assert submitted_before == []
    assert steps == [b"batch"]


def test_deleted_rows_are_gone(url):
    async def work(store):
        change = Change()
        change.put("outbox", "cancel x", {"key": "cancel x", "kind": "cancel", "job_id": 1, "data": "{}"})
        change.put("steps", (1, "0"), {"db_index": 1, "step_id": "0", "data": b""})
        await store.commit(change)
        change = Change()
        change.delete("outbox", "cancel x")
        change.delete("steps", (1, "0"))
        await store.commit(change)
        return (await store.read(questions.saved)).outbox, store.ask(lambda c: questions.steps_of(c, [1]))

    assert with_store(url, work) == ([], [])


def test_a_full_disk_refuses_new_jobs_and_keeps_the_rest_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr("slurm_compat.store.store.RETRY_SECONDS", 0.0)

    async def work(store):
        real = store._transaction
        failures = iter([True, True])

        def sometimes(batch):
            if next(failures, False):
                raise OperationalError("insert", {}, Exception("database or disk is full"))
            real(batch)

        store._transaction = sometimes
        new, old = Change(refusable=True), Change()
        new.put("jobs", 1, job_row(1))
        old.put("jobs", 2, job_row(2))
        return await asyncio.gather(store.commit(new), store.commit(old), return_exceptions=True)

    url = str(tmp_path / "store.sqlite")
    refused, kept = with_store(url, work)
    assert isinstance(refused, StoreFull)
    assert kept is None

    async def read(store):
        return (await store.read(questions.saved)).jobs

    assert with_store(url, read) == [b"job 2"]


def test_a_change_that_can_not_be_held_stops_nobody_elses(tmp_path):
    """No later attempt would do better with a number that the database has no room for."""

    async def work(store):
        changes = [Change(), Change(), Change(refusable=True)]
        for number, change in enumerate(changes, 1):
            change.put("jobs", number, job_row(number) | ({"submit_time": 1 << 63} if number == 2 else {}))
        answers = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
        return answers, (await store.read(questions.saved)).jobs

    (first, poison, new), jobs = with_store(str(tmp_path / "store.sqlite"), work)
    assert (first, new, jobs) == (None, None, [b"job 1", b"job 3"])
    assert isinstance(poison, StoreFull)


def test_a_store_of_a_newer_program_is_refused(tmp_path):
    url = str(tmp_path / "store.sqlite")
    store = Store(url)
    with store.engine.begin() as connection:
        connection.execute(text("update meta set value = :version where key = 'schema'"), {"version": str(VERSION + 1)})
    store.engine.dispose()
    with pytest.raises(WrongVersion):
        Store(url)


def test_environments_that_nobody_needs_go_and_scripts_stay(url):
    async def work(store):
        change = Change()
        for key, kind, used in (("a", "environment", 10), ("b", "environment", 10), ("c", "script", 10)):
            change.put("texts", key, {"hash": key, "kind": kind, "used": used, "data": key.encode()})
        await store.commit(change)
        store.ask(lambda connection: questions.forget_environments(connection, 20, {"b"}))
        return [store.ask(lambda connection, key=key: questions.text_of(connection, key)) for key in "abc"]

    assert with_store(url, work) == [None, b"b", b"c"]
