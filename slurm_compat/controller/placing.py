"""Where a job goes: its members as it is handed over, the books when its pods are there, a guess for --test-only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import openlimits, reserved
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.views import shown_end
from slurm_compat.core.hostlist import compress, expand
from slurm_compat.core.model import JobRequest
from slurm_compat.translators.shapes import Member, Shape

if TYPE_CHECKING:
    from slurm_compat.controller.agents import Link
    from slurm_compat.controller.controller import Controller


def lay_out(controller: Controller, job: Job) -> bool:
    """Give the job the members it is handed over with; False when no nodes could ever take it as things stand.

    A job of one node asks for the same wherever it goes; one of several is laid out over what is free now, and where
    that is too little, over the empty nodes: then it waits in Armada.
    """
    members = job.shape.members
    cluster = controller.cluster
    plain = not job.request.exclusive and not job.request.prefer and not cluster.whole_nodes(job.partition)
    if len(members) == 1 and plain:
        return True
    request = reserved.narrowed(cluster, job, controller.now())
    now = cluster.shape_now(job, request)
    if now is None:
        now = cluster.lay_out(request, job.partition, open_only=True)
    if not now.members:
        return bool(members)
    job.shape = now
    return True


def gres_of(member: Member, link: Link) -> str | dict[str, int]:
    """What a node gives of GRES: the very GPUs the pod was given, where it knows them by their indices."""
    name = f"gpu:{member.gpu_type}" if member.gpu_type else "gpu"
    gpus = link.hello.gpus
    if gpus and not member.other_gres and all(gpu.isdigit() for gpu in gpus):
        return f"{name}:{len(gpus)}(IDX:{','.join(gpus)})"
    amounts = {name: member.gpus} if member.gpus else {}
    return amounts | member.other_gres


def book(controller: Controller, job: Job, links: Iterable[Link]) -> None:
    """The nodes of the job that starts now, in their order, and what it has of each."""
    members = job.shape.members
    cluster = controller.cluster
    addresses = {}
    grants: list[tuple[str, int, int, Any]] = []
    for link in links:
        member = members[min(link.hello.rank, len(members) - 1)]
        addresses[link.node] = link.hello.address
        grants.append((link.node, member.cpus, member.memory_mib, gres_of(member, link)))
    job.resources = cluster.allocate(job.job_id, grants, job.request.licenses)
    names = [entry[0] for entry in job.resources]
    job.addresses = [addresses[name] for name in names]
    named = job.partition
    job.partition = cluster.partition_of_nodes(job.partition, [name for name in names if name in cluster.nodes])
    job.time_limit = openlimits.at_start(job, named, cluster)
    job.nodes = compress(names)
    job.node_count = len(names)
    job.cpus = sum(entry[1] for entry in job.resources)
    job.licenses_allocated = job.request.licenses
    job.tres_alloc_str = cluster.tres_of(job.resources, job.partition)
    controller.calendar.started(job)


def estimate(controller: Controller, job: Job) -> dict[str, Any]:
    """When and where the job would start: now where it fits, else when enough running jobs' time is over."""
    cluster = controller.cluster
    now = controller.now()
    start = max(now, job.begin_time)
    partition = job.partition.split(",")[0]
    kept = reserved.barred(cluster, job, start)
    request = reserved.without(job.request, kept) if kept else job.request
    shape = _widest(controller, job, request) or cluster.shape_now(job, request)
    if shape is None:
        shape = cluster.lay_out(request, job.partition, open_only=True)
        ends = sorted(shown_end(other) for other in running(controller) if other.partition == partition)
        start = max(start, ends[0] if ends else now)
    members = shape.members or job.shape.members
    names = _names(controller, members, partition, request)
    return {
        "job_id": job.job_id,
        "start_time": start,
        "cpus": sum(member.cpus for member in members) or job.shape.cpus,
        "nodes": compress(names),
        "partition": partition,
        "node_count": len(members) or job.shape.node_count,
    }


def _widest(controller: Controller, job: Job, request: JobRequest) -> Shape | None:
    """Over as many nodes as the job may have, for so the real one answers, though a job gets the fewest that do."""
    cluster = controller.cluster
    there = len(cluster.partitions[job.partition.split(",")[0]].node_names)
    for count in range(min(job.shape.max_nodes, there), job.shape.node_count, -1):
        wider = msgspec.structs.replace(request, minimum_nodes=count, maximum_nodes=count)
        if shape := cluster.shape_now(job, wider):
            return shape
    return None


def _names(controller: Controller, members: list[Member], partition: str, request: JobRequest) -> list[str]:
    """Nodes for the members, the ones with room first, as weight and order have them."""
    cluster = controller.cluster
    nodes = [cluster.nodes[name] for name in cluster.partitions[partition].node_names]
    order = sorted(range(len(nodes)), key=lambda place: (nodes[place].weight, place))
    taken: list[str] = []
    for member in members:
        best = ""
        for free in (True, False):
            for place in order:
                node = nodes[place]
                room = node.room(free)
                if (
                    node.available
                    and node.name not in taken
                    and room.cpus >= member.cpus
                    and room.memory_mib >= member.memory_mib
                    and sum(number for key, number in room.gres.items() if key.startswith("gpu")) >= member.gpus
                    and _allowed(request, node.name)
                ):
                    best = node.name
                    break
            if best:
                break
        if best:
            taken.append(best)
    return taken


def _allowed(request: JobRequest, name: str) -> bool:
    required, excluded = request.required_nodes, request.excluded_nodes
    return (not required or name in expand(required)) and (not excluded or name not in expand(excluded))


def running(controller: Controller) -> list[Job]:
    return [controller.table.jobs[job_id] for job_id in controller.table.running]


def live(controller: Controller) -> Iterable[Job]:
    """Jobs that count against limits: handed to Armada or running."""
    table = controller.table
    for job_id in table.running:
        yield table.jobs[job_id]
    for job_id in controller.staging.inside:
        job = table.jobs.get(job_id)
        if job is not None and job.staged:
            yield job
