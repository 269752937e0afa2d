"""--multi-prog files: which program each task of a step runs. Standard library only.

A line is "RANKS PROGRAM [ARGUMENT…]"; RANKS is a list like 0,2-5, or * for all tasks that no earlier line names. %t
stands for the task's number and %o for its place among the line's ranks (for *: its number); other symbols vanish.
Single quotes keep blanks together, double quotes don't; a backslash takes the next letter as it is, at the end of a
line it continues it. Source: srun(1), MULTIPLE PROGRAM CONFIGURATION; the quoting as observed on 26.05.
"""

from __future__ import annotations

import re

from slurm_compat.core.cpulist import cpu_numbers
from slurm_compat.core.errors import BadValue

Line = tuple[str, list[str]]  # ranks, argv

_RANKS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*$")


class BadLine(BadValue):
    """A line that names no ranks or no program. `lines` are what srun says, without its name."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def parse(text: str, tasks: int, name: str) -> list[Line]:
    """The lines of the file `name` for a step of `tasks` tasks. Raises BadLine, also when a task has no line."""
    lines: list[Line] = []
    for number, raw in enumerate(_logical_lines(text), 1):
        words = _words(raw)
        if not words or words[0].startswith("#"):
            continue
        invalid = f"Line {number} of configuration file {name} invalid"
        if words[0] != "*":
            if not _RANKS.match(words[0]):
                raise BadLine(f"Invalid task range specification ({words[0]})", invalid)
            highest = max(cpu_numbers(words[0]), default=0)
            if highest >= tasks:
                raise BadLine(f"Invalid task id, {highest} >= ntasks", invalid)
        if len(words) < 2:
            raise BadLine(invalid)
        lines.append((words[0], words[1:]))
    for rank in range(tasks):
        if not argv_for(lines, rank):
            raise BadLine(f"Configuration file {name} invalid, no record for task id {rank}")
    return lines


def argv_for(lines: list[Line], rank: int) -> list[str]:
    """What task `rank` runs, [] when no line is for it."""
    for ranks, argv in lines:
        own = None if ranks == "*" else cpu_numbers(ranks)
        if own is None or rank in own:
            values = {"%t": str(rank), "%o": str(rank if own is None else own.index(rank))}
            return [_with(values, word) for word in argv]
    return []


def _with(values: dict[str, str], word: str) -> str:
    return re.sub("%[a-zA-Z]", lambda symbol: values.get(symbol[0], ""), word)


def _logical_lines(text: str) -> list[str]:
    """A backslash before the line's end continues it; it stays one line for the count."""
    return text.replace("\\\n", "").split("\n")


def _words(line: str) -> list[str]:
    """Cut at blanks; single quotes keep what they hold together and vanish."""
    words: list[str] = []
    word, quoted, begun = "", False, False
    letters = iter(line)
    for letter in letters:
        if letter == "\\":
            word, begun = word + next(letters, ""), True
        elif letter == "'":
            quoted, begun = not quoted, True
        elif letter in " \t" and not quoted:
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + letter, True
    if begun:
        words.append(word)
    return words
