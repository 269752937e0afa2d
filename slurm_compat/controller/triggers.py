"""Triggers: programs that run when a job ends, a node changes, the configuration is read again, or the like.

What has happened is looked for every few seconds, and at once when nodes were changed; Slurm does so every fifteen.
Events that need what is not here (a backup controller, a burst buffer, a failing slurmdbd) may be waited for and never
come, as in a Slurm without them. A trigger is a thing of kind "trigger" named by its number, "next" the number to come.
Source: strigger(1); observed on 26.05.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller.launching import end_time
from slurm_compat.controller.node import Node
from slurm_compat.controller.programs import run_as
from slurm_compat.core import hostlist
from slurm_compat.core.nodestates import DRAIN, FAIL, NOT_RESPONDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

EVERY = 5.0  # seconds between looks
PATIENCE = 300.0  # seconds that a program may take
# what a start of the controller brings about
STARTED = (
    "primary_slurmctld_resumed_operation",
    "primary_slurmctld_resumed_control",
    "primary_slurmdbd_resumed_operation",
    "primary_database_resumed_operation",
)


class Trigger(msgspec.Struct, kw_only=True):
    trigger_id: int
    kind: str  # job, node, slurmctld, slurmdbd, database, other
    target: str  # job id, host list, "*"
    events: list[str]
    offset: int  # seconds from the event
    user_id: int
    permanent: bool
    program: str  # path and its own arguments
    runs_at: int = 0  # its event has happened: when the program runs, epoch seconds
    words: list[str] = []  # what the program is told: a job id, nodes, an event's name

    def same(self, other: Trigger) -> bool:
        named = ("kind", "target", "events", "offset", "user_id", "permanent", "program")
        return all(getattr(self, name) == getattr(other, name) for name in named)


class Triggers:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.kept: dict[int, Trigger] = {}
        self.running: set[int] = set()  # those whose program runs just now
        self._next = 1
        self._nodes: dict[str, frozenset[str]] = {}  # what was so of each node at the last look
        self._timer: asyncio.TimerHandle | None = None

    def restore(self, things: list[tuple[str, str, Any]]) -> None:
        for kind, name, data in things:
            if kind == "trigger" and name == "next":
                self._next = data
            elif kind == "trigger":
                self.kept[int(name)] = msgspec.convert(data, Trigger)
        self._nodes = self._conditions()
        self.happened(*STARTED)

    # changing

    def add(self, trigger: Trigger, change: Change) -> None:
        if not self.kept:
            self._nodes = self._conditions()
        trigger.trigger_id = self._next
        self._next += 1
        self.kept[trigger.trigger_id] = trigger
        change.put("things", ("trigger", "next"), {"kind": "trigger", "name": "next", "data": json.dumps(self._next)})
        self._put(trigger, change)
        self._arm()

    def drop(self, trigger: Trigger, change: Change) -> None:
        del self.kept[trigger.trigger_id]
        change.delete("things", ("trigger", str(trigger.trigger_id)))

    def _put(self, trigger: Trigger, change: Change) -> None:
        name = str(trigger.trigger_id)
        data = msgspec.json.encode(trigger).decode()
        change.put("things", ("trigger", name), {"kind": "trigger", "name": name, "data": data})

    # looking

    def happened(self, *events: str) -> None:
        """Something that only its moment tells: a reconfiguration, a start."""
        change = Change()
        for trigger in self.kept.values():
            for event in events:
                if event in trigger.events:
                    self._occurred(trigger, [event], change)
        if change:
            self._controller.commit(change)
        self._arm()

    def look(self) -> None:
        """See what has happened since the last look, and run what is due."""
        if not self.kept:
            return
        change = Change()
        before, self._nodes = self._nodes, self._conditions()
        changed = {name: _transitions(before.get(name, frozenset()), now) for name, now in self._nodes.items()}
        for trigger in list(self.kept.values()):
            if trigger.kind == "node":
                self._on_nodes(trigger, changed, change)
            elif trigger.kind == "job":
                self._on_job(trigger, change)
            if trigger.runs_at and trigger.runs_at <= self._controller.now():
                self._run(trigger)
        if change:
            self._controller.commit(change)

    def _conditions(self) -> dict[str, frozenset[str]]:
        return {name: _conditions(node) for name, node in self._controller.cluster.nodes.items()}

    def _on_nodes(self, trigger: Trigger, changed: dict[str, frozenset[str]], change: Change) -> None:
        nodes = self._controller.cluster.nodes
        named = nodes if trigger.target == "*" else hostlist.named(trigger.target)
        names = [name for name in named if name in nodes]
        hit = [name for name in names if changed[name].intersection(trigger.events)]
        if "idle" in trigger.events:
            since = self._controller.now() - trigger.offset
            hit += [name for name in names if "idle" in self._nodes[name] and nodes[name].last_busy <= since]
        if hit:
            self._occurred(trigger, hit, change)

    def _on_job(self, trigger: Trigger, change: Change) -> None:
        job = self._controller.table.jobs.get(int(trigger.target))
        over = job is None or job.is_final
        if "fini" in trigger.events and over:
            self._occurred(trigger, [trigger.target], change)
        elif "time" in trigger.events and job is not None and job.is_running and (ends := end_time(job)):
            if not trigger.runs_at and ends + trigger.offset <= self._controller.now():
                trigger.runs_at, trigger.words = self._controller.now(), [trigger.target]
                self._put(trigger, change)
        elif over and not trigger.runs_at:
            self.drop(trigger, change)

    def _occurred(self, trigger: Trigger, words: list[str], change: Change) -> None:
        idle = trigger.events == ["idle"]  # its offset is how long the node has been so
        after = 0 if idle else max(0, trigger.offset)
        told = list(dict.fromkeys([*trigger.words, *words]))
        if trigger.runs_at and told == trigger.words:
            return
        trigger.words = told
        trigger.runs_at = trigger.runs_at or self._controller.now() + after
        self._put(trigger, change)

    def _run(self, trigger: Trigger) -> None:
        if trigger.trigger_id in self.running:
            return
        nodes = trigger.kind == "node" and trigger.words != ["reconfig"]
        words = [hostlist.compress(trigger.words)] if nodes else trigger.words
        argv = [*shlex.split(trigger.program), *words]
        self.running.add(trigger.trigger_id)
        self._controller.spawn(self._carry_out(trigger, argv, list(trigger.words)))

    async def _carry_out(self, trigger: Trigger, argv: list[str], told: list[str]) -> None:
        """A trigger is done when its program is: one that a kill of the controller cut short runs again."""
        await run_as(trigger.user_id, argv, self._controller.state_folder or "/", PATIENCE)
        self.running.discard(trigger.trigger_id)
        if trigger.trigger_id not in self.kept:
            return  # cleared meanwhile
        change = Change()
        if trigger.permanent and trigger.kind != "job":
            trigger.words = [word for word in trigger.words if word not in told]
            trigger.runs_at = self._controller.now() if trigger.words else 0
            self._put(trigger, change)
        else:
            self.drop(trigger, change)
        self._controller.commit(change)

    def _arm(self) -> None:
        if self.kept and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.look()
        self._arm()


def _conditions(node: Node) -> frozenset[str]:
    drain = DRAIN in node.flags
    rows = (
        ("down", node.down or NOT_RESPONDING in node.flags),
        ("silent", NOT_RESPONDING in node.flags),
        ("fail", FAIL in node.flags),
        ("draining", drain and bool(node.held)),
        ("drained", drain and not node.held),
        ("closed", not node.available),
        ("idle", node.available and not node.held),
    )
    return frozenset(word for word, holds in rows if holds)


def _transitions(before: frozenset[str], now: frozenset[str]) -> frozenset[str]:
    """Names of the events that lead from one to the other."""
    found = (now - before) & {"down", "fail", "draining", "drained"}
    if "silent" in before and "down" not in now:
        found |= {"up"}
    if "closed" in before and "closed" not in now:
        found |= {"resume"}
    return found
