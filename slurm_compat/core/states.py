"""Job, step and node states, in Slurm's words.

A job has one base state and any number of flags (COMPLETING, CONFIGURING, …). What users see is a single word: a flag
that outranks the base, else the base. Source: squeue(1), JOB STATE CODES; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable

PENDING = "PENDING"
RUNNING = "RUNNING"
SUSPENDED = "SUSPENDED"
COMPLETED = "COMPLETED"
CANCELLED = "CANCELLED"
FAILED = "FAILED"
TIMEOUT = "TIMEOUT"
NODE_FAIL = "NODE_FAIL"
PREEMPTED = "PREEMPTED"
BOOT_FAIL = "BOOT_FAIL"
DEADLINE = "DEADLINE"
OUT_OF_MEMORY = "OUT_OF_MEMORY"

# base state: compact form, number (job_states enum; the sort order of squeue)
BASE: dict[str, tuple[str, int]] = {
    PENDING: ("PD", 0),
    RUNNING: ("R", 1),
    SUSPENDED: ("S", 2),
    COMPLETED: ("CD", 3),
    CANCELLED: ("CA", 4),
    FAILED: ("F", 5),
    TIMEOUT: ("TO", 6),
    NODE_FAIL: ("NF", 7),
    PREEMPTED: ("PR", 8),
    BOOT_FAIL: ("BF", 9),
    DEADLINE: ("DL", 10),
    OUT_OF_MEMORY: ("OOM", 11),
}

COMPLETING = "COMPLETING"
CONFIGURING = "CONFIGURING"
REQUEUED = "REQUEUED"
REQUEUE_HOLD = "REQUEUE_HOLD"
REQUEUE_FED = "REQUEUE_FED"
SPECIAL_EXIT = "SPECIAL_EXIT"
RESIZING = "RESIZING"
REVOKED = "REVOKED"
RESV_DEL_HOLD = "RESV_DEL_HOLD"
SIGNALING = "SIGNALING"
STAGE_OUT = "STAGE_OUT"
STOPPED = "STOPPED"

# flag: compact form, in the order in which they outrank the base state when shown
FLAGS: dict[str, str] = {
    COMPLETING: "CG",
    STAGE_OUT: "SO",
    CONFIGURING: "CF",
    RESIZING: "RS",
    REQUEUED: "RQ",
    REQUEUE_FED: "RF",
    REQUEUE_HOLD: "RH",
    SPECIAL_EXIT: "SE",
    STOPPED: "ST",
    REVOKED: "RV",
    RESV_DEL_HOLD: "RD",
    SIGNALING: "SI",
}

FINAL = frozenset(BASE) - {PENDING, RUNNING, SUSPENDED}

COMPACT = {name: compact for name, (compact, _) in BASE.items()} | FLAGS
FROM_COMPACT = {compact: name for name, compact in COMPACT.items()}


def shown_state(state: str, flags: Iterable[str] = ()) -> str:
    """The one word a user sees for a base state with flags."""
    for flag in FLAGS:
        if flag in flags:
            return flag
    return state


def compact_state(state: str, flags: Iterable[str] = ()) -> str:
    return COMPACT[shown_state(state, flags)]


def state_named(text: str) -> str | None:
    """The state or flag that `text` names, in either form and any case; None when none does."""
    word = text.upper()
    if word in COMPACT:
        return word
    return FROM_COMPACT.get(word)
