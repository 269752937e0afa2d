"""What each user has open at the controller's socket, so that nobody keeps the others out: connections, and bytes of
calls that are not answered yet. Root, SlurmUser and the controller's own user, whose agents call here, are not counted.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1024  # of one user; every srun and salloc that waits or runs is one
WANTED_FILES = 16384
MOST_BYTES = 256 << 20  # of one user's calls on their way
LINES = 30  # of the log that misbehaviour is worth in a minute


def connections_each(files: int) -> int:
    """How many of the `files` this process may have open are one user's at most."""
    return max(16, min(MOST_CONNECTIONS, files // 4))


def raise_file_limit() -> tuple[int, Callable[[int], None]]:
    """Have room for many users' connections: how many files may be open now, and what gives the process of a pid the
    limit that there was, for jobs inherit it."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    def as_before(pid: int) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    return wanted, as_before


class Crowd:
    def __init__(self, most: int = MOST_CONNECTIONS, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._clock = clock
        self._open: dict[int, int] = {}  # connections by uid
        self._bytes: dict[int, int] = {}
        self._minute = 0.0
        self._told = 0

    def enter(self, uid: int) -> bool:
        """One connection more; whether the user may have it. `leave` is to come either way."""
        self._open[uid] = self._open.get(uid, 0) + 1
        return self._open[uid] <= self.most

    def leave(self, uid: int, held: int) -> None:
        """One less, and what was held of it."""
        for counts, amount in ((self._open, 1), (self._bytes, held)):
            left = counts.get(uid, 0) - amount
            if left > 0:
                counts[uid] = left
            else:
                counts.pop(uid, None)

    def hold(self, uid: int, more: int) -> bool:
        """So many bytes more, or less; whether they are not too many."""
        self._bytes[uid] = self._bytes.get(uid, 0) + more
        return self._bytes[uid] <= MOST_BYTES

    def tell(self, text: str) -> None:
        """Into the log, but not without end: the log is on a disk."""
        now = self._clock()
        if now - self._minute >= 60:
            if self._told > LINES:
                log.info("%d more lines like these", self._told - LINES)
            self._minute, self._told = now, 0
        self._told += 1
        if self._told <= LINES:
            log.info("%s", text.replace("\n", " "))
