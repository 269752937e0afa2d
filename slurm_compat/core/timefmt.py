"""Durations, time limits and moments, as Slurm reads and shows them. Standard library only, for the agent too."""

from __future__ import annotations

import re
import time

from slurm_compat.core.errors import BadValue
from slurm_compat.core.moments import moment as moment

UNLIMITED = 0xFFFFFFFF  # as in core/model.py, which this file may not import

_DAYS = re.compile(r"(\d+)-(?:(\d+)(?::(\d+)(?::(\d+))?)?)?", re.ASCII)
_CLOCK = re.compile(r"(\d+)(?::(\d+)(?::(\d+))?)?", re.ASCII)
_NEGATIVE = re.compile(r"-\d+", re.ASCII)


def minutes(text: str) -> int:
    """A time limit as whole minutes, rounded up; UNLIMITED for "0", "-1", "infinite", "unlimited".

    Takes M, M:S, H:M:S, D-, D-H, D-H:M and D-H:M:S: "90:00" is 90 minutes, not 90 hours. Slurm also takes any other
    negative number, as days, and counts in 32 bits. Raises BadValue when the text has none of these shapes.
    Source: sbatch(1), --time.
    """
    seconds = seconds_of(text)
    if seconds == UNLIMITED:
        return UNLIMITED
    whole = int(_signed(seconds + 59) / 60) & 0xFFFFFFFF
    return whole if 0 < whole < UNLIMITED - 1 else UNLIMITED


def _signed(number: int) -> int:
    """As the 32-bit number that Slurm's C makes of it."""
    return ((number + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def seconds_of(text: str) -> int:
    """The same shapes as whole seconds; UNLIMITED for "-1", "infinite", "unlimited", and 0 for "0"."""
    if text.lower() in ("-1", "infinite", "unlimited"):
        return UNLIMITED
    if _NEGATIVE.fullmatch(text):
        return int(text) * 86400  # a dash in front is read as that of D-H
    if found := _DAYS.fullmatch(text):
        days, hours, mins, secs = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + mins) * 60 + secs
    if found := _CLOCK.fullmatch(text):
        parts = [int(part) for part in found.groups() if part is not None]
        if len(parts) == 3:
            return (parts[0] * 60 + parts[1]) * 60 + parts[2]
        return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)
    raise BadValue(f"not a time: {text}")


def duration(seconds: int) -> str:
    """[D-]HH:MM:SS, as scontrol and sacct show it: "01:02:03", "1-00:00:00"."""
    if seconds < 0:
        return "INVALID"
    days, rest = divmod(seconds, 86400)
    clock_part = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock_part}" if days else clock_part


def short_duration(seconds: int) -> str:
    """[[D-]H:]M:SS, as squeue shows it: "0:00", "1:02:03", "1-00:00:00"."""
    if seconds < 0:
        return "INVALID"
    if seconds >= 86400:
        return duration(seconds)
    hours, mins, secs = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{mins:02d}:{secs:02d}" if hours else f"{mins}:{secs:02d}"


def limit_text(limit: int) -> str:
    """A time limit in minutes as scontrol shows it: "01:00:00", "UNLIMITED"."""
    return "UNLIMITED" if limit == UNLIMITED else duration(limit * 60)


def clock(epoch: int, time_format: str = "standard", now: float | None = None) -> str:
    """A moment in local time, the way SLURM_TIME_FORMAT asks for.

    "standard" (and "", and what holds no %) is 2031-03-04T05:06:07; "relative" is "05:06:07" today, "Tomorr 05:06",
    "Ystday 05:06", "Tue 05:06" in the next six days, "4 Mar 05:06" this year, "4 Mar 2031" else; the rest is
    strftime's.
    """
    moment_then = time.localtime(epoch)
    if time_format == "relative":
        return time.strftime(_relative_format(moment_then, time.localtime(now)), moment_then)
    if "%" not in time_format:
        time_format = "%Y-%m-%dT%H:%M:%S"
    return time.strftime(time_format, moment_then)


def time_format_error(time_format: str) -> str:
    """What a command says on stderr (after `error: `) about a SLURM_TIME_FORMAT it can't use; "" when it can."""
    if not time_format or time_format in ("standard", "relative") or "%" in time_format:
        return ""
    return f"invalid SLURM_TIME_FORMAT = '{time_format}'"


def _relative_format(then: time.struct_time, today: time.struct_time) -> str:
    if then.tm_year != today.tm_year:
        return "%-d %b %Y"
    days = then.tm_yday - today.tm_yday
    if days in (-1, 0, 1):
        return ("Ystday %H:%M", "%H:%M:%S", "Tomorr %H:%M")[days + 1]
    return "%a %H:%M" if 1 < days <= 6 else "%-d %b %H:%M"
