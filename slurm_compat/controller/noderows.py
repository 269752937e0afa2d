"""Nodes and partitions as rows: every field of NODE_FIELDS and PARTITION_FIELDS."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import reservation
from slurm_compat.controller.node import Node
from slurm_compat.controller.partitions import Partition
from slurm_compat.core import tres
from slurm_compat.core.billing import billed
from slurm_compat.translators.gres import Amounts

if TYPE_CHECKING:
    from slurm_compat.controller.nodes import Cluster

VERSION = "26.05.5"  # of the Slurm whose face this is
SLURMD_PORT = 6818


def row(values: Mapping[str, Any], fields: Sequence[str]) -> list[Any]:
    return [values[field] for field in fields]


def node_values(cluster: Cluster, node: Node) -> dict[str, Any]:
    # of nodes elsewhere nobody tells us the load
    load, free = cluster.measure() if not cluster.conf.armada.address else (0.0, None)
    names, flags = reservation.on_node(cluster.reservations.values(), node.name, int(time.time()))
    others: Amounts = {}
    for held in node.held.values():
        tres.add(others, held.others)
    return {
        "name": node.name,
        "hostname": node.hostname,
        "address": node.address,
        "port": SLURMD_PORT,
        "architecture": cluster.machine.architecture,
        "operating_system": cluster.machine.operating_system,
        "version": VERSION,
        "state": node.state,
        "state_flags": sorted({*node.state_flags, *flags}),
        "reason": node.reason,
        "reason_set_by_user": node.reason_user,
        "reason_changed_at": node.reason_at,
        "comment": node.comment,
        "extra": node.extra,
        "owner": "",
        "mcs_label": "",
        "features": ",".join(node.features),
        "active_features": ",".join(node.active_features),
        "gres": node.gres_text,
        "gres_used": node.gres_words(node.used_gpus, others, idle=True),
        "gres_drained": "N/A",
        "cpus": node.cpus,
        "effective_cpus": node.cpus,
        "alloc_cpus": node.allocated_cpus,
        "cpu_load": round(load, 2),
        "boards": node.boards,
        "sockets": node.sockets,
        "cores": node.cores,
        "threads": node.threads,
        "real_memory": node.real_memory,
        "alloc_memory": node.used_memory,
        "free_mem": free,
        "temporary_disk": node.tmp_disk,
        "weight": node.weight,
        "specialized_cores": 0,
        "specialized_cpus": "",
        "specialized_memory": 0,
        "partitions": [part.name for part in cluster.partitions.values() if node.name in part.node_names],
        "boot_time": cluster.machine.boot_time,
        "slurmd_start_time": cluster.started_at,
        "last_busy": node.last_busy,
        "resume_after": node.resume_after,
        "tres": tres.show(node.tres(cluster.tres_listed)),
        "tres_used": node.used_tres(cluster.tres_listed),
        "reservation": names,
        "topology": "",
        "cluster": cluster.conf.cluster_name,
    }


def partition_values(cluster: Cluster, part: Partition) -> dict[str, Any]:
    total = {"cpu": 0, "mem": 0, "node": len(part.node_names), "billing": 0}
    for name in part.node_names:
        tres.add(total, cluster.nodes[name].tres(cluster.tres_listed))
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)} | {
        "preempt_mode": part.preempt_mode or cluster.conf.preempt_mode.upper(),
        "total_nodes": len(part.node_names),
        "total_cpus": total["cpu"],
        "tres": tres.show(total | {"billing": billed(total, part.tres_billing_weights)}),
        "cluster": cluster.conf.cluster_name,
    }
