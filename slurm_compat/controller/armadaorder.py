"""In which order the jobs of a queue wait inside Armada, and the fewest words that make it the right one.

Armada starts a queue's jobs by a number, told when a job is handed over and changeable since; equal numbers go by age.
Slurm's priorities change all the time, mostly together: age lets all of them grow. So what is told is not every new
priority but only the jobs that stand in the wrong place, as few as there can be, and those that move to one place in
one call. Pure; numbers here are Slurm's way round, the high goes first.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

HIGHEST = 0xFFFFFFFF  # Armada's are 32 bits
STEP = 1000  # left free beside the first and the last, for those that will move there


class Waiting(NamedTuple):
    """A job inside Armada."""

    job_id: int
    told: int  # its number there
    age: str  # sorts as Armada's order of equal numbers does: its id there


class Move(NamedTuple):
    number: int
    job_ids: list[int]


def moves(wanted: Sequence[Waiting]) -> list[Move]:
    """What must be told so that Armada's order is that of `wanted`, the first to start first. [] when it is already."""
    stays = _in_order(wanted)
    if len(stays) == len(wanted):
        return []
    found: list[Move] = []
    edges = [-1, *stays, len(wanted)]
    for left, right in itertools.pairwise(edges):
        moved = list(_runs(wanted[left + 1 : right]))
        if not moved:
            continue
        above = wanted[left].told if left >= 0 else None
        below = wanted[right].told if right < len(wanted) else None
        numbers = _between(above, below, len(moved))
        if numbers is None:
            return _anew(wanted)
        found += [Move(number, [job.job_id for job in run]) for number, run in zip(numbers, moved, strict=True)]
    return found


def _in_order(wanted: Sequence[Waiting]) -> list[int]:
    """Places of as many jobs as possible that stand right among each other: a longest increasing subsequence."""
    keys: list[tuple[int, str]] = []  # the least last key of a sequence of each length
    last: list[int] = []  # its place
    before = [-1] * len(wanted)
    for place, job in enumerate(wanted):
        key = (-job.told, job.age)
        length = bisect_left(keys, key)
        before[place] = last[length - 1] if length else -1
        keys[length : length + 1] = [key]
        last[length : length + 1] = [place]
    found = []
    place = last[-1] if last else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]


def _runs(jobs: Sequence[Waiting]) -> Iterator[list[Waiting]]:
    """Neighbours that can share a number, because by age they stand as they should."""
    run: list[Waiting] = []
    for job in jobs:
        if run and job.age < run[-1].age:
            yield run
            run = []
        run.append(job)
    if run:
        yield run


def _between(above: int | None, below: int | None, count: int) -> list[int] | None:
    """So many falling numbers strictly between two, None where there is no room."""
    if above is None:
        above = min((below or 0) + STEP * (count + 1), HIGHEST + 1)
    if below is None:
        below = max(above - STEP * (count + 1), 0)
    room = above - below
    if room <= count:
        return None
    return [above - room * (place + 1) // (count + 1) for place in range(count)]


def _anew(wanted: Sequence[Waiting]) -> list[Move]:
    """Numbers for all, with room between them."""
    runs = list(_runs(wanted))
    room = HIGHEST // (len(runs) + 1)
    return [Move(HIGHEST - room * (place + 1), [job.job_id for job in run]) for place, run in enumerate(runs)]
