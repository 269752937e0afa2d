"""What Slurm calls a node's state: the words of sinfo, scontrol and --states, from a base state and flags.

A node is UNKNOWN, DOWN, IDLE, MIXED, ALLOCATED, FUTURE or ERROR, with any number of flags; users see one word, which a
flag may replace, and one character behind it for a flag that does not. Source: sinfo(1), NODE STATE CODES; observed on
26.05.
"""

from __future__ import annotations

from collections.abc import Collection

UNKNOWN, DOWN, IDLE, ALLOCATED, ERROR, MIXED, FUTURE = (
    "UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE",
)  # fmt: skip

DRAIN = "DRAIN"
COMPLETING = "COMPLETING"
NOT_RESPONDING = "NOT_RESPONDING"
PLANNED = "PLANNED"
MAINTENANCE = "MAINTENANCE"
RESERVED = "RESERVED"
FAIL = "FAIL"
INVALID_REG = "INVALID_REG"
POWERING_UP = "POWERING_UP"
POWERING_DOWN = "POWERING_DOWN"
POWERED_DOWN = "POWERED_DOWN"
POWER_DOWN = "POWER_DOWN"
POWER_UP = "POWER_UP"
REBOOT_REQUESTED = "REBOOT_REQUESTED"
REBOOT_ISSUED = "REBOOT_ISSUED"
BLOCKED = "BLOCKED"
CLOUD = "CLOUD"
EXTERNAL = "EXTERNAL"
DYNAMIC_FUTURE = "DYNAMIC_FUTURE"
DYNAMIC_NORM = "DYNAMIC_NORM"

# base state: number (the order in which sinfo sorts), long word, compact word
BASE: dict[str, tuple[int, str, str]] = {
    UNKNOWN: (0, "UNKNOWN", "UNK"),
    DOWN: (1, "DOWN", "DOWN"),
    IDLE: (2, "IDLE", "IDLE"),
    ALLOCATED: (3, "ALLOCATED", "ALLOC"),
    ERROR: (4, "ERROR", "ERR"),
    MIXED: (5, "MIXED", "MIX"),
    FUTURE: (6, "FUTURE", "FUTR"),
}

# flag: its bit; the higher bits sort later
FLAG_BITS: dict[str, int] = {
    EXTERNAL: 1 << 4,
    RESERVED: 1 << 5,
    DYNAMIC_FUTURE: 1 << 6,
    DYNAMIC_NORM: 1 << 7,
    CLOUD: 1 << 8,
    DRAIN: 1 << 9,
    COMPLETING: 1 << 10,
    NOT_RESPONDING: 1 << 11,
    POWERED_DOWN: 1 << 12,
    FAIL: 1 << 13,
    POWERING_UP: 1 << 14,
    MAINTENANCE: 1 << 15,
    REBOOT_REQUESTED: 1 << 16,
    POWERING_DOWN: 1 << 18,
    INVALID_REG: 1 << 21,
    POWER_DOWN: 1 << 22,
    POWER_UP: 1 << 23,
    BLOCKED: 1 << 25,
    REBOOT_ISSUED: 1 << 26,
    PLANNED: 1 << 27,
}

# the order in which scontrol lists flags
_FULL_ORDER = (
    CLOUD, COMPLETING, DRAIN, DYNAMIC_FUTURE, DYNAMIC_NORM, INVALID_REG, FAIL, MAINTENANCE, POWER_DOWN, POWER_UP,
    POWERED_DOWN, REBOOT_REQUESTED, REBOOT_ISSUED, RESERVED, NOT_RESPONDING, POWERING_DOWN, POWERING_UP, PLANNED,
    BLOCKED, EXTERNAL,
)  # fmt: skip

_BUSY = frozenset((ALLOCATED, MIXED))

# flag: the mark behind the word; the first that a node has is shown
_MARKS = (
    (MAINTENANCE, "$"),
    (REBOOT_ISSUED, "^"),
    (REBOOT_REQUESTED, "@"),
    (POWERING_UP, "#"),
    (POWERING_DOWN, "%"),
    (POWERED_DOWN, "~"),
    (POWER_DOWN, "!"),
    (NOT_RESPONDING, "*"),
)
# what stands in for IDLE when nothing is marked: flag, long, compact; the first counts
_IDLE_FLAGS = ((PLANNED, "PLANNED", "PLND"), (RESERVED, "RESERVED", "RESV"), (BLOCKED, "BLOCKED", "BLOCK"))


def long_state(state: str, flags: Collection[str] = ()) -> str:
    """The one word, in capitals, with its mark: "IDLE*", "DRAINING", "MIXED-"; sinfo's %T is it in small letters."""
    return _word(state, flags)[0]


def compact_state(state: str, flags: Collection[str] = ()) -> str:
    """The short word with its mark, in capitals: "DRNG*", "ALLOC", "MIX-"."""
    return _word(state, flags)[1]


def full_state(state: str, flags: Collection[str] = ()) -> str:
    """The base state and every flag, as scontrol's State= has them: "IDLE+DRAIN+NOT_RESPONDING"."""
    known = sorted((flag for flag in flags if flag in FLAG_BITS), key=lambda flag: _FULL_ORDER.index(flag))
    return "+".join([BASE[state][1], *known])


def is_draining(state: str, flags: Collection[str]) -> bool:
    return DRAIN in flags and (state in _BUSY or COMPLETING in flags)


def is_drained(state: str, flags: Collection[str]) -> bool:
    return DRAIN in flags and not is_draining(state, flags)


def sort_number(state: str, flags: Collection[str]) -> int:
    """Slurm's number of a state with its flags: the order in which sinfo sorts by state."""
    return BASE[state][0] + sum(FLAG_BITS.get(flag, 0) for flag in flags)


def _word(state: str, flags: Collection[str]) -> tuple[str, str]:
    star = "*" if NOT_RESPONDING in flags else ""
    completing = COMPLETING in flags
    if MAINTENANCE in flags and DRAIN not in flags and state not in (ALLOCATED, MIXED, DOWN):
        return "MAINT" + star, "MAINT" + star
    if state not in _BUSY and (REBOOT_ISSUED in flags or REBOOT_REQUESTED in flags):
        mark = "^" if REBOOT_ISSUED in flags else star
        return "REBOOT" + mark, "BOOT" + mark
    mark = next((mark for flag, mark in _MARKS if flag in flags), "")
    if DRAIN in flags:
        return ("DRAINING" + mark, "DRNG" + mark) if is_draining(state, flags) else ("DRAINED" + mark, "DRAIN" + mark)
    if FAIL in flags:
        return ("FAILING" + star, "FAILG" + star) if completing or state in _BUSY else ("FAIL" + star, "FAIL" + star)
    if INVALID_REG in flags:
        return "INVAL" + star, "INVAL" + star
    _, long, compact = BASE[state]
    if completing and state not in (DOWN, ALLOCATED):
        return "COMPLETING" + mark, "COMP" + mark
    if not mark:
        if state == ALLOCATED and completing:
            mark = "+"
        elif state == MIXED and PLANNED in flags:
            mark = "-"
        elif state == IDLE:
            _, long, compact = next((row for row in _IDLE_FLAGS if row[0] in flags), ("", long, compact))
    return long + mark, compact + mark
