"""A process by its pid and start time, which together name one process for ever."""

from __future__ import annotations


def start_time_of(pid: int) -> str:
    """When the process was started, in the kernel's ticks."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19].decode()


def running_pid(path: str) -> int:
    """The pid in a pid file if that very process lives, 0 else."""
    try:
        with open(path, encoding="ascii") as text:
            pid, started = text.read().split()
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *rest = file.read().rpartition(b")")[2].split()
        # a zombie is our own child that was killed: the next one started buries it
        return int(pid) if rest[18].decode() == started and state != b"Z" else 0
    except (OSError, ValueError, IndexError):
        return 0
