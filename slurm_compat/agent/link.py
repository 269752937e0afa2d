"""The agent's connection to the controller: frames both ways, redialled until it holds, nothing durable lost.

A message that changes state carries a number; it is kept until the controller acknowledged it, and sent again after a
reconnect. The same frames as core/wire.py, read and written with the standard library alone. Nothing here blocks: the
caller's selector says when the socket is ready.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from slurm_compat.core import rawbytes, unixsocket

if TYPE_CHECKING:
    from slurm_compat.agent.tls import Tls

LENGTH = struct.Struct(">I")
STRAY = rb"\udc"  # begins, in JSON, the escape of a byte that is no UTF-8
MAX_FRAME = 64 << 20  # bytes, as core/wire.py
FIRST_DELAY, LAST_DELAY = 0.1, 5.0  # seconds before dialling again

Message = dict[str, Any]


class BadFrame(Exception):
    """What came is not a frame: this connection can't be read any further."""


def frame(value: Any) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    if STRAY in body:
        body = json.dumps(rawbytes.carried(value), separators=(",", ":"), ensure_ascii=False).encode()
    return LENGTH.pack(len(body)) + body


class FrameReader:
    """Bytes in, whole frames out, however they were cut on the way."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        self._data += data
        values = []
        while len(self._data) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._data)
            if length > MAX_FRAME:
                raise BadFrame(f"a frame of {length} bytes")
            end = LENGTH.size + length
            if len(self._data) < end:
                break
            try:
                body = self._data[LENGTH.size : end]
                value = json.loads(body)
                values.append(rawbytes.restored(value) if rawbytes.MARK in body else value)
            except ValueError as problem:
                raise BadFrame(str(problem)) from None
            del self._data[:end]
        return values


def dial(address: str) -> socket.socket:
    """A socket on its way to `address`: unix:/path (of any length) or host:port. Raises OSError if it is dead."""
    if address.startswith("unix:"):
        path = address[len("unix:") :]
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            unixsocket.connect(sock, path)
        except OSError:
            sock.close()
            raise
        return sock
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # a controller whose machine went away without a word is noticed within two minutes
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)
    problem = sock.connect_ex(target)
    if problem not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(problem, os.strerror(problem))
    return sock


class Link:
    """One agent's link. `hello` is the arguments of its call `agent`."""

    def __init__(self, address: str, hello: Message, authority: str = "") -> None:
        self._address = address
        self._authority = authority  # of a controller that is dialled with TLS
        self._tls: Tls | None = None
        self._hello = hello
        self._reader = FrameReader()
        self._out = bytearray()
        self._unacknowledged: dict[int, Message] = {}
        self._seq = 0
        self._delay = FIRST_DELAY
        self.sock: socket.socket | None = None
        self.redial_at = 0.0  # on the caller's clock; counts while there is no socket

    @property
    def settled(self) -> bool:
        """Everything that must reach the controller has reached it."""
        return not self._unacknowledged

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    def dial(self, now: float) -> None:
        """Connect and queue the hello with whatever is not acknowledged; on failure `redial_at` says when to retry."""
        try:
            self.sock = dial(self._address)
        except (OSError, ValueError):
            self._later(now)
            return
        self._reader = FrameReader()
        self._out = bytearray()
        self._tls = None
        if self._authority:
            from slurm_compat.agent.tls import Tls, host_of  # only pods on other machines have use for it

            try:
                self._tls = Tls(self._authority, host_of(self._address))
            except (OSError, ValueError):
                self.lose(now)
                return
        self._put(frame({"call": "agent", "args": self._hello}))
        for message in self._unacknowledged.values():
            self._put(frame(message))
        self.write(now)

    def report(self, name: str, **fields: Any) -> None:
        """Send what must not be lost."""
        self._seq += 1
        message = {"msg": name, "seq": self._seq, **fields}
        self._unacknowledged[self._seq] = message
        self._queue(message)

    def tell(self, name: str, **fields: Any) -> None:
        """Send what is worthless later: dropped when nobody listens."""
        self._queue({"msg": name, **fields})

    def _queue(self, message: Message) -> None:
        if self.sock is not None:
            self._put(frame(message))

    def _put(self, data: bytes) -> None:
        if self._tls is None:
            self._out += data
        else:
            with contextlib.suppress(OSError):  # the connection is dead: its end is about to be read
                self._tls.send(data)
            self._out += self._tls.outgoing()

    def _clear(self, data: bytes) -> bytes:
        """What came, as it was meant; what TLS itself has to answer is sent."""
        if self._tls is None:
            return data
        found = self._tls.received(data)
        self._out += self._tls.outgoing()
        return found

    def write(self, now: float) -> None:
        """Send what the socket takes."""
        while self.sock is not None and self._out:
            try:
                sent = self.sock.send(self._out, socket.MSG_NOSIGNAL)  # SIGPIPE has its default: tasks inherit it
            except BlockingIOError:
                return
            except OSError:
                self.lose(now)
                return
            del self._out[:sent]

    def read(self, now: float) -> list[Message]:
        """The messages that came; acknowledgements are taken care of here. A lost connection gives none."""
        if self.sock is None:
            return []
        messages: list[Message] = []
        try:
            while data := self.sock.recv(1 << 18):
                messages += self._reader.feed(self._clear(data))
                if len(data) < 1 << 18:
                    break
            else:
                self.lose(now)
        except BlockingIOError:
            pass
        except (OSError, BadFrame):
            self.lose(now)
        if messages:
            self._delay = FIRST_DELAY
        return [message for message in messages if isinstance(message, dict) and not self._acknowledged(message)]

    def _acknowledged(self, message: Message) -> bool:
        if message.get("msg") != "ack":
            return False
        self._unacknowledged.pop(message.get("seq", 0), None)
        return True

    def lose(self, now: float) -> None:
        """Drop the connection; it will be dialled again."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        self._out.clear()
        self._later(now)

    def _later(self, now: float) -> None:
        self.redial_at = now + self._delay
        self._delay = min(self._delay * 2, LAST_DELAY)
