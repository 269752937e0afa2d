"""A step's measured use as sacct and sstat show it: CPU time, memory and disk, and the TRESUsage lists.

Usage is model.USAGE_FIELDS: CPU in microseconds, memory and disk in bytes; {} when nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.core import timefmt, units

Usage = Mapping[str, Any]

MILLION = 1_000_000


def cpu_clock(microseconds: int) -> str:
    """Time used: 00:02.474, above an hour 01:02:03, above a day 1-02:03:04; 00:00:00 for none."""
    whole, part = divmod(microseconds, MILLION)
    if not microseconds // 1000 or whole >= 3600:
        return timefmt.duration(whole)
    return f"{whole // 60:02d}:{whole % 60:02d}.{part // 1000:03d}"


def cpu_used(usage: Usage, which: str) -> int:
    """Microseconds of "user_cpu", "system_cpu", or "" for both."""
    if which:
        return int(usage.get(which) or 0)
    return int(usage.get("user_cpu") or 0) + int(usage.get("system_cpu") or 0)


def seconds(usage: Usage, key: str) -> str | None:
    """min_cpu and ave_cpu: whole seconds."""
    return None if usage.get(key) is None else timefmt.duration(int(usage[key]) // MILLION)


def memory(usage: Usage, key: str, shown: units.Units) -> str | None:
    """Bytes in the largest exact unit: 30452K."""
    return None if usage.get(key) is None else units.amount(int(usage[key]), units.NONE, shown)


def count(usage: Usage, key: str, shown: units.Units) -> str | None:
    return None if usage.get(key) is None else units.amount(int(usage[key]), units.NONE, shown)


def disk(usage: Usage, key: str, shown: units.Units) -> str | None:
    """Bytes counted in MiB, however few: 0.04M, 50.00M, 25M, 0."""
    if usage.get(key) is None:
        return None
    mebibytes = int(usage[key]) / (1 << 20)
    if mebibytes > 1:
        return units.amount(mebibytes, units.MEGA, shown)
    return f"{mebibytes:.2f}M" if mebibytes else "0"


def name(usage: Usage, key: str) -> str | None:
    """A node, or a task's number."""
    return None if usage.get(key) is None else str(usage[key])


# list: (resource, usage key by what is asked), in the order of their names; "energy" is counted nowhere here
_IN = (("cpu", "cpu"), ("energy", ""), ("fs/disk", "disk_read"), ("mem", "rss"), ("pages", "pages"), ("vmem", "vmsize"))
_OUT = (("energy", ""), ("fs/disk", "disk_write"))


def tres_list(usage: Usage, direction: str, which: str, of: str, shown: units.Units) -> str | None:
    """One TRESUsage field. `direction` "in" or "out"; `which` "ave", "max", "min" or "tot"; `of` "", "node" or "task".

    With nothing measured, what is a sum or mean still says that no energy was used.
    """
    measured = usage.get("max_rss") is not None
    if not measured:
        return "energy=0" if which in ("ave", "tot") and not of else None
    parts = []
    for resource, key in _IN if direction == "in" else _OUT:
        value = _one(usage, resource, key, which, of, shown)
        if value is not None:
            parts.append(f"{resource}={value}")
    return ",".join(parts)


def _one(usage: Usage, resource: str, key: str, which: str, of: str, shown: units.Units) -> str | None:
    if of:
        extreme = "min" if resource == "cpu" else "max"  # the only ends of the range that are kept
        found = usage.get(f"{extreme}_{key}_{of}") if key else (usage.get("max_rss_node") if of == "node" else None)
        return None if found is None or found == "" else str(found)
    if not key:
        return "0"
    if resource == "cpu":
        micro = (
            cpu_used(usage, "")
            if which in ("tot", "max")
            else int(usage.get("min_cpu" if which == "min" else "ave_cpu") or 0)
        )
        return timefmt.duration(micro // MILLION)
    kind = "ave" if which == "ave" else "max"
    value = usage.get(f"tot_{key}") if which == "tot" else usage.get(f"{kind}_{key}")
    if value is None and which == "tot":
        value = int(usage.get(f"ave_{key}") or 0) * max(int(usage.get("tasks") or 1), 1)
    return units.amount(int(value or 0), units.NONE, shown)
