"""What one user may have open at the controller's socket, and what happens to who wants more."""

import asyncio
import json
import struct

import pytest

from slurm_compat.controller import crowd
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.crowd import Crowd, connections_each
from slurm_compat.controller.server import MOST_FIELDS, SMALL_FRAME, Server
from slurm_compat.core.wire import frame

LENGTH = struct.Struct(">I")
BIG = "x" * (1 << 20)


def answers(session, call, args):
    if call.name == "wait_job":
        session.on_close = lambda: None
        return None
    return {"text": BIG} if call.name == "config" else {}


def serve(tmp_path, work, power=False, most=crowd.MOST_CONNECTIONS):
    """Run `work(server, connect)` against a server whose callers are users, or its own."""

    async def run():
        server = Server(
            answers, lambda uid, gid: Caller(7, 7, "u", "g", False, False, slurm_user=power), lambda _: None
        )
        server.crowd.most = most
        path = str(tmp_path / "c.sock")
        await server.listen_unix(path)
        try:
            return await asyncio.wait_for(work(server, lambda: asyncio.open_unix_connection(path)), 20)
        finally:
            await server.close()

    return asyncio.run(run())


async def heard(reader):
    """The next frame; None when the connection was ended."""
    try:
        (length,) = LENGTH.unpack(await reader.readexactly(4))
        return json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def said(connect, data):
    reader, writer = await connect()
    writer.write(data)
    answer = await heard(reader)
    writer.close()
    return answer


def test_a_user_has_so_many_connections_and_gets_new_ones_for_old(tmp_path):
    async def work(server, connect):
        first = [await connect() for _ in range(3)]
        refused = await said(connect, frame({"call": "ping"}))
        first[0][1].close()
        while len(server.connections) > 2:
            await asyncio.sleep(0)
        return refused, await said(connect, frame({"call": "ping"}))

    assert serve(tmp_path, work, most=3) == (None, {"result": {}})


def test_the_controllers_own_user_is_not_counted(tmp_path):
    async def work(server, connect):
        kept = [await connect() for _ in range(3)]
        answer = await said(connect, frame({"call": "ping"}))
        return len(kept), answer

    assert serve(tmp_path, work, power=True, most=1) == (3, {"result": {}})


def test_half_frames_of_one_user_are_bounded_together(tmp_path, monkeypatch):
    monkeypatch.setattr(crowd, "MOST_BYTES", 100_000)

    async def work(server, connect):
        half = LENGTH.pack(1 << 20) + b" " * 60_000
        (_, one), (reader, two) = await connect(), await connect()
        one.write(half)
        await one.drain()
        two.write(half)
        dropped = await heard(reader)
        one.close()
        while server.connections:
            await asyncio.sleep(0)
        return dropped, await said(connect, frame({"call": "ping"})), server.crowd._bytes, server.crowd._open

    dropped, answer, held, _ = serve(tmp_path, work)
    assert (dropped, answer) == (None, {"result": {}})
    assert not any(held.values())


def test_who_does_not_read_is_not_answered_any_further(tmp_path):
    asked = 0

    async def work(server, connect):
        nonlocal asked
        server.count = lambda name: count.append(name)
        count = []
        reader, writer = await connect()
        writer.write(frame({"call": "config"}) * 200)
        await writer.drain()
        while len(count) < 2:
            await asyncio.sleep(0.001)
        for _ in range(50):
            await asyncio.sleep(0)
        unread = len(count)
        got = [len((await heard(reader))["result"]["text"]) for _ in range(200)]
        return unread, got

    unread, got = serve(tmp_path, work)
    assert unread < 20
    assert got == [len(BIG)] * 200


@pytest.mark.parametrize(
    "call, words",
    [
        ({"call": "jobs", "args": {"fields": ["job_id"] * (MOST_FIELDS + 1)}}, "more than 1000 fields"),
        ({"call": "ping", "args": {"x": "y" * SMALL_FRAME}}, "too many for ping"),
    ],
)
def test_what_is_too_much_to_ask(tmp_path, call, words):
    answer = serve(tmp_path, lambda server, connect: said(connect, frame(call)))
    assert words in answer["error"][1]


def test_nested_without_end_is_refused_like_any_nonsense(tmp_path, caplog):
    deep = b"[" * 200_000 + b"]" * 200_000

    async def work(server, connect):
        bodies = [b'{"call":"ping","args":' + deep + b"}", deep]
        return [await said(connect, LENGTH.pack(len(body)) + body) for body in bodies]

    assert serve(tmp_path, work) == [None, None]
    assert "Traceback" not in caplog.text


def test_a_connection_waits_for_one_thing_only(tmp_path):
    async def work(server, connect):
        return await said(connect, frame({"call": "wait_job", "args": {"job_id": 1}}) * 2)

    assert "waits for something already" in serve(tmp_path, work)["error"][1]


def test_the_log_is_not_flooded(caplog):
    now = [100.0]
    one = Crowd(clock=lambda: now[0])
    with caplog.at_level("INFO"):
        for _ in range(1000):
            one.tell("a\nb")
        now[0] += 61
        one.tell("c")
    assert [record.getMessage() for record in caplog.records] == ["a b"] * crowd.LINES + [
        "970 more lines like these",
        "c",
    ]


@pytest.mark.parametrize("files, each", [(64, 16), (1024, 256), (16384, 1024), (1 << 20, 1024)])
def test_no_user_takes_all_the_files(files, each):
    assert connections_each(files) == each
