"""One thread's loop of descriptors and timers, for commands that wait for several things at once."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Callback = Callable[[int], None]  # told which of READ and WRITE it may do


class SelectLoop:
    """Descriptors to watch, calls to make later; `run` goes on until `over` is set."""

    def __init__(self) -> None:
        self._selector = selectors.PollSelector()  # unlike epoll it takes regular files too
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self.over = False

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call back when `fd` is ready; with no events: never. Said again it changes what is waited for."""
        if not events:
            self.unwatch(fd)
            return
        known = self._selector.get_map().get(fd)
        if known is None:
            self._selector.register(fd, events, callback)
        elif known.events != events:
            self._selector.modify(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, callback))

    def run(self, each_round: Callable[[], None]) -> None:
        """`each_round` is called whenever everything that was ready has been seen to."""
        while not self.over:
            for key, events in self._selector.select(self._pause()):
                # an earlier callback of this round may have unwatched it
                if key.fd in self._selector.get_map():
                    key.data(events)
            self._run_timers()
            if not self.over:
                each_round()

    def _pause(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(at for at, _ in self._timers) - time.monotonic())

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = [callback for at, callback in self._timers if at <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for callback in due:
            if not self.over:
                callback()
