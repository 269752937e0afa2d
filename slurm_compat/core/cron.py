"""When a line of a crontab is due: how its five fields read and show, and the next moment they name.

The reading is scrontab's own, narrower than cron's in names (alone, three letters) and wider in numbers: a minute 60
is minute 0, a list may end in a comma, which adds a 0. A step keeps what of all before it is divisible by it, counted
from 0 for minutes and hours and from 1 for the others. Source: observed on 26.05.
"""

from __future__ import annotations

import calendar
import re
import time
from typing import NamedTuple

from slurm_compat.core import taskids
from slurm_compat.core.errors import BadValue

DAYS_AHEAD = 366 * 9  # a 29th of February may be eight years away
DIGITS = "0123456789"


class Field(NamedTuple):
    highest: int  # as it may be written; it stands for `lowest` where that is 0
    lowest: int
    first: int  # what steps count from
    names: str = ""  # three letters each
    called: str = ""


FIELDS = (
    Field(60, 0, 0),
    Field(24, 0, 0),
    Field(31, 1, 1),
    Field(12, 1, 1, "janfebmaraprmayjunjulaugsepoctnovdec", "month"),
    Field(7, 0, 1, "sunmontuewedthufrisat", "day"),
)
MACROS = {
    "hourly": "0 0-23 * * *",
    "daily": "0 0 * * *",
    "midnight": "0 0 * * *",
    "weekly": "0 0 * * 0",
    "monthly": "0 0 1 * *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
    "elevenses": "0 11 * * *",
    "fika": "0 15 * * *",
    "teatime": "0 16 * * *",
}


class Spec(NamedTuple):
    """Values ascending; None is "*"."""

    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    days: tuple[int, ...] | None
    months: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None  # 0: Sunday

    def __str__(self) -> str:
        return " ".join("*" if values is None else _ranges(values) for values in self)


def _ranges(values: tuple[int, ...]) -> str:
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in taskids.runs(list(values)))


def parse(line: str) -> tuple[Spec, str]:
    """The fields at the beginning of a line, and the command behind them.

    Raises BadValue; its text is what scrontab says before it says that something is broken, "" for nothing.
    """
    line = line.lstrip(" \t")
    if line.startswith("@"):
        word = line[1:].split(maxsplit=1)[0] if line[1:].strip() else ""
        rest = line[1 + len(word) :]
        name = next((name for name in MACROS if word.lower().startswith(name)), "")
        if not name:
            raise BadValue("invalid @ line")
        if word.lower() != name:
            raise BadValue("")
        fields = MACROS[name].split(" ")
    else:
        found = re.match(r"(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)(.*)", line, re.DOTALL)
        if found is None:
            raise BadValue("")
        *fields, rest = found.groups()
    spec = Spec(*(_values(text, field) for text, field in zip(fields, FIELDS, strict=True)))
    if not rest.strip() or not _ever(spec):
        raise BadValue("")
    return spec, rest.strip(" \t")


def _values(text: str, field: Field) -> tuple[int, ...] | None:
    if text == "*":
        return None
    if text[0].isalpha() and field.names:
        return _named(text, field)
    values: set[int]
    if text.startswith("*"):
        values, rest = set(range(field.lowest, field.highest + 1)), text[1:]
    else:
        values, rest = _listed(text, field)
    if rest:
        if not rest.startswith("/"):
            raise BadValue("")
        values = {value for value in values if (value - field.first) % _step(rest[1:], field) == 0}
    if not field.lowest:
        values = {0 if value == field.highest else value for value in values}
    values.discard(field.lowest - 1)
    if not values:
        raise BadValue("")
    return tuple(sorted(values))


def _named(text: str, field: Field) -> tuple[int, ...]:
    place = field.names.find(text[:3].lower())
    if len(text) < 3 or place % 3:
        raise BadValue(f"bad {field.called} specification")
    if len(text) > 3:
        raise BadValue("")
    return (place // 3 + field.lowest,)


def _listed(text: str, field: Field) -> tuple[set[int], str]:
    """Numbers and ranges by comma, as far as they go; a missing number is 0."""
    if text[0] not in DIGITS + "-":
        raise BadValue("")
    found = re.match(r"[0-9,-]*", text)
    assert found is not None
    values: set[int] = set()
    for part in found.group().split(","):
        # of 1-2-3 the last two count
        numbers = [int(number or 0) for number in part[:60].split("-")][-2:]
        low, high = numbers[0], numbers[-1]
        if low > high or high > field.highest:
            raise BadValue("")
        values.update(range(low, high + 1))
    return values, text[found.end() :]


def _step(text: str, field: Field) -> int:
    found = re.match(r"[0-9]*", text)
    assert found is not None
    number = int(found.group()[:9] or 0)
    if not 1 < number <= field.highest:
        raise BadValue("bad step value")
    if found.end() != len(text):
        raise BadValue("")
    return number


def _ever(spec: Spec) -> bool:
    """Whether a month has such a day; the day of the week is not asked."""
    if spec.days is None:
        return True
    return any(spec.days[0] <= calendar.monthrange(2000, month)[1] for month in spec.months or range(1, 13))


def next_start(text: str, after: float) -> int:
    """The first minute behind `after` (epoch seconds) that fields as Spec shows them name, in local time.

    Where day and weekday both are given, either is enough.
    """
    spec, _ = parse(f"{text} x")
    now = time.localtime(after)
    for ahead in range(DAYS_AHEAD):
        # noon is on its day whatever the clocks do
        day = time.localtime(time.mktime((now.tm_year, now.tm_mon, now.tm_mday + ahead, 12, 0, 0, 0, 0, -1)))
        if not _on(spec, day):
            continue
        for hour in spec.hours or range(24):
            for minute in spec.minutes or range(60):
                moment = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, hour, minute, 0, 0, 0, -1))
                if moment > after:
                    return int(moment)
    raise BadValue(text)


def _on(spec: Spec, day: time.struct_time) -> bool:
    if spec.months is not None and day.tm_mon not in spec.months:
        return False
    by_day = spec.days is not None and day.tm_mday in spec.days
    by_weekday = spec.weekdays is not None and (day.tm_wday + 1) % 7 in spec.weekdays
    if spec.days is not None and spec.weekdays is not None:
        return by_day or by_weekday
    return by_day or by_weekday or (spec.days is None and spec.weekdays is None)
