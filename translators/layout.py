"""Which nodes a job's counts make use of, and how much of each.

As Slurm's cons_tres has it: nodes by weight, then in their order; each takes what it can and leaves one task for each
node behind it; tasks are then dealt one by one over the nodes' CPUs. "-N 2 -n 4" is 3 tasks and 1. Observed on 26.05.

A pod asks for amounts, not for a node. So the layout is made twice: at submission over empty nodes, to know that the
job can run at all, and again over what is free when the job goes to Armada.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from slurm_compat.core import hostlist
from slurm_compat.core.model import JobRequest
from slurm_compat.translators import constraints, gres
from slurm_compat.translators.asked import Asked, Defaults, asked
from slurm_compat.translators.gres import Amounts
from slurm_compat.translators.shapes import Member, Room, Shape, counted


def shape(request: JobRequest, defaults: Defaults, rooms: Sequence[Room]) -> Shape:
    """Counts and members; no members when `rooms` can't take the job. Raises SlurmError for contradictions."""
    ask = asked(request, defaults)
    return msgspec.structs.replace(counted(request, defaults, ask), members=layout(request, ask, defaults, rooms))


def layout(request: JobRequest, ask: Asked, defaults: Defaults, rooms: Sequence[Room]) -> list[Member]:
    """The members in rank order, which is the order of `rooms`; [] when there is no room for the job."""
    if request.tasks is not None and ask.tasks != request.tasks:
        return []  # --ntasks-per-gpu asks for another number of tasks
    excluded = frozenset(hostlist.expand(request.excluded_nodes))
    required = frozenset(hostlist.expand(request.required_nodes))
    usable = [(place, room) for place, room in enumerate(rooms) if room.name not in excluded]
    if not required <= {room.name for _, room in usable}:
        return []
    for choice in constraints.choices(request.constraints):
        fitting = [
            (place, room, taken)
            for place, room in usable
            if constraints.satisfies(room.features, choice.every) and (taken := _taken(request, ask, defaults, room))
        ]
        for count in _node_counts(request, ask, len(fitting)):
            found = _chosen(request, ask, fitting, count, required, choice)
            if found:
                return _members(request, ask, found, choice)
    return []


class _Taken(NamedTuple):
    """What a node can give at most."""

    cpus: int
    tasks: int
    gpus: int


_Fit = tuple[int, Room, _Taken]


def _taken(request: JobRequest, ask: Asked, defaults: Defaults, room: Room) -> _Taken | None:
    """None when the node can't be one of the job's."""
    total_cpus, total_memory = room.total_cpus or room.cpus, room.total_memory_mib or room.memory_mib
    cpus = min(room.cpus, defaults.maximum_cpus_per_node or room.cpus)
    if _whole_node(request) and room.cpus < total_cpus:
        return None
    if room.tmp_disk < (request.temporary_disk_per_node or 0):
        return None
    if not sockets_fit(request, room) or not gres.fits(ask.gres_per_node, room.gres):
        return None
    if ask.memory_per_cpu:
        cpus = min(cpus, room.memory_mib // ask.memory_per_cpu)
    elif ask.memory_per_node is not None:
        need = ask.memory_per_node or total_memory
        if room.memory_mib < need:
            return None
    gpus = _gpus_there(ask, room)
    if gpus is None:
        return None
    tasks = _tasks_there(request, ask, room, cpus, gpus)
    if cpus < ask.cpus_per_node or tasks < 1:
        return None
    return _Taken(cpus, tasks, gpus)


def sockets_fit(request: JobRequest, room: Room) -> bool:
    threads = request.threads_per_core or 0
    return (
        (request.sockets_per_node or 0) <= room.sockets
        and (request.cores_per_socket or 0) <= room.cores_per_socket
        and threads <= room.threads_per_core
    )


def _gpus_there(ask: Asked, room: Room) -> int | None:
    """How many GPUs of the kind asked for the node has for the job; None when it must have some and has none."""
    wanted = ask.gres_per_job or ask.gres_per_task or ask.gres_per_socket
    if ask.gpus_from_tasks:
        wanted = {"gpu": 1}
    if not wanted:
        return gres.total(ask.gres_per_node, "gpu")
    there = min(sum(gres.available(key, room.gres) for key in wanted), gres.total(room.gres, "gpu"))
    if ask.gres_per_node:
        there = min(there, gres.total(ask.gres_per_node, "gpu"))
    if any(not gres.available(key, room.gres) for key, number in wanted.items() if number):
        return None
    if ask.gres_per_socket and not gres.fits(ask.gres_per_socket, room.gres):
        return None
    if ask.memory_per_gpu:
        there = min(there, room.memory_mib // ask.memory_per_gpu)
    return there if there or not any(wanted.values()) else None


def _tasks_there(request: JobRequest, ask: Asked, room: Room, cpus: int, gpus: int) -> int:
    if request.overcommit:
        return max(ask.tasks, 1)
    tasks = cpus // ask.cpus_per_task
    if ask.cpus_per_gpu and gpus:
        tasks = min(tasks, cpus // ask.cpus_per_gpu * max(ask.tasks_per_gpu or 1, 1)) or 0
    bounds = (
        ask.tasks_per_node,
        request.tasks_per_socket and request.tasks_per_socket * room.sockets,
        request.tasks_per_core and request.tasks_per_core * (cpus // room.threads_per_core),
        ask.tasks_per_gpu and gpus and ask.tasks_per_gpu * gpus,
        ask.gres_per_task and gpus // max(gres.total(ask.gres_per_task, "gpu"), 1),
    )
    for bound in bounds:
        if isinstance(bound, int) and bound is not False and (bound or ask.gres_per_task):
            tasks = min(tasks, bound)
    return tasks


def _node_counts(request: JobRequest, ask: Asked, there: int) -> range:
    """The numbers of nodes to try, the preferred first."""
    if names := arbitrary_names(request):
        return range(len(set(names)), len(set(names)) + 1)
    most = min(ask.maximum_nodes or there, there)
    if ask.tasks_given:
        most = min(most, ask.tasks)
        if request.spread_job and not ask.nodes_given:
            most = min(there, ask.tasks)
    if request.spread_job or (ask.node_range and ask.nodes_given and not request.use_min_nodes):
        return range(most, ask.minimum_nodes - 1, -1)
    return range(ask.minimum_nodes, most + 1)


def arbitrary_names(request: JobRequest) -> list[str]:
    """With --distribution=arbitrary the node of each task; [] else."""
    return hostlist.expand(request.required_nodes) if request.distribution.startswith("arbitrary") else []


def _chosen(
    request: JobRequest,
    ask: Asked,
    fitting: list[_Fit],
    count: int,
    required: frozenset[str],
    choice: constraints.Choice,
) -> list[_Fit]:
    """`count` nodes that together can take the job, in node order; [] when there are none."""
    if len(fitting) < count:
        return []
    by_preference = sorted(fitting, key=lambda fit: (fit[1].name not in required, fit[1].weight, fit[0]))
    for order in (by_preference, sorted(by_preference, key=lambda fit: (fit[1].name not in required, -fit[2].tasks))):
        for some in _windows(request, order, count):
            if _enough(ask, some) and _named(some, required, count) and _counted(some, choice):
                return sorted(some)
    if choice.counted:
        some = _with_counted(by_preference, count, choice)
        if some and _enough(ask, some) and _named(some, required, count):
            return sorted(some)
    return []


def _windows(request: JobRequest, order: list[_Fit], count: int) -> list[list[_Fit]]:
    """Sets of nodes to try: the first ones; with --contiguous every run of neighbours."""
    if not request.contiguous or count < 2:
        return [order[:count]]
    nodes = sorted(order)
    runs = [nodes[start : start + count] for start in range(len(nodes) - count + 1)]
    return [run for run in runs if run[-1][0] - run[0][0] == count - 1]


def _enough(ask: Asked, some: list[_Fit]) -> bool:
    if ask.tasks_given and sum(fit[2].tasks for fit in some) < ask.tasks:
        return False
    wanted = gres.total(ask.gres_per_job, "gpu") or ask.gpus_from_tasks
    if wanted and sum(fit[2].gpus for fit in some) < wanted:
        return False
    if ask.cpus_per_gpu and sum(fit[2].cpus for fit in some) < ask.cpus:
        return False
    if ask.memory_per_gpu:
        have = sum(fit[1].memory_mib // ask.memory_per_gpu for fit in some)
        return have >= gres.total(ask.gres_total, "gpu")
    return True


def _named(some: list[_Fit], required: frozenset[str], count: int) -> bool:
    """All the nodes of --nodelist are there; of a longer list as many as the job has nodes."""
    names = {fit[1].name for fit in some}
    return required <= names if len(required) <= count else names <= required


def _counted(some: list[_Fit], choice: constraints.Choice) -> bool:
    return all(
        sum(constraints.satisfies(fit[1].features, sets) for fit in some) >= number for sets, number in choice.counted
    )


def _with_counted(order: list[_Fit], count: int, choice: constraints.Choice) -> list[_Fit]:
    """Nodes for each counted feature in turn, then any others."""
    some: list[_Fit] = []
    for sets, number in choice.counted:
        like = [fit for fit in order if fit not in some and constraints.satisfies(fit[1].features, sets)]
        some.extend(like[:number])
    some.extend([fit for fit in order if fit not in some][: max(count - len(some), 0)])
    return some if len(some) == count and _counted(some, choice) else []


def _members(request: JobRequest, ask: Asked, some: list[_Fit], choice: constraints.Choice) -> list[Member]:
    gpus = _shared_gpus(ask, some)
    if names := arbitrary_names(request):
        tasks = [names.count(room.name) for _, room, _ in some]
        cpus = [min(number * ask.cpus_per_task, fit[2].cpus) for number, fit in zip(tasks, some, strict=True)]
    else:
        cpus = _shared_cpus(request, ask, some, gpus)
        tasks = _dealt_tasks(request, ask, cpus)
    members = []
    wanted = list(choice.counted)
    required = frozenset(hostlist.expand(request.required_nodes))
    pinned = required if len(required) <= len(some) else frozenset()
    for (_, room, _), node_cpus, node_gpus, node_tasks in zip(some, cpus, gpus, tasks, strict=True):
        sets = choice.every
        for index, (more, number) in enumerate(wanted):
            if number and constraints.satisfies(room.features, more):
                sets = constraints.both(sets, more)
                wanted[index] = (more, number - 1)
                break
        whole = _whole_node(request)
        if whole:
            node_gpus = gres.total(room.total_gres or room.gres, "gpu")
        others = _others(ask, room, whole)
        members.append(
            Member(
                cpus=node_cpus,
                memory_mib=_memory(ask, room, node_cpus, node_gpus),
                gpus=node_gpus,
                gpu_type=_gpu_type(ask),
                tasks=node_tasks,
                constraint=constraints.show(sets),
                other_gres=others,
                node=room.name if room.name in pinned else "",
            )
        )
    return members


def _whole_node(request: JobRequest) -> bool:
    """--exclusive=user too where Armada places: it can't keep other users alone away, so all others are.

    Without MCS labels all jobs carry the same one, and --exclusive=mcs keeps nobody away; nor does =topo, for without a
    topology there is nothing to have alone. Both observed on 26.05.
    """
    return request.exclusive in ("exclusive", "node", "user")


def _shared_cpus(request: JobRequest, ask: Asked, some: list[_Fit], gpus: list[int]) -> list[int]:
    """CPUs of each node: the tasks are put in one node after another, one kept back for each node to come."""
    if _whole_node(request):
        return [room.total_cpus or room.cpus for _, room, _ in some]
    cpus = []
    left = ask.tasks
    for place, (_, room, taken) in enumerate(some):
        behind = len(some) - place - 1
        if request.overcommit:
            number = ask.cpus_per_task if not ask.tasks_given else 1
        elif request.spread_job and ask.tasks_given:
            number = min(taken.tasks, -(-left // (behind + 1))) * ask.cpus_per_task
            left -= number // ask.cpus_per_task
        elif ask.tasks_given:
            tasks = min(taken.tasks, left - behind)
            left -= tasks
            number = tasks * ask.cpus_per_task
        else:
            number = ask.cpus_per_task * (ask.tasks_per_node or 1)
        number = max(number, ask.cpus_per_node, (ask.cpus_per_gpu or 0) * gpus[place])
        threads = room.threads_per_core
        cpus.append(min(-(-number // threads) * threads, taken.cpus))
    return cpus


def _shared_gpus(ask: Asked, some: list[_Fit]) -> list[int]:
    wanted = gres.total(ask.gres_per_job, "gpu") or ask.gpus_from_tasks
    if wanted:
        found = []
        for place, (_, _, taken) in enumerate(some):
            number = min(taken.gpus, wanted - (len(some) - place - 1))
            found.append(max(number, 0))
            wanted -= found[-1]
        return found
    if ask.gres_per_task:
        each = gres.total(ask.gres_per_task, "gpu")
        left = ask.tasks
        found = []
        for place, (_, _, taken) in enumerate(some):
            tasks = min(taken.tasks, left - (len(some) - place - 1))
            left -= tasks
            found.append(tasks * each)
        return found
    if ask.gres_per_socket:
        return [gres.total(ask.gres_total, "gpu") // max(ask.minimum_nodes, 1)] * len(some)
    return [gres.total(ask.gres_per_node, "gpu")] * len(some)


def _dealt_tasks(request: JobRequest, ask: Asked, cpus: list[int]) -> list[int]:
    """Tasks of each node: dealt one by one over the nodes' CPUs. Without a count a node runs as many as it has room."""
    if not ask.tasks_given:
        if ask.tasks_per_node:
            return [ask.tasks_per_node] * len(cpus)
        return [max(number // ask.cpus_per_task, 1) for number in cpus]
    room = [ask.tasks if request.overcommit else max(number // ask.cpus_per_task, 1) for number in cpus]
    if ask.tasks_per_node:
        room = [min(number, ask.tasks_per_node) for number in room]
    dealt = [0] * len(cpus)
    left = ask.tasks
    while left > 0:
        before = left
        for place, number in enumerate(room):
            if left and dealt[place] < number:
                dealt[place] += 1
                left -= 1
        if left == before:  # more tasks than CPUs, as --ntasks-per-core=2 allows: the rest is dealt on regardless
            for place in range(len(dealt)):
                if left:
                    dealt[place] += 1
                    left -= 1
    return dealt


def _memory(ask: Asked, room: Room, cpus: int, gpus: int) -> int:
    if ask.memory_per_gpu is not None:
        return ask.memory_per_gpu * gpus
    if ask.memory_per_cpu is not None:
        return ask.memory_per_cpu * cpus
    return ask.memory_per_node or room.total_memory_mib or room.memory_mib


def _gpu_type(ask: Asked) -> str:
    for some in (ask.gres_per_job, ask.gres_per_node, ask.gres_per_task, ask.gres_per_socket):
        for key in some:
            name, _, kind = key.partition(":")
            if name == "gpu" and kind:
                return kind
    return ""


def _others(ask: Asked, room: Room, whole: bool) -> Amounts:
    source = room.total_gres or room.gres if whole else ask.gres_per_node
    return {key: number for key, number in source.items() if key.partition(":")[0] != "gpu" and number}
