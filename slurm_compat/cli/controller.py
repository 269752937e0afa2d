"""The commands' end of the controller's socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slurm_compat.cli import where
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.wire import BadFrame, frame, read_frame

CALL_TIMEOUT = 60.0  # seconds without a byte before the controller counts as down


class ControllerDown(Exception):
    """Nobody answers. The text is what Slurm's commands print then."""


class Connection:
    """One connection; many calls, one after another. Satisfies context.Controller."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def _recv_exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            chunk = self._sock.recv(min(count - len(data), 1 << 20))
            if not chunk:
                if not data:
                    return None
                raise BadFrame("the controller's answer was cut short")
            data += chunk
        return bytes(data)

    def _send(self, name: str, args: dict[str, Any]) -> None:
        try:
            self._sock.sendall(frame({"call": name, "args": args}))
        except OSError as problem:
            raise ControllerDown(_down(problem.strerror)) from None

    def _next(self) -> dict[str, Any]:
        try:
            message = read_frame(self._recv_exactly)
        except (OSError, BadFrame) as problem:
            raise ControllerDown(_down(str(problem))) from None
        if message is None:
            raise ControllerDown(_down("Unexpected message received"))
        if "error" in message:
            raise SlurmError(*message["error"])
        answer: dict[str, Any] = message
        return answer

    def call(self, name: str, /, **args: Any) -> dict[str, Any]:
        self._send(name, args)
        result: dict[str, Any] = self._next()["result"]
        return result

    def rows(self, name: str, fields: list[str], /, **args: Any) -> Iterator[list[Any]]:
        self._send(name, {"fields": fields, **args})
        while "result" not in (message := self._next()):
            yield from message["rows"]

    def events(self, name: str, /, **args: Any) -> Events:
        self._send(name, args)
        return Events(self)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


class Events:
    """An open stream of events; ends when the controller says so. Messages may be sent back with `send`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection._sock.settimeout(None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while "event" in (message := self._connection._next()):
            yield message

    def send(self, message: dict[str, Any]) -> None:
        self._connection._sock.sendall(frame(message))

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()


def _down(detail: str | None) -> str:
    return f"Unable to contact slurm controller (connect failure): {detail}"


def connector(env: Mapping[str, str]) -> Callable[[], Connection]:
    """How this environment's controller is reached; for Context.connect."""

    def connect() -> Connection:
        place = where.controller_socket(env)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(CALL_TIMEOUT)
        try:
            connect_unix(sock, place.path)
        except (FileNotFoundError, ConnectionRefusedError) as problem:
            if not place.private:
                raise ControllerDown(_down(problem.strerror)) from None
            where.start_private_cluster(place, env)
            connect_unix(sock, place.path)
        except OSError as problem:
            raise ControllerDown(_down(problem.strerror)) from None
        return Connection(sock)

    return connect


def connect_unix(sock: socket.socket, path: str) -> None:
    """Connect to a path of any length: sun_path holds 107 bytes, a directory descriptor's link holds the rest."""
    if len(os.fsencode(path)) <= 107:
        sock.connect(path)
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
