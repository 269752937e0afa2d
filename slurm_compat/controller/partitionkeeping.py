"""Partitions that scontrol made, changed or deleted: kept over restarts, and forgotten by a reconfigure, as in Slurm.

In the store's `things` of kind "partition": the whole partition where it is other than the cluster file's, and
{"deleted": true} for one of the file that is no more.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.controller.partitions import Partition, partition_of
from slurm_compat.core import hostlist
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.nodes import Cluster

KIND = "partition"
_FIELDS = {field.name for field in dataclasses.fields(Partition)}


def declared(cluster: Cluster) -> dict[str, Partition]:
    """The partitions as the cluster file has them."""
    names = list(cluster.nodes)
    parts = (partition_of(entry, names) for entry in cluster.conf.partitions)
    return {part.name: part for part in parts}


def changed(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """What is other than in the cluster file, by partition."""
    file = declared(cluster)
    found: dict[str, dict[str, Any]] = {name: {"deleted": True} for name in file if name not in cluster.partitions}
    for name, part in cluster.partitions.items():
        if part != file.get(name):
            found[name] = dataclasses.asdict(part)
    return found


def restore(cluster: Cluster, values: Mapping[str, Mapping[str, Any]]) -> None:
    """`changed` backwards. Nodes that are no more are left out."""
    for name, kept in values.items():
        if kept.get("deleted"):
            cluster.partitions.pop(name, None)
            continue
        part = Partition(**{field: value for field, value in kept.items() if field in _FIELDS})
        members = set(part.node_names)
        part.node_names = [node for node in cluster.nodes if node in members]
        if len(part.node_names) != len(members):
            part.nodes = hostlist.compress(part.node_names)
        cluster.partitions[name] = part
    cluster.partitions_changed()


def of_store(things: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: data for kind, name, data in things if kind == KIND}


def keep(controller: Controller, change: Change) -> None:
    """The store's things as the partitions are now."""
    now = changed(controller.cluster)
    before: dict[str, dict[str, Any]] = controller.cluster.kept_partitions
    for name in before.keys() - now.keys():
        change.delete("things", (KIND, name))
    for name, values in now.items():
        if before.get(name) != values:
            change.put("things", (KIND, name), {"kind": KIND, "name": name, "data": json.dumps(values)})
    controller.cluster.kept_partitions = now


def forget(cluster: Cluster) -> None:
    """The cluster file's partitions again."""
    cluster.partitions = declared(cluster)
    cluster.partitions_changed()
