"""A step's use, folded from what each of its tasks reported. Fields: core/fields.py, USAGE_FIELDS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Usage = dict[str, Any]

_SUMS = ("user_cpu", "system_cpu")
_HIGHEST = ("max_rss", "max_vmsize", "max_pages", "max_disk_read", "max_disk_write")
_AVERAGES = ("ave_rss", "ave_vmsize", "ave_pages", "ave_cpu", "ave_disk_read", "ave_disk_write")


def fold(parts: Sequence[Mapping[str, Any]]) -> Usage:
    """One usage of many tasks': CPU adds up, the highest and the lowest keep where they were, averages are averaged."""
    if len(parts) == 1:
        return dict(parts[0])
    total: Usage = {}
    for name in _SUMS:
        values = [part[name] for part in parts if name in part]
        if values:
            total[name] = sum(values)
    for name in _HIGHEST:
        _extreme(total, parts, name, max)
    _extreme(total, parts, "min_cpu", min)
    for name in _AVERAGES:
        values = [part[name] for part in parts if name in part]
        if values:
            total[name] = sum(values) // len(values)
    return total


def _extreme(total: Usage, parts: Sequence[Mapping[str, Any]], name: str, choose: Any) -> None:
    having = [part for part in parts if name in part]
    if not having:
        return
    best = choose(having, key=lambda part: part[name])
    for field in (name, f"{name}_node", f"{name}_task"):
        if field in best:
            total[field] = best[field]


def parts_of(reported: Any) -> list[Usage]:
    """What an agent sent as usage, by task: a dict for all, or a list of dicts or of [rank, dict]."""
    if isinstance(reported, dict):
        return [reported] if reported else []
    parts = []
    for entry in reported or ():
        if isinstance(entry, (list, tuple)):
            entry = entry[-1]
        if isinstance(entry, dict) and entry:
            parts.append(entry)
    return parts
