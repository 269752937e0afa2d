"""Dialling the controller in srun's place: the last of a step's addresses, when none of the others can be reached."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Mapping
from typing import Any

from slurm_compat.agent.link import dial
from slurm_compat.core.relayline import Cipher, RelayLine

PATIENCE = 10.0  # seconds for the connection


def dialler(config: Mapping[str, Any]) -> Callable[[str], RelayLine] | None:
    """How a ticket's other side is reached, by the packet's `config`; None where the controller's address is unknown.

    What it gives raises OSError when the controller can't be reached. That there is nobody behind the ticket shows as
    the connection's end.
    """
    address, authority = str(config.get("relay_address") or ""), str(config.get("relay_authority") or "")
    if not address:
        return None

    def call(ticket: str) -> RelayLine:
        sock = dial(address)
        try:
            _wait(sock)
            cipher: Cipher | None = None
            if authority:
                from slurm_compat.agent.tls import Tls, host_of  # only pods on other machines have use for it

                cipher = Tls(authority, host_of(address))
            return RelayLine(sock, {"call": "relay_dial", "args": {"ticket": ticket}}, cipher)
        except (OSError, ValueError):
            sock.close()
            raise

    return call


class Patient:
    """A relayed connection for who waits on it. Both raise TimeoutError after `patience` seconds without a byte."""

    def __init__(self, line: RelayLine, patience: float) -> None:
        self._line = line
        self._patience = patience

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._line.send(left) :]
            except BlockingIOError:
                self._ready(True)
        while self._line.wants_to_write(False):
            self._ready(True)
            self._line.flush()

    def recv(self, most: int) -> bytes:
        while True:
            try:
                return self._line.recv(most)
            except BlockingIOError:
                self._ready(False)

    def shutdown(self, how: int) -> None:
        """There is no half of it to close: the other side hangs up when it has it all."""

    def close(self) -> None:
        self._line.close()

    def _ready(self, to_write: bool) -> None:
        writes = self._line.wants_to_write(to_write)
        with selectors.DefaultSelector() as selector:
            selector.register(self._line.fileno(), selectors.EVENT_READ | (selectors.EVENT_WRITE if writes else 0))
            if not selector.select(self._patience):
                raise TimeoutError
        if to_write and not writes:
            self._line.hear()  # room comes with what is read


def _wait(sock: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        if not selector.select(PATIENCE):
            raise TimeoutError
    problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        raise OSError(problem, "the controller can't be reached")
