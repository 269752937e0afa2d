"""What the controller has done since a moment, for sdiag: calls by kind and by user, jobs, and its scheduling rounds.

Rounds: what is ready is looked at in order of priority and handed to Armada (main); when something was freed, jobs that
could not go before are looked at again, out of turn (backfill). Times are microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from slurm_compat.core.bookargs import ChangeBook
from slurm_compat.core.callargs import Args
from slurm_compat.core.clusterargs import UpdatePartition, UpdateReservation
from slurm_compat.core.jobargs import Jobs, UpdateJob

LATENCY_CALLS = 1000  # readings of the clock that are timed once
# states whose jobs sdiag counts, by its words
ENDED = {
    "completed": ("COMPLETED",),
    "canceled": ("CANCELLED",),
    "failed": ("FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "PREEMPTED"),
}

BOOK_FORMS = frozenset(
    f"{verb} {entity}" for verb in ("add", "modify", "delete") for entity in ("account", "user", "qos", "coordinator")
)


class Rounds(msgspec.Struct):
    """Scheduling rounds of one kind."""

    cycles: int = 0
    last: int = 0
    longest: int = 0
    total: int = 0
    last_depth: int = 0  # jobs looked at
    depth: int = 0
    last_queue: int = 0  # jobs that waited
    queue: int = 0
    started: int = 0  # jobs handed over
    last_at: int = 0

    def add(self, seconds: float, depth: int, queue: int, started: int, at: int) -> None:
        micros = int(seconds * 1e6)
        self.cycles += 1
        self.last = micros
        self.longest = max(self.longest, micros)
        self.total += micros
        self.last_depth = depth
        self.depth += depth
        self.last_queue = queue
        self.queue += queue
        self.started += started
        self.last_at = at

    def again(self) -> None:
        """Begin anew; what was last stays to be seen."""
        self.cycles = self.longest = self.total = self.depth = self.queue = self.started = 0


class Statistics:
    def __init__(self, now: int) -> None:
        self.since = now
        self.main = Rounds()
        self.backfill = Rounds()
        self.backfilled = 0  # since the controller's start
        self._calls: dict[tuple[str, str], list[int]] = {}  # call and form: count, time
        self._users: dict[int, tuple[str, list[int]]] = {}
        self._before: dict[str, int] = {}  # the controller's counters at the last reset
        self.latency = _latency()

    def answered(self, call: str, args: Args, uid: int, user: str, seconds: float) -> None:
        """A call was answered, or refused."""
        micros = int(seconds * 1e6)
        for count in (
            self._calls.setdefault((call, form_of(args)), [0, 0]),
            self._users.setdefault(uid, (user, [0, 0]))[1],
        ):
            count[0] += 1
            count[1] += micros

    def round(self, backfill: bool, seconds: float, depth: int, queue: int, started: int, at: int) -> None:
        if backfill:
            self.backfill.add(seconds, depth, queue, started, at)
            self.backfilled += started
        else:
            self.main.add(seconds, depth, queue, started, at)

    def reset(self, now: int, counters: Mapping[str, int]) -> None:
        self.since = now
        self._before = dict(counters)
        self._calls.clear()
        self._users.clear()
        self.main.again()
        self.backfill.again()

    def figures(self, counters: Mapping[str, int]) -> dict[str, Any]:
        """Everything as a call answers it; `calls` are [name, form, count, microseconds]."""
        since = {name: count - self._before.get(name, 0) for name, count in counters.items()}
        return {
            "since": self.since,
            "latency": self.latency,
            "latency_calls": LATENCY_CALLS,
            "jobs_submitted": since.get("submitted", 0),
            "jobs_started": since.get("started", 0),
            **{f"jobs_{word}": sum(since.get(state, 0) for state in endings) for word, endings in ENDED.items()},
            "main": msgspec.to_builtins(self.main),
            "backfill": msgspec.to_builtins(self.backfill) | {"started_ever": self.backfilled},
            "calls": [[name, form, *count] for (name, form), count in self._calls.items()],
            "users": [[user, uid, *count] for uid, (user, count) in self._users.items()],
        }


def form_of(args: Args) -> str:
    """Which of Slurm's several messages a call stands for, where that shows in what it asks."""
    if isinstance(args, Jobs):
        if len(args.job_ids) == 1:
            return "one"
        if len(args.user_ids) == 1 and not args.job_ids:
            return "users"
    elif isinstance(args, ChangeBook):
        form = f"{args.verb} {args.entity}"
        return form if form in BOOK_FORMS else ""
    elif isinstance(args, UpdateReservation):
        return args.action if args.action in ("create", "delete") else ""
    elif isinstance(args, UpdateJob):
        return "top" if "top" in args.changes else ""
    elif isinstance(args, UpdatePartition):
        return next((word for word in ("create", "delete") if args.changes.get(word)), "")
    return ""


def _latency() -> int:
    """Microseconds that LATENCY_CALLS readings of the clock take."""
    start = time.perf_counter()
    for _ in range(LATENCY_CALLS):
        time.time()
    return int((time.perf_counter() - start) * 1e6)
