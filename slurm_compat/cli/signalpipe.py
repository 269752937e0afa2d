"""Signals as something to select on, for the commands that wait: srun and salloc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SignalPipe:
    """The signals that came, in their order, on a descriptor."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._read

    def read(self) -> list[int]:
        try:
            return list(os.read(self._read, 4096))
        except BlockingIOError:
            return []

    def _close(self) -> None:
        os.close(self._read)
        os.close(self._write)


def _wake(number: int, frame: object) -> None:
    """The byte in the pipe is all that is wanted; without a handler it would not be written."""


@contextmanager
def caught(numbers: Iterable[int]) -> Iterator[SignalPipe]:
    """Within, these signals go to the pipe. One that was ignored when we started stays ignored (nohup)."""
    pipe = SignalPipe()
    before = {}
    wakeup = signal.set_wakeup_fd(pipe._write, warn_on_full_buffer=False)
    for number in numbers:
        handler = signal.getsignal(number)
        if handler is not signal.SIG_IGN or number in (signal.SIGCHLD, signal.SIGPIPE):
            before[number] = handler
            signal.signal(number, _wake)
    try:
        yield pipe
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        pipe._close()
