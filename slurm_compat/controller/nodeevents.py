"""When nodes took no work and why: what `sacctmgr show event` lists.

A node has at most one open event. Another state or reason closes it and opens the next, as slurmdbd's records do;
going back to service closes it. Source: observed on 26.05.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slurm_compat.controller.answering import chunks, require_fields
from slurm_compat.controller.privacy import Privacy
from slurm_compat.core import privatedata, tres
from slurm_compat.store import bookrecords
from slurm_compat.store.changes import Change
from slurm_compat.store.store import Connection

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session
    from slurm_compat.core import bookargs


class NodeEvent(NamedTuple):
    """`end` 0: still so. `state`: a node's state and flags by "+", as "DOWN" or "IDLE+DRAIN"."""

    node: str
    start: int
    end: int
    state: str
    reason: str
    uid: int
    tres: str


class Events:
    """The open event of each node that has one."""

    def __init__(self) -> None:
        self.open: dict[str, NodeEvent] = {}

    def restore(self, connection: Connection) -> None:
        """What a store has of events that go on."""
        rows = [NodeEvent(*row) for row in bookrecords.open_events(connection)]
        self.open = {event.node: event for event in rows}


def record_event(
    controller: Controller, node: str, state: str, reason: str, uid: int, at: int, change: Change | None = None
) -> None:
    """A node's state changed. `state` "": it takes work again; else as NodeEvent has it.

    `at`: epoch seconds. It goes to the store with `change`, or by itself without one. The same word twice is none.
    """
    opened = controller.node_events.open
    before = opened.get(node)
    if before is not None and (before.state, before.reason) == (state, reason):
        return
    own = change if change is not None else Change()
    if before is not None:
        _put(own, before._replace(end=max(at, before.start)))
        del opened[node]
    if state:
        # a key is a node and a second: what is changed twice in one is as it was last
        known = controller.cluster.nodes.get(node)
        after = NodeEvent(
            node,
            at,
            0,
            state,
            reason,
            uid,
            tres.show(known.tres(controller.cluster.tres_listed)) if known is not None else "",
        )
        opened[node] = after
        _put(own, after)
    if change is None and own:
        controller.commit(own)


def _put(change: Change, event: NodeEvent) -> None:
    change.put("node_events", (event.node, event.start), event._asdict())


def between(connection: Connection, start: int, end: int) -> list[NodeEvent]:
    """Events of which some part is between `start` and `end` (0: open), the oldest first."""
    return [NodeEvent(*row) for row in bookrecords.events_between(connection, start, end)]


async def events(controller: Controller, session: Session, args: bookargs.Events) -> Any:
    """The call `events`: fields of NodeEvents."""
    Privacy(controller, session.caller).refuse(privatedata.EVENTS)
    require_fields(args.fields, NodeEvent._fields)
    found = await controller.store.read(lambda connection: between(connection, args.start, args.end))
    places = [NodeEvent._fields.index(name) for name in args.fields]
    return chunks([[event[place] for place in places] for event in found])
