"""The words behind a report: conditions `key=value`, switches, and bare names; what of them each report takes.

A word that no report knows is told about and left out; the report is printed, and the exit code is 1. Source:
sreport(1); observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slurm_compat.cli.wordtable import table
from slurm_compat.core import timefmt
from slurm_compat.core.errors import BadValue


@dataclass(frozen=True)
class Grammar:
    keys: tuple[tuple[int, str, str], ...]
    switches: tuple[tuple[int, str, str], ...]
    bare: str  # where other words go
    hint: bool = True  # a refusal has a second line

    @staticmethod
    def of(keys: str, switches: str = "", bare: str = "clusters", hint: bool = True) -> Grammar:
        common = "cl|usters e|nd f|ormat s|tart"
        return Grammar(table(f"{keys} {common}"), table(f"all_|clusters {switches}"), bare, hint)


GRAMMARS = {
    "cluster": Grammar.of(""),
    "association": Grammar.of("ac|counts u|sers q|os", "t|ree"),
    "wckey": Grammar.of("w|ckeys", hint=False),
    "job": Grammar.of(
        "ac|counts gi|d gr|ouping j|obs no|des p|artitions u|sers w|ckeys",
        "p|rintjobcount flat|view acct|asparent",
    ),
    "reservation": Grammar.of("na|mes no|des", bare="names"),
    "user": Grammar.of("ac|counts t|opcount u|sers", "g|roup", bare="users"),
}


@dataclass
class Asked:
    """What was asked for; `problems` are lines for stderr, any of which makes the exit code 1."""

    values: dict[str, list[str]] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
    format: str = ""
    start: int | None = None
    end: int | None = None
    grouping: str | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # lines for stderr that change no exit code

    def names(self, key: str) -> list[str]:
        return self.values.get(key, [])

    def passes(self, key: str, value: str) -> bool:
        wanted = self.values.get(key)
        return not wanted or value.lower() in (name.lower() for name in wanted)


def read(words: Sequence[str], grammar: Grammar, now: float) -> Asked:
    asked = Asked()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            if switch := _found(word, grammar.switches):
                asked.switches.add(switch)
            else:
                asked.values.setdefault(grammar.bare, []).extend(_list(word))
            continue
        key = _found(name, grammar.keys)
        if not key:
            asked.problems.append(f" Unknown condition: {word}")
            if grammar.hint:
                asked.problems.append("Use keyword set to modify value")
        elif key in _READERS:
            _READERS[key](asked, value.strip("\"'"), now)
        else:
            asked.values.setdefault(key, []).extend(_list(value))
    return asked


def _start(asked: Asked, text: str, now: float) -> None:
    asked.start = _moment(asked, text, now)


def _end(asked: Asked, text: str, now: float) -> None:
    asked.end = _moment(asked, text, now)


def _moment(asked: Asked, text: str, now: float) -> int | None:
    if not text:
        return None
    try:
        return timefmt.moment(text, now, past=True)
    except BadValue as problem:
        asked.remarks.append(str(problem) or f"Invalid time specification (pos=0): {text}")
        return None


def _format(asked: Asked, text: str, now: float) -> None:
    asked.format += text + ","


def _grouping(asked: Asked, text: str, now: float) -> None:
    asked.grouping = text


_READERS: dict[str, Callable[[Asked, str, float], None]] = {
    "start": _start,
    "end": _end,
    "format": _format,
    "grouping": _grouping,
}


def _found(word: str, rows: Sequence[tuple[int, str, str]]) -> str:
    low = word.lower()
    return next((key for least, whole, key in rows if len(low) >= least and whole.startswith(low)), "")


def _list(text: str) -> list[str]:
    return [part.strip(" \"'") for part in text.strip("\"'").split(",") if part.strip(" \"'")]
