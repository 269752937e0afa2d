"""Host lists: node[01-03,07] and back.

Source: scontrol(1), show hostnames and hostlist; observed on 26.05. Standard library only: agents use it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from slurm_compat.core.errors import BadValue

MAX_HOSTS = 64 * 1024  # Slurm's own bound on one range


class BadRange(BadValue):
    """Numbers that are no range, `text` being what stands between the commas: "3-1"."""

    def __init__(self, text: str, whole: str) -> None:
        super().__init__(f"invalid range {text} in {whole}")
        self.text = text


_NUMBERED = re.compile(r"^(.*?)(\d+)$", re.DOTALL)


def expand(text: str) -> list[str]:
    """Every name of a host list, in the order written: "n[1-2],login" is n1, n2, login.

    Several brackets multiply, the last one runs fastest. Raises BadValue for brackets that don't pair or ranges that
    aren't ranges.
    """
    names: list[str] = []
    for part in split(text):
        names.extend(_expand_one(part))
        if len(names) > MAX_HOSTS:
            raise BadValue(f"more than {MAX_HOSTS} hosts")
    return names


def named(text: str) -> list[str]:
    """The hosts of a list, none of a text that is no list."""
    try:
        return expand(text)
    except BadValue:
        return []


def split(text: str) -> list[str]:
    """The parts between the commas that are outside of brackets; blanks and newlines part like commas."""
    parts: list[str] = []
    depth = 0
    start = 0
    for index, char in enumerate(text):
        if char == "[":
            depth += 1
            if depth > 1:
                raise BadValue(f"nested brackets in {text}")
        elif char == "]":
            depth = max(depth - 1, 0)  # one that closes nothing is part of a name
        elif char in ", \t\n" and not depth:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise BadValue(f"unpaired bracket in {text}")
    parts.append(text[start:])
    return [part for part in parts if part]


def _expand_one(part: str) -> list[str]:
    opening = part.find("[")
    if opening < 0:
        return [part]
    closing = part.index("]", opening)
    prefix = part[:opening]
    suffixes = _expand_one(part[closing + 1 :]) if part[closing + 1 :] else [""]
    numbers: list[str] = []
    for piece in part[opening + 1 : closing].split(","):
        numbers.extend(_numbers(piece, part))
    if len(numbers) * len(suffixes) > MAX_HOSTS:
        raise BadValue(f"more than {MAX_HOSTS} hosts")
    return [f"{prefix}{number}{suffix}" for number in numbers for suffix in suffixes]


def _numbers(piece: str, whole: str) -> list[str]:
    low, dash, high = piece.partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise BadRange(piece, whole)
    if not dash:
        return [low]
    first, last = int(low), int(high)
    if last < first or last - first >= MAX_HOSTS:
        raise BadRange(piece, whole)
    return [str(number).zfill(len(low)) for number in range(first, last + 1)]


def compress(names: Iterable[str]) -> str:
    """The shortest sorted form without repeats, as Slurm prints allocations: node[01-03,07],login."""
    return _ranges(sorted(set(names), key=_key))


def compress_sorted(names: Iterable[str]) -> str:
    """Sorted with repeats kept, as `scontrol show hostlistsorted` prints."""
    return _ranges(sorted(names, key=_key))


def compress_as_given(names: Iterable[str]) -> str:
    """Ranges of neighbours in the order given, repeats kept, as `scontrol show hostlist` prints."""
    return _ranges(list(names))


def _key(name: str) -> tuple[str, int, int, str]:
    match = _NUMBERED.match(name)
    if match is None:
        return (name, -1, 0, "")
    return (match[1], len(match[2]), int(match[2]), name)


def _ranges(names: list[str]) -> str:
    """Neighbours with one prefix and one width become ranges; one prefix's ranges share a bracket."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []  # prefix, [(first, last)]
    for name in names:
        match = _NUMBERED.match(name)
        if match is None:
            groups.append((name, []))
            continue
        prefix, digits = match[1], match[2]
        if groups and groups[-1][0] == prefix and groups[-1][1]:
            runs = groups[-1][1]
            if _follows(runs[-1][1], digits):
                runs[-1] = (runs[-1][0], digits)
            else:
                runs.append((digits, digits))
        else:
            groups.append((prefix, [(digits, digits)]))
    return ",".join(prefix + _bracket(runs) for prefix, runs in groups)


def _follows(last: str, digits: str) -> bool:
    if int(digits) != int(last) + 1:
        return False
    padded = last.startswith("0") or digits.startswith("0")
    return not padded or len(last) == len(digits)


def _bracket(runs: list[tuple[str, str]]) -> str:
    if not runs:
        return ""
    if len(runs) == 1 and runs[0][0] == runs[0][1]:
        return runs[0][0]
    return "[" + ",".join(first if first == last else f"{first}-{last}" for first, last in runs) + "]"
