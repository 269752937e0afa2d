"""The queued work, by shape: ten thousand jobs that want the same thing are one question, asked again only when a node
has got room for it.

A unit is what is placed at once: a job, or a complete gang. Units of equal shapes form a group with one heap a queue.
A group is blocked once its shapes did not fit; room only shrinks until something ends, so it stays blocked till then.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from slurm_compat.engine.jobs import Job
from slurm_compat.engine.shape import Shape

Order = tuple[int, int, float, str]


class Unit:
    """Jobs that are placed together, all of one queue."""

    __slots__ = ("gone", "group", "jobs", "order", "queue", "shapes", "uniformity")

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = sorted(jobs, key=Job.order)
        self.queue = jobs[0].queue
        # a gang's turn comes with its last member's
        self.order: Order = self.jobs[-1].order()
        self.shapes: tuple[Shape, ...] = tuple(job.shape for job in self.jobs)
        self.uniformity = jobs[0].gang.uniformity if jobs[0].gang else ""
        self.group: Group | None = None
        self.gone = False  # no longer queued; its heap entry is dropped when it comes up

    def asks(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for shape in self.shapes:
            for name, amount in shape.amounts:
                total[name] = total.get(name, 0) + amount
        return total


class Group:
    __slots__ = ("blocked", "heaps", "key", "live", "shapes", "uniformity")

    def __init__(self, key: Any, shapes: tuple[Shape, ...], uniformity: str) -> None:
        self.key = key
        self.shapes = shapes
        self.uniformity = uniformity
        self.blocked = False
        self.live = 0
        self.heaps: dict[str, list[tuple[Order, int, Unit]]] = {}

    def head(self, queue: str) -> Unit | None:
        heap = self.heaps.get(queue)
        while heap:
            if not heap[0][2].gone:
                return heap[0][2]
            heapq.heappop(heap)
        self.heaps.pop(queue, None)
        return None


class Backlog:
    def __init__(self) -> None:
        self._groups: dict[Any, Group] = {}
        self._ready: dict[str, set[Group]] = {}
        self._count = itertools.count()  # a unit that was taken out and put back again may have the order it had

    def add(self, unit: Unit) -> None:
        key = (unit.shapes, unit.uniformity)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, unit.shapes, unit.uniformity)
        unit.group = group
        group.live += 1
        heapq.heappush(group.heaps.setdefault(unit.queue, []), (unit.order, next(self._count), unit))
        if not group.blocked:
            self._ready.setdefault(unit.queue, set()).add(group)

    def remove(self, unit: Unit) -> None:
        if unit.gone or unit.group is None:
            return
        unit.gone = True
        group = unit.group
        group.live -= 1
        if not group.live:
            del self._groups[group.key]
            for queue in group.heaps:
                self._ready.get(queue, set()).discard(group)

    def block(self, group: Group) -> None:
        group.blocked = True
        for queue in group.heaps:
            self._ready.get(queue, set()).discard(group)

    def unblock(self, may_fit: Callable[[Group], bool]) -> None:
        """After something was freed: the groups that it may help are asked about again."""
        for group in self._groups.values():
            if group.blocked and may_fit(group):
                group.blocked = False
                for queue in group.heaps:
                    self._ready.setdefault(queue, set()).add(group)

    def fronts(self, queues: Iterable[str]) -> Fronts:
        return Fronts(self, {queue: self._ready.get(queue, set()) for queue in queues})

    def ready_queues(self) -> list[str]:
        return [queue for queue, groups in self._ready.items() if groups]

    def __len__(self) -> int:
        return sum(group.live for group in self._groups.values())


class Fronts:
    """The first unit of each queue, for one round; while a round lasts, room only shrinks."""

    def __init__(self, backlog: Backlog, ready: dict[str, set[Group]]) -> None:
        self._backlog = backlog
        self._heaps: dict[str, list[tuple[Order, int, Group]]] = {}
        for queue, groups in ready.items():
            heap = []
            for group in list(groups):
                head = group.head(queue)
                if head is None:
                    groups.discard(group)
                else:
                    heap.append((head.order, id(group), group))
            if heap:
                heapq.heapify(heap)
                self._heaps[queue] = heap

    def heads(self) -> Iterator[Unit]:
        for queue in list(self._heaps):
            heap = self._heaps[queue]
            while heap:
                order, _, group = heap[0]
                head = None if group.blocked else group.head(queue)
                if head is not None and head.order == order:
                    yield head
                    break
                heapq.heappop(heap)
                if head is not None:
                    heapq.heappush(heap, (head.order, id(group), group))
            if not heap:
                del self._heaps[queue]
