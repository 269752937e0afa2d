"""Which nodes, or cores of nodes, a reservation gets. Words and choices as observed on 26.05.

Named nodes are taken as they are, when no other reservation has them then and no job runs into it. Asked for by number,
they are the partition's that are up, by weight and order. Cores are spread over as many nodes as there are cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from slurm_compat.controller import reservation as resv
from slurm_compat.controller.node import Node
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.partitions import Partition
from slurm_compat.controller.reservation import Reservation
from slurm_compat.core import hostlist, tres
from slurm_compat.core.errors import (
    INVALID_NODE_NAME,
    INVALID_TRES,
    NODES_BUSY,
    REQUESTED_NODE_CONFIG_UNAVAILABLE,
    RESERVATION_OVERLAP,
    BadValue,
    SlurmError,
)
from slurm_compat.translators import constraints


class Wanted(NamedTuple):
    """What was asked for. `names`: None when by number."""

    names: list[str] | None = None
    number: int = 0
    cores: int = 0
    gres: Mapping[str, int] = {}  # "gpu": 1


class Place:
    """Where a reservation of these times and flags may lie.

    `ends`: when the last job of a node is over, but for those of the reservation with this number.
    """

    def __init__(self, cluster: Cluster, draft: Reservation, now: int, ends: Callable[[str, int], int]) -> None:
        self._cluster = cluster
        self._draft = draft
        self._now = now
        self._ends = ends
        self._others = [
            other
            for other in cluster.reservations.values()
            if other.reservation_id != draft.reservation_id and resv.clash(draft, other, now)
        ]

    def settle(self, wanted: Wanted, part: Partition | None) -> Reservation:
        """The draft with its nodes. Raises SlurmError. `part`: where nodes asked for by number are looked for."""
        if wanted.names is not None and not wanted.cores:
            self._check_named(wanted.names)
            return self.with_nodes(wanted.names)
        if wanted.cores:
            return self._with_cores(wanted, part)
        assert part is not None
        if wanted.gres:
            return self._with_gres(wanted, part)
        return self.with_nodes(self._by_number(wanted.number, self._candidates(part)))

    def with_nodes(self, names: Iterable[str]) -> Reservation:
        """These nodes, whole, without a question."""
        chosen = set(names)
        nodes = [node for name, node in self._cluster.nodes.items() if name in chosen]
        draft = self._draft
        draft.nodes = [node.name for node in nodes]
        draft.cores, draft.whole = {}, True
        draft.core_count = sum(_cores(node) for node in nodes)
        draft.tres = tres.show({"cpu": sum(node.cpus for node in nodes)}) if nodes else ""
        return draft

    def _check_named(self, names: list[str]) -> None:
        draft = self._draft
        if not draft.above_others and any(
            set(names) & set(other.nodes) for other in self._others if not other.above_others
        ):
            raise SlurmError(RESERVATION_OVERLAP)
        if not all(map(self._idle, names)):
            raise SlurmError(NODES_BUSY)

    def _idle(self, name: str) -> bool:
        """No job that runs there now goes on into the reservation."""
        if "IGNORE_JOBS" in self._draft.flags:
            return True
        return self._ends(name, self._draft.reservation_id) <= self._draft.window(self._now)[0]

    def _taken(self, node: Node, cores: bool = False) -> bool:
        """Whether another reservation has the node then; for cores: all of it."""
        return not self._draft.above_others and any(
            node.name in other.nodes and (other.whole or not cores) for other in self._others if not other.above_others
        )

    def _candidates(self, part: Partition) -> list[Node]:
        """The partition's nodes that are up and have the features, the best first."""
        nodes = [self._cluster.nodes[name] for name in part.node_names]
        if self._draft.features:
            try:
                choices = constraints.choices(self._draft.features, self._cluster.features())
            except BadValue:
                raise SlurmError(REQUESTED_NODE_CONFIG_UNAVAILABLE) from None
            nodes = [
                node
                for node in nodes
                if any(constraints.satisfies(frozenset(node.active_features), choice.every) for choice in choices)
            ]
        return sorted((node for node in nodes if node.available), key=lambda node: node.weight)

    def _by_number(self, count: int, nodes: list[Node]) -> list[str]:
        free = [node.name for node in nodes if not self._taken(node) and self._idle(node.name)]
        if len(free) < count:
            raise SlurmError(NODES_BUSY)
        return free[:count]

    def more(self, part: Partition, names: Iterable[str], count: int) -> list[str]:
        """So many nodes of the partition beside those there are. Raises SlurmError."""
        return self._by_number(count, [node for node in self._candidates(part) if node.name not in set(names)])

    def _with_gres(self, wanted: Wanted, part: Partition) -> Reservation:
        """Whole nodes, until they have as many of each as was asked for."""
        names: list[str] = []
        left = dict(wanted.gres)
        for node in self._candidates(part):
            if self._taken(node) or not self._idle(node.name):
                continue
            there = node.gres_amounts()
            has = {kind: sum(n for key, n in there.items() if key.partition(":")[0] == kind) for kind in left}
            if not any(min(has[kind], left[kind]) for kind in left):
                continue
            names.append(node.name)
            left = {kind: max(left[kind] - has[kind], 0) for kind in left}
        if any(left.values()):
            raise SlurmError(NODES_BUSY)
        made = self.with_nodes(names)
        made.cores = {name: list(range(_cores(self._cluster.nodes[name]))) for name in made.nodes}
        gres = {f"gres/{kind}": number for kind, number in wanted.gres.items()}
        made.tres = tres.show(tres.parse(made.tres) | gres)
        return made

    def _with_cores(self, wanted: Wanted, part: Partition | None) -> Reservation:
        if wanted.names is not None:
            nodes = [self._cluster.nodes[name] for name in wanted.names]
            if any(self._taken(node, cores=True) for node in nodes):
                raise SlurmError(RESERVATION_OVERLAP)
        else:
            assert part is not None
            nodes = [node for node in self._candidates(part) if not self._taken(node, cores=True)]
            nodes = nodes[: wanted.number] if wanted.number else nodes
        free = {node.name: self._free_cores(node) for node in nodes}
        if sum(map(len, free.values())) < wanted.cores or len(nodes) < wanted.number:
            raise SlurmError(NODES_BUSY)
        chosen: dict[str, list[int]] = {}
        while sum(map(len, chosen.values())) < wanted.cores:
            for name, cores in free.items():
                if cores and sum(map(len, chosen.values())) < wanted.cores:
                    chosen.setdefault(name, []).append(cores.pop(0))
        made = self.with_nodes(chosen)
        made.cores, made.whole = chosen, False
        made.core_count = wanted.cores
        threads = {name: self._cluster.nodes[name].threads for name in chosen}
        made.tres = tres.show({"cpu": sum(len(cores) * threads[name] for name, cores in chosen.items())})
        return made

    def _free_cores(self, node: Node) -> list[int]:
        taken = {core for other in self._others for core in other.cores.get(node.name, ()) if not other.whole}
        return [core for core in range(_cores(node)) if core not in taken]


def _cores(node: Node) -> int:
    return max(node.cpus // max(node.threads, 1), 1)


def node_names(text: str, part: Partition | None, cluster: Cluster, unknown: int = INVALID_NODE_NAME) -> list[str]:
    """The nodes of Nodes=; "all" is the partition's, or the cluster's. Raises SlurmError."""
    if text.upper() == "ALL":
        return list(part.node_names if part is not None else cluster.nodes)
    try:
        names = list(dict.fromkeys(hostlist.expand(text)))
    except BadValue:
        raise SlurmError(unknown) from None
    if not names or any(name not in cluster.nodes for name in names):
        raise SlurmError(unknown)
    return names


def wanted_tres(text: str, cluster: Cluster) -> Wanted:
    """TRES=node=2,cpu=4,gres/gpu=1. Raises SlurmError for what can't be reserved so."""
    wanted = Wanted()
    try:
        amounts = tres.parse(text)
    except (BadValue, ValueError):
        raise SlurmError(INVALID_TRES) from None
    kinds = {key.partition(":")[0] for node in cluster.nodes.values() for key in node.gres_amounts()}
    for name, number in amounts.items():
        if name == "node":
            wanted = wanted._replace(number=number)
        elif name == "cpu":
            wanted = wanted._replace(cores=number)
        elif name in cluster.tres_listed and name.removeprefix("gres/") in kinds:
            wanted = wanted._replace(gres={**wanted.gres, name.removeprefix("gres/"): number})
        else:
            raise SlurmError(INVALID_TRES)
    return wanted
