"""The flags of a reservation: how scontrol reads them and the order in which it shows them.

Flags travel as words: "MAINT", "DAILY" …; PURGE_COMP has its seconds beside it. Source: scontrol(1), RESERVATIONS;
which letters suffice, what may be taken away with "-" and the order were observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from slurm_compat.core import timefmt
from slurm_compat.core.errors import BadValue

DAILY, HOURLY, WEEKLY, WEEKDAY, WEEKEND = "DAILY", "HOURLY", "WEEKLY", "WEEKDAY", "WEEKEND"
RECURRING = (HOURLY, DAILY, WEEKDAY, WEEKEND, WEEKLY)
PURGE_COMP = "PURGE_COMP"
PURGE_AFTER = 300  # seconds of PURGE_COMP without a time

# as scontrol show reservation lists them
SHOWN = (
    "MAINT", "FLEX", "OVERLAP", "IGNORE_JOBS", "HOURLY", "DAILY", "WEEKDAY", "WEEKEND", "WEEKLY", "SPEC_NODES",
    "ALL_NODES", "ANY_NODES", "STATIC", "PART_NODES", "REPLACE", "REPLACE_DOWN", PURGE_COMP, "NO_HOLD_JOBS_AFTER_END",
    "TIME_FLOAT", "MAGNETIC", "FORCE_START", "USER_DELETE",
)  # fmt: skip


class Word(NamedTuple):
    text: str  # any beginning of it will do, in any case
    least: int  # letters that suffice
    flag: str
    removable: bool = True


# the first that a word is a beginning of counts
WORDS = (
    Word("MAINTENANCE",             3, "MAINT"),
    Word("OVERLAP",                 1, "OVERLAP", removable=False),
    Word("FLEX",                    1, "FLEX"),
    Word("IGNORE_JOBS",             1, "IGNORE_JOBS"),
    Word("HOURLY",                  1, HOURLY),
    Word("DAILY",                   1, DAILY),
    Word("WEEKDAY",                 1, WEEKDAY),
    Word("WEEKEND",                 5, WEEKEND),
    Word("WEEKLY",                  5, WEEKLY),
    Word("ANY_NODES",               1, "ANY_NODES"),
    Word("LICENSE_ONLY",            1, "ANY_NODES"),
    Word("STATIC_ALLOC",            1, "STATIC"),
    Word("PART_NODES",              2, "PART_NODES"),
    Word("PURGE_COMP",              2, PURGE_COMP),
    Word("TIME_FLOAT",              1, "TIME_FLOAT", removable=False),
    Word("REPLACE",                 1, "REPLACE", removable=False),
    Word("REPLACE_DOWN",            8, "REPLACE_DOWN", removable=False),
    Word("NO_HOLD_JOBS_AFTER_END",  1, "NO_HOLD_JOBS_AFTER_END", removable=False),
    Word("MAGNETIC",                3, "MAGNETIC"),
    Word("FORCE_START",             2, "FORCE_START", removable=False),
    Word("USER_DELETE",             1, "USER_DELETE"),
)  # fmt: skip


class Flags(NamedTuple):
    """What a Flags= says: flags to set, flags to take away, PURGE_COMP's seconds where it names them."""

    added: list[str]
    removed: list[str]
    purge_after: int


def parse(text: str) -> Flags:
    """Reads "maint,+daily,-flex,purge_comp=10:00". Raises BadValue for what is no flag, or may not be removed."""
    flags = Flags([], [], PURGE_AFTER)
    for part in filter(None, text.split(",")):
        sign = part[0] if part[0] in "+-" else ""
        name, equals, value = part[len(sign) :].partition("=")
        word = next((w for w in WORDS if len(name) >= w.least and w.text.startswith(name.upper())), None)
        if word is None or (equals and word.flag != PURGE_COMP) or (sign == "-" and not word.removable):
            raise BadValue(text)
        (flags.removed if sign == "-" else flags.added).append(word.flag)
        if equals:
            flags = flags._replace(purge_after=timefmt.seconds_of(value))
    return flags


def show(flags: Collection[str], purge_after: int = PURGE_AFTER) -> str:
    """ "MAINT,SPEC_NODES,PURGE_COMP=00:05:00"."""
    return ",".join(
        f"{PURGE_COMP}={timefmt.duration(purge_after)}" if flag == PURGE_COMP else flag
        for flag in SHOWN
        if flag in flags
    )


def several_recur(flags: Iterable[str]) -> bool:
    return len(set(flags) & set(RECURRING)) > 1
