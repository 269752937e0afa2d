"""What the processes of a batch script or a task have used: CPU, memory, paging, disk. Read from /proc.

The sum over the tree is taken at every sample and its highest is kept, as Slurm's jobacct_gather/linux does; CPU of
processes that ended between samples comes from wait4. Short jobs that no sample met have CPU times alone, and sacct
shows their other columns empty, as Slurm does.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass, field

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
FIRST_SAMPLE = 0.8  # seconds after the start; then at doubled distances up to the configured one


@dataclass
class Sample:
    """Sums over some processes at one moment. CPU in microseconds, memory and disk in bytes, pages: major faults."""

    user_cpu: int = 0
    system_cpu: int = 0
    rss: int = 0
    vmsize: int = 0
    pages: int = 0
    disk_read: int = 0
    disk_write: int = 0


@dataclass
class Meter:
    """One task's use so far. `node` and `task` name where the highest values were seen."""

    node: str
    task: int = 0
    highest: Sample = field(default_factory=Sample)
    sampled: bool = False
    waited_user: int = 0  # microseconds of children that were reaped
    waited_system: int = 0
    _read: dict[int, int] = field(default_factory=dict)  # bytes by pid, of ended processes too
    _written: dict[int, int] = field(default_factory=dict)

    def sample(self, pids: Iterable[int]) -> None:
        now = Sample()
        alive = False
        for pid in pids:
            if not _add_stat(now, pid):
                continue
            alive = True
            if counted := _io(pid):
                self._read[pid], self._written[pid] = counted
        if not alive:
            return
        self.sampled = True
        now.disk_read, now.disk_write = sum(self._read.values()), sum(self._written.values())
        for name, value in vars(now).items():
            setattr(self.highest, name, max(value, getattr(self.highest, name)))

    def reaped(self, rusage: resource.struct_rusage) -> None:
        """A direct child ended: its own time and that of all it waited for."""
        self.waited_user += round(rusage.ru_utime * 1_000_000)
        self.waited_system += round(rusage.ru_stime * 1_000_000)

    def usage(self) -> dict[str, int | str]:
        """USAGE_FIELDS of core/fields.py; memory, pages and disk only when a sample was taken."""
        high = self.highest
        user, system = max(high.user_cpu, self.waited_user), max(high.system_cpu, self.waited_system)
        found: dict[str, int | str] = {"user_cpu": user, "system_cpu": system}
        if not self.sampled:
            return found
        for name in ("rss", "vmsize", "pages", "disk_read", "disk_write"):
            value = getattr(high, name)
            found |= {f"max_{name}": value, f"max_{name}_node": self.node, f"max_{name}_task": self.task}
            found[f"ave_{name}"] = value
        return found | {
            "min_cpu": user + system,
            "min_cpu_node": self.node,
            "min_cpu_task": self.task,
            "ave_cpu": user + system,
        }


def _add_stat(total: Sample, pid: int) -> bool:
    """Add a process's counters; False when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the command's name may hold blanks and brackets; what follows its last bracket is plain
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    if len(fields) < 22 or fields[0] == b"Z":
        return False
    # waited-for children are counted with their parent, as wait4 will count them
    total.user_cpu += (int(fields[11]) + int(fields[13])) * 1_000_000 // TICK
    total.system_cpu += (int(fields[12]) + int(fields[14])) * 1_000_000 // TICK
    total.pages += int(fields[9])
    total.vmsize += int(fields[20])
    total.rss += int(fields[21]) * PAGE
    return True


def _io(pid: int) -> tuple[int, int] | None:
    """Bytes read and written through system calls; None where the kernel doesn't tell us."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            lines = dict(line.split(b": ") for line in file.read().splitlines())
    except (OSError, ValueError):
        return None
    return int(lines.get(b"rchar", 0)), int(lines.get(b"wchar", 0))


class Schedule:
    """When to sample next: soon after the start, then less and less often up to every `interval` seconds (0: never)."""

    def __init__(self, started: float, interval: float) -> None:
        self._interval = interval
        self._step = min(FIRST_SAMPLE, interval)
        self.next_at = started + self._step if interval else float("inf")

    def taken(self, now: float) -> None:
        self._step = min(self._step * 2, self._interval)
        self.next_at = now + self._step
