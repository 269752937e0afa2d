"""The frames between srun and the step's part of each agent. Standard library only.

A frame is a head (kind, task, length of the body) and a body. The agent dials srun and says HELLO; from then on both
send when they have something. Tasks' output comes in whole lines unless the step is unbuffered. Input is bounded: srun
sends no more than WINDOW bytes an agent that the tasks have not taken yet, so a task that doesn't read never keeps a
signal from getting through; output is bounded by the connection itself, which a slow srun just doesn't read.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from slurm_compat.core.relayline import RelayLine

HEAD = struct.Struct(">BII")
MAX_BODY = 1 << 20  # bytes
WINDOW = 1 << 16  # bytes of input on their way to one agent
CHUNK = 1 << 16  # bytes an agent reads of a task at once
PORTION = 1 << 17  # characters of keys and values in one frame; JSON takes up to six bytes for one
ALL = 0xFFFFFFFF  # in place of a task's number

# agent to srun
HELLO = 1  # {secret, node, node_rank, version}
STARTED = 2  # {tasks: [[rank, pid]…]}
STDOUT = 3
STDERR = 4
EXITED = 5  # {status, tasks: [rank…]}: tasks that ended alike
ENDING = 6  # {}: somebody else than srun ends the step
CREDIT = 7  # bytes of input the tasks took
FINISHED = 8  # all of this node's tasks ended and all they wrote was sent
FAILED = 9  # {text, code}: no task was started
PMI = 10  # a message for the other nodes of an MPI step: cli/srun_pmi.py
# srun to agent
STDIN = 20  # for one task or ALL
STDIN_END = 21
SIGNAL = 22  # {signal}
WINSIZE = 23  # {rows, columns}
ABORT = 24  # {signal, text}: say why the step ends, then end it
PMI_ANSWER = 25  # a message of cli/srun_pmi.py

VERSION = 1


class BadFrame(Exception):
    """What came is not a frame; this connection can't be read any further."""


class Frame(NamedTuple):
    kind: int
    task: int
    body: bytes

    @property
    def value(self) -> Any:
        """A body that is JSON. Raises BadFrame when it is not."""
        try:
            return json.loads(self.body)
        except ValueError as problem:
            raise BadFrame(str(problem)) from None

    @property
    def number(self) -> int:
        if len(self.body) != 4:
            raise BadFrame(f"a number of {len(self.body)} bytes")
        return int.from_bytes(self.body, "big")


def data(kind: int, task: int, body: bytes) -> bytes:
    return HEAD.pack(kind, task, len(body)) + body


def number(kind: int, task: int, value: int) -> bytes:
    return HEAD.pack(kind, task, 4) + value.to_bytes(4, "big")


def message(kind: int, value: Any, task: int = ALL) -> bytes:
    return data(kind, task, json.dumps(value).encode())


class Reader:
    """Bytes in, frames out, however they were cut on the way."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises BadFrame at a head that can't be one."""
        self._data += received
        start = 0
        try:
            while len(self._data) - start >= HEAD.size:
                kind, task, length = HEAD.unpack_from(self._data, start)
                if length > MAX_BODY:
                    raise BadFrame(f"a body of {length} bytes")
                end = start + HEAD.size + length
                if len(self._data) < end:
                    break
                body = bytes(memoryview(self._data)[start + HEAD.size : end])
                start = end
                yield Frame(kind, task, body)
        finally:
            del self._data[:start]


def portions(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Pairs of text in lists that fit a frame each, however JSON has to write their characters."""
    portion: list[tuple[str, str]] = []
    size = 0
    for pair in pairs:
        length = len(pair[0]) + len(pair[1]) + 2
        if portion and size + length > PORTION:
            yield portion
            portion, size = [], 0
        portion.append(pair)
        size += length
    if portion:
        yield portion


class Lines:
    """Holds back what is not a whole line yet, so that the lines of several tasks don't mix."""

    LONGEST = 1 << 16  # bytes a line may grow before it goes out in parts

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> bytes:
        """What may go out now."""
        whole, newline, rest = received.rpartition(b"\n")
        if not newline:
            self._rest += received
            if len(self._rest) < self.LONGEST:
                return b""
            out, self._rest = self._rest, b""
            return out
        out, self._rest = self._rest + whole + newline, rest
        return out

    def rest(self) -> bytes:
        out, self._rest = self._rest, b""
        return out


def labelled(received: bytes, label: bytes) -> bytes:
    """`received` with `label` before each line, for srun --label. A line without its end gets one, as in Slurm."""
    body = received[:-1] if received.endswith(b"\n") else received
    return label + body.replace(b"\n", b"\n" + label) + b"\n"


def wants_to_write(sock: socket.socket | RelayLine, out: bytearray) -> bool:
    """Whether to wait until the socket takes more: a relayed connection may have no room for what there is."""
    return sock.wants_to_write(bool(out)) if isinstance(sock, RelayLine) else bool(out)


def pour(sock: socket.socket | RelayLine, out: bytearray) -> bool:
    """Send what the (non-blocking) socket takes of `out`, and take it out of there. False: the other end is gone."""
    if isinstance(sock, RelayLine):
        sock.flush()
    while out:
        try:
            sent = sock.send(memoryview(out)[: 1 << 18])
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        del out[:sent]
    return True
