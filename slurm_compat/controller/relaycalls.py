"""Step I/O between agents and sruns that can't reach each other: each calls here, and frames are passed on.

srun makes up a ticket and gives it as one of its addresses, "relay:TICKET", to step_create (sattach and sbcast: to
relay_listen). An agent that reaches none of the others calls relay_dial with it; srun is told by an event and comes
for the agent with relay_take. A ticket is as secret as the step's own secret, which the two still show each other.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from slurm_compat.controller.server import Session
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.relayline import PREFIX, WINDOW
from slurm_compat.core.stepargs import RelayDial, RelayListen, RelayTake

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

_TICKET = re.compile(r"[0-9a-f]{32}")
MOST_WAITING = 4096  # agents that one srun has yet to take
MOST_EARLY = 2048  # frames of an agent that its srun has yet to take
SLACK = 1 << 16  # bytes by which a side may be wrong about its window


class Relays:
    def __init__(self) -> None:
        self._listeners: WeakValueDictionary[str, Session] = WeakValueDictionary()  # by ticket
        self._waiting: dict[str, Side] = {}  # agents, by the word their srun takes them with
        self._counts: WeakKeyDictionary[Session, int] = WeakKeyDictionary()

    def listen(self, session: Session, addresses: list[str]) -> None:
        """Of an srun's addresses, those that are tickets."""
        for address in addresses:
            ticket = address.removeprefix(PREFIX)
            # one that somebody else has is never taken over
            if address.startswith(PREFIX) and _TICKET.fullmatch(ticket) and ticket not in self._listeners:
                self._listeners[ticket] = session

    def dial(self, session: Session, ticket: str) -> None:
        listener = self._listeners.get(ticket)
        if listener is None or listener.closed or self._counts.get(listener, 0) >= MOST_WAITING:
            raise SlurmError(errors.INVALID_JOB_ID)
        word = os.urandom(16).hex()
        self._waiting[word] = Side(session)
        self._counts[listener] = self._counts.get(listener, 0) + 1

        def gone() -> None:
            self._waiting.pop(word, None)

        session.on_close = gone
        listener.send({"event": "relay", "ticket": ticket, "word": word})

    def take(self, session: Session, word: str) -> None:
        agent = self._waiting.pop(word, None)
        if agent is None:
            raise SlurmError(errors.INVALID_JOB_ID)
        agent.join(Side(session))


class Side:
    """One end of a relayed connection; what comes before the other end is there is kept, a window at most."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._other: Side | None = None
        self._early: list[dict[str, Any]] = []
        self._on_way = 0  # bytes it sent that the other side has not taken
        session.on_message = self._pass

    def join(self, other: Side) -> None:
        self._other, other._other = other, self
        self._session.on_close = other._session.close
        other._session.on_close = self._session.close
        for message in self._early:
            other._session.send(message)
        self._early.clear()

    def _pass(self, message: dict[str, Any]) -> None:
        data, took = message.get("data"), message.get("took")
        if isinstance(data, str) and 0 < len(data) <= 2 * WINDOW and len(self._early) < MOST_EARLY:
            self._on_way += len(data) * 3 // 4 - data[-2:].count("=")
            passed: dict[str, Any] = {"data": data}
        elif isinstance(took, int) and self._other is not None and 0 < took <= self._other._on_way:
            # of what was not sent nothing can be taken: else one could be told of it without end
            self._other._on_way -= took
            passed = {"took": took}
        else:
            self._session.close()
            return
        if self._on_way > WINDOW + SLACK:
            self._session.close()
        elif self._other is None:
            self._early.append(passed)
        else:
            self._other._session.send(passed)


def listen(controller: Controller, session: Session, args: RelayListen) -> None:
    controller.relays.listen(session, [PREFIX + args.ticket])
    session.send({"event": "listening"})


def dial(controller: Controller, session: Session, args: RelayDial) -> None:
    controller.relays.dial(session, args.ticket)


def take(controller: Controller, session: Session, args: RelayTake) -> None:
    controller.relays.take(session, args.word)
