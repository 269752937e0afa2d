"""A step's measured use as sacct and sstat show it: CPU time, memory and disk, and the TRESUsage lists.

Usage is fields.USAGE_FIELDS: CPU in microseconds, memory and disk in bytes; {} when nothing was measured.
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


def running_disk(usage: Usage, key: str, shown: units.Units) -> str:
    """sstat's own way: plain bytes, but one byte is "1.00M" and none is "0"."""
    number = int(usage.get(key) or 0)
    return units.amount(number, units.NONE, shown) if number > 1 else "1.00M" if number else "0"


def name(usage: Usage, key: str) -> str | None:
    """A node, or a task's number."""
    return None if usage.get(key) is None else str(usage[key])


# resource of a list, and the part of the usage's keys that counts it, by name of resource; nothing meters energy
_IN = (("cpu", "cpu"), ("energy", ""), ("fs/disk", "disk_read"), ("mem", "rss"), ("pages", "pages"), ("vmem", "vmsize"))
_OUT = (("energy", ""), ("fs/disk", "disk_write"))


def tres_list(
    usage: Usage, direction: str, which: str, of: str, shown: units.Units, tasks: int = 1, running: bool = False
) -> str | None:
    """One TRESUsage field. `direction` "in" or "out"; `which` "ave", "max", "min" or "tot"; `of` "", "node" or "task".

    With nothing measured, what is a sum or mean still says that no energy was used. Of a running step (sstat) the
    number of the task is shown as a time for cpu.
    """
    if usage.get("max_rss") is None:
        return "energy=0" if which in ("ave", "tot") and not of else None
    parts = []
    for resource, key in _IN if direction == "in" else _OUT:
        if of:
            value = _place(usage, key, of)
            if value is not None and resource == "cpu" and of == "task" and running:
                value = timefmt.duration(int(value))
        else:
            value = _value(usage, resource, key, which, shown, tasks)
        if value is not None:
            parts.append(f"{resource}={value}")
    return ",".join(parts)


def _place(usage: Usage, key: str, of: str) -> str | None:
    """Where the extreme was. Of CPU the least is kept, of the rest the most; energy, always zero, has a node alone."""
    if not key:
        return name(usage, "max_rss_node") if of == "node" else None
    extreme = "min" if key == "cpu" else "max"
    return name(usage, f"{extreme}_{key}_{of}")


def _value(usage: Usage, resource: str, key: str, which: str, shown: units.Units, tasks: int) -> str:
    if not key:
        return "0"
    if resource == "cpu":
        micro = cpu_used(usage, "") if which == "tot" else int(usage.get(f"{which}_cpu") or usage.get("min_cpu") or 0)
        return timefmt.duration(micro // MILLION)
    mean = int(usage.get(f"ave_{key}") or 0)
    if which == "tot":
        return units.amount(mean * max(tasks, 1), units.NONE, shown)
    return units.amount(mean if which == "ave" else int(usage.get(f"max_{key}") or 0), units.NONE, shown)


# the fields that list a usage by TRES, of sacct and sstat alike: name, width, direction, which of the tasks', of what
TRES_LISTS: tuple[tuple[str, int, str, str, str], ...] = (
    ("TRESUsageInAve", 14, "in", "ave", ""),
    ("TRESUsageInMax", 14, "in", "max", ""),
    ("TRESUsageInMaxNode", 18, "in", "max", "node"),
    ("TRESUsageInMaxTask", 18, "in", "max", "task"),
    ("TRESUsageInMin", 14, "in", "min", ""),
    ("TRESUsageInMinNode", 18, "in", "min", "node"),
    ("TRESUsageInMinTask", 18, "in", "min", "task"),
    ("TRESUsageInTot", 14, "in", "tot", ""),
    ("TRESUsageOutAve", 15, "out", "ave", ""),
    ("TRESUsageOutMax", 15, "out", "max", ""),
    ("TRESUsageOutMaxNode", 19, "out", "max", "node"),
    ("TRESUsageOutMaxTask", 19, "out", "max", "task"),
    ("TRESUsageOutMin", 15, "out", "min", ""),
    ("TRESUsageOutMinNode", 19, "out", "min", "node"),
    ("TRESUsageOutMinTask", 19, "out", "min", "task"),
    ("TRESUsageOutTot", 15, "out", "tot", ""),
)
