"""The warm host: a process of the user's own with every command loaded, which forks a child that becomes the command.

One host serves one user with one set of groups, one mount and one pid namespace, one installation. It is started by the
first command, never needed, and ends when idle. A job's agent serves its job's commands the same way (`serve_one`).

What a launcher sends: a head (see HEAD; the descriptors of 0, 1, 2 and the working directory ride on it), then argv and
the environment, NUL after each. What it gets: the child's pid, then its wait status (four bytes each, native order).
It forwards signals to that pid by itself. When the launcher dies, its connection's end kills the child.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import importlib
import os
import pkgutil
import resource
import selectors
import signal
import socket
import stat
import struct
import sys
from typing import Any, NoReturn

MAGIC = 0x31435353
LIMITS = 16
# magic, bytes of the body, bits of the descriptors sent, umask, pid, sid, argc, envc, then 16 x (soft, hard)
HEAD = struct.Struct(f"=IIIIiiII{2 * LIMITS}Q")
MAX_BODY = 32 << 20  # more than the kernel lets argv and environment be
IDLE = 1800.0  # seconds without a command, then the host ends
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


def become(request: Request, conn: socket.socket) -> NoReturn:
    """In the child: take the launcher's place and run its command. Never returns."""
    status: int = 1 << 8
    try:
        # the launcher's end of the connection going away is the launcher's death: SIGIO's default action ends us
        fcntl.fcntl(conn, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(conn, F_SETSIG, signal.SIGHUP)
        for default in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(default, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        conn.settimeout(None)
        fcntl.fcntl(conn, fcntl.F_SETFL, fcntl.fcntl(conn, fcntl.F_GETFL) | os.O_ASYNC)
        place_descriptors(request)
        os.umask(request.umask)
        for number, (soft, hard) in enumerate(request.limits):
            if resource.getrlimit(number) != (_limit(soft), _limit(hard)):
                try:
                    resource.setrlimit(number, (_limit(soft), _limit(hard)))
                except (ValueError, OSError):
                    continue  # a host with a lower hard limit than its caller: the command needs none of them
        os.environ.clear()
        os.environb.update(entry.split(b"=", 1) for entry in request.environment if b"=" in entry)  # type: ignore[misc]
        conn.sendall(WORD.pack(os.getpid()))
        status = run_command(request)
        fcntl.fcntl(conn, fcntl.F_SETFL, fcntl.fcntl(conn, fcntl.F_GETFL) & ~os.O_ASYNC)
        conn.sendall(WORD.pack(status))
    finally:
        os._exit(status >> 8 or 1)


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


def run_command(request: Request) -> int:
    """The command's wait status."""
    import time

    from slurm_compat.cli import main as cli

    def stream(fd: int, mode: str) -> Any:
        try:
            return open(fd, mode, encoding="utf-8", errors="surrogateescape", closefd=False)
        except OSError:
            return open(os.devnull, mode)

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), stream(1, "w"), stream(2, "w")
    sys.stderr.reconfigure(line_buffering=True)
    sys.argv = request.argv
    time.tzset()
    try:
        ctx = cli.context_of_process(request.argv)
        ctx.sid = request.sid
        code = cli.run_to_end(ctx)
    except BrokenPipeError:
        return signal.SIGPIPE
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    return (code & 0xFF) << 8


def serve_one(listener: socket.socket, uids: tuple[int, ...], in_child: Any = None) -> int:
    """Accept one launcher and fork its command; the child's pid, 0 when it was turned away.

    `uids`: whose launchers are served. `in_child`, called first in the child, may change who it is.
    """
    conn, _ = listener.accept()
    with conn:
        _, uid, _ = struct.unpack("3i", conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in uids:
            return 0
        request = receive(conn)
        if request is None:
            return 0
        pid = os.fork()
        if pid == 0:
            try:
                close_others({conn.fileno(), *request.fds})
                if in_child is not None:
                    in_child()
                    be_ones_own()
                become(request, conn)
            finally:
                os._exit(1)
        for fd in request.fds:
            os.close(fd)
        return pid


def preload() -> None:
    """Everything a command could import, and the collector told that it stays: forks share it."""
    for package in ("slurm_compat.core", "slurm_compat.cli"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
            if not module.name.endswith("__main__"):
                # a module that can't be had here fails its own command, not every command
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    gc.disable()


def address(build: str) -> str:
    """Where the launchers of this user, groups and namespaces look; makes the folder. Raises OSError when unsafe."""
    folder = f"/tmp/slurm-compat-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    hashed = 1469598103934665603 ^ os.getegid()
    for group in os.getgroups():
        hashed = (hashed ^ group) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    mnt, pid = (os.stat(f"/proc/self/ns/{name}").st_ino for name in ("mnt", "pid"))
    return f"{folder}/{build}-{mnt:x}-{pid:x}-{hashed:x}"


def main() -> None:
    """Listen until idle. The second host of the same address finds the lock taken and ends."""
    path = address(sys.argv[1])
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for: each tells its launcher itself
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, selectors.DefaultSelector() as selector:
        listener.bind(path)
        listener.listen(128)
        selector.register(listener, selectors.EVENT_READ)
        while selector.select(IDLE):
            serve_one(listener, (os.geteuid(),))
        os.unlink(path)


if __name__ == "__main__":
    main()
