"""Queues, as QueueService keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from armada_client.armada import submit_pb2

from slurm_compat.engine.scheduler import QueueFacts
from slurm_compat.engine.validation import Invalid

MIN_PRIORITY_FACTOR = 1.0


class Queues:
    def __init__(self, stored: Iterable[tuple[str, bytes]] = ()) -> None:
        self._queues: dict[str, Any] = {name: submit_pb2.Queue.FromString(data) for name, data in stored}

    def __contains__(self, name: str) -> bool:
        return name in self._queues

    def __iter__(self) -> Iterator[Any]:
        return iter([self._queues[name] for name in sorted(self._queues)])

    def get(self, name: str) -> Any | None:
        return self._queues.get(name)

    def put(self, name: str, queue: Any | None) -> None:
        if queue is None:
            self._queues.pop(name, None)
        else:
            self._queues[name] = queue

    def facts_of(self, name: str) -> QueueFacts:
        """A queue that was deleted keeps its jobs, and they go on with an ordinary weight."""
        queue = self._queues.get(name)
        return QueueFacts() if queue is None else QueueFacts(queue.priority_factor, queue.cordoned)

    def facts(self) -> list[tuple[str, QueueFacts]]:
        return [(name, self.facts_of(name)) for name in self._queues]


def checked(queue: Any, creator: str) -> Any:
    """The queue as it will be kept. Raises Invalid."""
    if not queue.name:
        raise Invalid("queue name must not be empty")
    if not queue.priority_factor >= MIN_PRIORITY_FACTOR:
        raise Invalid(f"priority factor must be at least {MIN_PRIORITY_FACTOR:g}, got {queue.priority_factor:g}")
    kept = submit_pb2.Queue()
    kept.CopyFrom(queue)
    if not len(kept.user_owners):
        kept.user_owners.append(creator)
    return kept
