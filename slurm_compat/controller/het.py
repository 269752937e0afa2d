"""Heterogeneous jobs: components that are jobs of their own, wait for each other, and start as one gang.

The first component leads: it alone stands in line for Armada and takes the others with it, its batch script is the
job's, and with it all of them end. A component that runs may be cancelled by itself; one that waits may not. What
takes a waiting component back from Armada, or loses a running one, does so with all. Observed on 26.05.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurm_compat.controller import pending, placing
from slurm_compat.controller.jobs import NO_HOLD, Job
from slurm_compat.controller.machine import Event
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.folded import folded
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.table import Table

# what happened to one component: what that is to the others, if it was the first and if it was another
FOLLOWS: dict[str, tuple[str, str]] = {
    "ended": ("ended", ""),
    "cancel": ("cancel", ""),
    "taken away": ("cancel", "cancel"),
    "lost": ("lost", "lost"),
    "rejected": ("withdrawn", "withdrawn"),
    "withdrawn": ("withdrawn", "withdrawn"),
    "deadline": ("deadline", "deadline"),
    "requeue": ("requeue", "requeue"),
    "suspend": ("suspend", ""),
    "resume": ("resume", ""),
}


def components(table: Table, job: Job) -> list[Job]:
    """All there are of its job, in their order; a job without components is its own only one."""
    if not job.het_job_id:
        return [job]
    found = (table.jobs.get(job_id) for job_id in job.het_ids)
    return [one for one in found if one is not None and one.het_job_id == job.het_job_id]


def bind(jobs: list[Job]) -> None:
    """Make these new jobs the components of one."""
    ids = [job.job_id for job in jobs]
    for offset, job in enumerate(jobs):
        job.het_job_id, job.het_offset, job.het_ids = ids[0], offset, ids


def check_together(controller: Controller, partitions: list[str]) -> None:
    """Raises SlurmError for components that no gang can hold."""
    cluster = controller.cluster
    classes = {cluster.partition(name.split(",")[0]).priority_class for name in partitions}
    if len(classes) > 1:
        text = "components of a heterogeneous job in partitions of different priority classes are not supported here"
        raise SlurmError(errors.NOT_SUPPORTED, text)


# --- waiting and starting ---------------------------------------------------------------------------------------------


def ready(controller: Controller, job: Job, others: list[Job]) -> bool:
    """Whether these wait for nothing but their turn."""
    now = controller.now()
    return all(
        one.state == PENDING
        and one.hold == NO_HOLD
        and not one.dependency
        and not one.staged
        and one.begin_time <= now
        and COMPLETING not in one.flags
        for one in (job, *others)
    )


def offer(controller: Controller, job: Job) -> None:
    """`job`, perhaps not in the table yet as it is now, is ready: its leader stands in line if the others are, too."""
    others = [one for one in components(controller.table, job) if one.job_id != job.job_id]
    leader = job if not job.het_offset else next((one for one in others if not one.het_offset), None)
    if leader is None or len(others) + 1 < len(job.het_ids) or not ready(controller, job, others):
        return
    leader.priority = leader.priority or controller.priority(leader)
    controller.staging.offer(leader, controller.queue_of(leader))


def pick(controller: Controller, leader: Job, queue: str, change: Change) -> bool | None:
    """It is the leader's turn: hand all components to Armada. As Controller._pick answers."""
    jobs = components(controller.table, leader)
    if not ready(controller, leader, jobs):
        return None
    for job in jobs:
        blocked = pending.blocked(job, controller.cluster, controller.now())
        if blocked is None and not placing.lay_out(controller, job):
            blocked = ("Resources", "")
        if blocked is not None:
            for one in jobs:
                one.reason, one.description = blocked
            return False
    size = sum(len(job.shape.members) for job in jobs)
    gang = f"{leader.job_id}-{leader.attempt + 1}"
    for job in jobs:
        job.gang, job.gang_size = gang, size
        controller.handover.stage(job, queue, change)
    return None


# --- news of one are news of others ---------------------------------------------------------------------------------


def follow(controller: Controller, job: Job, event: Event, change: Change) -> None:
    """`event` has just made `job` what it is: the other components follow."""
    name = FOLLOWS.get(event.name, ("", ""))[bool(job.het_offset)]
    if not name:
        return
    for other in components(controller.table, job):
        if other.job_id == job.job_id or (name == "withdrawn" and not other.staged):
            continue
        if other.is_final or (COMPLETING in other.flags and other.state == PENDING):
            continue
        if name in ("suspend", "resume", "requeue") and not other.is_running:
            continue
        after = controller.apply_alone(other, event._replace(name=name), change)
        if name == "ended":
            controller.agents.finish_or_terminate(after, change)
        elif after.state == PENDING and COMPLETING not in after.flags:
            controller.readiness.consider(after, change)


def groups(controller: Controller, job: Job) -> list[dict[str, str]]:
    """What the batch script finds of each component, as SLURM_<name>_HET_GROUP_<n>; [] of a plain job."""
    return [_group(one) for one in components(controller.table, job)] if job.het_job_id and not job.het_offset else []


def _group(job: Job) -> dict[str, str]:
    shape = job.shape
    tasks = [member.tasks for member in shape.members]
    found = {
        "JOB_ACCOUNT": job.account,
        "JOB_CPUS_PER_NODE": folded([entry[1] for entry in job.resources]),
        "JOB_ID": str(job.job_id),
        "JOB_NAME": job.name,
        "JOB_NODELIST": job.nodes,
        "JOB_NUM_NODES": str(len(job.resources)),
        "JOB_PARTITION": job.partition,
        "JOB_QOS": job.qos,
        "TASKS_PER_NODE": folded(tasks or [1]),
        "MEM_PER_CPU": str(shape.memory_per_cpu or ""),
        "MEM_PER_NODE": str(shape.memory_per_node or ""),
    }
    return {name: text for name, text in found.items() if text}
