"""A change: the rows that must become durable together, and how many changes fold into one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]


class Change:
    """Rows to put or to delete, by table and key. What was last said of a key counts."""

    __slots__ = ("appended", "refusable", "rows", "then")

    def __init__(self, refusable: bool = False) -> None:
        self.rows: dict[tuple[str, Any], Row | None] = {}
        self.appended: list[Row] = []  # events: no key, never folded
        # a change nobody has heard of yet, as a submission, is given up when the store can't take it; others wait
        self.refusable = refusable
        self.then: list[Callable[[], None]] = []  # to be called, by whoever commits, when it is durable

    def put(self, table: str, key: Any, row: Row) -> None:
        self.rows[table, key] = row

    def delete(self, table: str, key: Any) -> None:
        self.rows[table, key] = None

    def event(self, db_index: int, at: int, name: str, data: str = "") -> None:
        self.appended.append({"db_index": db_index, "at": at, "name": name, "data": data})

    def __bool__(self) -> bool:
        return bool(self.rows or self.appended)


class Batch:
    """Many changes as one: by table, the rows to put and the keys to delete."""

    def __init__(self, changes: Iterable[Change]) -> None:
        folded: dict[tuple[str, Any], Row | None] = {}
        self.events: list[Row] = []
        for change in changes:
            folded.update(change.rows)
            self.events.extend(change.appended)
        self.puts: dict[str, list[Row]] = {}
        self.deletes: dict[str, list[Any]] = {}
        for (table, key), row in folded.items():
            if row is None:
                self.deletes.setdefault(table, []).append(key)
            else:
                self.puts.setdefault(table, []).append(row)
