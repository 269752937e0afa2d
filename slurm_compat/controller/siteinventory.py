"""The nodes of a site with Armada: asked for in the background, kept for a restart, and shown as stale while a source
is away.

Configured by Armada.Kubernetes and Armada.PrometheusURL. Nodes the sources know and the cluster file doesn't are added;
a cordon is shown as DRAIN and a node that is not ready as DOWN*, unless an administrator said something of it here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from slurm_compat.armada import prometheus
from slurm_compat.armada.inventory import Allocation, SeenNode, merged, overlaid
from slurm_compat.armada.kubernetes import Unreachable, Worker
from slurm_compat.controller.node import Node
from slurm_compat.core.cluster import ArmadaConf, ClusterConf
from slurm_compat.core.errors import NOT_SUPPORTED, BadValue, SlurmError
from slurm_compat.core.nodestates import DRAIN, NOT_RESPONDING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

FILE = "inventory.json"  # in the state folder
LEAST = 1  # seconds between two questions
WORDS = "armada"  # who gave a reason that comes from a source


class Sources:
    """Where nodes are known, and what each said last."""

    def __init__(self, conf: ArmadaConf, state: str) -> None:
        self._urls = [conf.prometheus_url] if isinstance(conf.prometheus_url, str) else conf.prometheus_url
        self._workers = [Worker(one) for one in conf.kubernetes]
        self._path = os.path.join(state, FILE)
        self._nodes: dict[str, list[SeenNode]] = {}  # by worker cluster
        self._allocations: dict[str, dict[str, Allocation]] = {}  # by URL
        self.up: dict[str, int] = {}  # source: 1 when it answered last

    @property
    def configured(self) -> bool:
        return bool(self._urls or self._workers)

    def read_back(self) -> dict[str, SeenNode]:
        """What was seen before this start; stale until it is seen again."""
        try:
            with open(self._path, "rb") as file:
                nodes = msgspec.json.decode(file.read(), type=list[SeenNode])
        except (OSError, msgspec.DecodeError):
            return {}
        for node in nodes:
            self._nodes.setdefault(node.cluster, []).append(msgspec.structs.replace(node, stale=True))
        return self.seen()

    def seen(self) -> dict[str, SeenNode]:
        allocations: dict[str, Allocation] = {}
        for some in self._allocations.values():
            allocations.update(some)
        return merged(self._nodes.values(), allocations)

    async def ask(self) -> dict[str, SeenNode]:
        """All sources at once, each in a thread. One that doesn't answer leaves what it said, as stale."""
        await asyncio.gather(*map(self._ask_worker, self._workers), *map(self._ask_prometheus, self._urls))
        seen = self.seen()
        if any(not node.stale for node in seen.values()):
            self._keep(seen)
        return seen

    async def _ask_worker(self, worker: Worker) -> None:
        try:
            self._nodes[worker.name] = await asyncio.to_thread(worker.nodes)
        except Unreachable as problem:
            self._away(worker.name, str(problem))
            some = self._nodes.get(worker.name, [])
            self._nodes[worker.name] = [msgspec.structs.replace(node, stale=True) for node in some]
        else:
            self._back(worker.name)

    async def _ask_prometheus(self, url: str) -> None:
        try:
            self._allocations[url] = await asyncio.to_thread(prometheus.allocations, url)
        except (OSError, ValueError, KeyError, TypeError) as problem:
            self._away(url, str(problem))
        else:
            self._back(url)

    def _away(self, source: str, why: str) -> None:
        if self.up.get(source) != 0:
            log.warning("inventory: %s does not answer: %s", source, why)
        self.up[source] = 0

    def _back(self, source: str) -> None:
        if self.up.get(source) == 0:
            log.info("inventory: %s answers again", source)
        self.up[source] = 1

    def _keep(self, seen: Mapping[str, SeenNode]) -> None:
        temporary = f"{self._path}.{os.getpid()}"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(list(seen.values())))
            os.replace(temporary, self._path)
        except OSError as problem:
            log.warning("inventory: %s: %s", self._path, problem.strerror)

    async def cordon(self, nodes: Iterable[SeenNode], on: bool, reason: str) -> None:
        """Raises Unreachable; the nodes before the one that failed are done."""
        workers = {worker.name: worker for worker in self._workers}
        for node in nodes:
            worker = workers.get(node.cluster)
            if worker is None:
                raise Unreachable(f"{node.name}: Armada.Kubernetes names no cluster {node.cluster or 'of it'}")
            await asyncio.to_thread(worker.cordon, node.object_name or node.name, on, reason)


async def first_look(conf: ClusterConf, sources: Sources) -> ClusterConf:
    """The cluster file with the nodes that are known at the start: asked for, unless an earlier start knew them.

    Raises BadValue where nobody knows any node.
    """
    if not sources.configured:
        return conf
    if not conf.armada.address:
        raise BadValue(
            "Armada.Kubernetes and Armada.PrometheusURL go with Armada.Address: the embedded engine's nodes "
            "are the cluster file's"
        )
    seen = sources.read_back() or await sources.ask()
    found = overlaid(conf, seen)
    if not found.nodes:
        raise BadValue(
            "no node is known: none of Armada.Kubernetes and Armada.PrometheusURL answers, and Nodes has none"
        )
    return found


class Inventory:
    """Keeps the controller's nodes as the sources have them. `rebuild` makes the cluster anew from a cluster file with
    other nodes in it; `changed` is told of nodes that opened or closed, and of those whose jobs are lost."""

    def __init__(
        self,
        controller: Controller,
        sources: Sources,
        file_conf: ClusterConf,
        rebuild: Callable[[ClusterConf], None],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._controller = controller
        self.sources = sources
        self.file_conf = file_conf  # the cluster file without the sources' nodes
        self._made = overlaid(file_conf, sources.seen())  # what the cluster was made from
        self._rebuild = rebuild
        self._changed = changed
        self._seen: dict[str, SeenNode] = {}

    def reread(self, file_conf: ClusterConf) -> ClusterConf:
        """The cluster file was read again: what the cluster is to be made from."""
        self.file_conf = file_conf
        self._made = overlaid(file_conf, self._seen or self.sources.seen())
        return self._made

    async def keep(self) -> None:
        """For ever."""
        while True:
            try:
                await self.refresh()
            except Exception:
                log.exception("inventory")
            await asyncio.sleep(max(self._controller.conf.armada.inventory_interval, LEAST))

    async def refresh(self) -> None:
        await self.take(await self.sources.ask())

    async def take(self, seen: dict[str, SeenNode]) -> None:
        """The nodes are as these: new ones are there from now on, and what they offer, and their states."""
        self._seen = seen
        now = overlaid(self.file_conf, seen)
        if (self._made.nodes, self._made.partitions) != (now.nodes, now.partitions):
            self._rebuild(now)
            self._made = now
        if self.apply(self._controller.now()):
            self._controller.cluster.generation += 1
            await self._changed()
        self._controller.reasons.stale()

    def apply(self, now: int) -> bool:
        """Set the nodes' states; whether any opened or closed."""
        closed = False
        for name, node in self._controller.cluster.nodes.items():
            seen = self._seen.get(name)
            if seen is None:
                continue
            before = node.available
            node.stale = seen.stale
            own = node.used_cpus.bit_count()
            node.elsewhere_cpus = max(seen.used_cpus - own, 0)
            node.elsewhere_memory = max(seen.used_memory_mib - node.used_memory, 0)
            if not seen.stale:
                _show(node, seen, now)
            closed |= node.available != before
        return closed

    def name_of(self, object_name: str) -> str:
        """A node's name here: the host name that pods ask for, which is not always Kubernetes' name of the node."""
        if object_name in self._seen:
            return object_name
        return next((name for name, node in self._seen.items() if node.object_name == object_name), object_name)

    async def cordon(self, names: Iterable[str], on: bool, reason: str) -> None:
        """Close nodes for new pods, or open them. Raises SlurmError with words for a node no source knows or a cluster
        that does not answer."""
        unknown = [name for name in names if name not in self._seen]
        if unknown:
            raise SlurmError(NOT_SUPPORTED, f"{','.join(unknown)}: no cluster of Armada.Kubernetes has this node")
        try:
            await self.sources.cordon([self._seen[name] for name in names], on, reason)
        except Unreachable as problem:
            raise SlurmError(NOT_SUPPORTED, f"cordon: {problem}") from None


def _show(node: Node, seen: SeenNode, now: int) -> None:
    """DOWN* while it isn't ready, DRAIN while it is cordoned; both end as they came, unless somebody here said more."""
    ours = node.reason_user == WORDS
    if not seen.ready and not node.down:
        node.down = True
        node.flags.add(NOT_RESPONDING)
        _because(node, seen.reason or "Not responding", now)
    elif seen.ready and node.down and ours and NOT_RESPONDING in node.flags:
        node.down = False
        node.flags.discard(NOT_RESPONDING)
        _because(node, "", 0)
    ours = node.reason_user == WORDS or not node.reason
    if seen.cordoned and DRAIN not in node.flags:
        node.flags.add(DRAIN)
        if ours and not node.down:
            _because(node, seen.reason or "cordoned", now)
    elif not seen.cordoned and DRAIN in node.flags and node.reason_user == WORDS and seen.ready:
        node.flags.discard(DRAIN)
        _because(node, "", 0)


def _because(node: Node, reason: str, now: int) -> None:
    node.reason, node.reason_user, node.reason_at = reason, WORDS if reason else "", now
