"""Tables of columns, and the formats of squeue and sinfo (-o, -O) compiled into one function a format.

A command has one tuple of `Column`s. `parse_short` ("%.18i %R|") or `parse_long` ("JobID:10,Name:.20") choose and place
them; `layout` turns the placed cells into the list of fields to ask the controller for, the header, and a function that
makes a row's line. Cells are cut and padded by bytes, as C's printf does.
Source: squeue(1), sinfo(1); observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

NULL = "(null)"
SETTINGS = "@"  # among a column's fields: its text function wants the command's settings there
WIDTH = "#"  # the same: the width of the cell, 0 for none; for texts that are cut while others of the column are not
LONG_WIDTH = 20  # of a -O cell that names no width
MAX_WIDTH = 65535

HEADER, VALUE, BOTH = 1, 2, 3  # what of a right-justified column is shown whole when it is too long


def as_is(value: Any) -> str:
    return str(value)


def or_null(value: Any) -> str:
    return str(value or NULL)


def flag(value: bool) -> int:
    return int(value)


class Column(NamedTuple):
    """One column. `text` is called with the values of `fields` in their order; what it returns is shown with str()."""

    name: str  # of -O; "" when it has none
    letter: str  # of -o; "" when it has none
    header: str
    fields: tuple[str, ...]
    text: Callable[..., Any] = as_is
    whole: int = 0  # HEADER, VALUE or BOTH


class Cell(NamedTuple):
    """A column as a format places it."""

    column: Column
    width: int = 0  # bytes; 0: as long as the text is
    right: bool = False
    suffix: str = ""


class Layout(NamedTuple):
    fields: list[str]  # to ask for, in this order; those of the cells first, then the further ones
    header: str
    line: Callable[[Sequence[Any]], str]  # of a row with these fields


def by_letter(columns: Iterable[Column]) -> dict[str, Column]:
    table: dict[str, Column] = {}
    for column in columns:
        if column.letter:
            table.setdefault(column.letter, column)
    return table


def by_name(columns: Iterable[Column]) -> dict[str, Column]:
    table: dict[str, Column] = {}
    for column in columns:
        if column.name:
            table.setdefault(column.name.lower(), column)
    return table


def parse_short(
    text: str, table: Mapping[str, Column], complain: Callable[[str], None], missing: Column | None = None
) -> list[Cell | str]:
    """The cells and literal texts of a -o format.

    `complain(letter)` is told each letter that names no column; its text is then shown as it was written. `missing` is
    what a "%" or "%.5" without a letter shows, for in C's table of names the end of the text matches a first row.
    """
    cells: list[Cell | str] = []
    # Repeated "%" are one: "%%" never shows a percent sign, "x%%y" is "x" and the column y.
    tokens = [token for token in text.split("%") if token]
    if tokens and not text.startswith("%"):
        cells.append(tokens.pop(0))
    for index, token in enumerate(tokens):
        right = token.startswith(".")
        rest = token[1:] if right else token
        body = rest.lstrip("0123456789")
        digits = rest[: len(rest) - len(body)]
        width = min(int(digits), MAX_WIDTH) if digits else 0
        if not body:
            if missing is not None:
                suffix = tokens[index + 1] if index + 1 < len(tokens) else ""
                cells.append(Cell(missing, width, right, suffix))
        elif (column := table.get(body[0])) is not None:
            cells.append(Cell(column, width, right, body[1:]))
        else:
            complain(body[0])
            cells.append("%" + token)
    return cells


def parse_long(text: str, table: Mapping[str, Column], complain: Callable[[str], None]) -> list[Cell | str]:
    """The cells of a -O format, "type[:[.][size][suffix]]" by comma. Names no column has go to `complain`."""
    cells: list[Cell | str] = []
    for token in text.split(","):
        if not token:
            continue
        name, colon, spec = token.partition(":")
        column = table.get(name.lower())
        if column is None:
            complain(name)
            continue
        if not colon:
            cells.append(Cell(column, LONG_WIDTH))
            continue
        right = spec.startswith(".")
        rest = spec[1:] if right else spec
        suffix = rest.lstrip("0123456789")
        digits = rest[: len(rest) - len(suffix)]
        if suffix[:1] == "-" and suffix[1:].isdigit():  # a width below 0 is none, with a space behind
            suffix = " "
        cells.append(Cell(column, min(int(digits), MAX_WIDTH) if digits else 0, right, suffix))
    return cells


def layout(cells: Sequence[Cell | str], settings: Any = None, further: Iterable[str] = ()) -> Layout:
    """The format as one function of a row. `further` fields are asked for too: what filters and sort keys need."""
    fields: list[str] = []

    def position(field: str) -> int:
        if field not in fields:
            fields.append(field)
        return fields.index(field)

    names: dict[str, Any] = {"settings": settings}
    template: list[str] = []
    values: list[str] = []
    header: list[str] = []
    for number, cell in enumerate(cells):
        if isinstance(cell, str):
            template.append(cell.replace("%", "%%"))
            header.append(cell)
            continue
        column = cell.column
        template.append(_conversion(cell, column.whole & VALUE) + cell.suffix.replace("%", "%%"))
        header.append(placed(column.header, cell, column.whole & HEADER) + cell.suffix)
        special = {SETTINGS: "settings", WIDTH: str(cell.width)}
        arguments = [special.get(field) or f"row[{position(field)}]" for field in column.fields]
        if column.text is as_is:
            values.append(arguments[0])
        elif column.text is or_null:
            # printf gives nothing for a NULL cut shorter than the word, and the word cut when it is right-justified
            null = "" if 0 < cell.width < len(NULL) and not cell.right else NULL
            values.append(f"({arguments[0]} or {null!r})")
        else:
            names[f"text{number}"] = column.text
            values.append(f"text{number}({', '.join(arguments)})")
    names["template"] = "".join(template)
    names["by_bytes"] = _by_bytes(cells)
    for field in further:
        position(field)
    # One expression a format: no lookup or dispatch a cell is left for the rows.
    exec(_LINE.format(values="".join(value + ", " for value in values)), names)
    return Layout(fields, "".join(header), names["line"])


_LINE = """
def line(row):
    values = ({values})
    text = template % values
    return text if text.isascii() else by_bytes(values)
"""


def _conversion(cell: Cell, whole: int) -> str:
    if not cell.width:
        return "%s"
    if cell.right:
        return f"%{cell.width}s" if whole else f"%{cell.width}.{cell.width}s"
    return f"%-{cell.width}.{cell.width}s"


def placed(text: str, cell: Cell, whole: int = 0) -> str:
    """`text` cut and padded to the cell's width, counted in bytes."""
    if not cell.width:
        return text
    data = text.encode("utf-8", "surrogateescape")
    if not (whole and cell.right):
        data = data[: cell.width]
    data = data.rjust(cell.width) if cell.right else data.ljust(cell.width)
    return data.decode("utf-8", "surrogateescape")


def _by_bytes(cells: Sequence[Cell | str]) -> Callable[[Sequence[Any]], str]:
    """The line of values that are not all ASCII, of which a character may be several bytes."""

    def line(values: Sequence[Any]) -> str:
        given = iter(values)
        return "".join(
            cell if isinstance(cell, str) else placed(str(next(given)), cell, cell.column.whole & VALUE) + cell.suffix
            for cell in cells
        )

    return line
