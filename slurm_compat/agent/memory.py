"""Whether the kernel, or who watches memory in its place, killed a process of the job for want of memory."""

from __future__ import annotations

from collections.abc import Mapping

ROOT = "/sys/fs/cgroup"


def events_file(environ: Mapping[str, str]) -> str:
    """SLURM_COMPAT_MEMORY_EVENTS, if who started the pod named one; else this process's own cgroup's. "" for none.

    The root of the tree is no job's: what the machine kills elsewhere is not counted.
    """
    if named := environ.get("SLURM_COMPAT_MEMORY_EVENTS"):
        return named
    try:
        with open("/proc/self/cgroup") as file:
            own = next((line.strip()[3:] for line in file if line.startswith("0::")), "")
    except OSError:
        return ""
    # in a pod the own cgroup is shown as the root, and has this file; a machine's root has none
    return f"{ROOT}{own.rstrip('/')}/memory.events" if own else ""


def count(path: str) -> int:
    """The oom_kill count of a memory.events file, 0 where there is none."""
    try:
        with open(path) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    except (OSError, ValueError, IndexError):
        return 0


class OomEvents:
    """Kills since it was made."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = events_file(environ)
        self._before = count(self._path)

    def new(self) -> int:
        return max(0, count(self._path) - self._before)
