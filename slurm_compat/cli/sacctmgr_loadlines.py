"""The lines of a dump's file, and how what one of them changes is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slurm_compat.cli.sacctmgr_dump import LIMITS, QOS_LIMITS
from slurm_compat.cli.sacctmgr_records import wall_minutes
from slurm_compat.cli.sacctmgr_values import PARENT_SHARE
from slurm_compat.core import treslimits

KINDS = ("qos", "cluster", "parent", "account", "user")
_LINE = re.compile(r"\s*(\w+)\s*-\s*(?:'([^']*)'|\"([^\"]*)\"|([^:]*))(.*)", re.DOTALL)
NO_NUMBER = 4294967295  # as a QOS's missing limit is told; an association's is -1


class BadLine(Exception):
    """`lines`: what is said of it."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Line(NamedTuple):
    number: int  # from 1, comments and empty lines not counted
    kind: str
    name: str
    pairs: list[tuple[str, str]]


@dataclass
class Told:
    """What the file has that is not there yet."""

    qos: dict[str, dict[str, Any]] = field(default_factory=dict)
    accounts: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # name: parent, values
    users: dict[str, dict[str, str]] = field(default_factory=dict)
    associations: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # user, account, values
    later: list[list[Any]] = field(default_factory=list)  # steps that need the associations to be there
    defaults: dict[str, str] = field(default_factory=dict)  # new users' default accounts
    made: set[str] = field(default_factory=set)
    something: bool = False
    qos_shown: bool = False


def lines_of(text: str) -> Iterator[Line]:
    """Raises nothing: what is no such line is passed over, as the real one does."""
    number = 0
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        number += 1
        found = _LINE.fullmatch(line)
        if found is None or found[1].lower() not in KINDS:
            continue
        name = next(part for part in (found[2], found[3], found[4], "") if part is not None)
        yield Line(number, found[1].lower(), name.strip().lower(), list(_pairs(found[5])))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """ ":Fairshare=1:Description='a: b'" -> ("Fairshare", "1"), ("Description", "a: b")"""
    part, quote = "", ""
    for char in text + ":":
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == ":":
            name, equals, value = part.partition("=")
            if equals:
                yield name.strip(), value.strip().strip("'\"")
            part = ""
            continue
        part += char


TITLES = {name: key for key, name, _ in (*QOS_LIMITS, *LIMITS)} | {
    "fairshare": "fairshare", "description": "description", "organization": "organization", "priority": "Priority",
    "parent": "Parent", "default_qos": "Default QOS", "grace_time": "GraceTime", "preempt_mode": "PreemptMode",
    "preempt_exempt_time": "PreemptExemptTime", "usage_factor": "UsageFactor", "usage_threshold": "UsageThreshold",
    "preempt": "Preempt", "flags": "Flags",
}  # fmt: skip


_FIRST = ("description", "organization", "flags", "grace_time", "fairshare")


def place_of(kind: str, attribute: str) -> int:
    """Where the line of a changed attribute stands among the others of one entry."""
    table = [name for _, name, _ in (QOS_LIMITS if kind == "QOS" else LIMITS)]
    order = [*_FIRST, *table, "preempt", "preempt_mode", "preempt_exempt_time", "priority", "usage_factor", "qos"]
    return order.index(attribute) if attribute in order else len(order)


def changed(what: str, kind: str, name: str, old: Any, new: Any) -> str:
    return f" Changed {what:<21} for {kind:<7} {name:<10} {old!s:>8} -> {new}"


def difference(
    kind: str, name: str, attribute: str, value: Any, old: Mapping[str, Any], numbers: Mapping[str, int]
) -> str:
    """The line that tells of a changed attribute, "" when it is as it was. `numbers`: of TRES."""
    before = old.get(attribute)
    if isinstance(value, dict):
        listed = before.split(",") if isinstance(before, str) else list(before or [])
        if sorted(filter(None, listed)) == sorted(value["names"]):
            return ""
        return f" Added {attribute.upper():<23} for {kind:<7} {name:<10} {','.join(sorted(value['names']))}"
    title = TITLES.get(attribute, attribute)
    if "tres" in attribute:
        merged = treslimits.merged(before or "", value or "")
        if merged == (before or ""):
            return ""
        return changed(title, kind, name, _by_number(before, numbers), _by_number(merged, numbers))
    if attribute.endswith("_wall"):
        before, value = wall_minutes(before), wall_minutes(value)
    elif attribute == "preempt_exempt_time":
        before, value = (None if one is None else one * 60 for one in (wall_minutes(before), wall_minutes(value)))
    if isinstance(before, str) and isinstance(value, str) and before.lower() == value.lower():
        return ""
    if before == value or (before in (None, "") and value in (None, "")):
        return ""
    return changed(title, kind, name, _shown(kind, before), _shown(kind, value))


def _shown(kind: str, value: Any) -> Any:
    if value is None:
        return NO_NUMBER if kind == "QOS" else -1
    return "parent" if value == PARENT_SHARE else value


def _by_number(text: str | None, numbers: Mapping[str, int]) -> str:
    """TRES as the database has them: "1=9,2=1024"."""
    if not text:
        return "(null)"
    return ",".join(f"{numbers.get(name, 0)}={amount}" for name, amount in treslimits.parse(text).items())
