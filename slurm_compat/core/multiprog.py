"""--multi-prog files: which program each task of a step runs. Standard library only.

A line is "RANKS PROGRAM [ARGUMENT…]"; RANKS is a list like 0,2-5, or * for the tasks no other line names. %t stands
for the task's number and %o for its place among the line's ranks. Single quotes keep blanks together, double quotes
don't; a backslash at the end of a line continues it. Source: srun(1), MULTIPLE PROGRAM CONFIGURATION; the quoting as
observed on 26.05.
"""

from __future__ import annotations

from slurm_compat.core.cpulist import cpu_numbers
from slurm_compat.core.plainerrors import BadValue

Line = tuple[str, list[str]]  # ranks, argv


def parse(text: str) -> list[Line]:
    """The lines of a file, without its comments. Raises BadValue for ranks that are none."""
    lines = []
    for raw in text.replace("\\\n", " ").splitlines():
        words = _words(raw)
        if not words or words[0].startswith("#"):
            continue
        if words[0] != "*":
            _ranks(words[0])
        lines.append((words[0], words[1:]))
    return lines


def argv_for(lines: list[Line], rank: int) -> list[str]:
    """What task `rank` runs, [] when no line is for it."""
    for ranks, argv in lines:
        own = None if ranks == "*" else _ranks(ranks)
        if own is None or rank in own:
            # Slurm counts %o from the first number of the line's list, and for * leaves nothing in its place
            place = "" if own is None else str(own.index(rank))
            return [word.replace("%t", str(rank)).replace("%o", place) for word in argv]
    return []


def _ranks(text: str) -> list[int]:
    try:
        return cpu_numbers(text)
    except ValueError:
        raise BadValue(text) from None


def _words(line: str) -> list[str]:
    """Cut at blanks; single quotes keep what they hold together and vanish."""
    words: list[str] = []
    word, quoted, begun = "", False, False
    for letter in line:
        if letter == "'":
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
