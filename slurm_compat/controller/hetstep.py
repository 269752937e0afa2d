"""A step over several components of a heterogeneous job, as each component's agents are told of it.

Every component has the step's part of its own, with tasks counted from 0; the tasks themselves count through all of
them, as their nodes do. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Layout = Sequence[tuple[str, list[int], int]]  # node, its ranks, CPUs


def offsets(parts: Sequence[tuple[Layout, int]]) -> list[dict[str, Any]]:
    """What to add to each part's launch_step, of (layout, offset of the component in its job); {} for a plain step.

    `first_task` and `first_node` are what comes before the part's own 0; `layout` is the whole step's.
    """
    if len(parts) == 1:
        return [{}]
    whole: list[tuple[str, list[int], int]] = []
    before = []
    tasks = 0
    for layout, _ in parts:
        before.append((tasks, len(whole)))
        whole += [(node, [tasks + rank for rank in ranks], cpus) for node, ranks, cpus in layout]
        tasks += sum(len(ranks) for _, ranks, _ in layout)
    return [
        {"het": {"first_task": first_task, "first_node": first_node, "component": component, "layout": whole}}
        for (first_task, first_node), (_, component) in zip(before, parts, strict=True)
    ]
