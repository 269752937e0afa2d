#!/usr/bin/env -S python3 -ISE
"""The launcher where no compiler was at hand: launcher.c in Python.

Only modules built into the interpreter or written in C are imported, for this file's start is every command's start.
The three names below are set by `install-commands`.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PYTHON = ""
BUILD = ""
CLUSTER_FILE = ""

MAGIC = 0x31435353
# never -m: that would import from the caller's working directory, which may be a stranger's, or /tmp
COLD = """\
import sys
if sys.path[:1] == ['']: del sys.path[0]
from slurm_compat.cli.main import main
main(sys.argv[1:])
"""
FORWARDED = (2, 15, 1, 3, 10, 12, 28, 18, 14)  # INT TERM HUP QUIT USR1 USR2 WINCH CONT ALRM


def host_path() -> str | None:
    """The host's address for this user, groups and mount and pid namespace; None when none may be trusted."""
    folder = f"/tmp/slurm-compat-{posix.geteuid()}"
    try:
        info = posix.lstat(folder)
        mnt, pid = (posix.stat("/proc/self/ns/" + name).st_ino for name in ("mnt", "pid"))
    except OSError:
        return None
    if info.st_mode & 0o170077 != 0o040000 or info.st_uid != posix.geteuid():
        return None
    hashed = 1469598103934665603 ^ posix.getegid()
    for group in posix.getgroups():
        hashed = (hashed ^ group) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return f"{folder}/{BUILD}-{mnt:x}-{pid:x}-{hashed:x}"


def dial(path: str | bytes) -> Any:
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
        uid = int.from_bytes(sock.getsockopt(_socket.SOL_SOCKET, 17, 12)[4:8], sys.byteorder)  # SO_PEERCRED
    except (OSError, ValueError):
        return None
    return sock if uid in (posix.geteuid(), 0) else None


def number(value: int, size: int) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, sys.byteorder)


def open_streams() -> list[int]:
    """Those of 0, 1, 2 the caller left open. Asked first: a closed one's number goes to the next thing opened."""
    fds = []
    for fd in range(3):
        try:
            posix.fstat(fd)
        except OSError:
            continue
        fds.append(fd)
    return fds


def hand_over(sock: Any, fds: list[int], argv: list[str]) -> None:
    import _socket
    import resource

    which = sum(1 << fd for fd in fds)
    try:
        fds.append(posix.open(".", 0o10200000 | posix.O_CLOEXEC))  # O_PATH | O_DIRECTORY
        which |= 8
    except OSError:
        which &= 7
    mask = posix.umask(0)
    posix.umask(mask)
    words = [word.encode("utf-8", "surrogateescape") for word in argv]
    entries = [name + b"=" + value for name, value in posix.environ.items()]
    body = b"".join(word + b"\0" for word in words + entries)
    head = b"".join(
        number(v, 4) for v in (MAGIC, len(body), which, mask, posix.getpid(), posix.getsid(0), len(words), len(entries))
    )
    for limit in range(16):
        head += b"".join(number(value, 8) for value in resource.getrlimit(limit))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, b"".join(number(fd, 4) for fd in fds))] if fds else []
    if sock.sendmsg([head], rights) != len(head):
        raise OSError
    sock.sendall(body)


def die_of(what: int) -> None:
    import _signal  # type: ignore[import-not-found, unused-ignore]

    _signal.signal(what, _signal.SIG_DFL)
    posix.kill(posix.getpid(), what)
    posix._exit(128 + what)


def word(sock: Any) -> int | None:
    data = b""
    while len(data) < 4:
        chunk = sock.recv(4 - len(data))
        if not chunk:
            return None
        data += chunk
    return int.from_bytes(data, sys.byteorder, signed=True)


def follow(sock: Any) -> None:
    """Follow the child to its end. Returns only when no child was made."""
    import _signal  # type: ignore[import-not-found, unused-ignore]

    child, last = [0], [0]

    def forward(what: int, _frame: Any) -> None:
        last[0] = what
        if child[0]:
            try:
                posix.kill(child[0], what)
            except OSError:
                return

    for what in FORWARDED:
        if _signal.getsignal(what) != _signal.SIG_IGN:
            _signal.signal(what, forward)
    child[0] = word(sock) or 0
    if not child[0]:
        return
    if last[0]:
        forward(last[0], None)
    status = word(sock)
    if status is None:
        status = last[0] or 9  # it fell before it could say how: of what we passed on, or of a kill
    if status & 0x7F:
        die_of(status & 0x7F)
    posix._exit(status >> 8 & 0xFF)


def start_host() -> None:
    if posix.fork() == 0:
        posix.setsid()
        if posix.fork() == 0:
            null = posix.open("/dev/null", posix.O_RDWR)
            for fd in range(3):
                posix.dup2(null, fd)
            posix.chdir("/")
            posix.execv(PYTHON, [PYTHON, "-m", "slurm_compat.launcher.host", BUILD])
        posix._exit(0)
    posix.wait()


def names_descriptor(argv: list[str]) -> bool:
    """Words that name a descriptor beyond the streams, as `sbatch <(…)` and --export-file=9: this process has it."""
    return any("/dev/fd/" in word or "/proc/self/fd/" in word or word.startswith("--export-file") for word in argv)


def main() -> None:
    fds = open_streams()
    argv = [sys.argv[0].rpartition("/")[2], *sys.argv[1:]]
    if CLUSTER_FILE:
        posix.environ.setdefault(b"SLURM_CONF", CLUSTER_FILE.encode())
        posix.putenv(b"SLURM_CONF", posix.environ[b"SLURM_CONF"])
    warm = posix.getuid() == posix.geteuid() and b"SLURM_COMPAT_COLD" not in posix.environ
    warm = warm and not names_descriptor(sys.argv[1:])
    if warm and argv[0] != "salloc":  # salloc gives its terminal to a shell: that takes a process of its session
        agent = posix.environ.get(b"_SLURM_COMPAT_HOST")
        sock = dial(agent) if agent else None
        if sock is None:
            path = host_path()
            sock = dial(path) if path else None
            if sock is None and not agent:
                start_host()
        if sock is not None:
            try:
                hand_over(sock, fds, argv)
            except OSError:
                sock.close()
            else:
                follow(sock)
    try:
        posix.execve(PYTHON, [PYTHON, "-c", COLD, *argv], posix.environ)
    except OSError as problem:
        sys.stderr.write(f"{argv[0]}: error: {PYTHON}: {problem.strerror}; run slurm-compat install-commands again\n")
        posix._exit(1)


main()
