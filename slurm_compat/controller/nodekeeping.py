"""Nodes that an administrator changed: told to whoever places pods, and what becomes of them with time.

The embedded engine reads `<state>/node-states.json` when it is signalled, and says in `run/node-states.seen` which
writing of it it has read; a site's nodes are cordoned through Kubernetes where Armada.Kubernetes is configured. A node
that was resumed counts as silent until its engine has answered, as slurmctld waits for the node's next word; one with a
ResumeAfter comes back by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.controller.due import Due
from slurm_compat.controller.node import Node
from slurm_compat.controller.pidfile import running_pid

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

STATES = "node-states.json"
SEEN = os.path.join("run", "node-states.seen")
ENGINE_READS = 3.0  # seconds that the engine's word is waited for
LOOK = 0.01
ANSWERS_AFTER = 2.0  # seconds: slurmctld asks a node it resumed within two
RETRY = 5.0


def standing(node: Node) -> dict[str, Any]:
    """What the engine is to know of a node."""
    words = ["DOWN"] * node.down + sorted(node.flags) + ["FUTURE"] * node.future
    return {"state": "+".join(words) or "IDLE", "features": node.active_features, "weight": node.weight}


class NodeKeeping:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._due = Due(lambda kind, key: DUE[kind](self))
        self._serial = time.time_ns()
        self._told: dict[str, dict[str, Any]] = {}  # what the engine was told last

    def stop(self) -> None:
        self._due.stop()

    # telling

    def write(self) -> bool:
        """Nodes as they are, for an engine that starts; whether it says anything new."""
        nodes = {node.name: standing(node) for node in self._controller.cluster.nodes.values()}
        folder = self._controller.state_folder
        if self._controller.conf.armada.address or not folder:
            return False
        if nodes == self._told:
            return False
        self._serial += 1
        path = os.path.join(folder, STATES)
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump({"serial": self._serial, "nodes": nodes}, file)
            os.replace(f"{path}.new", path)
        except OSError as problem:
            log.error("%s: %s", path, problem.strerror)
            return False
        self._told = nodes
        return True

    async def tell(self, reread: bool = False) -> None:
        """The nodes are other than they were; when this returns, pods go by it. `reread`: the cluster file is, too."""
        for node in self._controller.cluster.nodes.values():
            if node.silent:
                self._due.at(time.time() + ANSWERS_AFTER, "ask", 0)
            if node.resume_after:
                self._due.at(node.resume_after, "resume", 0)
        if reread:
            self._told = {}
        if self.write():
            await self._signal()

    async def _signal(self) -> None:
        folder = self._controller.state_folder
        pid = running_pid(os.path.join(folder, "run", "engine.pid"))
        if not pid:
            return  # it reads the file when it starts
        try:
            os.kill(pid, signal.SIGHUP)
        except OSError as problem:
            log.error("the engine can't be told of its nodes: %s", problem.strerror)
            return
        deadline = time.monotonic() + ENGINE_READS
        while time.monotonic() < deadline and running_pid(os.path.join(folder, "run", "engine.pid")) == pid:
            if seen_serial(os.path.join(folder, SEEN)) >= self._serial:
                return
            await asyncio.sleep(LOOK)
        log.warning("the engine has not read its nodes' states yet")

    async def cordon(self, names: Iterable[str], changes: Mapping[str, Any]) -> None:
        """A site's nodes, before anything is changed here. Raises SlurmError where Kubernetes would not."""
        inventory = self._controller.inventory
        state = str(changes.get("state", "")).upper()
        if inventory is None or state not in CORDONS:
            return
        await inventory.cordon(list(names), CORDONS[state], str(changes.get("reason", "")))

    # time goes by

    def ask(self) -> None:
        self._controller.spawn(self._ask())

    async def _ask(self) -> None:
        """Nodes that were resumed are back when the engine answers."""
        armada = self._controller.outbox.armada
        if armada is not None and not await armada.health():
            self._due.at(time.time() + RETRY, "ask", 0)
            return
        for node in self._controller.cluster.nodes.values():
            node.silent = False
        self._controller.reasons.stale()

    def resume(self) -> None:
        """ResumeAfter of some node has passed."""
        now = self._controller.now()
        names = [node.name for node in self._controller.cluster.nodes.values() if 0 < node.resume_after <= now]
        if names:
            self._controller.spawn(self._resume(names))

    async def _resume(self, names: list[str]) -> None:
        from slurm_compat.controller import clusterchange

        await clusterchange.update_nodes(self._controller, names, {"state": "RESUME"}, "root", 0)


# state that is set: whether pods are to keep off
CORDONS = {"DRAIN": True, "DOWN": True, "FAIL": True, "FUTURE": True, "RESUME": False, "IDLE": False, "UNDRAIN": False}
DUE = {"ask": NodeKeeping.ask, "resume": NodeKeeping.resume}


def seen_serial(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
