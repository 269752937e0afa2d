"""A crontab's text as the jobs it asks for: `#SCRON` options, a time, a command; other comments and VAR= lines pass.

The options of `#SCRON` lines are those of the next entry. What cannot be read is told with the line it stands in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from slurm_compat.cli.batchopts import Level, Parsed, from_level
from slurm_compat.core import cron
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.optionrows import OF
from slurm_compat.core.options import Where, scan

MARK = "#SCRON"
# sbatch's options that an entry of a crontab has no use for, or that scrontab sets itself; observed on 26.05
NOT_HERE = frozenset(
    {"array", "autocomplete", "bb", "bbf", "begin", "cluster", "cluster-constraint", "clusters", "expedite",
     "export-file", "get-user-env", "gid", "help", "hold", "ignore-pbs", "input", "no-requeue", "parsable", "power",
     "propagate", "requeue", "test-only", "uid", "usage", "version", "wait", "wrap"}
)  # fmt: skip
ROWS = tuple(row for row in OF["sbatch"] if row.name not in NOT_HERE)
# any line with "=" behind a name, or behind nothing, is kept and means nothing
ASSIGNMENT = re.compile(r"\s*\w*\s*=")
BROKEN = "something is broken"


class BadLine(Exception):
    """A line that makes no sense: what to say of it, and where it is (from 0)."""

    def __init__(self, line: int, *texts: str) -> None:
        super().__init__(*texts)
        self.line = line
        self.texts = texts


@dataclass
class Entry:
    first: int  # lines, from 0: of its first #SCRON, or its own
    last: int
    spec: str  # as cron.Spec shows it
    command: str
    given: str  # the time as it was written
    options: list[str] = field(default_factory=list)  # the #SCRON lines
    level: Level = field(default_factory=Level)

    @property
    def name(self) -> str:
        """What the job is called without --job-name."""
        return self.command.split()[0]

    @property
    def script(self) -> bytes:
        head = ["#!/bin/sh", "# This job was submitted through scrontab", *self.options]
        text = "\n".join([*head, f"# crontab time request was: '{self.given}'", self.command, ""])
        return text.encode("utf-8", "surrogateescape")

    def parsed(self, cwd: str) -> Parsed:
        """The options as sbatch would have them. Raises CommandError where they contradict each other."""
        return from_level(self.level, cwd)


def entries(text: str, uid: int, now: float) -> list[Entry]:
    """Raises BadLine of the first line that cannot be read."""
    found: list[Entry] = []
    where = Where("scrontab", "", uid, now)
    level, options, first = Level(), list[str](), -1
    for number, line in enumerate(text.split("\n")):
        bare = line.strip()
        if bare.startswith(MARK):
            first = number if first < 0 else first
            options.append(line)
            _take(line[len(MARK) :], level, where, number)
        elif bare and not bare.startswith("#") and not ASSIGNMENT.match(line):
            found.append(_entry(line, number, number if first < 0 else first, options, level))
            level, options, first = Level(), [], -1
    return found


def _entry(line: str, number: int, first: int, options: list[str], level: Level) -> Entry:
    try:
        spec, command = cron.parse(line)
    except BadValue as problem:
        raise BadLine(number, *filter(None, [str(problem)]), BROKEN) from None
    given = line[: len(line.rstrip()) - len(command.rstrip())].strip()
    return Entry(first, number, str(spec), command, given, options, level)


class _Words(list[str]):
    """Words that know which of them was looked at last."""

    seen = 0

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        if not isinstance(place, slice):
            self.seen = int(place)
        return super().__getitem__(place)


def _take(text: str, level: Level, where: Where, number: int) -> None:
    words = _Words(text.split())
    rest: list[str] = []
    told: tuple[str, ...] = ()
    options = scan(ROWS, "scrontab", words, rest)
    while not rest:
        try:
            option, value = next(options)
        except StopIteration:
            break
        except CommandError:  # getopt's own words are not shown here
            rest = ["unknown"]
            break
        try:
            level.take(option, value, where)
        except CommandError as problem:
            told, rest = tuple(line.removeprefix("scrontab: error: ") for line in problem.lines), ["bad"]
    if rest:
        raise BadLine(number, *told, f"Invalid option found in #SCRON line: {list.__getitem__(words, words.seen)}")
