"""Step I/O through the controller, for an agent that can't reach its srun: a connection that looks like a socket.

Both ends call the controller, which passes their frames on: {"data": base64}, {"took": bytes}, and an "error" or the
connection's end. No side has more than WINDOW bytes on the way that the other has not taken, so nothing grows in the
controller, and a slow reader slows the writer as on a connection of their own. Standard library only; never waits.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
from typing import Any, Protocol

LENGTH = struct.Struct(">I")
MAX_FRAME = 1 << 20  # bytes
WINDOW = 1 << 17  # bytes
PIECE = 1 << 15  # bytes of one frame
PREFIX = "relay:"  # before the ticket, in the place of an address


class Cipher(Protocol):
    """TLS, where the connection has it."""

    def send(self, data: bytes | bytearray) -> None: ...
    def outgoing(self) -> bytes: ...
    def received(self, data: bytes) -> bytes: ...


def frame(value: Any) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


class RelayLine:
    """`keep` is closed with it: what owns the socket. `first` is the first frame, a call, where it was not made yet."""

    def __init__(
        self, sock: socket.socket, first: dict[str, Any] | None = None, cipher: Cipher | None = None, keep: Any = None
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._cipher = cipher
        self._keep = keep
        self._frames = bytearray()  # read, not a whole frame yet
        self._data = bytearray()  # that came for us
        self._out = bytearray()
        self._room = WINDOW  # bytes that may be sent
        self._taken = 0  # bytes the other side has not been told of
        self._over = False
        if first is not None:
            self._put(first)
            self.flush()

    def fileno(self) -> int:
        return self._sock.fileno()

    def wants_to_write(self, waiting: bool) -> bool:
        """Whether to wait until the socket takes more; `waiting`: there is something for `send`."""
        return bool(self._out) or (waiting and self._room > 0)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """As a socket's: how much was taken. Raises BlockingIOError for none now, OSError for never again."""
        self.flush()
        if self._out or self._room <= 0:
            raise BlockingIOError
        piece = bytes(data[: min(PIECE, self._room)])
        self._room -= len(piece)
        self._put({"data": base64.b64encode(piece).decode()})
        self.flush()
        return len(piece)

    def recv(self, most: int) -> bytes:
        """As a socket's: b"" at the end. Raises BlockingIOError when nothing has come."""
        self._read()
        if self._data:
            found = bytes(self._data[:most])
            del self._data[:most]
            self._taken += len(found)
            if self._taken >= WINDOW // 4:
                self._put({"took": self._taken})
                self._taken = 0
                self.flush()
            return found
        if self._over:
            return b""
        raise BlockingIOError

    def hear(self) -> None:
        """Read what has come, for the room it may bring."""
        self._read()

    def flush(self) -> None:
        """Write what the socket takes."""
        while self._out:
            try:
                sent = self._sock.send(memoryview(self._out)[: 1 << 18])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._over = True
                self._out.clear()
                return
            del self._out[:sent]

    def close(self) -> None:
        self._sock.close()
        if self._keep is not None:
            self._keep.close()

    def _put(self, message: dict[str, Any]) -> None:
        data = frame(message)
        if self._cipher is None:
            self._out += data
        else:
            self._cipher.send(data)
            self._out += self._cipher.outgoing()

    def _read(self) -> None:
        while not self._over:
            try:
                received = self._sock.recv(1 << 18)
                if received and self._cipher is not None:
                    clear = self._cipher.received(received)
                    self._out += self._cipher.outgoing()
                    self.flush()
                else:
                    clear = received
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                received = clear = b""
            if not received:
                self._over = True
                return
            self._frames += clear
            self._hear()

    def _hear(self) -> None:
        while len(self._frames) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._frames)
            end = LENGTH.size + length
            if length > MAX_FRAME:
                self._over = True
                return
            if len(self._frames) < end:
                return
            try:
                message = json.loads(self._frames[LENGTH.size : end])
                del self._frames[:end]
                self._data += base64.b64decode(message.get("data", ""), validate=True)
                self._room += int(message.get("took", 0))
                self._over = self._over or "error" in message or "result" in message
            except (ValueError, TypeError, AttributeError):
                self._over = True
                return
