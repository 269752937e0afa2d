"""What falls due at a time: begin times, purges, deadlines. One timer for all of them."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable


class Due:
    """Calls back with (kind, key) at or after each moment; epoch seconds."""

    def __init__(self, act: Callable[[str, int], None], now: Callable[[], float] = time.time) -> None:
        self._act = act
        self._now = now
        self._heap: list[tuple[float, str, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def at(self, moment: float, kind: str, key: int) -> None:
        heapq.heappush(self._heap, (moment, kind, key))
        if self._heap[0][0] == moment:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            # the wall clock may be set; an hour's sleep at most keeps us right
            delay = min(max(self._heap[0][0] - self._now(), 0.0), 3600.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            _, kind, key = heapq.heappop(self._heap)
            self._act(kind, key)
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
