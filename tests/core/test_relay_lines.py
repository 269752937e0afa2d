"""A relayed connection of step I/O: what is sent arrives, and no more is on its way than the window."""

import base64
import json
import socket
import struct

import pytest

from slurm_compat.controller.relaycalls import Relays
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.relayline import LENGTH, WINDOW, RelayLine, frame


def frames(sock):
    """What the controller hears on its end."""
    sock.setblocking(False)
    data = b""
    try:
        while received := sock.recv(1 << 20):
            data += received
    except BlockingIOError:
        pass
    found = []
    while data:
        (length,) = LENGTH.unpack_from(data)
        found.append(json.loads(data[4 : 4 + length]))
        data = data[4 + length :]
    return found


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_the_sender_stops_at_the_window_and_goes_on_when_told(pair):
    line = RelayLine(pair[0], {"call": "relay_dial"})
    assert frames(pair[1]) == [{"call": "relay_dial"}]
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += line.send(b"x" * 100_000)
            frames(pair[1])
    assert sent == WINDOW
    assert not line.wants_to_write(True)  # only what comes can change that
    pair[1].sendall(frame({"took": 1000}))
    with pytest.raises(BlockingIOError):
        line.recv(10)
    assert line.wants_to_write(True)
    assert line.send(b"y" * 5000) == 1000


def test_the_reader_tells_what_it_took(pair):
    line = RelayLine(pair[0])
    body = bytes(range(256)) * (WINDOW // 1024)
    pair[1].sendall(frame({"data": base64.b64encode(body).decode()}))
    assert line.recv(WINDOW) == body
    assert frames(pair[1]) == [{"took": len(body)}]
    pair[1].close()
    assert line.recv(1) == b""


@pytest.mark.parametrize(
    "raw",
    [frame({"error": [1, "no"]}), struct.pack(">I", 1 << 30), frame({"data": "?"}), frame({"took": "x"}), frame([1])],
)
def test_what_is_no_frame_ends_the_line(pair, raw):
    line = RelayLine(pair[0])
    pair[1].sendall(raw)
    assert line.recv(1) == b""


class Played:
    def __init__(self):
        self.sent = []
        self.closed = False
        self.on_message = self.on_close = None

    def send(self, message):
        self.sent.append(message)

    def close(self):
        self.closed = True


TICKET = "ab" * 16


def joined():
    relays, srun, agent, taker = Relays(), Played(), Played(), Played()
    relays.listen(srun, ["unix:/x", f"relay:{TICKET}"])
    relays.dial(agent, TICKET)
    (event,) = srun.sent
    agent.on_message({"data": "ZWFybHk="})
    relays.take(taker, event["word"])
    return agent, taker, srun, relays


def test_the_controller_passes_on_what_came_early_and_later():
    agent, taker, _, _ = joined()
    assert taker.sent == [{"data": "ZWFybHk="}]
    taker.on_message({"took": 5})
    taker.on_message({"data": "aGk="})
    assert agent.sent == [{"took": 5}, {"data": "aGk="}]
    agent.on_close()
    assert taker.closed


def test_strangers_and_those_who_send_too_much_are_dropped():
    agent, taker, srun, relays = joined()
    with pytest.raises(SlurmError):
        relays.dial(Played(), "cd" * 16)
    with pytest.raises(SlurmError):
        relays.take(Played(), "0" * 32)
    other = Played()
    relays.listen(other, [f"relay:{TICKET}"])  # a ticket is not taken over
    relays.dial(Played(), TICKET)
    assert len(srun.sent) == 2 and not other.sent
    for _ in range(8):
        agent.on_message({"data": "A" * (WINDOW // 2)})
    assert agent.closed
    taker.on_message({"what": 1})
    assert taker.closed


def test_a_ticket_of_an_srun_that_has_gone_is_worth_nothing():
    _, _, srun, relays = joined()
    srun.closed = True
    with pytest.raises(SlurmError):
        relays.dial(Played(), TICKET)


def test_what_was_not_sent_can_not_be_taken():
    """Else one end could fill the other's answers for ever, who need not read them."""
    agent, taker, _, _ = joined()
    taker.on_message({"took": 5})
    assert not taker.closed
    taker.on_message({"took": 1})
    assert taker.closed and agent.sent == [{"took": 5}]


def test_empty_frames_and_too_many_early_ones_end_the_line():
    relays, srun = Relays(), Played()
    relays.listen(srun, [f"relay:{TICKET}"])
    empty, many = Played(), Played()
    for session in (empty, many):
        relays.dial(session, TICKET)
    empty.on_message({"data": ""})
    for _ in range(3000):
        many.on_message({"data": "QQ=="})
    assert empty.closed and many.closed
