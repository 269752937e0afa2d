"""Nodes or partitions were changed: what is kept of it, and what it means for jobs."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from slurm_compat.controller.machine import Event
from slurm_compat.core.states import PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller


async def nodes_changed(controller: Controller, lost: list[str]) -> None:
    """Nodes or partitions were changed: kept, and jobs that wait are looked at anew.

    Jobs that wait inside Armada asked for nodes as they were: they come back and are asked for again. Those on
    nodes that went down (`lost`) are lost with them.
    """
    change = Change()
    for name, values in controller.cluster.saved().items():
        change.put("things", ("node", name), {"kind": "node", "name": name, "data": json.dumps(values)})
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
    controller.handover.reoffer(list(controller.staging.blocked))
    controller.reasons.stale()
    await controller.commit(change)
