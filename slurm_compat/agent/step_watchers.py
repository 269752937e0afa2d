"""Those who listen to a step beside its srun: each sattach that attached to it, on one node.

They hear all the tasks write and end from then on, and what they type goes to the tasks as srun's does. They can't end
the step, and the step doesn't end with them. A slow one slows the tasks as a slow srun does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slurm_compat.agent.loop import Loop
from slurm_compat.agent.step_link import SrunLink
from slurm_compat.core import stepio
from slurm_compat.core.relayline import RelayLine

REACH_PATIENCE = 2.0  # seconds to reach a sattach, in which the step's output waits


class Watcher:
    """One sattach. `owed`: bytes it sent that no task has taken yet."""

    def __init__(self) -> None:
        self.link: SrunLink
        self.owed = 0


class Watchers:
    def __init__(
        self, loop: Loop, feed: Callable[[int, bytes], None], on_pressure: Callable[[], None],
        relay: Callable[[str], RelayLine] | None = None,
    ) -> None:  # fmt: skip
        """`feed(task, data)` takes input; `on_pressure` is told that `pressed` may have changed."""
        self._loop = loop
        self._feed = feed
        self._on_pressure = on_pressure
        self._relay = relay
        self._all: list[Watcher] = []

    @property
    def pressed(self) -> bool:
        return any(watcher.link.pressed for watcher in self._all)

    @property
    def waiting(self) -> int:
        return sum(watcher.link.waiting for watcher in self._all)

    def attach(self, addresses: list[str], hello: dict[str, Any], first: list[bytes]) -> None:
        """Dial a sattach and tell it `first`. One that can't be reached gives up by itself."""
        watcher = Watcher()
        watcher.link = SrunLink(
            self._loop,
            lambda frame: self._on_frame(watcher, frame),
            lambda: self._lost(watcher),
            lambda pressed: self._on_pressure(),
            self._relay,
        )
        if watcher.link.connect(addresses, REACH_PATIENCE):
            self._all.append(watcher)
            for frame in (stepio.message(stepio.HELLO, hello), *first):
                watcher.link.send(frame)

    def send(self, frame: bytes) -> None:
        for watcher in list(self._all):
            watcher.link.send(frame)

    def give_credit(self, waiting: int) -> None:
        """The slowest task has `waiting` bytes of input to take: the rest of what they sent was taken."""
        for watcher in list(self._all):
            if watcher.owed > waiting:
                taken, watcher.owed = watcher.owed - waiting, waiting
                watcher.link.send(stepio.number(stepio.CREDIT, stepio.ALL, taken))

    def _on_frame(self, watcher: Watcher, frame: stepio.Frame) -> None:
        # the end of its input is not the end of srun's
        if frame.kind == stepio.STDIN:
            watcher.owed += len(frame.body)
            self._feed(frame.task, frame.body)

    def _lost(self, watcher: Watcher) -> None:
        if watcher in self._all:
            self._all.remove(watcher)
        self._on_pressure()
