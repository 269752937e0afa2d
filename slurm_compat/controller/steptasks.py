"""Which task runs on which node of a step: the distributions of srun -m, their first level.

The second and third level (sockets, cores) say how tasks are bound to CPUs; that is the agents' part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


class Unfit(Exception):
    """The nodes have too little room for the tasks."""


def level(distribution: str) -> str:
    """The first level's word: "" when none was given, "plane" for "plane=4", "block" for "block:cyclic,Pack"."""
    word = distribution.split(",")[0].split(":")[0].split("=")[0].lower()
    return "" if word in ("*", "-") else word


def distribute(
    distribution: str, room: Sequence[int], tasks: int, tasks_per_node: int | None, arbitrary: list[int] | None
) -> list[list[int]]:
    """The ranks of each node. `room`: how many tasks each has CPUs for. Raises Unfit."""
    if arbitrary is not None:
        return _by_place((arbitrary[rank % len(arbitrary)] for rank in range(tasks)), len(room)) if arbitrary else []
    word = level(distribution) or ("cyclic" if tasks <= len(room) else "block")
    if word == "plane":
        # Slurm goes round in blocks here whatever the nodes' CPUs are
        size = max(1, int(distribution.split("=")[1].split(",")[0]) if "=" in distribution else 1)
        return _by_place((rank // size % len(room) for rank in range(tasks)), len(room))
    limits = [min(count, tasks_per_node) for count in room] if tasks_per_node else list(room)
    if sum(limits) < tasks:
        raise Unfit
    return LAYOUTS.get(word, _block)(limits, tasks)


def with_more(room: Sequence[int], tasks: int) -> list[int]:
    """Room for --overcommit: what is too little grows by one task a node in turn."""
    grown = list(room)
    while grown and sum(grown) < tasks:
        for place in range(len(grown)):
            if sum(grown) < tasks:
                grown[place] += 1
    return grown


def _by_place(places: Iterable[int], nodes: int) -> list[list[int]]:
    ranks: list[list[int]] = [[] for _ in range(nodes)]
    for rank, place in enumerate(places):
        ranks[place].append(rank)
    return ranks


def _block(room: Sequence[int], tasks: int) -> list[list[int]]:
    """Node after node; each gets one task before any gets a second."""
    counts = [1 if place < tasks and limit else 0 for place, limit in enumerate(room)]
    left = tasks - sum(counts)
    for place, limit in enumerate(room):
        more = min(left, limit - counts[place])
        counts[place] += more
        left -= more
    ranks, first = [], 0
    for count in counts:
        ranks.append(list(range(first, first + count)))
        first += count
    return ranks


def _cyclic(room: Sequence[int], tasks: int) -> list[list[int]]:
    ranks: list[list[int]] = [[] for _ in room]
    rank = 0
    while rank < tasks:
        for place, limit in enumerate(room):
            if rank < tasks and len(ranks[place]) < limit:
                ranks[place].append(rank)
                rank += 1
    return ranks


LAYOUTS: dict[str, Callable[[Sequence[int], int], list[list[int]]]] = {"block": _block, "cyclic": _cyclic}

SHOWN = {"block": "Block", "cyclic": "Cyclic", "plane": "Plane", "arbitrary": "arbitrary task distribution"}


def shown_distribution(distribution: str, tasks: int, nodes: int) -> str:
    """What sacct's Layout has for it."""
    return SHOWN.get(level(distribution) or ("cyclic" if tasks <= nodes else "block"), "Block")
