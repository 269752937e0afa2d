"""When the job must end, and the warning signal before that. Source: sbatch(1), --time, --signal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from slurm_compat.agent.loop import Loop

WARNING_BEFORE = 60  # seconds; of --signal without a time


class TimeLimit:
    """`over` is called when the time is over, `warn` before it; the end moves by the time the job stands still."""

    def __init__(self, loop: Loop, over: Callable[[], None], warn: Callable[[], None]) -> None:
        self.end_time = 0  # epoch seconds, 0: never
        self._loop = loop
        self._over = over
        self._warn = warn
        self._beyond = 0  # seconds a job may run on: OverTimeLimit
        self._warning_before: float | None = None  # seconds
        self._timers: list[int] = []
        self._stopped_at = 0.0

    def begin(self, launched: Mapping[str, Any]) -> None:
        """What the launch packet says of it."""
        self._beyond = int(launched["config"].get("over_time_limit") or 0) * 60
        signal = launched.get("signal") or {}
        self._warning_before = signal.get("delay", WARNING_BEFORE) if signal.get("number") else None
        self.set(int(launched.get("end_time") or 0))

    def set(self, end_time: int) -> None:
        self.forget()
        self.end_time = end_time
        if not end_time or self._stopped_at:
            return
        left = end_time - time.time()
        self._timers.append(self._loop.after(left + self._beyond, self._over))
        if self._warning_before is not None and left > 0:
            self._timers.append(self._loop.after(left - self._warning_before, self._warn))

    def forget(self) -> None:
        for timer in self._timers:
            self._loop.forget(timer)
        self._timers.clear()

    def stop(self) -> bool:
        """The job was stopped: False if it was so already."""
        if self._stopped_at:
            return False
        self._stopped_at = time.time()
        self.forget()
        return True

    def go_on(self) -> bool:
        """It goes on: False if it was not stopped."""
        if not self._stopped_at:
            return False
        stopped, self._stopped_at = time.time() - self._stopped_at, 0.0
        if self.end_time:
            self.set(self.end_time + round(stopped))
        return True
