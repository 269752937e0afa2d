"""What the kubelet will do later, unless it is taken back. Standard library only."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

SPARE = 64  # taken-back timers that may lie around before the heap is cleared of them

Action = Callable[[], None]


class Timer:
    __slots__ = ("action",)

    def __init__(self, action: Action | None) -> None:
        self.action = action


class Timers:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._dropped = 0

    def add(self, seconds: float, action: Action) -> Timer:
        timer = Timer(action)
        heapq.heappush(self._heap, (self._clock() + seconds, next(self._numbers), timer))
        return timer

    def drop(self, timer: Timer) -> None:
        """It will not run. What its action held is free at once: deadlines of days outlive their pods by far."""
        if timer.action is None:
            return
        timer.action = None
        self._dropped += 1
        if self._dropped > SPARE and self._dropped * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._dropped = 0

    def next(self) -> list[float]:
        """When the next one is due, [] when there is none."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
            self._dropped -= 1
        return [self._heap[0][0]] if self._heap else []

    def run(self) -> None:
        """Do what is due."""
        while (due := self.next()) and due[0] <= self._clock():
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            if action is not None:
                action()

    def __len__(self) -> int:
        return len(self._heap) - self._dropped
