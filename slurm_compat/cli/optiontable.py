"""Options of the small commands: one table serves parsing and --help; parsing and its errors are getopt_long's.

Options and operands mix in any order, long names may be abbreviated, "--" ends the options. Rows stand in the order in
which the real command lists ambiguous names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slurm_compat.core.errors import UsageError

NONE, REQUIRED, OPTIONAL = 0, 1, 2
OPERAND = ""  # the key of an argument that is no option
NOTHING = "\0"  # the value of `--json=`, which is not that of `--json`; no argument can be this
DOCUMENTS = ("json", "yaml")


class Opt(NamedTuple):
    """`key` is what the parser gives: the short letter where there is one, else the long name."""

    long: str
    key: str
    argument: int = NONE
    help: str = ""  # "" leaves it out of --help: another spelling of a listed one, or internal
    value: str = ""  # what --help calls the argument
    shown: str = ""  # the name --help shows, where that is shorter than the whole one


def parsed(
    command: str, argv: Sequence[str], table: Sequence[Opt], more: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """(key, argument) of each option as it comes, then (OPERAND, text) of each operand.

    Raises UsageError with getopt_long's words, and the lines `more` behind them. A generator, so that what an
    earlier option has wrong is told first.
    """
    shorts = {opt.key: opt.argument for opt in table if len(opt.key) == 1}
    operands: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            operands += words
        elif word.startswith("--"):
            yield _long(command, word, words, table, more)
        elif word.startswith("-") and word != "-":
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter not in shorts:
                    raise UsageError(f"{command}: invalid option -- '{letter}'", *more)
                if shorts[letter] == NONE:
                    yield letter, ""
                    continue
                if not rest and shorts[letter] == REQUIRED:
                    following = next(words, None)
                    if following is None:
                        raise UsageError(f"{command}: option requires an argument -- '{letter}'", *more)
                    rest = following
                yield letter, rest
                break
        else:
            operands.append(word)
    for text in operands:
        yield OPERAND, text


def _long(command: str, word: str, words: Iterator[str], table: Sequence[Opt], more: Sequence[str]) -> tuple[str, str]:
    name, equals, value = word[2:].partition("=")
    found = next((opt for opt in table if opt.long == name), None)
    if found is None:
        begun = [opt for opt in table if opt.long.startswith(name)]
        if not begun:
            raise UsageError(f"{command}: unrecognized option '{word}'", *more)
        found = begun[0]
        if any((opt.key, opt.argument) != (found.key, found.argument) for opt in begun):
            names = " ".join(f"'--{opt.long}'" for opt in begun)
            raise UsageError(f"{command}: option '{word}' is ambiguous; possibilities: {names}", *more)
    if equals and found.argument == NONE:
        raise UsageError(f"{command}: option '--{found.long}' doesn't allow an argument", *more)
    if found.argument == REQUIRED and not equals:
        following = next(words, None)
        if following is None:
            raise UsageError(f"{command}: option '--{found.long}' requires an argument", *more)
        value = following
    return found.key, NOTHING if equals and not value and found.key in DOCUMENTS else value


def help_lines(table: Sequence[Opt]) -> Iterator[str]:
    """A line an option that has a help text, by its letters and names."""
    for opt in table:
        if not opt.help:
            continue
        names = f"-{opt.key}," if len(opt.key) == 1 else "   "
        names += f" --{opt.shown or opt.long}"
        if opt.value:
            names += f"[={opt.value}]" if opt.argument == OPTIONAL else f"={opt.value}"
        text = opt.help.split("\n")
        if len(names) > 26:
            yield f"  {names}"
            names = ""
        yield f"  {names:<26} {text[0]}"
        for line in text[1:]:
            yield " " * 29 + line
