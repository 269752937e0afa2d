"""One engine and one kubelet a state folder. Standard library only."""

from __future__ import annotations

import fcntl
import os

from slurm_compat.engine.procs import start_time


class Locked(Exception):
    """Another one holds the lock."""


def take_lock(state: str, name: str) -> int:
    """The descriptor of a lock that is held until we end; our pid and start time stand beside it. Raises Locked."""
    lock = os.open(os.path.join(state, "run", f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Locked(f"another {name} is running with the state folder {state}") from None
    with open(os.path.join(state, "run", f"{name}.pid"), "w", encoding="ascii") as file:
        file.write(f"{os.getpid()} {start_time(os.getpid())}\n")
        os.fchmod(file.fileno(), 0o644)  # anybody may ask who runs
    return lock
