"""Nodes or partitions were changed: what is kept of it, and what it means for jobs."""

from __future__ import annotations

import copy
import json
import pwd
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import nodeevents, partitionkeeping
from slurm_compat.controller.machine import Event
from slurm_compat.core import nodestates
from slurm_compat.core.errors import INVALID_NODE_NAME, SlurmError
from slurm_compat.core.nodestates import DRAIN, FAIL, NOT_RESPONDING
from slurm_compat.core.states import PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.node import Node


async def update_nodes(
    controller: Controller, names: Sequence[str], changes: Mapping[str, Any], user_name: str, uid: int
) -> None:
    """scontrol update node: in force when this returns. Raises SlurmError, with nothing changed."""
    cluster = controller.cluster
    names = list(cluster.nodes) if [name.upper() for name in names] == ["ALL"] else names
    if not names:
        raise SlurmError(INVALID_NODE_NAME)
    cluster.check_nodes(names, changes)
    await controller.node_keeping.cordon(names, changes)
    lost = cluster.update_node(names, changes, user_name, controller.now())
    await nodes_changed(controller, lost)


async def nodes_changed(controller: Controller, lost: list[str], reread: bool = False) -> None:
    """Nodes or partitions were changed: kept, and jobs that wait are looked at anew.

    Jobs that wait inside Armada asked for nodes as they were: they come back and are asked for again. Those on
    nodes that went down (`lost`) are lost with them. `reread`: the engine is to read the cluster file, too.
    """
    # first, so that no job asks for what the engine has not heard of
    await controller.node_keeping.tell(reread)
    change = Change()
    for name, values in controller.cluster.saved().items():
        change.put("things", ("node", name), {"kind": "node", "name": name, "data": json.dumps(values)})
    partitionkeeping.keep(controller, change)
    record_states(controller, change)
    for job_id in list(controller.staging.inside):
        job = controller.table.jobs.get(job_id)
        if job is not None and job.staged and job.state == PENDING:
            controller.readiness.changed(copy.copy(controller.handover.take_back(job, change, "nodes changed")), change)
    gone = set(lost)
    for job_id in list(controller.table.running):
        job = controller.table.jobs[job_id]
        if gone and any(entry[0] in gone for entry in job.resources):
            controller.apply(
                job, Event("lost", controller.now(), reason="NODE FAILURE", text=",".join(lost), flag=True), change
            )
    controller.triggers.look()
    controller.calendar.settle(change)
    await controller.commit(change)


def record_states(controller: Controller, change: Change) -> None:
    """What nodes take no work and why, for sacctmgr show event."""
    for node in controller.cluster.nodes.values():
        state = _out_of_service(node)
        uid = _uid(node.reason_user) if state else 0
        at = controller.now()
        if state and node.name not in controller.node_events.open and 0 < node.reason_at < at:
            at = node.reason_at  # it was so before anybody recorded it
        nodeevents.record_event(controller, node.name, state, node.reason if state else "", uid, at, change)


def _out_of_service(node: Node) -> str:
    """ "DOWN", "IDLE+DRAIN" …; "" for a node that takes work."""
    if not (node.down or node.flags & {DRAIN, FAIL}):
        return ""
    return nodestates.full_state(node.state, node.flags & {DRAIN, FAIL, NOT_RESPONDING})


def _uid(user_name: str) -> int:
    try:
        return pwd.getpwnam(user_name).pw_uid
    except KeyError:
        return 0
