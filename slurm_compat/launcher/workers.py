"""The warm host's workers: each a fork of the host that is one command after another.

Forking, and then copying every page that a command touches, costs more than most commands do. So a worker that its
command left as it found it takes the next one; any other ends, and so does one that sat idle while others could serve.
The workers accept launchers by themselves; the host sees only that one of them is always free to.

What they share is the board: a byte a worker (FREE, IDLE, BUSY), and behind those the second of the last command.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import selectors
import signal
import socket
import struct
import time
from typing import NoReturn

from slurm_compat.launcher import child

FREE, IDLE, BUSY = 0, 1, 2
SLOTS = 4088  # workers at once; launchers beyond that wait for one
LAST = struct.Struct("=q")  # at SLOTS of the board: when the last command began, on the monotonic clock
LEISURE = 30  # seconds a worker waits for a command before it asks itself whether it is needed
COMMANDS = 300  # that a worker is before it makes room for a fresh one
CPU_TIME = 0.5  # seconds that it has used then: a caller's limit of one second counts from the process's start
RETRY = 1.0  # seconds after a fork that failed
NOT_READ = struct.pack("ll", LEISURE, 0)


class Board:
    """Shared by the host and its workers. Every entry has one writer: its worker, or the host while there is none."""

    def __init__(self) -> None:
        self._bytes = mmap.mmap(-1, SLOTS + LAST.size)
        self.note_command()

    def set(self, slot: int, state: int) -> None:
        self._bytes[slot] = state

    def slot(self, state: int) -> int:
        """The first worker in this state, -1 when there is none."""
        return self._bytes.find(bytes((state,)), 0, SLOTS)

    def note_command(self) -> None:
        LAST.pack_into(self._bytes, SLOTS, int(time.monotonic()))

    def last_command(self) -> int:
        found: int = LAST.unpack_from(self._bytes, SLOTS)[0]
        return found


class Host:
    """The process the workers are forked from. It stays as it was when everything was loaded."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.board = Board()
        self.slots: dict[int, int] = {}  # pid: slot
        self.stopping = False
        self.wake_read, self.wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # a worker's accept comes back after this time, and at once when the host shuts the listener down
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, NOT_READ)

    def run(self, idle: float) -> None:
        """Until there was no command for `idle` seconds, or a signal."""
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake_read, selectors.EVENT_READ)
            while not self.stopping:
                self._bury()
                left = self.board.last_command() + idle - time.monotonic()
                if left <= 0 and self.board.slot(BUSY) < 0:
                    break
                if self.board.slot(IDLE) >= 0 or self._hire():
                    selector.select(max(left, LEISURE))
                else:
                    selector.select(RETRY)
                self._drain()
        # whoever waits for a launcher hears it at once, and whoever is busy afterwards
        self.listener.shutdown(socket.SHUT_RDWR)

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_read, 4096)

    def _bury(self) -> None:
        while self.slots:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self.board.set(self.slots.pop(pid), FREE)

    def _hire(self) -> bool:
        slot = self.board.slot(FREE)
        if slot < 0:
            return False
        try:
            pid = os.fork()
        except OSError:
            return False
        if pid == 0:
            try:
                Worker(self, slot).work()
            finally:
                os._exit(1)
        self.board.set(slot, IDLE)
        self.slots[pid] = slot
        return True


class Worker:
    def __init__(self, boss: Host, slot: int) -> None:
        signal.set_wakeup_fd(-1)
        self.boss = os.getppid()
        self.board = boss.board
        self.slot = slot
        self.listener = boss.listener
        self.wake = boss.wake_write
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.limits = child.own_limits()
        self.kept = {0, 1, 2, self.listener.fileno(), self.wake, self.null}
        child.close_others(self.kept)
        child.default_signals()

    def work(self) -> NoReturn:
        for _ in range(COMMANDS):
            conn = self._next()
            with conn:
                if not self._serve(conn):
                    break
        os._exit(0)

    def _next(self) -> socket.socket:
        """The next launcher. Ends the process when it is not needed any more."""
        while True:
            self.board.set(self.slot, IDLE)
            try:
                conn, _ = self.listener.accept()
            except BlockingIOError:
                self.board.set(self.slot, FREE)
                if os.getppid() == self.boss and self.board.slot(IDLE) < 0:
                    continue
            except OSError:
                pass  # the host shut the listener down
            else:
                self.board.set(self.slot, BUSY)
                if self.board.slot(IDLE) < 0:
                    self._ask_for_another()
                return conn
            os._exit(0)

    def _ask_for_another(self) -> None:
        with contextlib.suppress(OSError):  # full: it has been asked; gone: there is nobody to ask
            os.write(self.wake, b"\0")

    def _serve(self, conn: socket.socket) -> bool:
        """Be one command. Whether this process is fit for another."""
        if child.peer_uid(conn) != os.geteuid() or (request := child.receive(conn)) is None:
            return True
        self.board.note_command()
        fit = child.become(request, conn, self._let_go)
        # a signal the launcher passes on is for this command: until it is gone, no other may be here to get it
        with contextlib.suppress(OSError):
            while conn.recv(1):
                pass
        gc.collect()
        child.take_limits(self.limits)
        fit = fit and time.process_time() < CPU_TIME
        return fit and {int(name) for name in os.listdir("/proc/self/fd")} - self.kept <= {conn.fileno(), self._spare()}

    def _spare(self) -> int:
        """The number that the listing of our descriptors had itself: the lowest that is free."""
        fd = os.dup(self.null)
        os.close(fd)
        return fd

    def _let_go(self) -> None:
        """Hold nothing of the caller's: who reads a pipe to its end waits for that, not for our exit."""
        for fd in range(3):
            os.dup2(self.null, fd)
        os.chdir("/")
