"""A file that sbcast sends, written on this node: by a process of its own, as the job's user. Standard library only.

sbcast listens as srun does; the frames are those of core/stepio.py: HELLO, then the file as STDIN and STDIN_END, then
our EXITED, whose status is an errno, and FINISHED. A file that did not come whole is taken away again.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from slurm_compat.agent.launch import User
from slurm_compat.agent.link import dial
from slurm_compat.agent.relay import Patient, dialler
from slurm_compat.core import stepio
from slurm_compat.core.relayline import PREFIX

PATIENCE = 60.0  # seconds without a byte until sbcast counts as gone
WHILE_WRITTEN = 0o700  # nobody else looks at half a file

Message = Mapping[str, Any]


def start(message: Message, node: str, user: User) -> int:
    """Fork the process that takes the file; its pid. Raises OSError when there can be none."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        gc.freeze()  # what the agent's garbage still holds is closed below, and not twice
        signal.set_wakeup_fd(-1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 16 else 1 << 16)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        user.become()
        code = take(message, node)
    except Exception:
        traceback.print_exc()  # into the pod's log: sbcast sees that we hung up
        sys.stderr.flush()
    finally:
        os._exit(code)


def take(message: Message, node: str) -> int:
    """Connect and write; the errno it ended with, 0 for a file that is there."""
    sock: socket.socket | Patient | None = connected(message["addresses"])
    if sock is None:
        sock = relayed(message)
    if sock is None:
        return errno.ENOTCONN
    with contextlib.closing(sock):
        hello = {"secret": message["secret"], "node": node, "node_rank": message["ranks"][node]}
        sock.sendall(stepio.message(stepio.HELLO, hello | {"version": stepio.VERSION}))
        try:
            write_file({**message, "node": node}, sock)
            status = 0
        except OSError as problem:
            status = problem.errno or errno.EIO
        with contextlib.suppress(OSError):
            sock.sendall(stepio.message(stepio.EXITED, {"status": status, "tasks": [message["ranks"][node]]}))
            sock.sendall(stepio.message(stepio.FINISHED, {}))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):  # what was on its way when it went wrong; a reset would take our word with it
                pass
    return status


def connected(addresses: list[str]) -> socket.socket | None:
    """The first that answers, waiting for it."""
    for address in addresses:
        if address.startswith(PREFIX):
            continue
        try:
            sock = dial(address)
        except (OSError, ValueError):
            continue
        sock.settimeout(PATIENCE)
        try:
            sock.getpeername()  # fails while, or when, the connection has not come about
            return sock
        except OSError:
            pass
        if _comes_about(sock):
            return sock
        sock.close()
    return None


def relayed(message: Message) -> Patient | None:
    """The sbcast by way of the controller."""
    call = dialler(message.get("config") or {})
    for address in message["addresses"]:
        if call and address.startswith(PREFIX):
            try:
                return Patient(call(address.removeprefix(PREFIX)), PATIENCE)
            except (OSError, ValueError):
                continue
    return None


def _comes_about(sock: socket.socket) -> bool:
    import select

    poll = select.poll()
    poll.register(sock.fileno(), select.POLLOUT)
    return bool(poll.poll(10_000)) and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def write_file(message: Message, sock: socket.socket | Patient) -> None:
    """Raises OSError: the file can't be made or written, or sbcast went away before its end."""
    path = message["path"] + (f"_{message['node']}" if message.get("by_node") else "")
    how = os.O_TRUNC if message["force"] else os.O_EXCL
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, WHILE_WRITTEN)
    try:
        for part in parts(sock):
            while part:
                part = part[os.write(fd, part) :]
        os.fchmod(fd, message["mode"])
        if times := message["times"]:
            os.utime(fd, (times[0], times[1]))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(fd)


def parts(sock: socket.socket | Patient) -> Any:
    """The file's bytes as they come. Raises OSError when they end before the end."""
    reader = stepio.Reader()
    while received := sock.recv(1 << 18):
        try:
            for frame in reader.feed(received):
                if frame.kind == stepio.STDIN_END:
                    return
                if frame.kind == stepio.STDIN:
                    yield memoryview(frame.body)
        except stepio.BadFrame as problem:
            raise OSError(errno.EPROTO, str(problem)) from None
    raise OSError(errno.ECONNRESET, "sbcast is gone")
