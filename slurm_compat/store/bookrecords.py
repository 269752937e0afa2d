"""What the store has beside the jobs: changes of the accounting book, and events of nodes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, or_, select

from slurm_compat.store.schema import node_events, transactions

Row = tuple[Any, ...]  # in the order of the table's columns


def transactions_between(connection: Connection, start: int, end: int) -> list[Row]:
    """Changes of the book from `start` to `end` (0: open), the oldest first."""
    query = select(transactions).where(transactions.c.at >= start)
    if end:
        query = query.where(transactions.c.at <= end)
    return [tuple(row) for row in connection.execute(query.order_by(transactions.c.id))]


def last_transaction(connection: Connection) -> int:
    return int(connection.execute(select(func.max(transactions.c.id))).scalar() or 0)


def open_events(connection: Connection) -> list[Row]:
    """Events of nodes that go on."""
    return [tuple(row) for row in connection.execute(select(node_events).where(node_events.c.end == 0))]


def events_between(connection: Connection, start: int, end: int) -> list[Row]:
    """Events of which some part is between `start` and `end` (0: open), the oldest first."""
    query = select(node_events).where(or_(node_events.c.end == 0, node_events.c.end >= start))
    if end:
        query = query.where(node_events.c.start <= end)
    return [tuple(row) for row in connection.execute(query.order_by(node_events.c.start, node_events.c.node))]
