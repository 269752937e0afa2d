"""Which processes are the job's, and which part of the job (batch script or step) each belongs to.

The agent is the reaper of everything below it, so a process can leave its parent but never the agent's tree. A process
belongs to whom its nearest known ancestor belongs to; once seen, it stays there when it is orphaned.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable

PR_SET_CHILD_SUBREAPER = 36
BATCH = "batch"


def adopt_orphans() -> None:
    """From now on orphans below this process become its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))


def children(pid: int) -> list[int]:
    """The children of all threads of `pid`; none when it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found.extend(int(child) for child in file.read().split())
        except FileNotFoundError:
            if os.path.exists(f"/proc/{pid}/task/{thread}"):
                return children_by_search(pid)  # a kernel built without these lists
        except OSError:
            continue
    return found


def descendants(root: int = 0) -> list[int]:
    """All processes below `root`, or below this one, parents before children."""
    found: list[int] = []
    queue = [root or os.getpid()]
    while queue:
        below = children(queue.pop())
        found += below
        queue += below
    return found


def children_by_search(pid: int) -> list[int]:
    """The same from every process's word on its parent."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == pid:
                found.append(int(name))
    return found


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the pid, its identity. 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


class Processes:
    """The tree below this process. An owner is BATCH or a step id."""

    def __init__(self, me: int | None = None) -> None:
        self._me = me or os.getpid()
        self._owners: dict[int, tuple[str, int]] = {}  # pid: owner, start ticks
        self._roots: dict[int, str] = {}

    def add(self, pid: int, owner: str) -> None:
        """A process this agent started itself."""
        self._roots[pid] = owner
        self._owners[pid] = (owner, start_ticks(pid))

    def gone(self, pid: int) -> str:
        """A child was reaped, its id may be given to another process now. Whose it was, "" when nobody has seen it."""
        self._roots.pop(pid, None)
        return self._owners.pop(pid, ("", 0))[0]

    def by_owner(self) -> dict[str, list[int]]:
        """All processes below the agent, by owner, parents before children."""
        found: dict[str, list[int]] = {}
        seen: dict[int, tuple[str, int]] = {}
        queue = [(pid, self._orphan_owner(pid)) for pid in children(self._me)]
        while queue:
            pid, owner = queue.pop(0)
            if pid in seen:
                continue
            known = self._owners.get(pid)
            ticks = known[1] if known and pid in self._roots else start_ticks(pid)
            if known and known[1] == ticks:
                owner = known[0]
            seen[pid] = (owner, ticks)
            found.setdefault(owner, []).append(pid)
            queue.extend((child, owner) for child in children(pid))
        self._owners = seen
        return found

    def _orphan_owner(self, pid: int) -> str:
        """Whose a child of the agent is that nobody saw before it lost its parent: the group it is in may tell."""
        if pid in self._roots:
            return self._roots[pid]
        try:
            return self._owners.get(os.getpgid(pid), (BATCH, 0))[0]
        except OSError:
            return BATCH

    def members(self, owner: str) -> list[int]:
        return self.by_owner().get(owner, [])

    def everyone(self) -> list[int]:
        return [pid for pids in self.by_owner().values() for pid in pids]


def send(pids: Iterable[int], number: int) -> int:
    """Send a signal to each; how many of them were there to get it."""
    reached = 0
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue
        reached += 1
    return reached


def kill_all(find: Callable[[], list[int]], reap: Callable[[], None], patience: float = 10.0) -> bool:
    """SIGKILL what `find` names until nothing is left, children of dying parents included. False: some would not die.

    A process can outlive SIGKILL in the kernel (a dead network mount): after `patience` seconds it is left behind.
    """
    deadline = time.monotonic() + patience
    pause = 0.0005
    while pids := find():
        send(pids, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
        reap()
    return True
