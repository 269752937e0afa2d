"""sreport's units, its whole hours, and how it writes amounts of resource-time.

Source: sreport(1), -t and the times; observed on 26.05.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slurm_compat.core.fieldprint import Field, Placed

HOUR = 3600
RULE = "-" * 80


class Unit(NamedTuple):
    """How amounts are written: in units of so many seconds, as a part of the whole, or as both."""

    label: str
    seconds: int  # 0: the part alone
    part: bool = False

    def text(self, amount: float, whole: float) -> str:
        """`whole`: what is 100 %; where nothing is known of it, one second."""
        part = f"{100 * amount / (whole or 1):.2f}%"
        if not self.seconds:
            return part
        units = f"{amount / self.seconds:.0f}"
        return f"{units}({part})" if self.part else units


UNITS = (
    # least letters, name
    (6, "SecPer", Unit("Seconds/Percentage of Total", 1, True)),
    (6, "MinPer", Unit("Minutes/Percentage of Total", 60, True)),
    (6, "HourPer", Unit("Hours/Percentage of Total", HOUR, True)),
    (1, "Seconds", Unit("Seconds", 1)),
    (1, "Minutes", Unit("Minutes", 60)),
    (1, "Hours", Unit("Hours", HOUR)),
    (1, "Percent", Unit("Percentage of Total", 0, True)),
)
MINUTES = Unit("Minutes", 60)


def unit_named(text: str) -> Unit | None:
    word = text.lower()
    return next((unit for least, name, unit in UNITS if len(word) >= least and name.lower().startswith(word)), None)


class Window(NamedTuple):
    """Whole hours, epoch seconds; `end` is the first second that no longer counts."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.start)} - {_clock(self.end - 1)}"

    @property
    def seconds(self) -> int:
        return self.end - self.start


def _clock(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))


def window(start: int | None, end: int | None, now: int) -> Window:
    """Yesterday, unless told otherwise, in whole hours around what is asked for; at least one, none in the future."""
    first = start if start else _midnight(now, -1)
    last = min(end if end else _midnight(now, 0) + now % HOUR, now)
    first -= _past_hour(first)
    last += -_past_hour(last) % HOUR
    return Window(first, max(last, first + HOUR))


def _past_hour(at: int) -> int:
    return (at + time.localtime(at).tm_gmtoff) % HOUR


def _midnight(now: int, days: int) -> int:
    today = time.localtime(now)
    return int(time.mktime((today.tm_year, today.tm_mon, today.tm_mday + days, 0, 0, 0, 0, 0, -1)))


def amount_field(name: str, key: str, unit: Unit, narrow: int = 8, wide: int = 17) -> Field:
    """A column of amounts: the record has the amount under `key`, and the whole under "total"."""
    width = wide if unit.part and unit.seconds else narrow
    return Field(name, width, (key,), lambda record, _: _amount(record.get(key), record.get("total", 0), unit))


def _amount(amount: float | None, whole: float, unit: Unit) -> str:
    return "" if amount is None else unit.text(amount, whole)


def widened(placed: Sequence[Placed], keys: Iterable[str], rows: Sequence[dict[str, object]]) -> list[Placed]:
    """Columns of amounts are as wide as the largest number of seconds needs; a width asked for does not count."""
    wanted = set(keys)
    found = []
    for cell in placed:
        if wanted.isdisjoint(cell.field.needs):
            found.append(cell)
            continue
        (key,) = cell.field.needs
        amounts = [value for row in rows if isinstance(value := row.get(key), (int, float))]
        digits = len(str(int(max(amounts, default=0))))
        found.append(Placed(cell.field, cell.field.width + max(digits - 8, 0)))
    return found
