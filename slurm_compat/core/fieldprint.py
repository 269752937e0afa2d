"""How sacct, sstat and their kin print a chosen list of fields: columns of fixed widths, or fields between delimiters.

A command has one tuple of `Field`s, in the order in which an abbreviated name finds them. Widths are bytes: to the
right when positive, to the left when negative; text too long ends in "+", numbers and durations run over, a date
that does not fit is a row of "#". Every column ends in a blank. Source: sacct(1), --format; observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from slurm_compat.core.errors import BadValue

TEXT, WHOLE, DATE = "text", "whole", "date"  # cut with "+"; never cut; "#" when too long

COLUMNS, ENDED, BETWEEN = 0, 1, 2  # plain; -p: a delimiter after each; -P: only between them

Record = Mapping[str, Any]


class Field(NamedTuple):
    """One field. `text(record, settings)` is its value, None for nothing; `needs` are the record's keys it reads."""

    name: str
    width: int
    needs: tuple[str, ...]
    text: Callable[[Record, Any], str | None]
    kind: str = TEXT


class Placed(NamedTuple):
    field: Field
    width: int


def chosen(text: str, table: Sequence[Field], once: bool = False) -> list[Placed]:
    """The fields of "jobid%20,state,elapsed%-12". Raises BadValue with the name that no field begins with.

    `once`, as sacct and sstat have it: there is one of each field, which has the width given last in all its places,
    and nothing between two commas ends the list.
    """
    placed: list[Placed] = []
    widths: dict[str, int] = {}
    tokens = text.split(",")
    if once and "" in tokens:
        tokens = tokens[: tokens.index("")]
    for token in filter(None, tokens):
        name, percent, width = token.partition("%")
        found = named(name, table)
        if name.lower() in ("", "all"):
            placed += [Placed(field, _width(width) if percent else field.width) for field in table]
        elif found is None:
            raise BadValue(name)
        else:
            if once and percent:
                widths[found.name] = _width(width)
            placed.append(Placed(found, _width(width) if percent else found.width))
    return [cell._replace(width=widths.get(cell.field.name, cell.width)) for cell in placed]


def named(name: str, table: Iterable[Field]) -> Field | None:
    """The first field whose name begins with `name`, whatever the case."""
    word = name.lower()
    return next((field for field in table if field.name.lower().startswith(word)), None)


def _width(text: str) -> int:
    number = re.match(r"\s*[+-]?\d+", text)  # as atoi reads it: what is no number is 0, a column of no width
    return int(number[0]) if number else 0


def needs(placed: Iterable[Placed], further: Iterable[str] = ()) -> list[str]:
    """The keys to ask for, each once."""
    return list(dict.fromkeys([key for cell in placed for key in cell.field.needs] + list(further)))


def header(placed: Sequence[Placed], form: int = COLUMNS, delimiter: str = "|") -> list[str]:
    if form != COLUMNS:
        return [_delimited([cell.field.name for cell in placed], form, delimiter)]
    names = "".join(_aligned(cell.field.name[: abs(cell.width)], cell.width) for cell in placed)
    return [names, "".join("-" * abs(cell.width) + " " for cell in placed)]


def line(placed: Sequence[Placed], record: Record, settings: Any, form: int = COLUMNS, delimiter: str = "|") -> str:
    values = [cell.field.text(record, settings) or "" for cell in placed]
    if form != COLUMNS:
        return _delimited(values, form, delimiter)
    return "".join(_cut(value, cell) for value, cell in zip(values, placed, strict=True))


def _delimited(values: list[str], form: int, delimiter: str) -> str:
    return delimiter.join(values) + (delimiter if form == ENDED else "")


def _aligned(text: str, width: int) -> str:
    return (text.rjust(width) if width > 0 else text.ljust(-width)) + " "


def _cut(value: str, cell: Placed) -> str:
    width = abs(cell.width)
    if cell.field.kind == WHOLE:
        return _aligned(value, cell.width)
    if cell.field.kind == DATE and len(value) > width:
        return _aligned("#" * width if value[:1].isdigit() else value[:width], cell.width)
    if value.isascii():
        if len(value) > width:
            value = (value[: width - 1] + "+") if width else ""
        return _aligned(value, cell.width)
    data = value.encode("utf-8", "surrogateescape")
    if len(data) > width:
        data = (data[: width - 1] + b"+") if width else b""
    data = data.rjust(width) if cell.width > 0 else data.ljust(width)
    return data.decode("utf-8", "surrogateescape") + " "


def name_table(names: Iterable[str], columns: int = 4, width: int = 19) -> Iterator[str]:
    """The lines of --helpformat: each name padded, a blank between, `columns` of them a line."""
    row: list[str] = []
    for name in names:
        row.append(name.ljust(width))
        if len(row) == columns:
            yield " ".join(row)
            row = []
    if row:
        yield " ".join(row)
