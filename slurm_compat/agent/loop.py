"""The agent's one thread: descriptors, timers, signals and children, each with who is to be called.

Callbacks must be quick: nothing else happens while one runs.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable

from slurm_compat.agent.signals import HANDLED, Wakeup

OnExit = Callable[[int, resource.struct_rusage], None]  # wait status, what it used
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """`on_reaped` hears of every child that ended, `on_stop` of SIGTERM and SIGINT."""

    def __init__(self, on_reaped: Callable[[int, resource.struct_rusage], None], on_stop: Callable[[], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = itertools.count(1)
        self._dropped: set[int] = set()
        self._on_exit: dict[int, OnExit] = {}
        self._on_reaped = on_reaped
        self._on_stop = on_stop
        wakeup = Wakeup(*HANDLED)
        self.watch(wakeup.fd, READ, lambda _: self._on_signals(wakeup.read()))

    def after(self, seconds: float, callback: Callable[[], None]) -> int:
        """Call back once, in `seconds`; the number is for `forget`."""
        number = next(self._timer_ids)
        heapq.heappush(self._timers, (time.monotonic() + max(0.0, seconds), number, callback))
        return number

    def forget(self, timer: int) -> None:
        """Not to be called back after all. A timer that has gone off already is no error."""
        if any(number == timer for _, number, _ in self._timers):
            self._dropped.add(timer)

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call back with what is ready of READ and WRITE; again for the same descriptor: changes it."""
        try:
            self._selector.modify(fd, events, callback)
        except KeyError:
            self._selector.register(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def on_exit(self, pid: int, callback: OnExit) -> None:
        """A child of ours; it may have ended already, but not been reaped."""
        self._on_exit[pid] = callback

    def round(self, until: float | None) -> None:
        """Wait for something to happen, at most until that moment of the monotonic clock; see to all that did."""
        if self._timers:
            until = min(self._timers[0][0], until) if until is not None else self._timers[0][0]
        for key, events in self._selector.select(None if until is None else max(0.0, until - time.monotonic())):
            # an earlier callback of this round may have unwatched it
            if key.fd in self._selector.get_map():
                key.data(events)
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, number, callback = heapq.heappop(self._timers)
            if number in self._dropped:
                self._dropped.discard(number)
            else:
                callback()

    def reap(self) -> None:
        """See to the children that have ended, orphans we inherited among them."""
        while True:
            try:
                pid, status, rusage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._on_reaped(pid, rusage)
            if callback := self._on_exit.pop(pid, None):
                callback(status, rusage)

    def _on_signals(self, came: set[int]) -> None:
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._on_stop()
        if signal.SIGCHLD in came:
            self.reap()
