"""The nodes of a site as two sources see them, merged: each worker cluster's Kubernetes API (what nodes there are,
their labels, whether they are ready or cordoned) and the metrics of Armada's scheduler (what Armada may give of each,
and has given). Pure; armada/kubernetes.py and armada/prometheus.py ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from slurm_compat.core.cluster import ClusterConf, NodeConf, PartitionConf
from slurm_compat.core.hostlist import compress, expand

HOSTNAME = "kubernetes.io/hostname"
PARTITION = "slurm-compat/partition-"
FEATURE = "slurm-compat/feature-"
GPU_TYPE = "slurm-compat/gpu-type"
GPU = "nvidia.com/gpu"
OTHER_GRES = "slurm-compat/"


class SeenNode(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A node as it was seen last. Amounts are what pods may have of it."""

    name: str  # as pods ask for it: the label kubernetes.io/hostname
    object_name: str = ""  # Kubernetes's, where that is another
    cluster: str = ""
    pool: str = ""
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0
    gpu_type: str = ""
    others: dict[str, int] = {}  # GRES
    features: list[str] = []
    partitions: list[str] = []
    labels: dict[str, str] = {}
    address: str = ""
    architecture: str = ""
    operating_system: str = ""
    ready: bool = True
    cordoned: bool = False
    reason: str = ""
    used_cpus: int = 0  # given by Armada, to whomever
    used_memory_mib: int = 0
    stale: bool = False  # its source did not answer lately


def merged(parts: Iterable[Iterable[SeenNode]], allocations: Mapping[str, Allocation]) -> dict[str, SeenNode]:
    """All clusters' nodes by name, with what Armada's scheduler says of them; nodes that it alone knows too.

    Two clusters with a node of one name are told apart as name.cluster.
    """
    found: dict[str, SeenNode] = {}
    for part in parts:
        for node in part:
            name = node.name if node.name not in found else f"{node.name}.{node.cluster}"
            found[name] = msgspec.structs.replace(node, name=name)
    for name, amounts in allocations.items():
        node = found.get(name) or SeenNode(name=name, cluster=amounts.cluster, cordoned=not amounts.schedulable)
        changes: dict[str, Any] = {
            "used_cpus": amounts.used_cpus,
            "used_memory_mib": amounts.used_memory_mib,
            "pool": amounts.pool,
        }
        # what Armada may give is less than the node has: some is kept for others
        if amounts.cpus:
            changes |= {"cpus": amounts.cpus, "memory_mib": amounts.memory_mib, "gpus": amounts.gpus or node.gpus}
        found[name] = msgspec.structs.replace(node, **changes)
    return found


class Allocation(msgspec.Struct, kw_only=True):
    """One node in the scheduler's metrics."""

    cluster: str = ""
    pool: str = ""
    schedulable: bool = True
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0
    used_cpus: int = 0
    used_memory_mib: int = 0


def overlaid(conf: ClusterConf, seen: Mapping[str, SeenNode]) -> ClusterConf:
    """The cluster file with the site's nodes in it: figures it leaves open, nodes and partitions it doesn't list.

    What the file says of a node counts; a partition's nodes are, unless it names them, those its NodeSelector matches,
    or that carry its label, or all.
    """
    if not seen:
        return conf
    listed = {name for entry in conf.nodes for name in expand(entry.node_name)}
    nodes = [one for entry in conf.nodes for one in _completed(entry, seen)]
    # those that have no figures yet are known by their metrics' labels alone: they come when they have some
    nodes += [_node(node) for name, node in sorted(seen.items()) if name not in listed and node.cpus]
    names = [name for entry in nodes for name in expand(entry.node_name)]
    parts = [_members(part, seen, names) for part in conf.partitions]
    known = {part.partition_name for part in parts}
    labelled = sorted({word for node in seen.values() for word in node.partitions} - known)
    for word in labelled:
        members = compress([name for name in names if name in seen and word in seen[name].partitions])
        first = not any(part.default for part in parts)
        parts.append(PartitionConf(partition_name=word, nodes=members, default=first))
    return msgspec.structs.replace(conf, nodes=nodes, partitions=parts)


def _completed(entry: NodeConf, seen: Mapping[str, SeenNode]) -> list[NodeConf]:
    """A line of nodes; each on its own where the file leaves figures open that were seen."""
    names = expand(entry.node_name)
    if not any(name in seen for name in names):
        return [entry]
    return [_with(msgspec.structs.replace(entry, node_name=name), seen.get(name)) for name in names]


def _with(entry: NodeConf, node: SeenNode | None) -> NodeConf:
    if node is None:
        return entry
    return msgspec.structs.replace(
        entry,
        cpus=entry.cpus or (0 if entry.cores_per_socket else node.cpus),
        real_memory=entry.real_memory or node.memory_mib,
        feature=entry.feature or ",".join(node.features),
        gres=entry.gres or _gres(node),
        node_addr=entry.node_addr or node.address,
    )


def _node(node: SeenNode) -> NodeConf:
    return NodeConf(
        node_name=node.name,
        cpus=node.cpus,
        real_memory=node.memory_mib,
        feature=",".join(node.features),
        gres=_gres(node),
        node_addr=node.address,
    )


def _gres(node: SeenNode) -> str:
    kind = f":{node.gpu_type}" if node.gpu_type else ""
    words = [f"gpu{kind}:{node.gpus}"] if node.gpus else []
    return ",".join(words + [f"{name}:{number}" for name, number in sorted(node.others.items())])


def _members(part: PartitionConf, seen: Mapping[str, SeenNode], names: list[str]) -> PartitionConf:
    if part.nodes != "ALL":
        return part
    if part.node_selector:
        wanted = part.node_selector.items()
        members = [name for name in names if name in seen and wanted <= seen[name].labels.items()]
    else:
        members = [name for name in names if name in seen and part.partition_name in seen[name].partitions]
    return msgspec.structs.replace(part, nodes=compress(members)) if members else part
