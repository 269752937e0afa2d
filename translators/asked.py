"""What a request asks for, in numbers: the counts that sbatch leaves open, filled in as Slurm fills them in.

Nothing here knows which nodes are free; `shapes` lays the result out over nodes. The rules were found by asking a
Slurm 26.05 what `scontrol show job` says of several hundred held jobs; tests/translators has them.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from slurm_compat.core import hostlist
from slurm_compat.core.billing import billed
from slurm_compat.core.errors import (
    BAD_TASK_COUNT,
    INVALID_CPU_COUNT,
    INVALID_GRES,
    INVALID_NODE_COUNT,
    INVALID_TRES,
    SlurmError,
)
from slurm_compat.core.model import JobRequest
from slurm_compat.translators import gres
from slurm_compat.translators.gres import Amounts


class Defaults(msgspec.Struct, frozen=True):
    """What a partition and the cluster say where the request says nothing. MiB; None: not set."""

    memory_per_cpu: int | None = None
    memory_per_node: int | None = None
    maximum_memory_per_cpu: int | None = None
    maximum_cpus_per_node: int | None = None
    node_cpus: int = 1  # of the cluster's largest node
    node_memory: int = 0  # of the partition's first node
    total_cpus: int = 0  # of the partition
    gres_names: tuple[str, ...] = ("gpu",)
    tres_listed: tuple[str, ...] = ()
    billing_weights: str = ""


class Asked(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Counts of a request, all settled. `exact`: no range of nodes was given."""

    minimum_nodes: int = 1
    maximum_nodes: int = 0  # as shown; 0: not bounded
    node_range: bool = False  # -N a-b with a < b
    nodes_given: bool = False
    tasks: int = 1
    tasks_given: bool = False
    cpus: int = 1
    # of ReqTRES: as they are before more memory than a CPU may have brings more CPUs
    counted_cpus: int = 1
    counted_memory: int = 0
    cpus_per_task: int = 1
    cpus_per_task_given: bool = False
    tasks_per_node: int | None = None
    cpus_per_node: int = 1  # the fewest a node must give
    memory_per_node: int | None = None
    memory_per_cpu: int | None = None
    memory_per_gpu: int | None = None
    gres_per_node: Amounts = {}
    gres_per_job: Amounts = {}
    gres_per_task: Amounts = {}
    gres_per_socket: Amounts = {}
    gres_total: Amounts = {}
    gpus_from_tasks: int = 0  # --ntasks-per-gpu without --gpus
    tasks_per_gpu: int | None = None
    cpus_per_gpu: int | None = None


def asked(request: JobRequest, defaults: Defaults) -> Asked:
    """Raises SlurmError with what sbatch shows for counts that contradict each other."""
    ask = Asked()
    _gres(ask, request, defaults)
    _nodes(ask, request)
    _tasks(ask, request)
    _cpus(ask, request)
    _maximum(ask, request)
    _memory(ask, request, defaults)
    ask.gres_total = _gres_total(ask, request)
    ask.counted_cpus, ask.counted_memory = ask.cpus, total_memory(ask, defaults)
    if defaults.maximum_memory_per_cpu:
        _cpus_for_memory(ask, defaults.maximum_memory_per_cpu, defaults)
    return ask


def _gres(ask: Asked, request: JobRequest, defaults: Defaults) -> None:
    known = defaults.gres_names
    ask.gres_per_node = gres.amounts(",".join(filter(None, (request.gres, _gpu_text(request.gpus_per_node)))), known)
    ask.gres_per_job = gres.amounts(_gpu_text(request.gpus), known)
    ask.gres_per_socket = gres.amounts(_gpu_text(request.gpus_per_socket), known)
    ask.gres_per_task = gres.amounts(_gpu_text(request.gpus_per_task), known)
    ask.cpus_per_task = request.cpus_per_task or 1
    ask.cpus_per_task_given = request.cpus_per_task is not None
    for part in filter(None, request.tres_per_task.split(",")):
        name, separator, number = part.replace("=", ":", 1).partition(":")
        if name == "cpu":
            ask.cpus_per_task, ask.cpus_per_task_given = _count(number), True
        elif not name.startswith("gres"):
            if separator:
                raise SlurmError(INVALID_TRES)  # without a number nobody looks at the name
        elif name not in ("gres", "gres/") and (not ask.gres_per_task or not request.gpus_per_task):
            ask.gres_per_task.update(gres.amounts(part, known))
    ask.tasks_per_gpu = request.tasks_per_gpu
    ask.cpus_per_gpu = request.cpus_per_gpu
    _refuse_gres(ask, request)


def _refuse_gres(ask: Asked, request: JobRequest) -> None:
    some = any((ask.gres_per_node, ask.gres_per_job, ask.gres_per_socket, ask.gres_per_task))
    notes: list[str] = []
    if ask.gres_per_task and not ask.gres_per_job and request.tasks is None and not request.gpus_per_node:
        notes = [
            "Failed to validate job spec. --gpus-per-task or --tres-per-task used without either --gpus or "
            "-n/--ntasks is not allowed."
        ]
    elif ask.gres_per_socket and request.sockets_per_node is None:
        notes = ["--gpus-per-socket option requires --sockets-per-node specification"]
    elif request.minimum_nodes and 0 < gres.total(ask.gres_per_job, "gpu") < request.minimum_nodes:
        notes = ["Failed to validate job spec, --gpus < -N"]
    elif request.memory_per_gpu is not None and not some:
        notes = [f"Requested mem_per_tres=gres/gpu:{request.memory_per_gpu} but did not request any GPU."]
    elif request.cpus_per_gpu is not None and not some:
        notes = [f"Requested cpus_per_tres=gres/gpu:{request.cpus_per_gpu} but did not request any GPU."]
    elif request.tasks_per_gpu and not some and request.tasks is None and request.minimum_nodes is None:
        notes = [
            "gres_job_state_validate: --ntasks-per-tres needs either a GRES GPU specification or a "
            "node/ntask specification"
        ]
    notes = notes or _uneven_gpus(ask, request)
    if notes:
        raise SlurmError(INVALID_GRES, notes=notes)


def _uneven_gpus(ask: Asked, request: JobRequest) -> list[str]:
    """What is said of GPU counts that contradict one another."""
    per_job, per_node = gres.total(ask.gres_per_job, "gpu"), gres.total(ask.gres_per_node, "gpu")
    per_task = gres.total(ask.gres_per_task, "gpu")
    smaller = max(gres.total(ask.gres_per_socket, "gpu"), per_task)
    if per_job and per_job < max(per_node, smaller):
        return ["Failed to ensure --gpus >= --gres=gpu/--gpus-per-node >= --gpus-per-socket"]
    if per_node and not per_job and per_node < smaller:
        return ["Failed to ensure --gpus >= --gpus-per-task"]
    if per_job and per_task and request.tasks is not None and -(-per_job // per_task) != request.tasks:
        return [
            "Failed to validate job spec. Based on --gpus and --gpus-per-task number of requested tasks differ from "
            "-n/--ntasks."
        ]
    if per_job and per_node and request.minimum_nodes:
        needed, least, most = -(-per_job // per_node), request.minimum_nodes, request.maximum_nodes or 0
        if needed < least or (most and needed > most):
            return [
                f"Failed to validate job spec. Based on --gpu and --gres=gpu/--gpus-per-node required nodes ({needed}) "
                f"doesn't fall between min_nodes ({least}) and max_nodes ({most}) boundaries."
            ]
    return []


def _nodes(ask: Asked, request: JobRequest) -> None:
    names = hostlist.expand(request.required_nodes)
    if request.distribution.startswith("arbitrary") and request.tasks is not None and request.tasks != len(names):
        raise SlurmError(BAD_TASK_COUNT)
    required = len(set(names))
    minimum, maximum = request.minimum_nodes, request.maximum_nodes
    ask.nodes_given = minimum is not None
    if minimum == 0 or maximum == 0:
        raise SlurmError(INVALID_NODE_COUNT)
    ask.minimum_nodes = minimum or max(required, 1)
    ask.maximum_nodes = maximum or (minimum or 0)
    ask.node_range = bool(maximum) and maximum != ask.minimum_nodes
    if maximum and maximum < ask.minimum_nodes:
        raise SlurmError(INVALID_NODE_COUNT)
    if request.tasks and request.tasks < ask.minimum_nodes:
        # sbatch says so ("can't run 1 processes on 2 nodes") and goes on with fewer
        ask.minimum_nodes = request.tasks
        ask.maximum_nodes = request.tasks if minimum else 0
        ask.node_range = False
    per_job, per_node = gres.total(ask.gres_per_job, "gpu"), gres.total(ask.gres_per_node, "gpu")
    if per_job and per_node:
        ask.minimum_nodes = ask.maximum_nodes = -(-per_job // per_node)
        ask.node_range = True  # the CPUs are counted as for a range


def _tasks(ask: Asked, request: JobRequest) -> None:
    ask.tasks_per_node = request.tasks_per_node
    ask.tasks_given = request.tasks is not None
    gpus = gres.total(ask.gres_per_job, "gpu")
    per_task = gres.total(ask.gres_per_task, "gpu")
    if per_task and gres.total(ask.gres_per_node, "gpu"):
        ask.tasks_per_node = max(gres.total(ask.gres_per_node, "gpu") // per_task, 1)
    if request.tasks is not None:
        ask.tasks = request.tasks
        if request.tasks_per_node and not ask.nodes_given:
            ask.minimum_nodes = max(ask.minimum_nodes, -(-request.tasks // request.tasks_per_node))
        if request.tasks_per_gpu and not gpus and not ask.gres_per_node:
            ask.gpus_from_tasks = -(-request.tasks // request.tasks_per_gpu)
        elif request.tasks_per_gpu and gpus:
            ask.tasks = gpus * request.tasks_per_gpu
    elif request.tasks_per_gpu and (gpus or ask.gres_per_node):
        gpus = gpus or gres.total(ask.gres_per_node, "gpu") * ask.minimum_nodes
        ask.tasks, ask.tasks_given = gpus * request.tasks_per_gpu, True
    elif per_task and gpus:
        ask.tasks, ask.tasks_given = max(gpus // per_task, 1), True
    elif ask.tasks_per_node:
        ask.tasks = ask.tasks_per_node * ask.minimum_nodes
    else:
        ask.tasks = ask.minimum_nodes


def _cpus(ask: Asked, request: JobRequest) -> None:
    tasks = ask.tasks
    if ask.tasks_given and request.tasks is not None:
        tasks = request.tasks
    elif not ask.tasks_given and not ask.tasks_per_node and ask.node_range:
        tasks = 1
    ask.cpus = tasks * ask.cpus_per_task
    if request.overcommit:
        ask.cpus = ask.minimum_nodes
    per_node = ask.cpus_per_task
    if request.tasks_per_node and not request.overcommit:
        per_node *= request.tasks_per_node
    ask.cpus_per_node = max(per_node, request.minimum_cpus_per_node or 1)
    if ask.cpus_per_gpu:
        ask.cpus = max(ask.cpus, gres.total(_gres_total(ask, request), "gpu") * ask.cpus_per_gpu)
    if ask.cpus >= 0xFFFFFFF0:
        raise SlurmError(INVALID_CPU_COUNT)


def _maximum(ask: Asked, request: JobRequest) -> None:
    """The second number of NumNodes: as given, else what the tasks allow."""
    if ask.maximum_nodes:
        if ask.tasks_given and ask.tasks < ask.maximum_nodes:
            ask.maximum_nodes = max(ask.tasks, ask.minimum_nodes)
    elif request.tasks is None and not ask.tasks_given and (ask.cpus_per_task_given or request.tasks_per_core):
        ask.maximum_nodes = 0
    elif ask.tasks_per_node and not request.spread_job:
        ask.maximum_nodes = max(-(-ask.tasks // ask.tasks_per_node), ask.minimum_nodes)
    else:
        ask.maximum_nodes = max(ask.tasks, ask.minimum_nodes)


def _memory(ask: Asked, request: JobRequest, defaults: Defaults) -> None:
    if request.memory_per_gpu is not None:
        ask.memory_per_gpu = request.memory_per_gpu
    elif request.memory_per_node is not None:
        ask.memory_per_node = request.memory_per_node
    elif request.memory_per_cpu is not None:
        ask.memory_per_cpu = request.memory_per_cpu
    elif defaults.memory_per_cpu is not None:
        ask.memory_per_cpu = defaults.memory_per_cpu
    else:
        ask.memory_per_node = defaults.memory_per_node or 0


def _cpus_for_memory(ask: Asked, most: int, defaults: Defaults) -> None:
    """MaxMemPerCPU: who wants more memory takes more CPUs for it."""
    per_cpu = ask.memory_per_cpu
    if per_cpu is not None and per_cpu > most:
        ratio = -(-per_cpu // most)
        ask.memory_per_cpu = -(-per_cpu // ratio)
        ask.cpus_per_task *= ratio
        ask.cpus_per_node = max(ask.cpus_per_node, ask.cpus_per_task)
        if ask.tasks_given:
            ask.cpus = ask.tasks * ask.cpus_per_task
        elif not ask.nodes_given:
            ask.maximum_nodes = 0
    per_node = ask.memory_per_node
    if per_node is not None:
        cpus = -(-(per_node or defaults.node_memory) // most)
        if cpus > ask.cpus_per_node:
            ask.cpus_per_node = cpus
            if not ask.tasks_given:
                ask.cpus_per_task = ask.cpus = cpus
                if not ask.nodes_given:
                    ask.maximum_nodes = 0


def _gres_total(ask: Asked, request: JobRequest) -> Amounts:
    """Of the whole job, for the fewest nodes it may have."""
    total = gres.times(ask.gres_per_node, ask.minimum_nodes)
    if ask.gres_per_socket:
        total = gres.times(ask.gres_per_socket, (request.sockets_per_node or 1) * ask.minimum_nodes)
    if ask.gres_per_task:
        total = gres.times(ask.gres_per_task, ask.tasks)
    if ask.gpus_from_tasks:
        total = {"gpu": ask.gpus_from_tasks}
    total.update(ask.gres_per_job)
    if any(":" in key for key in ask.gres_per_job):
        total.pop("gpu", None)
    return total


def total_memory(ask: Asked, defaults: Defaults) -> int:
    """MiB of the whole job, for the fewest nodes and CPUs it may have."""
    if ask.memory_per_gpu is not None:
        return ask.memory_per_gpu * gres.total(ask.gres_total, "gpu")
    if ask.memory_per_cpu is not None:
        return ask.memory_per_cpu * ask.cpus
    return (ask.memory_per_node or defaults.node_memory) * ask.minimum_nodes


def requested_tres(ask: Asked, defaults: Defaults) -> dict[str, int]:
    """ReqTRES: {"cpu": 2, "mem": 1000, "node": 1, "billing": 2, "gres/gpu": 2}."""
    cpus = ask.counted_cpus
    found = {"cpu": cpus, "mem": ask.counted_memory, "node": ask.minimum_nodes, "billing": cpus}
    found.update(gres.as_tres(ask.gres_total, defaults.tres_listed))
    return found | {"billing": billed(found, defaults.billing_weights)}


def _gpu_text(text: str) -> str:
    return ",".join(gres.gpu_parts(text))


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and int(text) else 1


def gres_names(gres_types: str, configured: Collection[str]) -> tuple[str, ...]:
    """The names that --gres may use: GresTypes of the cluster file, and what nodes have."""
    return tuple(dict.fromkeys([*filter(None, gres_types.replace(" ", "").split(",")), *configured]))
