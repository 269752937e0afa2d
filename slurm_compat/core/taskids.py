"""Task ids of a job array: what --array takes ("0-15%4", "1,3,5-7", "0-20:5") and how the waiting ones are shown.

Source: sbatch(1), --array; squeue(1), %K; observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from slurm_compat.core.errors import BadValue

STEPPED = 7  # as many equally spaced tasks are shown as "0-18:3"; fewer one by one
NO_TASK = 0xFFFFFFFE  # what an array's record has as its own task id

# Numbers as strtol reads them; a token ends at "%" or "]", whatever comes behind.
_TOKEN = re.compile(r"\s*\+?(\d*)(?:-(\d+)(?::(\d+))?)?(?:[%\]].*)?", re.ASCII | re.DOTALL)


class TaskIds(NamedTuple):
    """`ranges` are (first, last, step), ascending and disjoint, `last` being a task; throttle 0 is none."""

    ranges: list[tuple[int, int, int]]
    throttle: int = 0


def parse(text: str, max_array_size: int) -> TaskIds:
    """The tasks of an --array value. Ids must stay below `max_array_size`, as MaxArraySize says.

    A million tasks in one range stay one range. Raises BadValue for what is not an expression or out of bounds.
    """
    ranges = []
    for token in text.removeprefix("[").split(","):
        if not token:
            continue
        match = _TOKEN.fullmatch(token)
        # "%2" alone counts as task 0, as strtol of nothing does
        if match is None or not (match[1] or token.startswith("%")):
            raise BadValue(f"{token} is no task id or range of them")
        first = int(match[1] or 0)
        last = int(match[2]) if match[2] else first
        step = int(match[3]) if match[3] else 1
        if step == 0 or last < first or last >= max_array_size:
            raise BadValue(f"{token} is not a range of ids below {max_array_size}")
        last -= (last - first) % step
        ranges.append((first, last, step if last > first else 1))
    if not ranges:
        raise BadValue("no task id")
    return TaskIds(_merged(ranges), _throttle(text))


def _throttle(text: str) -> int:
    """atoi of what is behind the first "%", in 32 bits; nothing that counts as a limit is none."""
    match = re.match(r"\s*\+?(\d+)", text.partition("%")[2], re.ASCII)
    if match is None:
        return 0
    number = int(match[1]) & 0xFFFFFFFF
    return number if number < 1 << 31 else 0


def _merged(ranges: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    if len(ranges) == 1:
        return ranges
    ranges.sort()
    apart = all(left[1] < right[0] for left, right in pairwise(ranges))
    if not apart and any(step > 1 for _, _, step in ranges):
        ranges = [(first, last, 1) for first, last in runs(sorted(set(each(ranges))))]
    merged = ranges[:1]
    for first, last, step in ranges[1:]:
        before = merged[-1]
        if step == before[2] == 1 and first <= before[1] + 1:
            merged[-1] = (before[0], max(last, before[1]), 1)
        else:
            merged.append((first, last, step))
    return merged


def each(ranges: Iterable[tuple[int, int, int]]) -> Iterator[int]:
    """Every task id, ascending for what `parse` gave."""
    for first, last, step in ranges:
        yield from range(first, last + 1, step)


def count(ranges: Iterable[tuple[int, int, int]]) -> int:
    return sum((last - first) // step + 1 for first, last, step in ranges)


def contains(ranges: Iterable[tuple[int, int, int]], task: int) -> bool:
    return any(first <= task <= last and (task - first) % step == 0 for first, last, step in ranges)


def runs(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbours of ascending ids as (first, last)."""
    found: list[tuple[int, int]] = []
    if isinstance(ids, range) and ids.step == 1:
        return [(ids[0], ids[-1])] if ids else []
    start = last = -2
    for task in ids:
        if task != last + 1:
            if last >= 0:
                found.append((start, last))
            start = task
        last = task
    if last >= 0:
        found.append((start, last))
    return found


def show(ids: Iterable[int], throttle: int = 0) -> str:
    """Task ids, ascending, as squeue's %K shows them: "1-3,5", "0-99:3%4"."""
    if not isinstance(ids, range):
        ids = list(ids)
    step = _even_step(ids)
    if len(ids) >= STEPPED and step > 1:
        text = f"{ids[0]}-{ids[-1]}:{step}"
    else:
        text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs(ids))
    return f"{text}%{throttle}" if throttle else text


def show_ranges(ranges: list[tuple[int, int, int]], throttle: int = 0) -> str:
    """`show` for ranges; one range of any size costs nothing."""
    if len(ranges) == 1:
        first, last, step = ranges[0]
        return show(range(first, last + 1, step), throttle)
    if all(step == 1 for _, _, step in ranges):
        text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last, _ in _merged(ranges[:]))
        if count(ranges) > len(ranges):  # two tasks are neighbours, so there is no even step
            return f"{text}%{throttle}" if throttle else text
    return show(each(ranges), throttle)


def _even_step(ids: range | list[int]) -> int:
    """The distance of all neighbours, 0 when it varies."""
    if isinstance(ids, range):
        return ids.step
    if len(ids) < STEPPED:
        return 0
    step = ids[1] - ids[0]
    if ids[-1] - ids[0] != step * (len(ids) - 1):
        return 0
    return step if all(right - left == step for left, right in pairwise(ids)) else 0


def shortened(text: str, size: int) -> str:
    """The ids as a buffer of `size` bytes shows them, 0 being no bound; what is cut ends with "...".

    The buffer has to hold the brackets around them too. What is written with a step is never cut.
    """
    if size <= 0 or len(text) <= size - 3 or ":" in text:
        return text
    return text[: max(size - 4, 0)] + "..."
