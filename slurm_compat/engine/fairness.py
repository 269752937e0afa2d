"""Between queues: dominant resource fairness. The queue whose dearest resource is the smallest share goes first.

A queue's weight is 1 / priority_factor; its cost the largest fraction of any one resource that its runs hold, over its
weight. Shares are of this moment: Armada keeps no history.
"""

from __future__ import annotations

from collections.abc import Mapping

from slurm_compat.engine.nodes import DISK, GPU
from slurm_compat.engine.shape import Amounts

FAIR_RESOURCES = ("cpu", "memory", GPU, DISK)


class Shares:
    def __init__(self, total: Amounts) -> None:
        self.held: dict[str, dict[str, int]] = {}  # queue: amounts
        self.renew(total)

    def renew(self, total: Amounts) -> None:
        self.total = {name: total[name] for name in FAIR_RESOURCES if total.get(name)}

    def add(self, queue: str, amounts: Amounts) -> None:
        held = self.held.setdefault(queue, {})
        for name, amount in amounts.items():
            held[name] = held.get(name, 0) + amount

    def remove(self, queue: str, amounts: Amounts) -> None:
        held = self.held[queue]
        for name, amount in amounts.items():
            held[name] -= amount
        if not any(held.values()):
            del self.held[queue]

    def cost(self, queue: str, priority_factor: float, more: Amounts | None = None) -> float:
        """What the queue holds, with `more` added, as its cost."""
        return dominant(self.held.get(queue, {}), more or {}, self.total) * priority_factor


def dominant(held: Amounts, more: Amounts, total: Mapping[str, int]) -> float:
    return max(
        ((held.get(name, 0) + more.get(name, 0)) / amount for name, amount in total.items()),
        default=0.0,
    )
