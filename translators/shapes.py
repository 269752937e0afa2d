"""A job's shape: its counts as Slurm shows them, and what each of its nodes must give.

`shape` fills a request's open counts (`asked`) and lays them out over the nodes a job may use, the way Slurm's
cons_tres does: nodes by weight, then in their order; each takes what it can and leaves one task for each node behind
it; tasks are then dealt one by one over the nodes' CPUs. "-N 2 -n 4" is 3 tasks and 1. Observed on 26.05.

A pod asks for amounts, not for a node. So the layout is made twice: at submission over empty nodes, to know that the
job can run at all, and again over what is free when the job goes to Armada.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from slurm_compat.core import hostlist, tres
from slurm_compat.core.model import JobRequest
from slurm_compat.translators import constraints, gres
from slurm_compat.translators.asked import Asked, Defaults, asked, requested_tres
from slurm_compat.translators.gres import Amounts


class Member(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """What one node gives to the job: one pod."""

    cpus: int
    memory_mib: int
    gpus: int = 0
    gpu_type: str = ""
    tasks: int = 1
    constraint: str = ""  # features of the node, "ib&skylake|rome"
    other_gres: dict[str, int] = {}


class Shape(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The numbers of JOB_FIELDS that come from the request's counts, and the members.

    `node_count` is what squeue's %D says of a pending job; scontrol's NumNodes shows min(node_count, max_nodes) where
    max_nodes is not 0. `minimum_nodes` is the "node=" of ReqTRES.
    """

    members: list[Member] = []  # one a node, in rank order; [] for a job that can't be laid out now
    node_count: int = 1
    minimum_nodes: int = 1
    max_nodes: int = 0
    cpus: int = 1
    tasks: int = 1
    tasks_given: bool = False
    cpus_per_task: int = 1
    cpus_per_task_given: bool = False
    tasks_per_node: int | None = None
    minimum_cpus_per_node: int = 1
    memory_per_node: int | None = None
    memory_per_cpu: int | None = None
    memory_per_tres: str = ""
    tres_req_str: str = ""
    tres_per_job: str = ""
    tres_per_node: str = ""
    tres_per_socket: str = ""
    tres_per_task: str = ""
    tres_bind: str = ""
    tres_freq: str = ""
    cpus_per_tres: str = ""


class Room(NamedTuple):
    """A node as the layout sees it; amounts are what the job could have of it."""

    name: str
    cpus: int
    memory_mib: int
    gres: Amounts = {}  # {"gpu:a100": 2}
    features: frozenset[str] = frozenset()
    weight: int = 1
    sockets: int = 1
    cores_per_socket: int = 1
    threads_per_core: int = 1
    tmp_disk: int = 0
    total_cpus: int = 0  # of the whole node, whoever has them
    total_memory_mib: int = 0
    total_gres: Amounts = {}


def shape(request: JobRequest, defaults: Defaults, rooms: Sequence[Room]) -> Shape:
    """Counts and members; no members when `rooms` can't take the job. Raises SlurmError for contradictions."""
    ask = asked(request, defaults)
    return msgspec.structs.replace(counted(request, defaults, ask), members=layout(request, ask, defaults, rooms))


def counted(request: JobRequest, defaults: Defaults, ask: Asked) -> Shape:
    """The shape without members."""
    return Shape(
        node_count=_shown_nodes(request, defaults, ask),
        minimum_nodes=ask.minimum_nodes,
        max_nodes=ask.maximum_nodes,
        cpus=ask.cpus,
        tasks=ask.tasks,
        tasks_given=ask.tasks_given,
        cpus_per_task=ask.cpus_per_task,
        cpus_per_task_given=ask.cpus_per_task_given,
        tasks_per_node=ask.tasks_per_node,
        minimum_cpus_per_node=ask.cpus_per_node,
        memory_per_node=ask.memory_per_node,
        memory_per_cpu=ask.memory_per_cpu,
        memory_per_tres=f"gres/gpu:{ask.memory_per_gpu}" if ask.memory_per_gpu is not None else "",
        tres_req_str=tres.show(requested_tres(ask, defaults)),
        **_tres_texts(request),
    )


def _shown_nodes(request: JobRequest, defaults: Defaults, ask: Asked) -> int:
    """The fewest nodes the tasks can do with, judged by the largest node's CPUs alone."""
    nodes = ask.minimum_nodes
    if ask.tasks_given:
        on_one = defaults.node_cpus * (request.tasks_per_core or 1) // ask.cpus_per_task
        nodes = max(nodes, -(-ask.tasks // max(on_one, 1)))
    if ask.tasks_per_node:
        nodes = max(nodes, -(-ask.tasks // ask.tasks_per_node))
    return nodes


def _tres_texts(request: JobRequest) -> dict[str, str]:
    def shown(text: str) -> str:
        return gres.shown(",".join(gres.gpu_parts(text)))

    per_task = request.tres_per_task
    if not per_task:
        parts = [f"cpu={request.cpus_per_task}"] if request.cpus_per_task is not None else []
        for part in gres.gpu_parts(request.gpus_per_task):
            name, _, number = part.rpartition(":")
            parts.append(f"gres/{name}={number}" if number.isdigit() else f"gres/{part}")
        per_task = ",".join(parts)
    bind = f"gres/gpu:{request.gpu_bind}" if request.gpu_bind else ""
    gpus_per_task = _gpus_per_task(request)
    if not bind and gpus_per_task:
        bind = f"gres/gpu:per_task:{gpus_per_task}"
    return {
        "tres_per_job": shown(request.gpus),
        "tres_per_node": ",".join(filter(None, (gres.shown(request.gres), shown(request.gpus_per_node)))),
        "tres_per_socket": shown(request.gpus_per_socket),
        "tres_per_task": per_task,
        "tres_bind": bind,
        "tres_freq": f"gpu:{request.gpu_freq}" if request.gpu_freq else "",
        "cpus_per_tres": f"gres/gpu:{request.cpus_per_gpu}" if request.cpus_per_gpu is not None else "",
    }


def _gpus_per_task(request: JobRequest) -> int:
    if request.gpus_per_task:
        return gres.total(gres.gpus(request.gpus_per_task), "gpu")
    parts = [part for part in request.tres_per_task.split(",") if part.startswith("gres/gpu")]
    return gres.total(gres.amounts(",".join(parts)), "gpu") if parts else 0


def layout(request: JobRequest, ask: Asked, defaults: Defaults, rooms: Sequence[Room]) -> list[Member]:
    """The members in rank order, which is the order of `rooms`; [] when there is no room for the job."""
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
    if request.exclusive and request.exclusive not in ("user", "mcs") and room.cpus < total_cpus:
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
    most = min(ask.maximum_nodes or there, there)
    if ask.tasks_given:
        most = min(most, ask.tasks)
        if request.spread_job and not (ask.nodes_given and ask.node_range):
            most = min(there, ask.tasks)
    if request.spread_job or (ask.node_range and ask.nodes_given and not request.use_min_nodes):
        return range(most, ask.minimum_nodes - 1, -1)
    return range(ask.minimum_nodes, most + 1)


def _chosen(
    request: JobRequest, ask: Asked, fitting: list[_Fit], count: int, required: frozenset[str], choice: constraints.Choice
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
    cpus = _shared_cpus(request, ask, some, gpus)
    tasks = _dealt_tasks(request, ask, cpus)
    members = []
    wanted = list(choice.counted)
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
            )
        )
    return members


def _whole_node(request: JobRequest) -> bool:
    return request.exclusive in ("exclusive", "topo", "node")


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
