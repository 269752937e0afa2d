"""Where a step of a job runs: its nodes, the tasks of each, the CPUs, memory and GRES it takes of the job's.

`plan(job, steps, request)` gives a Granted or raises SlurmError: Busy when the same request may fit once another step
has ended (the caller keeps srun waiting and asks again whenever a step of the job ends), any other number for good.
Pure: neither job nor steps are changed. `fold(statuses)` is a step's exit code.

The rules, observed on 26.05:
 - a step takes all of its nodes' CPUs, so it needs nodes where no other step holds any; --exact, --exclusive and
   --cpus-per-task make it take just what its tasks need, --overlap neither asks for free resources nor holds any
 - nodes where no step runs at all come first, in the allocation's order
 - tasks go round the nodes (Cyclic) when there are no more of them than nodes, else node by node (Block), each node
   getting as many as if they had gone round
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slurm_compat.controller import stepgres
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.controller.steptasks import Unfit, distribute, packed, shown_distribution
from slurm_compat.core import errors, states
from slurm_compat.core.cpulist import cpu_numbers, cpu_text
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.hostlist import expand
from slurm_compat.core.model import UNLIMITED, StepRequest


class Busy(SlurmError):
    """Not now: other steps hold what this one needs."""

    def __init__(self) -> None:
        super().__init__(errors.NODES_BUSY)


class Granted(NamedTuple):
    layout: list[tuple[str, list[int], int]]  # node, its ranks, CPUs
    resources: list[tuple[str, int, str, int, str]]  # node, CPUs, CPU ids, MiB, gres: as Job.resources
    overlap: bool  # holds nothing
    tasks: int
    cpus: int
    memory_mib: int
    distribution: str  # as sacct's Layout has it: "Block", "Cyclic", "Plane", …
    time_limit: int  # minutes, UNLIMITED


class Free(NamedTuple):
    """What one node of the job has left for this step."""

    name: str
    cpus: list[int]  # ids, "" lists give 0, 1, …
    all_cpus: int  # of the job there, held or not
    memory_mib: int
    gres: str
    idle: bool  # no step there


def plan(job: Job, steps: Iterable[Step], request: StepRequest) -> Granted:
    """Where the step runs. `steps`: those of the job that have not ended; batch and extern hold nothing."""
    running = [step for step in steps if step.state == states.RUNNING and step.step_id.isdigit()]
    nodes = _allowed(job, request)
    free = [_free(node, running, request.overlap) for node in nodes]
    per_task = request.cpus_per_task or 1
    tasks = request.tasks or _tasks_by_nodes(request)
    whole = not (request.exact or request.exclusive or request.cpus_per_task is not None)
    _possible(free, tasks, per_task, request)
    stepgres.check([node[4] for node in nodes], request)
    if whole:
        # a step that takes whole nodes waits until nobody else holds a CPU there
        free = [node if len(node.cpus) == node.all_cpus else node._replace(cpus=[]) for node in free]
    chosen = _choose(free, tasks, per_task, request)
    room = [len(node.cpus) // per_task for node in chosen]
    arbitrary = _arbitrary(request, chosen)
    try:
        ranks = distribute(request.distribution, room, tasks, request.tasks_per_node, arbitrary, request.overcommit)
    except Unfit:
        raise Busy from None
    if packed(request.distribution):
        used = [place for place, own in enumerate(ranks) if own]
        chosen, ranks = [chosen[place] for place in used], [ranks[place] for place in used]
    layout: list[tuple[str, list[int], int]] = []
    resources: list[tuple[str, int, str, int, str]] = []
    try:
        gres = stepgres.share([node.gres for node in chosen], request, [len(own) for own in ranks])
    except SlurmError as problem:
        raise (Busy() if problem.number == errors.NODES_BUSY else problem) from None
    for node, own, lines in zip(chosen, ranks, gres, strict=True):
        count = len(node.cpus) if whole else min(len(own) * per_task, len(node.cpus))
        memory = _memory(job, request, node, count)
        if memory > node.memory_mib and not request.overlap:
            raise Busy
        if request.overlap and request.memory_per_cpu and not request.interactive:
            # memory counted by CPUs is not shared with steps that don't overlap, and not waited for either
            entry = next(entry for entry in job.resources if entry[0] == node.name)
            if memory > _free(entry, running, False).memory_mib:
                raise SlurmError(errors.INVALID_TASK_MEMORY)
        layout.append((node.name, own, count))
        resources.append((node.name, count, cpu_text(node.cpus[:count]), memory, lines))
    return Granted(
        layout=layout, resources=resources, overlap=request.overlap, tasks=tasks,
        cpus=sum(count for _, _, count in layout), memory_mib=sum(entry[3] for entry in resources),
        distribution=shown_distribution(request.distribution, tasks, len(chosen)),
        time_limit=request.time_limit if request.time_limit is not None else UNLIMITED,
    )  # fmt: skip


def fold(statuses: Iterable[int]) -> int:
    """A step's exit code of its tasks' wait statuses: a signal's outranks an exit code, the higher of equals counts."""
    return max(statuses, key=lambda status: (bool(status & 0x7F), status & 0x7F, status), default=0)


def _tasks_by_nodes(request: StepRequest) -> int:
    return (request.minimum_nodes or 1) * (request.tasks_per_node or 1)


def _allowed(job: Job, request: StepRequest) -> list[tuple[str, int, str, int, str]]:
    """The job's nodes this step may use. The options' host lists are checked here; the errors are slurmctld's."""
    names = {node[0] for node in job.resources}
    try:
        required, excluded = set(expand(request.required_nodes)), set(expand(request.excluded_nodes))
    except BadValue:
        raise SlurmError(errors.INVALID_NODE_NAME) from None
    most = request.maximum_nodes or request.minimum_nodes
    if not required <= names or required & excluded or (most and len(required) > most):
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE)
    first = request.relative or 0
    nodes = [node for node in job.resources[first:] if node[0] not in excluded]
    if not nodes or len(nodes) < (request.minimum_nodes or 1):
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE)
    return nodes


def _free(node: tuple[str, int, str, int, str], running: Sequence[Step], overlap: bool) -> Free:
    name, count, ids, memory, gres = node
    cpus = cpu_numbers(ids) or list(range(count))
    here = [(step, held) for step in running for held in step.resources if held[0] == name]
    taken: set[int] = set()
    if not overlap:
        for step, held in here:
            if not step.overlap:
                taken.update(cpu_numbers(held[2]))
                memory -= held[3]
                gres = stepgres.without(gres, held[4])
    return Free(name, [cpu for cpu in cpus if cpu not in taken], len(cpus), memory, gres, not here)


def _possible(free: Sequence[Free], tasks: int, per_task: int, request: StepRequest) -> None:
    """Refuse what could not run even if no other step did."""
    # the nodes it may take at most: the largest ones
    most = request.maximum_nodes or request.minimum_nodes or len(free)
    most = max(most, len(expand(request.required_nodes)))
    room = sorted((node.all_cpus // per_task for node in free), reverse=True)[:most]
    if not request.overcommit and sum(room) < tasks:
        raise SlurmError(errors.TOO_MANY_REQUESTED_CPUS)


def _choose(free: Sequence[Free], tasks: int, per_task: int, request: StepRequest) -> list[Free]:
    """The nodes of the step, in the allocation's order. Raises Busy when too few have room."""
    required = set(expand(request.required_nodes))
    usable = [node for node in free if node.cpus and len(node.cpus) >= (1 if request.overcommit else per_task)]
    names = {node.name for node in usable}
    if not required <= names:
        raise Busy
    if request.distribution.partition(":")[0] == "arbitrary" and required:
        return [node for node in usable if node.name in required]
    fewest = request.minimum_nodes or 1
    most = min(request.maximum_nodes or request.minimum_nodes or len(usable), max(tasks, fewest, len(required)))
    order = sorted(usable, key=lambda node: (node.name not in required, not node.idle))
    chosen: list[Free] = []
    room = 0
    for node in order:
        # without a number of nodes, as many as the tasks need; with a range, up to its end
        full = room >= tasks if request.maximum_nodes is None and request.minimum_nodes is None else False
        if len(chosen) >= most or (len(chosen) >= fewest and full and node.name not in required):
            break
        chosen.append(node)
        room += tasks if request.overcommit else len(node.cpus) // per_task
    if len(chosen) < fewest:
        raise Busy
    if room < tasks:
        # the first in order are too small together: take the roomiest of those that are not asked for by name
        order.sort(key=lambda node: (node.name not in required, -len(node.cpus)))
        chosen = order[: len(chosen)]
        if not request.overcommit and sum(len(node.cpus) // per_task for node in chosen) < tasks:
            raise Busy
    places = {node.name: place for place, node in enumerate(free)}
    return sorted(chosen, key=lambda node: places[node.name])


def _arbitrary(request: StepRequest, chosen: Sequence[Free]) -> list[int] | None:
    """With -m arbitrary: the index of the node of each task, as the host list tells; None else."""
    if request.distribution.partition(":")[0] != "arbitrary":
        return None
    places = {node.name: place for place, node in enumerate(chosen)}
    return [places[name] for name in expand(request.required_nodes) if name in places]


def _memory(job: Job, request: StepRequest, node: Free, cpus: int) -> int:
    """MiB the step takes on this node; what was not said is the job's."""
    if request.memory_per_node is not None:
        return request.memory_per_node
    per_cpu = request.memory_per_cpu
    if per_cpu is None and job.request.memory_per_node is None:
        share = next(entry for entry in job.resources if entry[0] == node.name)
        return share[3] * cpus // max(1, node.all_cpus)
    if per_cpu is not None:
        return per_cpu * cpus
    return next(entry for entry in job.resources if entry[0] == node.name)[3]
