"""Being a command on a launcher's behalf: what a worker of the warm host does, and a child of a job's agent.

What a launcher sends: a head (see HEAD; the descriptors of 0, 1, 2 and the working directory ride on it), then argv and
the environment, NUL after each. What it gets: the pid of who becomes the command, then the command's wait status (four
bytes each, native order). It forwards signals to that pid by itself. When the launcher dies, its connection's end kills
the command.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from slurm_compat.cli import main as cli

MAGIC = 0x31435353
LIMITS = 16
ALL_STREAMS = 7  # of a request's `which`: 1 << descriptor; 8 is the working directory
# magic, bytes of the body, bits of the descriptors sent, umask, pid, sid, argc, envc, then 16 x (soft, hard)
HEAD = struct.Struct(f"=IIIIiiII{2 * LIMITS}Q")
MAX_BODY = 32 << 20  # more than the kernel lets argv and environment be
REQUEST_TIMEOUT = 5.0  # seconds for a launcher to say its piece

WORD = struct.Struct("=i")
F_SETSIG = 10  # not in the fcntl module


class Request:
    """What a launcher handed over. The descriptors are ours to close."""

    def __init__(self, head: tuple[int, ...], fds: list[int], body: bytes) -> None:
        _, _, self.which, self.umask, self.pid, self.sid, argc, envc, *limits = head
        words = body.split(b"\0")
        self.argv = [os.fsdecode(word) for word in words[:argc]]
        self.environment = words[argc : argc + envc]
        self.limits = list(zip(limits[::2], limits[1::2], strict=True))
        self.fds = fds


def receive(conn: socket.socket) -> Request | None:
    """A whole request, or None when what came is none."""
    conn.settimeout(REQUEST_TIMEOUT)
    fds: list[int] = []
    try:
        data, ancillary, _, _ = conn.recvmsg(HEAD.size, socket.CMSG_SPACE(4 * 4))
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                got = array.array("i")
                got.frombytes(content[: len(content) - len(content) % got.itemsize])
                fds.extend(got)
        while 0 < len(data) < HEAD.size:
            data += conn.recv(HEAD.size - len(data)) or b"\0" * HEAD.size
        head = HEAD.unpack(data)
        if head[0] != MAGIC or head[1] > MAX_BODY or head[2].bit_count() != len(fds):
            raise ValueError
        body = bytearray()
        while len(body) < head[1]:
            chunk = conn.recv(head[1] - len(body))
            if not chunk:
                raise ValueError
            body += chunk
        return Request(head, fds, bytes(body))
    except (OSError, ValueError, struct.error):
        for fd in fds:
            os.close(fd)
        return None


def become(request: Request, conn: socket.socket, let_go: Callable[[], None] = lambda: None) -> bool:
    """In a child: take the launcher's place, run its command, tell how it ended. `let_go` is called before the telling.

    Whether this process is as it was, but for its descriptors, umask, environment and soft limits, which the next
    command sets anew.
    """
    # the launcher's end of the connection going away is the launcher's death, and only a SIGKILL comes to it alone: the
    # others it passes on. What it stood for dies as it did
    fcntl.fcntl(conn, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(conn, F_SETSIG, signal.SIGKILL)
    conn.settimeout(None)
    flags = fcntl.fcntl(conn, fcntl.F_GETFL)
    fcntl.fcntl(conn, fcntl.F_SETFL, flags | os.O_ASYNC)
    place_descriptors(request)
    os.umask(request.umask)
    hard_limits_stay = take_limits(request.limits)
    environment = take_environment(request.environment)
    conn.sendall(WORD.pack(os.getpid()))
    status, clean = run_command(request, environment)
    let_go()
    fcntl.fcntl(conn, fcntl.F_SETFL, flags)
    conn.sendall(WORD.pack(status))
    return clean and hard_limits_stay and request.which & ALL_STREAMS == ALL_STREAMS


def default_signals() -> None:
    """A command starts with the signals as exec leaves them; SIGPIPE shows as an error of the write."""
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def take_limits(limits: list[tuple[int, int]]) -> bool:
    """Soft and hard, in order of their numbers. False when a hard one is not what we had: that may be for good."""
    same = True
    for number, (soft, hard) in enumerate(limits):
        wanted = _limit(soft), _limit(hard)
        had = resource.getrlimit(number)
        if had != wanted:
            same = same and had[1] == wanted[1]
            # a host with a lower hard limit than its caller: the command needs none of them
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(number, wanted)
    return same


def own_limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(number) for number in range(LIMITS)]


def take_environment(entries: list[bytes]) -> dict[str, str]:
    """Make them this process's environment, changing what differs; the same as a dict."""
    wanted = {}
    for entry in entries:
        name, equals, value = entry.decode(errors="surrogateescape").partition("=")
        if equals:
            wanted[name] = value
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    return wanted


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value == 0xFFFFFFFFFFFFFFFF else value


def close_others(kept: set[int]) -> None:
    """The command gets its caller's descriptors and none of the host's: locks, links and other callers' stay away."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))


def be_ones_own() -> None:
    """A process that changed its user may not look at itself in /proc, /dev/stdin included, until it says so."""
    import ctypes

    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE


def place_descriptors(request: Request) -> None:
    """0, 1, 2 and the working directory become the launcher's; one it had closed is closed."""
    fds = iter(request.fds)
    for target in range(3):
        if request.which & 1 << target:
            source = next(fds)
            if source != target:
                os.dup2(source, target)
                os.close(source)
            else:
                os.set_inheritable(target, True)
        else:
            try:
                os.close(target)
            except OSError:
                continue
    if request.which & 8:
        directory = next(fds)
        os.fchdir(directory)
        os.close(directory)


def run_command(request: Request, environment: dict[str, str]) -> tuple[int, bool]:
    """The command's wait status, and whether it ended as a command should that leaves nothing behind."""

    def stream(fd: int, mode: str) -> Any:
        try:
            return open(fd, mode, encoding="utf-8", errors="surrogateescape", closefd=False)
        except OSError:
            return open(os.devnull, mode)

    sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), stream(1, "w"), stream(2, "w")
    sys.stderr.reconfigure(line_buffering=True)
    sys.argv = request.argv
    time.tzset()
    try:
        ctx = cli.context_of_process(request.argv, environment)
        ctx.sid = request.sid
        code = cli.run_to_end(ctx)
        clean = cli.COMMANDS.get(ctx.command, ("", False))[1] and not code
    except BrokenPipeError:
        return signal.SIGPIPE, False
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        clean = False
    return (code & 0xFF) << 8, clean


def peer_uid(conn: socket.socket) -> int:
    uid: int = struct.unpack("3i", conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    return uid


def serve_one(listener: socket.socket, uids: tuple[int, ...], in_child: Callable[[], None] = lambda: None) -> int:
    """Accept one launcher and fork its command; the child's pid, 0 when it was turned away.

    `uids`: whose launchers are served. `in_child`, called first in the child, may change who it is.
    """
    conn, _ = listener.accept()
    with conn:
        if peer_uid(conn) not in uids or (request := receive(conn)) is None:
            return 0
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                close_others({conn.fileno(), *request.fds})
                signal.set_wakeup_fd(-1)
                default_signals()
                in_child()
                be_ones_own()
                become(request, conn)
                code = 0
            finally:
                os._exit(code)
        for fd in request.fds:
            os.close(fd)
        return pid
