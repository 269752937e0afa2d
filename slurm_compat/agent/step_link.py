"""A step's connection to srun: frames out without ever waiting, frames in as they come.

What is not sent yet waits in a buffer; `on_pressure(True)` says that it is long and the tasks should not be read any
further, `on_pressure(False)` that they may be again. So a slow srun slows the tasks, and nothing grows.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from slurm_compat.agent.link import dial
from slurm_compat.agent.loop import READ, WRITE, Loop
from slurm_compat.core import stepio
from slurm_compat.core.relayline import PREFIX, RelayLine

HIGH, LOW = 1 << 20, 1 << 18  # bytes waiting for srun: too many, few enough again
RELAY_PATIENCE = 2.0  # the same where the controller may pass things on
DIAL_PATIENCE = 10.0  # seconds to reach one of srun's addresses


class SrunLink:
    def __init__(
        self, loop: Loop, on_frame: Callable[[stepio.Frame], None], on_lost: Callable[[], None],
        on_pressure: Callable[[bool], None], relay: Callable[[str], RelayLine] | None = None,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_pressure = on_pressure
        self._sock: socket.socket | RelayLine | None = None
        self._relay = relay  # dials the controller with a ticket
        self._reader = stepio.Reader()
        self._out = bytearray()
        self._events = 0
        self.pressed = False
        self.address = ""  # the one that answered

    @property
    def connected(self) -> bool:
        return self._sock is not None

    @property
    def waiting(self) -> int:
        return len(self._out)

    def connect(self, addresses: list[str], patience: float = DIAL_PATIENCE) -> bool:
        """Dial the first that answers, within `patience` seconds each; False when none does."""
        relayed = [address for address in addresses if address.startswith(PREFIX)]
        if relayed and self._relay:
            patience = min(patience, RELAY_PATIENCE)
        for address in addresses:
            sock: socket.socket | RelayLine | None
            try:
                sock = self._dial_relay(address) if address in relayed else _connected(address, patience)
            except (OSError, ValueError):
                continue
            if sock is not None:
                self._sock, self.address = sock, address
                self._watch(READ)
                return True
        return False

    def _dial_relay(self, address: str) -> RelayLine | None:
        return self._relay(address.removeprefix(PREFIX)) if self._relay else None

    def send(self, frame: bytes) -> None:
        if self._sock is not None and frame:
            self._out += frame
            self._flush()

    def _flush(self) -> None:
        if self._sock is None:
            return
        if not stepio.pour(self._sock, self._out):
            self._lose()
            return
        self._watch(READ | WRITE if stepio.wants_to_write(self._sock, self._out) else READ)
        if self.pressed != (len(self._out) > (LOW if self.pressed else HIGH)):
            self.pressed = not self.pressed
            self._on_pressure(self.pressed)

    def _watch(self, events: int) -> None:
        if self._sock is not None and events != self._events:
            self._events = events
            self._loop.watch(self._sock.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if self._sock is None or not events & READ:
            return
        try:
            received = self._sock.recv(1 << 17)
        except BlockingIOError:
            self._flush()  # a relayed connection may have got room
            return
        except OSError:
            received = b""
        if isinstance(self._sock, RelayLine):
            self._flush()
        try:
            for frame in self._reader.feed(received):
                self._on_frame(frame)
        except (stepio.BadFrame, KeyError, TypeError, ValueError):
            received = b""
        if not received:
            self._lose()

    def _lose(self) -> None:
        if self._sock is None:
            return
        self._loop.unwatch(self._sock.fileno())
        self._sock.close()
        self._sock = None
        self._out.clear()
        self.pressed = False
        self._on_lost()


def _connected(address: str, patience: float) -> socket.socket | None:
    sock = dial(address)
    if _established(sock, patience):
        return sock
    sock.close()
    return None


def _established(sock: socket.socket, patience: float) -> bool:
    """Whether a connection that was begun comes about."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, WRITE)
        return bool(selector.select(patience)) and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
