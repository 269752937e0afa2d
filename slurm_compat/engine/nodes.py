"""The nodes of the embedded engine: those of the cluster file, with the labels that pods select by.

Labels: docs/architecture.md, "A pod". Amounts are thousandths, as in quantity.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slurm_compat.core import hostlist
from slurm_compat.core.cluster import ClusterConf, NodeConf
from slurm_compat.core.errors import BadValue
from slurm_compat.engine.shape import HOSTNAME_LABEL

GPU = "nvidia.com/gpu"
DISK = "ephemeral-storage"
FEATURE = "slurm-compat/feature-"
GRES_PREFIX = "slurm-compat/"  # a GRES that is no GPU is an extended resource of this name
CLOSED = frozenset({"DOWN", "DRAIN", "FAIL", "FAILING", "FUTURE"})  # states that take no new work

_GRES = re.compile(
    r"^(?P<name>[A-Za-z_]\w*)(?::(?!no_consume:)(?P<type>[A-Za-z_][\w.-]*))?"
    r"(?::(?:no_consume:)?(?P<count>\d+[kKmM]?))?(?:\(.*\))?$"
)


@dataclass(frozen=True)
class Machine:
    """What the computer we run on really has."""

    hostname: str
    cpus: int
    memory_mib: int
    disk_bytes: int
    gpus: int = 0
    gpu_type: str = ""


@dataclass(frozen=True)
class Node:
    name: str
    total: dict[str, int]
    labels: dict[str, str]
    weight: int = 1
    schedulable: bool = True
    address: str = ""
    cpus: int = 0
    first_cpu: int | None = None  # of the machine's CPUs; None: the machine has not as many as its nodes declare
    gpus: int = 0
    keeps_memory: bool = True  # pods end that use more memory than they asked for


def nodes_of(conf: ClusterConf, machine: Machine) -> list[Node]:
    """Every node of the cluster file in its order; without nodes there: the machine itself.

    Each virtual node gets an address of its own in 127.90.0.0/16. Raises BadValue.
    """
    declared = list(conf.nodes) or [NodeConf(node_name=machine.hostname)]
    nodes: list[Node] = []
    for entry in declared:
        for name in hostlist.expand(entry.node_name):
            nodes.append(node_of(name, entry, conf, machine, len(nodes)))
    names = {node.name for node in nodes}
    if len(names) != len(nodes):
        raise BadValue("a node is declared twice")
    return with_cpu_ranges(nodes, machine.cpus)


def node_of(name: str, entry: NodeConf, conf: ClusterConf, machine: Machine, index: int) -> Node:
    cpus = entry.cpus or entry.sockets * entry.cores_per_socket * entry.threads_per_core or machine.cpus
    total = {
        "cpu": cpus * 1000,
        "memory": (entry.real_memory or machine.memory_mib) * (1 << 20) * 1000,
        DISK: (entry.tmp_disk * (1 << 20) or machine.disk_bytes) * 1000,
    }
    labels = {HOSTNAME_LABEL: name}
    for feature in filter(None, re.split(r"[,&|\s]+", entry.feature)):
        labels[f"{FEATURE}{feature}"] = "true"
    for partition in conf.partitions:
        if partition.nodes.upper() == "ALL" or name in hostlist.expand(partition.nodes):
            labels[f"slurm-compat/partition-{partition.partition_name}"] = "true"
            labels.update(partition.node_selector)
    gpus = 0
    if entry.gres:
        for kind, kind_type, count in gres_of(entry.gres):
            if kind == "gpu":
                gpus += count
                if kind_type:
                    labels["slurm-compat/gpu-type"] = kind_type
            else:
                key = GRES_PREFIX + kind
                total[key] = total.get(key, 0) + count * 1000
    elif not conf.nodes:
        gpus = machine.gpus
        if machine.gpu_type:
            labels["slurm-compat/gpu-type"] = machine.gpu_type
    if gpus:
        total[GPU] = gpus * 1000
    return Node(
        name=name,
        total=total,
        labels=labels,
        weight=entry.weight,
        schedulable=is_open(entry.state),
        address=address_of(index) if conf.nodes else "127.0.0.1",
        cpus=cpus,
        gpus=gpus,
        keeps_memory=conf.constrain_ram_space,
    )


def address_of(index: int) -> str:
    return f"127.90.{(index // 254) & 255}.{index % 254 + 1}"


def free_address(taken: Collection[str]) -> str:
    return next(address for address in map(address_of, range(256 * 254)) if address not in taken)


def as_set(nodes: Iterable[Node], told: Mapping[str, Mapping[str, Any]]) -> list[Node]:
    """The nodes with what was set of them at run time: state, features, weight."""
    found = []
    for node in nodes:
        words = told.get(node.name, {})
        labels = node.labels
        if isinstance(words.get("features"), list):
            labels = {key: value for key, value in labels.items() if not key.startswith(FEATURE)}
            labels |= {f"{FEATURE}{name}": "true" for name in words["features"]}
        found.append(
            replace(
                node,
                schedulable=is_open(str(words["state"])) if "state" in words else node.schedulable,
                labels=labels,
                weight=words["weight"] if isinstance(words.get("weight"), int) else node.weight,
            )
        )
    return found


def is_open(state: str) -> bool:
    """Whether a node in this state of the cluster file ("DOWN", "IDLE+DRAIN") takes new pods."""
    return not CLOSED & set(re.split(r"[+,]", state.upper()))


def gres_of(text: str) -> list[tuple[str, str, int]]:
    """(name, type, count) of each part of a Gres line: "gpu:a100:2,shard:8". Raises BadValue."""
    parts = []
    for part in filter(None, text.split(",")):
        match = _GRES.match(part)
        if match is None:
            raise BadValue(f"Gres={part}")
        parts.append((match["name"], match["type"] or "", _count(match["count"] or "1")))
    return parts


def _count(text: str) -> int:
    factor = {"k": 1024, "m": 1024 * 1024}.get(text[-1].lower(), 1)
    return int(text.rstrip("kKmM")) * factor


def with_cpu_ranges(nodes: list[Node], cpus: int) -> list[Node]:
    """Each node's share of the machine's CPUs, when the machine has as many as its nodes declare together."""
    if sum(node.cpus for node in nodes) > cpus:
        return nodes
    placed = []
    first = 0
    for node in nodes:
        placed.append(replace(node, first_cpu=first))
        first += node.cpus
    return placed
