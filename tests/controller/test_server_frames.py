"""The socket: good calls are answered, bad ones refused by word, garbage costs its connection and nothing else."""

import asyncio
import json
import os
import socket
import struct

import pytest

from slurm_compat.controller.caller import Caller
from slurm_compat.controller.server import Server, bind_unix
from slurm_compat.core.errors import INVALID_JOB_ID, SlurmError
from slurm_compat.core.wire import MAX_FRAME, frame


def caller_of(uid, gid):
    return Caller(uid, gid, "somebody", "group", False, False)


def answers(session, call, args):
    if call.name == "ping":
        return {"uid": session.caller.uid}
    if call.name == "jobs":
        return iter([[[1]], [[2], [3]]])
    if call.name == "job_script":
        raise SlurmError(INVALID_JOB_ID)
    if call.name == "hold":
        raise ZeroDivisionError
    return None


def talk(tmp_path, *conversations):
    """What each connection got in answer: a list of decoded frames, None at the end if it was closed."""
    path = str(tmp_path / "c.sock")

    async def one(data):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        got = []
        try:
            while True:
                head = await asyncio.wait_for(reader.readexactly(4), 1.0)
                got.append(json.loads(await reader.readexactly(struct.unpack(">I", head)[0])))
                if "result" in got[-1] or "error" in got[-1]:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            got.append(None)
        writer.close()
        return got

    async def run():
        server = Server(answers, caller_of, lambda name: None)
        await server.listen_unix(path)
        try:
            return [await one(data) for data in conversations]
        finally:
            await server.close()

    return asyncio.run(run())


def call(name, **args):
    return frame({"call": name, "args": args})


def test_a_call_is_answered_and_the_kernel_says_who_makes_it(tmp_path):
    assert talk(tmp_path, call("ping")) == [[{"result": {"uid": os.getuid()}}]]


def test_rows_come_in_chunks_and_then_the_result(tmp_path):
    assert talk(tmp_path, call("jobs", fields=["job_id"])) == [[{"rows": [[1]]}, {"rows": [[2], [3]]}, {"result": {}}]]


@pytest.mark.parametrize(
    "data, number",
    [
        (call("job_script", job_id=7), INVALID_JOB_ID),
        (call("hold", targets=["7"]), 2090),  # our own bug is an answer too, and nobody else's trouble
        (call("no_such_call"), 3001),
        (call("job_script", job_id="seven"), 3001),
        (call("job_script"), 3001),
        (call("ping", more=1), 3001),
    ],
)
def test_what_can_not_be_done_is_an_error_answer(tmp_path, data, number):
    ((answer,),) = talk(tmp_path, data)
    assert answer["error"][0] == number


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", MAX_FRAME + 1),
        struct.pack(">I", 4) + b"junk",
        frame([1, 2]),
        frame({"args": {}}),
        frame({"call": 7}),
    ],
)
def test_garbage_closes_that_connection_and_no_other(tmp_path, garbage):
    assert talk(tmp_path, garbage, call("ping")) == [[None], [{"result": {"uid": os.getuid()}}]]


def test_a_frame_may_come_byte_by_byte(tmp_path):
    path = str(tmp_path / "c.sock")

    async def run():
        server = Server(answers, caller_of, lambda name: None)
        await server.listen_unix(path)
        reader, writer = await asyncio.open_unix_connection(path)
        for byte in call("ping"):
            writer.write(bytes([byte]))
            await writer.drain()
        head = await reader.readexactly(4)
        answer = json.loads(await reader.readexactly(struct.unpack(">I", head)[0]))
        writer.close()
        await server.close()
        return answer

    assert asyncio.run(run()) == {"result": {"uid": os.getuid()}}


def test_a_socket_in_a_deep_folder_is_reached_all_the_same(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    path = str(deep / "controller.sock")
    listening = bind_unix(path)
    here = os.open(deep, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"/proc/self/fd/{here}/controller.sock")
    os.close(here)
    listening.close()
    assert os.stat(path).st_mode & 0o777 == 0o666
