"""Hours of use in the store, SQLite or PostgreSQL: added up from its records, added up anew, and summed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from slurm_compat.controller import accounting, reports, rolling
from slurm_compat.controller.rolling import Rolling, days_around, days_within, roll, whole_hour
from slurm_compat.controller.rollup import ASSOCIATION, HOUR
from slurm_compat.controller.table import Table, job_row
from slurm_compat.core.bookargs import JobSizes
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.jobargs import Accounting
from slurm_compat.core.model import JobRequest
from slurm_compat.store import history, rollups
from slurm_compat.store.changes import Change
from slurm_compat.store.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))
from jobsmade import job

sys.path.pop(0)

NOW = 1_791_000_000 - 1_791_000_000 % HOUR
CAPACITY = {"cpu": 8, "billing": 8}
KNOWN = [("physics", "alice"), ("physics", "bob"), ("biology", "bob")]


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(rolling, "capacity_of", lambda cluster: CAPACITY)
    monkeypatch.setattr(rolling, "owners_of", lambda cluster: KNOWN)
    yield
    monkeypatch.undo()
    time.tzset()


class World:
    """As much of a controller as adding up needs."""

    def __init__(self, store: Store, now: int) -> None:
        self.store = store
        self.commit = store.commit
        self.rolling = Rolling()
        self.cluster = SimpleNamespace(conf=ClusterConf())
        self.now = lambda: now


def ran(number: int, start: int, end: int, live: bool = False, cpus: int = 2, **more):
    values = {
        "db_index": number, "user_name": "alice", "account": "physics", "qos": "normal", "nodes": "n1",
        "state": "RUNNING" if live else "COMPLETED", "submit_time": start, "eligible_time": start, "start_time": start,
        "end_time": 0 if live else end, "tres_req_str": f"cpu={cpus},billing={cpus}",
        "tres_alloc_str": f"cpu={cpus},billing={cpus}",
    }  # fmt: skip
    return job_row(job(**{"job_id": number} | values | more), live=live)


def play(url, story):
    async def run():
        store = Store(url)
        store.start()
        try:
            return await story(store)
        finally:
            await store.stop()

    return asyncio.run(run())


async def put(store, *rows):
    change = Change()
    for row in rows:
        change.put("jobs", row["db_index"], row)
    await store.commit(change)


def sums(store, start, end):
    found = store.ask(lambda c: rollups.used(c, ASSOCIATION, start, end, days_within(start, end)))
    plain = store.ask(lambda c: rollups.used(c, ASSOCIATION, start, end))
    assert found == plain  # whole days say what their hours say
    return {(row.first, row.second, row.tres): row.seconds for row in found}


def test_what_ended_and_what_goes_on_is_added_up_hour_by_hour(url):
    async def story(store):
        await put(store, ran(1, NOW - 3 * HOUR, NOW - 2 * HOUR + 60), ran(2, NOW - 90, 0, live=True))
        await roll(World(store, NOW + 30))
        hours = [sums(store, NOW + back * HOUR, NOW + (back + 1) * HOUR) for back in (-3, -2, -1, 0)]
        cluster = store.ask(lambda c: rollups.cluster(c, NOW - 3 * HOUR, NOW))
        return hours, cluster, store.ask(rollups.marks)

    hours, cluster, marks = play(url, story)
    key = ("physics", "alice", "cpu")
    assert [hour.get(key, 0) for hour in hours] == [2 * HOUR, 120, 180, 0]
    assert cluster["cpu"] == {
        "count": 8, "total": 3 * 8 * HOUR, "alloc": 2 * HOUR + 300, "down": 0, "pdown": 0,
        "idle": 3 * 8 * HOUR - 2 * HOUR - 300, "plan": 0, "over": 0,
    }  # fmt: skip
    assert marks == (NOW - 3 * HOUR, NOW)


def test_adding_up_again_changes_nothing(url):
    async def story(store):
        await put(store, ran(1, NOW - 30 * HOUR, NOW - 5), ran(2, NOW - 40 * HOUR, NOW - 26 * HOUR))
        await roll(World(store, NOW))
        before = sums(store, NOW - 50 * HOUR, NOW)
        await store.commit(_mark(rollups.ROLLED, NOW - 33 * HOUR))  # as a controller killed in between left it
        await roll(World(store, NOW))
        return before, sums(store, NOW - 50 * HOUR, NOW)

    before, after = play(url, story)
    assert before == after
    assert before["physics", "alice", "cpu"] == 2 * (30 * HOUR - 5 + 14 * HOUR)


def _mark(key, at):
    change = Change()
    change.put("meta", key, rollups.mark_row(key, at))
    return change


def test_late_news_of_an_hour_add_it_up_again(url):
    async def story(store):
        await put(store, ran(1, NOW - 3 * HOUR, 0, live=True))
        world = World(store, NOW)
        await roll(world)
        first = sums(store, NOW - 3 * HOUR, NOW)
        # it had ended long before, and nobody knew
        change = Change()
        row = ran(1, NOW - 3 * HOUR, NOW - 2 * HOUR - 10)
        change.put("jobs", 1, row)
        world.rolling.news(NOW - 2 * HOUR - 10, change)
        await store.commit(change)
        assert store.ask(rollups.marks)[1] == NOW - 3 * HOUR
        await roll(World(store, NOW))  # even by another controller
        return first, sums(store, NOW - 3 * HOUR, NOW)

    first, then = play(url, story)
    assert first["physics", "alice", "cpu"] == 6 * HOUR
    assert then["physics", "alice", "cpu"] == 2 * (HOUR - 10)


def test_news_while_hours_are_added_up_are_not_lost():
    one = Rolling()
    one.to = NOW
    one.begin()
    change = Change()
    one.news(NOW - HOUR - 5, change)
    assert change.rows["meta", rollups.ROLLED]["value"] == str(NOW - 2 * HOUR)
    assert one.done(NOW + HOUR) == NOW - 2 * HOUR
    one.begin()
    assert one.done(NOW + HOUR) == NOW + HOUR
    quiet = Change()
    one.news(NOW + HOUR + 5, quiet)
    assert not quiet


def test_a_job_that_waited_is_planned_for_and_reservations_count(url):
    async def story(store):
        change = Change()
        course = {
            "name": "course", "reservation_id": 3, "start_time": NOW - HOUR, "end_time": NOW - 1800, "tres": "cpu=4",
            "nodes": ["n1"], "accounts": ["physics"], "users": ["bob"],
        }  # fmt: skip
        data = json.dumps(course)
        change.put("things", ("reservation", "3 1"), {"kind": "reservation", "name": "3 1", "data": data})
        await store.commit(change)
        await put(store, ran(1, NOW - 600, NOW - 300, eligible_time=NOW - 1200), ran(2, NOW - 2 * HOUR, NOW - HOUR))
        await roll(World(store, NOW))
        kept = store.ask(lambda c: rolling.recorded(c, NOW - HOUR, NOW))
        return sums(store, NOW - HOUR, NOW), store.ask(lambda c: rollups.cluster(c, NOW - HOUR, NOW)), kept

    used, cluster, kept = play(url, story)
    assert used["physics", "bob", "cpu"] == 4 * 1800  # nobody ran in it
    assert cluster["cpu"]["alloc"] == 4 * 1800 + 2 * 300
    assert cluster["cpu"]["plan"] == 2 * 600
    (one,) = kept
    assert one.owners(KNOWN) == (("physics", "bob"),)
    one.accounts = []
    assert one.owners(KNOWN) == (("physics", "bob"), ("biology", "bob"))
    one.users, one.accounts = [], ["physics"]
    assert one.owners(KNOWN) == (("physics", ""),)
    one.denied = ["accounts"]
    assert one.owners(KNOWN) == ()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])
def test_days_and_hours_are_those_of_the_clock(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    start, end = (int(time.mktime((2026, month, 1, 0, 0, 0, 0, 0, -1))) for month in (10, 11))
    days = days_within(start, end)
    assert (days[0][0], days[-1][1], len(days)) == (start, end, 31)
    assert all(one[1] == following[0] for one, following in pairwise(days))
    assert {time.localtime(day[0])[3:6] for day in days} == {(0, 0, 0)}
    assert time.localtime(whole_hour(start + 5000))[3:6] == (1, 0, 0)
    assert list(days_around(start + HOUR, start + 2 * HOUR)) == days[:1]


# the listing of what has been


def test_keys_come_in_the_order_sacct_lists_and_by_what_is_asked(url):
    async def story(store):
        await put(
            store,
            ran(9, 100, 200, account="biology", name="a"),
            ran(2, 300, 400, array_job_id=2, array_task_id=5, state="FAILED"),
            ran(3, 300, 400, array_job_id=2, array_task_id=1, partition="gpu"),
            ran(7, 500, 600, qos="high", name="b"),
            ran(8, 500, 0, live=True),
        )

        def ask(**which):
            return list(store.ask(lambda c: history.keys(c, history.Filter(**which))))

        return [
            ask(), ask(accounts=["biology"]), ask(names=["b"]), ask(partitions=["gpu"]), ask(qos=["high"]),
            ask(states=["FAILED"], start=350, ended_by=450), ask(job_ids=[2]), ask(db_indexes=[3]), ask(start=450),
            ask(end=99), ask(job_ids=range(1, 2000)),
            store.ask(lambda c: history.records(c, [7, 9, 1])),
        ]  # fmt: skip

    *found, records = play(url, story)
    assert found == [[9, 3, 2, 7], [9], [7], [3], [7], [2], [3, 2], [3], [7], [], [9, 3, 2, 7]]
    assert len(records) == 2  # in the order asked for; what is gone is left out


def test_sizes_of_the_past_are_those_of_its_records(url):
    """Added up by the database, or record by record."""

    def made():
        rows = [
            ran(1, 100, 200), ran(2, 150, 400, cpus=4, suspended_for=50, account="biology"), ran(3, 0, 90, nodes=""),
            ran(4, 90, 300, request=JobRequest(wckey="key")), ran(5, 350, 0, live=True, cpus=8), ran(6, 10, 20),
        ]  # fmt: skip
        return [row | {"start_time": row["start_time"] if number != 2 else 0} for number, row in enumerate(rows)]

    async def story(store):
        await put(store, *made())
        args = {"start": 100, "end": 380}
        caller = SimpleNamespace(caller=None)
        world = SimpleNamespace(store=store, now=lambda: 400)
        quick = await reports.job_sizes(world, caller, JobSizes(**args))
        slow = await reports.job_sizes(world, caller, JobSizes(**args, group_ids=[1000]))
        keyed = await reports.job_sizes(world, caller, JobSizes(**args, wckeys=["key"], tres="billing"))
        return quick["rows"], slow["rows"], keyed["rows"]

    quick, slow, keyed = play(url, story)
    assert quick == slow
    assert quick == [
        ["biology", "", 4, 4 * 230 * 200 // 250, 1], ["physics", "", 2, 200, 1], ["physics", "", 8, 240, 1],
        ["physics", "key", 2, 400, 1],
    ]  # fmt: skip
    assert keyed == [["physics", "key", 2, 400, 1]]


def test_a_listing_has_the_last_run_of_each_job_and_memorys_word(url):
    async def story(store):
        await put(
            store,
            ran(11, 100, 200, job_id=1, state="REQUEUED"), ran(2, 150, 160), ran(13, 300, 400, job_id=1),
            ran(14, 100, 500, job_id=4, state="NODE_FAIL"), ran(5, 600, 0, live=True),
        )  # fmt: skip
        table = Table()
        again = job(4, db_index=15, submit_time=550, eligible_time=550, restart_cnt=1, account="physics")
        for one in (again, job(5, db_index=5, submit_time=600, account="physics")):
            table.place(one)
        world = SimpleNamespace(
            store=store, table=table, now=lambda: 1000, conf=ClusterConf(), cluster=SimpleNamespace(conf=ClusterConf())
        )

        async def listed(**asked):
            args = Accounting(fields=["job_id", "db_index"], steps=False, **asked)
            chunks = await accounting.accounting(world, SimpleNamespace(caller=None), args)
            return [row[1] async for rows in chunks for row in rows]

        return [
            await listed(), await listed(duplicates=True), await listed(targets=["1"]), await listed(end=250),
            await listed(states=["NODE_FAIL"], start=450, end=1000), await listed(user_ids=[9]),
        ]  # fmt: skip

    assert play(url, story) == [[2, 13, 15, 5], [11, 14, 2, 13, 15, 5], [13], [11, 14, 2], [14], []]
