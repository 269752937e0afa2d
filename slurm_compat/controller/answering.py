"""Answers in rows: the fields that were asked for, some rows a frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError

CHUNK = 1000  # rows a frame

Row = list[Any]


def unknown_field(name: str) -> SlurmError:
    return SlurmError(BAD_ARGUMENT, f"unknown field {name}")


def require_fields(fields: Sequence[str], known: Collection[str]) -> None:
    """Raises SlurmError for the first of `fields` that isn't one of `known`."""
    for name in fields:
        if name not in known:
            raise unknown_field(name)


def chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), CHUNK):
        yield list(rows[start : start + CHUNK])


def chosen(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Iterator[list[Row]]:
    """The fields of each row, in the order asked. All rows have the same ones."""
    if rows:
        require_fields(fields, rows[0].keys())
    return chunks([[row[name] for name in fields] for row in rows])
