"""The log, the streams and the pieces of the kubelet that need no pod."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time

import pytest
from armada_client.armada import event_pb2, submit_pb2

from slurm_compat.engine import eventlog
from slurm_compat.engine.eventlog import Batch, EventLog, EventRow, prune
from slurm_compat.engine.namespaces import hosts_text
from slurm_compat.engine.outcome import ended_frame
from slurm_compat.engine.podspec import expanded
from slurm_compat.engine.procs import process, start_time
from slurm_compat.engine.service import states_of_filter
from slurm_compat.engine.spool import END, Spool
from slurm_compat.engine.streams import BadMessageId, Streams, message_id, seq_of


@pytest.fixture
def published():
    return []


@pytest.fixture
def log(tmp_path, published):
    made = EventLog(
        str(tmp_path / "log.sqlite"), lambda batches, problem: published.extend((b, problem) for b in batches)
    )
    yield made
    made.close()


def queued(job_id):
    return event_pb2.EventMessage(queued=event_pb2.JobQueuedEvent(job_id=job_id))


def write(log, batch):
    """Write and wait until it is published."""
    done = threading.Event()
    problems = []
    batch.done = lambda problem: None
    publish = log._publish

    def tell(batches, problem):
        publish(batches, problem)
        if batch in batches:
            problems.append(problem)
            done.set()

    log._publish = tell
    log.write(batch)
    assert done.wait(30)
    log._publish = publish
    return problems[0]


def state(number, live=True, run=""):
    return number, live, run, {"n": number}


def test_what_was_written_is_there_after_a_restart(tmp_path, log):
    now = time.time()
    batch = Batch(
        queues={"q": submit_pb2.Queue(name="q").SerializeToString()},
        jobs=[("j1", "q", "s", "u", now, b"spec"), ("j2", "q", "s", "", now, b"two")],
        states={"j1": state(1), "j2": state(2, live=False, run="r2")},
        client_ids=[("q", "c", "j1", now)],
        streams=[(1, "q", "s")],
        events=[EventRow(seq, 1, ("q", "s"), now, queued(f"j{seq}")) for seq in (1, 2, 3)],
    )
    assert write(log, batch) is None
    again = EventLog(str(tmp_path / "log.sqlite"), lambda batches, problem: None)
    assert again.live_jobs() == [(b"spec", now, 1, {"n": 1})]
    assert again.job_ids_of_clients("q", ["c", "", "d"]) == {"c": "j1"}
    assert again.job_ids_of_clients("other", ["c"]) == {}
    assert again.jobs_of_uri("q", "s", "u") == ["j1"]
    assert again.jobs_of_uri("q", "s", "") == []
    assert again.states_of(["j1", "j2", "j3"]) == {"j1": 1, "j2": 2}
    assert again.jobs_of_runs(["r2", "r9"]) == ["j2"]
    assert [seq for seq, _, _ in again.events_after(1, 1, 10)] == [2, 3]
    assert again.last_seq() == 3
    assert [name for name, _ in again.all_queues()] == ["q"]
    again.close()
    write(log, Batch(queues={"q": None}, states={"j1": state(4, live=False)}))
    assert log.all_queues() == [] and log.live_jobs() == []


def test_a_full_disk_refuses_what_may_fail_and_keeps_the_rest(log, published, monkeypatch):
    monkeypatch.setattr(eventlog, "RETRY_DELAY", 0.01)
    real = eventlog.transaction
    broken = threading.Event()
    broken.set()

    def transaction(connection, batches):
        if broken.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        real(connection, batches)

    monkeypatch.setattr(eventlog, "transaction", transaction)
    problem = write(log, Batch(may_fail=True, states={"a": state(1)}))
    assert isinstance(problem, sqlite3.OperationalError)
    kept = Batch(states={"b": state(2)})
    log.write(kept)
    refused = Batch(may_fail=True, states={"c": state(3)})
    log.write(refused)
    broken.clear()
    write(log, Batch(states={"d": state(4)}))
    assert "a" not in log.states_of(["a", "b", "c", "d"])
    assert log.states_of(["b", "d"]) == {"b": 2, "d": 4}
    order = [batch for batch, _ in published]
    assert order.index(kept) < order.index(refused)


def test_old_events_and_jobs_are_forgotten(log):
    now = time.time()
    old, new = now - eventlog.RETENTION - 10, now - 10
    write(
        log,
        Batch(
            jobs=[("old", "q", "s", "", old, b""), ("alive", "q", "s", "", old, b""), ("new", "q", "s", "", new, b"")],
            states={"old": state(3, live=False), "alive": state(1), "new": state(3, live=False)},
            client_ids=[("q", "old", "old", old), ("q", "new", "new", new)],
            streams=[(1, "q", "s")],
            events=[EventRow(1, 1, ("q", "s"), old, queued("old")), EventRow(2, 1, ("q", "s"), new, queued("new"))],
        ),
    )
    # the writer looks itself after a commit; looking again changes nothing
    connection = eventlog.connect(log._path)
    assert prune(connection, now) is False
    connection.close()
    assert sorted(log.states_of(["old", "alive", "new"])) == ["alive", "new"]
    assert [seq for seq, _, _ in log.events_after(1, 0, 10)] == [2]
    assert log.job_ids_of_clients("q", ["old", "new"]) == {"new": "new"}


def test_a_log_of_the_future_is_not_touched(tmp_path):
    path = str(tmp_path / "log.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RuntimeError, match="newer version"):
        EventLog(path, lambda batches, problem: None)


def test_followers_see_every_event_once_however_far_behind(log, monkeypatch):
    monkeypatch.setattr("slurm_compat.engine.streams.KEPT", 10)
    monkeypatch.setattr("slurm_compat.engine.streams.CHUNK", 7)
    key = ("q", "s")

    async def scene():
        streams = Streams(log)
        number, is_new = streams.stream(key)
        assert is_new

        def add(count):
            rows = [EventRow(streams.next_seq(), number, key, 1.0, queued("j")) for _ in range(count)]
            write(log, Batch(streams=[(number, *key)], events=rows))
            streams.publish(rows)

        add(5)
        follower = streams.follow(key, 0, True)
        got = [seq_of((await anext(follower)).id)]
        slow = streams.follow(key, 3, True)
        late = [seq_of((await anext(slow)).id)]
        for _ in range(6):
            add(30)
            while got[-1] < streams.committed:
                got.append(seq_of((await anext(follower)).id))
        while late[-1] < streams.committed:
            late.append(seq_of((await anext(slow)).id))
        assert got == list(range(1, 186))
        assert late == list(range(4, 186))
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        assert not waiting.done()
        add(1)
        assert seq_of((await waiting).id) == 186
        assert [seq_of(m.id) async for m in streams.follow(key, 180, False)] == list(range(181, 187))
        assert [m async for m in streams.follow(("q", "other"), 0, False)] == []
        await follower.aclose()
        await slow.aclose()
        assert not streams._watched

    asyncio.run(scene())


@pytest.mark.parametrize("text", ["x", "1:2", "1:x:0:1", "1:2:3:4:5"])
def test_message_ids_that_are_none(text):
    with pytest.raises(BadMessageId):
        seq_of(text)


def test_message_ids():
    assert seq_of("") == 0
    assert seq_of(message_id(12.5, 7)) == 7


def test_hosts_of_a_virtual_cluster():
    own = "127.0.0.1 localhost n1\n# n2 is a comment\n10.0.0.9 n2\n::1 localhost\n"
    assert hosts_text(own, {"n1": "127.90.0.1", "n2": "127.90.0.2"}) == (
        "127.0.0.1\tlocalhost\n# n2 is a comment\n::1 localhost\n127.90.0.1\tn1\n127.90.0.2\tn2\n"
    )


RECORD = {"run_id": "r", "job_id": "j", "containers": [{"name": "main"}]}


def said(code):
    return {"containers": [{"name": "main", "exit_code": code, "message": ""}], "at": 7.0}


@pytest.mark.parametrize(
    "said, status, cause, kills, want",
    [
        (said(0), 0, "", 0, ("", 0, "Completed")),
        (said(0), 0, "", 1, ("", 0, "Completed")),
        (said(3), 3, "", 0, ("Error", 3, "Error")),
        (said(137), 137, "", 1, ("OOM", 137, "OOMKilled")),
        (said(143), 143, "DeadlineExceeded", 0, ("DeadlineExceeded", 143, "DeadlineExceeded")),
        (said(0), 0, "DeadlineExceeded", 0, ("DeadlineExceeded", 0, "Completed")),
        (None, -9, "", 0, ("Error", 137, "Error")),
        (None, 1, "", 0, ("Error", 1, "Error")),
        (None, None, "", 0, ("Error", 137, "Error")),
    ],
)
def test_how_a_pod_ended(said, status, cause, kills, want):
    frame = ended_frame(RECORD, said, status, cause, kills)
    (container,) = frame["containers"]
    assert (frame["cause"], container["exit_code"], container["reason"]) == want
    assert bool(frame["reason"]) == bool(frame["cause"])


def test_a_pod_is_claimed_once(tmp_path):
    spool = Spool(str(tmp_path))
    assert spool.claim("r", {"run_id": "r"})
    assert not spool.claim("r", {"run_id": "r", "second": True})
    spool.put("r", END, {"x": 1})
    (tmp_path / "r2.json.999999999").write_text("{")
    (tmp_path / "r3.json").write_text("{")
    assert spool.records() == [{"run_id": "r"}]
    assert spool.get("r", END) == {"x": 1}
    spool.forget("r")
    spool.forget("r")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r3.json"]


@pytest.mark.parametrize(
    "text, want",
    [("plain", "plain"), ("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$$$(A)", "$1"), ("$(A", "$(A")],
)
def test_references_in_commands(text, want):
    assert expanded(text, {"A": "1"}) == want


Q, P, R = submit_pb2.QUEUED, submit_pb2.PENDING, submit_pb2.RUNNING


@pytest.mark.parametrize(
    "states, wants_queued, wants_running",
    [
        ([], True, True),
        ([Q], True, False),
        ([P, R], False, True),
        ([Q, P, R], True, True),
        ([submit_pb2.FAILED], True, False),
    ],
)
def test_job_set_filters(states, wants_queued, wants_running):
    chosen = states_of_filter(states)
    assert (Q in chosen, R in chosen) == (wants_queued, wants_running)


def test_a_process_that_is_not_there():
    assert process(0x7FFFFFFF) is None and start_time(0x7FFFFFFF) == 0
