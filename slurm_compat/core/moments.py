"""Points in time as --begin, --deadline, sacct -S and scontrol's StartTime= read them. Standard library only.

The grammar is loose: any number of words, dates and times of day one after another, separated by blanks, "-" or "T";
a later one overrides an earlier one of its kind. An error names the position at which the real command stops reading,
since that number is in its message. Observed on 26.05.
"""

from __future__ import annotations

import re
import time

from slurm_compat.core.errors import BadValue

# word: hour it stands for; of the two days, how many after today
_HOURS = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16, "elevenses": 11}
_DAYS = {"today": 0, "tomorrow": 1}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_WORD = re.compile("|".join((*_HOURS, *_DAYS)), re.IGNORECASE)
_NOW = re.compile(r"now[ \t]*", re.IGNORECASE)
_DELTA = re.compile(rf"([+-])[ \t]*(\d+)([ \t]*)(?:({'|'.join(_UNITS)})s?)?", re.IGNORECASE | re.ASCII)
_UTS = re.compile(r"uts(\d{8,18})", re.IGNORECASE | re.ASCII)
_OLDEST_UTS = 10_000_000


class _Stop(Exception):
    """Reading can't go on at this position."""

    def __init__(self, position: int) -> None:
        self.position = position


def moment(text: str, now: float, past: bool = False) -> int:
    """Epoch seconds: "now+2hours", "16:00", "noon tomorrow", "12/25", "2031-03-04T05:06:07", "uts1900000000" …

    A time of day that has gone by today means tomorrow's, and a date without a year the next such day; with `past`
    (sacct) the time is today's and the date the last such day. Raises BadValue: its text, unless empty, is the line
    that the commands print ahead of their own error.
    """
    if (found := _UTS.fullmatch(text)) and int(found[1]) >= _OLDEST_UTS:
        return int(found[1])
    reader = _Reader(text, int(now))
    try:
        reader.read()
    except _Stop as stop:
        raise BadValue(f"Invalid time specification (pos={stop.position}): {text}") from None
    try:
        return reader.result(past)
    except (OverflowError, ValueError):
        raise BadValue("") from None


class _Reader:
    def __init__(self, text: str, now: int) -> None:
        self.text = text.split("\n")[0]
        self.pos = 0
        self.now = now
        self.today = time.localtime(now)
        self.fixed: int | None = None  # what "now…" gave
        self.time_of_day: tuple[int, int, int] | None = None
        self.date: tuple[int | None, int, int] | None = None  # year or None, month, day

    def read(self) -> None:
        while self.pos < len(self.text):
            if self.text[self.pos] in " \t-T":
                self.pos += 1
                # "tomorrow" and "teatime" begin with the separator's letter when capitalised: Slurm stumbles there too
            elif found := _WORD.match(self.text, self.pos):
                self._word(found[0].lower())
                self.pos = found.end()
            elif found := _NOW.match(self.text, self.pos):
                self._now(found.end())
            elif not self._digit(self.pos):
                raise _Stop(self.pos)
            elif ":" in (self._at(self.pos + 1), self._at(self.pos + 2)):
                self._time()
            elif self._at(self.pos + 4) == "-" == self._at(self.pos + 7):
                self._iso_date()
            else:
                self._date()

    def result(self, past: bool) -> int:
        if self.fixed is not None:
            return self.fixed
        if self.date is None and self.time_of_day is None:
            raise BadValue("")
        hour, minute, second = self.time_of_day or (0, 0, 0)
        this_year = self.today.tm_year
        year, month, day = self.date or (this_year, self.today.tm_mon, self.today.tm_mday)

        def at(year: int, day: int) -> int:
            return int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))

        if self.date is None:
            return at(this_year, day) if past or at(this_year, day) >= self.now else at(this_year, day + 1)
        if year is not None:
            return at(year, day)
        found = at(this_year, day)
        if past:
            return at(this_year - 1, day) if found > self.now else found
        return at(this_year + 1, day) if found < self.now else found

    def _word(self, word: str) -> None:
        if word in _HOURS:
            self.time_of_day = (_HOURS[word], 0, 0)
        else:
            day = self.today.tm_mday + _DAYS[word]
            self.date = (self.today.tm_year, self.today.tm_mon, day)

    def _now(self, after: int) -> None:
        self.fixed = self.now
        if after < len(self.text) and self.text[after] not in "+-":
            raise _Stop(after)
        if after < len(self.text):
            found = _DELTA.match(self.text, after)
            if not found:
                raise _Stop(after)
            unit = found[4]
            if not unit and found.end() < len(self.text):
                raise _Stop(found.end() - 1)
            seconds = int(found[2]) * _UNITS[unit.lower() if unit else "second"]
            self.fixed += seconds if found[1] == "+" else -seconds
            after = found.end()
        self.pos = after

    def _time(self) -> None:
        hour = self._number(23, least_digits=1)
        self.pos += 1  # the colon
        minute = self._number(59)
        second = 0
        if self._at(self.pos) == ":":
            self.pos += 1
            second = self._number(59)
        if hour <= 12 and (half := re.compile(r"[ \t]*([ap])m", re.IGNORECASE).match(self.text, self.pos)):
            hour = hour % 12 + (12 if half[1] in "pP" else 0)
            self.pos = half.end()
        self.time_of_day = (hour, minute, second)

    def _iso_date(self) -> None:
        year = int(self.text[self.pos : self.pos + 4]) if self._digits(self.pos, 4) else -1
        if year < 0:
            raise _Stop(self.pos)
        self.pos += 5
        month = self._number(12, least=1)
        self.pos += 1
        self.date = (year, month, self._number(31, least=1, least_digits=1))

    def _date(self) -> None:
        """MM/DD[/YY], with dots or nothing between; one digit is enough for month and day."""
        month = self._number(12, least=1, least_digits=1)
        self._slash()
        day = self._number(31, least=1, least_digits=1)
        year: int | None = None
        if self._slash() and not self._digit(self.pos):
            pass  # "12/25/" ends there
        elif self._digit(self.pos):
            year = self._number(99) + 2000
        self.date = (None if year == 2000 else year, month, day)

    def _slash(self) -> bool:
        if self._at(self.pos) in ("/", "."):
            self.pos += 1
            return True
        return False

    def _number(self, most: int, least: int = 0, least_digits: int = 2) -> int:
        """One or two digits. Out of range, the position is where two digits would have begun."""
        count = 2 if self._digit(self.pos) and self._digit(self.pos + 1) else 1
        if not self._digit(self.pos):
            raise _Stop(self.pos)
        if count < least_digits:
            raise _Stop(self.pos + 1)
        value = int(self.text[self.pos : self.pos + count])
        self.pos += count
        if not least <= value <= most:
            raise _Stop(self.pos - 2)
        return value

    def _at(self, pos: int) -> str:
        return self.text[pos : pos + 1]

    def _digit(self, pos: int) -> bool:
        return self._at(pos).isascii() and self._at(pos).isdigit()

    def _digits(self, pos: int, count: int) -> bool:
        return all(self._digit(place) for place in range(pos, pos + count))
