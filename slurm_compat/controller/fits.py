"""Whether a job could ever run: on some nodes of its partition, were they all up and idle.

What Slurm accepts though it can't run as things are (too many nodes for the partition, too long for its limit) waits
with a reason; what no set of the partition's nodes could take is refused. Observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Sequence

from slurm_compat.controller import openlimits
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.partitions import Partition
from slurm_compat.core import errors, reasons
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.translators import constraints
from slurm_compat.translators.layout import sockets_fit
from slurm_compat.translators.shapes import Room, Shape


def check(
    request: JobRequest,
    partition: str,
    time_limit: int,
    shape: Shape,
    cluster: Cluster,
    will_run: bool = False,
    qos: str = "",
) -> None:
    """Raises SlurmError for a job that no nodes could ever take. `shape` is over all of the partition's nodes."""
    parts = [cluster.partitions[name] for name in partition.split(",")]
    too_big = (reasons.PARTITION_NODES, reasons.PARTITION_CONFIG)
    reasons_of = [
        limit_reason(
            openlimits.within(time_limit, request, partition, part, cluster),
            shape, part, cluster, cluster.limiter.flags(qos, part.name),
        )
        for part in parts
    ]  # fmt: skip
    if will_run and all(reason in too_big for reason in reasons_of):
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE)
    if will_run and shape.members and not cluster.lay_out(request, partition, open_only=True).members:
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE)  # nobody knows when its nodes will be back
    # too long for a partition says nothing of its nodes, and one partition that could have been asked is enough
    if not shape.members and not all(reason and reason != reasons.PARTITION_TIME for reason in reasons_of):
        names = dict.fromkeys(name for part in parts for name in part.node_names)
        notes = [] if will_run else _notes(request, shape, cluster.rooms(names))
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE, notes=notes)
    if request.prefer and not _preferable(request, cluster.rooms(cluster.nodes)):
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE)


def limit_reason(
    time_limit: int, shape: Shape, part: Partition, cluster: Cluster, flags: frozenset[str] = frozenset()
) -> str:
    """The reason for which a partition will not have the job as it is, "" when it will.

    `flags`: of its QOS, in small letters; they let it beyond what the partition allows.
    """
    nodes = len(part.node_names)
    most_nodes = nodes if part.max_nodes == UNLIMITED or "partitionmaxnodes" in flags else min(nodes, part.max_nodes)
    if shape.minimum_nodes > most_nodes:
        return reasons.PARTITION_NODES
    if shape.max_nodes and shape.max_nodes < part.min_nodes and "partitionminnodes" not in flags:
        return reasons.PARTITION_NODES
    most = part.max_memory_per_node or cluster.conf.max_mem_per_node
    if most and (shape.memory_per_node or (shape.memory_per_cpu or 0) * shape.minimum_cpus_per_node) > most:
        return reasons.MAX_MEMORY
    if shape.cpus > cluster.defaults(part.name).total_cpus:
        return reasons.PARTITION_CONFIG
    if time_limit > part.max_time and "partitiontimelimit" not in flags:
        return reasons.PARTITION_TIME
    return ""


# what one node must give, and sbatch's words when no node can
def _notes(request: JobRequest, shape: Shape, rooms: Sequence[Room]) -> list[str]:
    memory = shape.memory_per_node or shape.memory_per_cpu or 0
    rows = (
        (lambda room: shape.minimum_cpus_per_node <= room.cpus, "CPU count per node can not be satisfied"),
        (lambda room: memory <= room.memory_mib, "Memory specification can not be satisfied"),
        (
            lambda room: (request.temporary_disk_per_node or 0) <= room.tmp_disk,
            "Temporary disk specification can not be satisfied",
        ),
        (
            lambda room: sockets_fit(request, room),
            "Socket, core and/or thread specification can not be satisfied",
        ),
    )
    return [text for holds, text in rows if not any(holds(room) for room in rooms)]


def _preferable(request: JobRequest, rooms: Sequence[Room]) -> bool:
    choices = constraints.choices(request.prefer)
    return any(constraints.satisfies(room.features, choice.every) for choice in choices for room in rooms)
