"""A step's line to its node's agent: what it tells of starts, ends and usage, and what it is told to do."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from slurm_compat.agent import processes, usage
from slurm_compat.agent.loop import READ, Loop
from slurm_compat.agent.step_tasks import Task

Message = dict[str, Any]


class AgentLine:
    """`obey` is called with what the agent says, `on_lost` when it is gone."""

    def __init__(
        self, loop: Loop, sock: socket.socket, obey: Callable[[Message], None], on_lost: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._obey = obey
        self._on_lost = on_lost
        self._data = b""
        sock.setblocking(False)
        loop.watch(sock.fileno(), READ, lambda _: self.hear())

    def tell(self, name: str, **fields: Any) -> None:
        self._sock.setblocking(True)
        with contextlib.suppress(OSError):
            self._sock.sendall(json.dumps([name, {**fields, "time": int(time.time())}]).encode() + b"\n")
        self._sock.setblocking(False)

    def hear(self) -> None:
        """Whatever has come."""
        try:
            received = self._sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._loop.unwatch(self._sock.fileno())
            self._on_lost()
            return
        *lines, self._data = (self._data + received).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))


class Samples:
    """The step's usage, told every now and then. Its time limit is the controller's to keep: it may change."""

    def __init__(self, loop: Loop, line: AgentLine, tasks: Mapping[int, Task], interval: float) -> None:
        self._loop = loop
        self._line = line
        self._tasks = tasks
        self._schedule = usage.Schedule(time.monotonic(), interval)
        if self._schedule.next_at != float("inf"):
            self._later()

    def _later(self) -> None:
        self._loop.after(self._schedule.next_at - time.monotonic(), self._take)

    def _take(self) -> None:
        for task in self._tasks.values():
            if task.pid:
                task.meter.sample([task.pid, *processes.descendants(task.pid)])
        self._line.tell("usage", usage=usage_of(self._tasks))
        self._schedule.taken(time.monotonic())
        self._later()


def usage_of(tasks: Mapping[int, Task]) -> list[list[Any]]:
    return [[rank, task.meter.usage()] for rank, task in tasks.items()]
