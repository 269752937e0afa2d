"""srun's TCP port is open to the whole machine: what a stranger does there costs his own connection alone."""

import socket

import pytest

from slurm_compat.cli import srun_peers
from slurm_compat.cli.selectloop import SelectLoop
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_peers import Peers
from slurm_compat.core import stepio


@pytest.fixture
def step():
    listener = Listener({"XDG_RUNTIME_DIR": ""})
    loop = SelectLoop()
    heard = []
    peers = Peers(loop, listener, lambda peer, frame: heard.append((peer.node, frame.kind)), lambda peer: None)
    peers.layout = [("node01", [0], 1)]
    yield listener, loop, peers, heard
    peers.close()
    listener.stop()


def turn(loop, peers, until):
    """Let srun go on until something is so."""
    late = []

    def balance():
        peers.balance(True)
        loop.over = until() or bool(late)

    loop.over = False
    loop.after(20.0, lambda: late.append(True))
    loop.run(balance)
    assert until()


def dialled(listener):
    return socket.create_connection(("127.0.0.1", listener.port))


def hung_up_on(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def hello(value):
    return stepio.message(stepio.HELLO, value)


@pytest.mark.parametrize(
    "data",
    [
        hello([]),
        hello("text"),
        hello(None),
        hello({"secret": ["x"] * 32, "node": "node01"}),
        hello({"secret": "é" * 32, "node": "node01", "version": stepio.VERSION}),
        stepio.data(stepio.HELLO, stepio.ALL, b"[" * 100_000),
        stepio.data(stepio.STDOUT, 0, b"not mine to say"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
    ],
    ids=["list", "text", "null", "secret-list", "secret-letters", "nested", "no-hello", "http", "noise"],
)
def test_a_stranger_is_hung_up_on_and_the_agent_heard_all_the_same(step, data):
    listener, loop, peers, heard = step
    with dialled(listener) as stranger, dialled(listener) as agent:
        stranger.sendall(data)
        agent.sendall(hello({"secret": listener.secret, "node": "node01", "version": stepio.VERSION}))
        turn(loop, peers, lambda: "node01" in peers.by_node and len(peers._open) == 1)
    assert heard == [("node01", stepio.HELLO)]


def test_strangers_do_not_use_up_the_descriptors(step, monkeypatch):
    listener, loop, peers, _ = step
    monkeypatch.setattr(srun_peers, "STRANGERS", 8)
    held = [dialled(listener) for _ in range(30)]
    turn(loop, peers, lambda: hung_up_on(held[21]))
    assert len(peers._open) == 8 and not hung_up_on(held[22])
    with dialled(listener) as agent:
        agent.sendall(hello({"secret": listener.secret, "node": "node01", "version": stepio.VERSION}))
        turn(loop, peers, lambda: "node01" in peers.by_node)
    for one in held:
        one.close()
