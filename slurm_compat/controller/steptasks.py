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


def packed(distribution: str) -> bool:
    """Whether nodes are to be filled one after the other: "block,pack"."""
    return level(distribution) in ("", "block") and distribution.lower().endswith(",pack")


def distribute(
    distribution: str, room: Sequence[int], tasks: int, tasks_per_node: int | None, arbitrary: list[int] | None,
    overcommit: bool = False,
) -> list[list[int]]:  # fmt: skip
    """The ranks of each node. `room`: how many tasks each has CPUs for. Raises Unfit."""
    if arbitrary is not None:
        return _by_place((arbitrary[rank % len(arbitrary)] for rank in range(tasks)), len(room)) if arbitrary else []
    if sum(room) < tasks and not overcommit:
        raise Unfit
    word = level(distribution) or ("cyclic" if tasks <= len(room) else "block")
    if word == "plane":
        size = max(1, int(distribution.split("=")[1].split(",")[0]) if "=" in distribution else 1)
        return _plane(room, tasks, size)
    limits = [min(count, tasks_per_node) for count in room] if tasks_per_node else list(room)
    if packed(distribution):
        return _consecutive(_filled(limits, tasks))
    return LAYOUTS.get(word, _block)(limits, tasks)


def _by_place(places: Iterable[int], nodes: int) -> list[list[int]]:
    ranks: list[list[int]] = [[] for _ in range(nodes)]
    for rank, place in enumerate(places):
        ranks[place].append(rank)
    return ranks


def _consecutive(counts: Sequence[int]) -> list[list[int]]:
    ranks, first = [], 0
    for count in counts:
        ranks.append(list(range(first, first + count)))
        first += count
    return ranks


def _turns(limits: Sequence[int], tasks: int) -> list[int]:
    """The place of each task when they go round the nodes; once all are full, round all of them again."""
    counts = [0] * len(limits)
    places: list[int] = []
    full = False
    while len(places) < tasks:
        before = len(places)
        for place, limit in enumerate(limits):
            if len(places) < tasks and (full or counts[place] < limit):
                counts[place] += 1
                places.append(place)
        full = full or len(places) == before
    return places


def _block(limits: Sequence[int], tasks: int) -> list[list[int]]:
    """Node after node, each with as many as it would get if they went round."""
    places = _turns(limits, tasks)
    return _consecutive([places.count(place) for place in range(len(limits))])


def _cyclic(limits: Sequence[int], tasks: int) -> list[list[int]]:
    return _by_place(_turns(limits, tasks), len(limits))


def _filled(limits: Sequence[int], tasks: int) -> list[int]:
    """How many each node gets when one is filled before the next begins."""
    counts: list[int] = []
    for limit in limits:
        counts.append(min(limit, tasks - sum(counts)))
    for place in _turns([0] * len(limits), tasks - sum(counts)):
        counts[place] += 1
    return counts


def _plane(room: Sequence[int], tasks: int, size: int) -> list[list[int]]:
    """Round the nodes in planes of `size`, or of a node's CPUs if those are fewer; every node gets a task."""
    places: list[int] = []
    turn = 0
    while len(places) < tasks:
        place = turn % len(room)
        untouched = max(0, len(room) - 1 - turn)
        more = max(1, min(size, room[place], tasks - len(places) - untouched))
        places += [place] * min(more, tasks - len(places))
        turn += 1
    return _by_place(places, len(room))


LAYOUTS: dict[str, Callable[[Sequence[int], int], list[list[int]]]] = {"block": _block, "cyclic": _cyclic}

SHOWN = {"block": "Block", "cyclic": "Cyclic", "plane": "Plane", "arbitrary": "arbitrary task distribution"}


def shown_distribution(distribution: str, tasks: int, nodes: int) -> str:
    """What sacct's Layout has for it."""
    return SHOWN.get(level(distribution) or ("cyclic" if tasks <= nodes else "block"), "Block")
