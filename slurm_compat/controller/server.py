"""The controller's socket: frames in, calls made, answers out. One bad connection harms nobody else.

A connection makes its calls one after another. Input is bounded: a frame beyond the wire's limit, or one that is not a
call, closes the connection; arguments that don't check are an error answer. A reader who doesn't read is waited for
between chunks of rows and between calls, never buffered without end. What one user has open is bounded (crowd.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller.crowd import Crowd
from slurm_compat.controller.submission import Caller
from slurm_compat.core.callargs import Args, Nothing
from slurm_compat.core.calls import CALLS, EVENTS, Call
from slurm_compat.core.errors import BAD_ARGUMENT, INTERNAL, SlurmError
from slurm_compat.core.wire import LENGTH, MAX_FRAME

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)

SMALL_FRAME = 1 << 20  # bytes a peer that has not said its first call yet may send at most; then MAX_FRAME
LARGE = frozenset({"submit", "will_run", "allocate", "step_create", "update_crontab"})  # calls of more than that
MOST_FIELDS = 1000  # columns that may be asked for
MOST_UNREAD = 32 << 20  # bytes of answers that somebody may leave lying before he is dropped
FIRST_WORD = 30.0  # seconds in which a peer over TCP is to say who it is
HANDSHAKE = 10.0  # seconds a peer has for TLS's
HIGH_WATER = 1 << 20  # bytes of answers that wait for a reader before we wait

_encode = msgspec.json.Encoder().encode


class _Frame(msgspec.Struct):
    call: str
    args: msgspec.Raw = msgspec.Raw(b"{}")


_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_any = msgspec.json.Decoder().decode
_DECODERS: dict[str, Callable[[bytes], Args]] = {
    name: msgspec.json.Decoder(call.args).decode for name, call in CALLS.items()
}


class Session:
    """One connection, as the calls see it."""

    def __init__(self, protocol: Connection, caller: Caller | None) -> None:
        self._protocol = protocol
        self.caller = caller  # None: a peer over TCP, who has only a token
        self.on_message: Callable[[dict[str, Any]], None] | None = None  # frames during a stream
        self.on_close: Callable[[], None] | None = None

    def authenticated(self, caller: Caller) -> None:
        """A token told who it is."""
        self.caller = caller
        self._protocol.trusted = True

    def send(self, message: Any) -> None:
        self._protocol.send(message)

    def send_error(self, problem: SlurmError) -> None:
        self._protocol.answer_error(problem)

    def end(self) -> None:
        """The stream is over; the connection may make another call."""
        self.on_message = self.on_close = None
        self._protocol.send({"result": {}})

    def close(self) -> None:
        self._protocol.close()

    @property
    def closed(self) -> bool:
        return self._protocol.closed


Handler = Callable[[Session, Any], Any]


class Connection(asyncio.Protocol):
    def __init__(self, server: Server, local: bool) -> None:
        self._server = server
        self._local = local
        self.trusted = local  # may send large frames
        self._whose = -1  # uid that this connection counts for
        self._held = 0  # bytes of it that are counted
        self._free = False  # of the controller's own user: nothing is counted
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._busy = False  # a call is being answered
        self._frames: list[bytes] = []  # that came meanwhile
        self._can_write: asyncio.Future[None] | None = None
        self.closed = False

    # asyncio's part

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        caller = None
        if self._local:
            caller = self._server.caller(transport.get_extra_info("socket"))
        self._session = Session(self, caller)
        self._server.connections.add(self)
        if caller is not None:
            self._whose, self._free = caller.uid, caller.slurm_user
        if not self._local:
            asyncio.get_running_loop().call_later(FIRST_WORD, self._must_have_spoken)
        elif not self._free and not self._server.crowd.enter(self._whose):
            self._drop(f"uid {self._whose} has too many connections")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read_frames()
        self._hold(len(self._buffer) + sum(map(len, self._frames)))

    def _hold(self, size: int) -> None:
        """Count what is kept of half frames and of calls that wait."""
        if self._local and not self._free and not self.closed:
            more, self._held = size - self._held, size
            if not self._server.crowd.hold(self._whose, more):
                self._drop(f"uid {self._whose} sends too much at once")

    def _read_frames(self) -> None:
        while len(self._buffer) >= LENGTH.size and not self.closed and not self._reader_is_behind():
            (length,) = LENGTH.unpack_from(self._buffer)
            if length > (MAX_FRAME if self.trusted else SMALL_FRAME):
                self._drop(f"a frame of {length} bytes")
                return
            end = LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[LENGTH.size : end])
            del self._buffer[:end]
            self._frame(body)

    def _reader_is_behind(self) -> bool:
        """Who doesn't read our answers is not answered any further; the two ends of a stream see to that themselves."""
        return self._can_write is not None and self._session is not None and self._session.on_message is None

    def eof_received(self) -> bool:
        return False  # closes the connection

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._server.connections.discard(self)
        if self._local and not self._free:
            self._server.crowd.leave(self._whose, self._held)
            self._held = 0
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)
        if self._session is not None and self._session.on_close is not None:
            on_close, self._session.on_close = self._session.on_close, None
            on_close()

    def pause_writing(self) -> None:
        self._can_write = asyncio.get_running_loop().create_future()
        if self._reader_is_behind() and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)
        self._can_write = None
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()
            self.data_received(b"")

    # ours

    def _must_have_spoken(self) -> None:
        session = self._session
        if session is not None and session.caller is None and session.on_message is None and not self.closed:
            self._drop("a stranger who did not say who he is")

    def send(self, message: Any) -> None:
        if self._transport is not None and not self.closed:
            if not self._free and self._transport.get_write_buffer_size() > MOST_UNREAD:
                self._drop("he does not read what he is sent")
                return
            body = _encode(message)
            self._transport.write(LENGTH.pack(len(body)) + body)

    def close(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.close()

    def _drop(self, why: str) -> None:
        self._server.crowd.tell(f"connection dropped: {why}")
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def _frame(self, body: bytes) -> None:
        session = self._session
        assert session is not None
        if session.on_message is not None:
            try:
                message = _decode_any(body)
            except (msgspec.DecodeError, RecursionError) as problem:
                self._drop(str(problem))
                return
            if isinstance(message, dict):
                session.on_message(message)
            return
        if self._busy:
            if len(self._frames) >= 64:
                self._drop("too many calls at once")
                return
            self._frames.append(body)
            return
        self._call(session, body)

    def _call(self, session: Session, body: bytes) -> None:
        try:
            frame = _decode_frame(body)
        except (msgspec.DecodeError, RecursionError) as problem:
            self._drop(str(problem))
            return
        call = CALLS.get(frame.call)
        if call is None:
            self.answer_error(SlurmError(BAD_ARGUMENT, f"There is no call {frame.call[:40]}"))
            return
        self._server.count(call.name)
        began = time.perf_counter()
        args: Args = Nothing()  # until they have been read
        try:
            if len(body) > SMALL_FRAME and call.name not in LARGE:
                raise SlurmError(BAD_ARGUMENT, f"{len(body)} bytes are too many for {call.name}")
            if call.answer == EVENTS and session.on_close is not None:
                raise SlurmError(BAD_ARGUMENT, f"{call.name} on a connection that waits for something already")
            args = _DECODERS[call.name](frame.args)
            if len(getattr(args, "fields", ())) > MOST_FIELDS:
                raise SlurmError(BAD_ARGUMENT, f"more than {MOST_FIELDS} fields")
            answer = self._server.answer(session, call, args)
        except (msgspec.DecodeError, RecursionError) as problem:
            self.answer_error(SlurmError(BAD_ARGUMENT, str(problem)))
        except SlurmError as problem:
            self.answer_error(problem)
        except Exception:
            log.exception("call %s failed", call.name)
            self.answer_error(SlurmError(INTERNAL))
        else:
            if isinstance(answer, dict):
                self.send({"result": answer})
            elif answer is not None:  # else a stream: it sends by itself
                self._busy = True
                task = asyncio.ensure_future(self._finish(session, call, args, answer, began))
                self._server.tasks.add(task)
                task.add_done_callback(self._server.tasks.discard)
                return
        self._server.answered(session, call, args, time.perf_counter() - began)

    async def _finish(
        self, session: Session, call: Call, args: Args, answer: Awaitable[Any] | Iterable[Any], began: float
    ) -> None:
        """Send what a call that takes its time answers: a result, or chunks of rows."""
        try:
            if isinstance(answer, Awaitable):
                result = await answer
                if isinstance(result, dict):
                    self.send({"result": result})
                elif result is not None:
                    await self._rows(result)
            else:
                await self._rows(answer)
        except SlurmError as problem:
            self.answer_error(problem)
        except Exception:
            log.exception("call %s failed", call.name)
            self.answer_error(SlurmError(INTERNAL))
        self._server.answered(session, call, args, time.perf_counter() - began)
        self._busy = False
        while self._frames and not self._busy and not self.closed:
            assert self._session is not None
            self._frame(self._frames.pop(0))
        if self._frames or self._held:
            self._hold(len(self._buffer) + sum(map(len, self._frames)))

    async def _rows(self, chunks: Iterable[Any] | AsyncIterable[Any]) -> None:
        if isinstance(chunks, AsyncIterable):
            async for rows in chunks:
                if self.closed:
                    return
                await self._send_rows(rows)
        else:
            for rows in chunks:
                await self._send_rows(rows)
        self.send({"result": {}})

    async def _send_rows(self, rows: Any) -> None:
        self.send({"rows": rows})
        if self._can_write is not None:
            await self._can_write

    def answer_error(self, problem: SlurmError) -> None:
        notes = getattr(problem, "notes", None)
        self.send({"error": [problem.number, problem.text, list(notes)] if notes else [problem.number, problem.text]})


class Server:
    """Listens, knows callers, and hands each call to its handler."""

    def __init__(
        self,
        answer: Callable[[Session, Call, Any], Any],
        caller_of: Callable[[int, int], Caller],
        count: Callable[[str], None],
    ) -> None:
        self.answer = answer
        self._caller_of = caller_of
        self.count = count
        # told of each call when it was answered: the session, the call, its arguments, seconds
        self.answered: Callable[[Session, Call, Args, float], None] = lambda session, call, args, seconds: None
        self.connections: set[Connection] = set()
        self.crowd = Crowd()
        self.tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def caller(self, sock: Any) -> Caller:
        """Who the kernel says is at the other end of a Unix socket."""
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, gid = struct.unpack("3i", data)
        return self._caller_of(uid, gid)

    async def listen_unix(self, path: str) -> None:
        sock = bind_unix(path)
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(lambda: Connection(self, True), sock=sock, backlog=1024))

    async def listen_tcp(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """For agents and commands on other machines: nobody is anybody before his token was checked. -> the port"""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self, False),
            host or None,
            port,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE if tls else None,
        )
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.close()
        if self.tasks:
            await asyncio.wait(list(self.tasks), timeout=2)


def bind_unix(path: str) -> socket.socket:
    """A listening socket anyone may connect to, in place of what an earlier process left. Paths of any length."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        name = os.path.basename(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        target = path if len(os.fsencode(path)) <= 107 else f"/proc/self/fd/{directory}/{name}"
        sock.bind(target)
        os.chmod(path, 0o666)
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(directory)
    sock.listen(1024)
    sock.setblocking(False)
    return sock
