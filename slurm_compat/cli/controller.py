"""The commands' end of the controller's socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.cli import where
from slurm_compat.core import unixsocket
from slurm_compat.core.errors import CONNECT_FAILURE, TIMED_OUT, ZERO_BYTES, SlurmError
from slurm_compat.core.relayline import RelayLine
from slurm_compat.core.wire import BadFrame, frame, read_frame

if TYPE_CHECKING:
    from slurm_compat.cli.remote import Tunnel

CALL_TIMEOUT = 60.0  # seconds without a byte before the controller counts as down
CONNECT_WAIT = 10.0  # seconds in which a controller that is not there may come back, as Slurm's commands wait for it
CONNECT_EVERY = 0.1  # seconds between attempts


class ControllerDown(SlurmError):
    """Nobody answers. To commands an error like any the controller gives, so that each words it as Slurm's does."""

    def __init__(self, number: int = CONNECT_FAILURE) -> None:
        super().__init__(number)


class Connection:
    """One connection; many calls, one after another. Satisfies context.Controller."""

    def __init__(self, sock: socket.socket, tunnel: Tunnel | None = None) -> None:
        self._sock = sock
        self._tunnel = tunnel  # that carries its bytes, where the controller is elsewhere

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
            raise ControllerDown(_lost(problem)) from None

    def _next(self) -> dict[str, Any]:
        try:
            message = read_frame(self._recv_exactly)
        except (OSError, BadFrame) as problem:
            raise ControllerDown(_lost(problem)) from None
        if message is None:
            raise ControllerDown(ZERO_BYTES)
        if "error" in message and "event" not in message:  # an event may tell of an error, and the stream goes on
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
        if self._tunnel is not None:
            self._tunnel.close()
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

    def line(self) -> RelayLine:
        """The stream as the line to somebody else, of a call that passes frames on."""
        return RelayLine(self._connection._sock, keep=self._connection)

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()


def _lost(problem: OSError | BadFrame) -> int:
    """What Slurm's commands say of a connection that broke after it was made."""
    return TIMED_OUT if isinstance(problem, TimeoutError) else ZERO_BYTES


def connector(env: Mapping[str, str], wait: float = CONNECT_WAIT) -> Callable[[], Connection]:
    """How this environment's controller is reached; for Context.connect."""

    gave_up = float("-inf")

    def connect() -> Connection:
        connection = reach()
        show_token(connection, env)
        return connection

    def reach() -> Connection:
        nonlocal gave_up
        if elsewhere := where.remote(env):
            return _reach_remote(elsewhere, wait)
        place = where.controller_socket(env)
        # who just waited in vain does not wait again
        deadline = time.monotonic() + (wait if time.monotonic() - gave_up > 1 else 0)
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(CALL_TIMEOUT)
            try:
                unixsocket.connect(sock, place.path)
                return Connection(sock)
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                if time.monotonic() > deadline:
                    gave_up = time.monotonic()
                    raise ControllerDown from None
                if place.private:
                    where.start_private_cluster(place, env)
                else:
                    time.sleep(CONNECT_EVERY)  # it is being restarted, perhaps
            except OSError:
                raise ControllerDown from None

    return connect


def show_token(connection: Connection, env: Mapping[str, str]) -> None:
    """Say who we are where the environment has a token; it counts instead of what the kernel knows. Raises
    SlurmError."""
    try:
        if (token := env.get("SLURM_JWT")) is not None:
            connection.call("authenticate", token=token)
        elif word := env.get("SLURM_COMPAT_WORD"):  # inside a job on another machine
            job_id, _, text = word.partition(":")
            connection.call("authenticate", job_id=int(job_id), token=text)
    except SlurmError:
        connection.close()
        raise


def _reach_remote(elsewhere: where.Remote, wait: float) -> Connection:
    from slurm_compat.cli import remote

    deadline = time.monotonic() + wait
    while True:
        try:
            tunnel = remote.dial(elsewhere)
            tunnel.near.settimeout(CALL_TIMEOUT)
            return Connection(tunnel.near, tunnel)
        except OSError:
            if time.monotonic() > deadline:
                raise ControllerDown from None
            time.sleep(CONNECT_EVERY)
