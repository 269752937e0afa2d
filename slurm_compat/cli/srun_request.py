"""From options to the request of a step: counts and their warnings, and what srun refuses by itself.

Pure: what there is to say comes back as lines. Source: srun(1); messages as observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from slurm_compat.cli.batchopts import COMMAND_LINE
from slurm_compat.core.errors import CannotCarry, CommandError
from slurm_compat.core.hostlist import expand
from slurm_compat.core.model import JobRequest, StepRequest

Job = Mapping[str, Any]

# fields that mean the same in both
SHARED = (
    "cpus_per_task", "tasks_per_node", "memory_per_node", "memory_per_cpu", "required_nodes", "excluded_nodes",
    "overcommit", "immediate", "distribution", "time_limit", "gres", "gpus", "gpus_per_node", "gpus_per_task",
    "current_working_directory", "umask", "rlimits", "open_mode", "submit_line",
)  # fmt: skip
OWN = (
    "relative", "exact", "overlap", "unbuffered", "pty", "kill_on_bad_exit", "wait", "task_prolog",
    "task_epilog", "interactive",
)  # fmt: skip

MPI_TYPES = ("none", "cray_shasta", "pmi2")  # those of the reference build, in its order


class Counts(NamedTuple):
    """Tasks and nodes of a step, after srun's own arithmetic."""

    tasks: int | None
    minimum_nodes: int | None
    maximum_nodes: int | None
    tasks_per_node: int | None
    warnings: list[str]


def step_counts(request: JobRequest, relative: int | None, node_count: int, nodes_told: str = "--nodes") -> Counts:
    """The numbers of a step in an allocation of `node_count` nodes. Raises CommandError for what can't fit."""
    low, high, tasks = request.minimum_nodes, request.maximum_nodes, request.tasks
    given = low is not None
    if low is None:
        low = high = node_count
    if low > node_count:
        raise CommandError(f"srun: error: Only allocated {node_count} nodes asked for {low}")
    if relative is not None and given and relative + low > node_count:
        counted = f"({relative}+{low}>{node_count})"
        raise CommandError(
            f"srun: error: --relative and {nodes_told} option incompatible with count of allocated nodes {counted}"
        )
    if request.distribution.startswith("arbitrary"):
        return _arbitrary(request)
    warnings = []
    per_node = request.tasks_per_node
    if tasks is None:
        tasks = min(high or low, node_count) * per_node if per_node else low
    elif tasks < low:
        warnings.append(f"can't run {tasks} processes on {low} nodes, setting nnodes to {tasks}")
        low = high = tasks
    if high is not None:
        high = max(low, min(high, node_count))
        if per_node and tasks > per_node * high:
            warnings.append(
                f"can't honor --ntasks-per-node set to {per_node} which doesn't match the requested tasks {tasks} with "
                f"the maximum number of requested nodes {high}. Ignoring --ntasks-per-node."
            )
            per_node = None
    return Counts(tasks, low, high, per_node, warnings)


def _arbitrary(request: JobRequest) -> Counts:
    """The list of hosts has a name for each task."""
    names = expand(request.required_nodes)
    if request.tasks is not None and request.tasks != len(names):
        raise CommandError(
            f"srun: error: You asked for {request.tasks} tasks but hostlist specified {len(names)} nodes"
        )
    nodes = len(set(names))
    return Counts(len(names), nodes, nodes, None, [])


def own_tasks(request: JobRequest, given: Mapping[str, str]) -> JobRequest:
    """The number of tasks, where this command line tells it in other words and the job's own is not meant."""
    if given.get("ntasks") == COMMAND_LINE:
        return request
    if given.get("nodes") == given.get("ntasks-per-node") == COMMAND_LINE:
        return msgspec.structs.replace(request, tasks=None)
    gpus = gpu_count(request.gpus) or gpu_count(request.gpus_per_node) * (request.minimum_nodes or 1)
    if COMMAND_LINE in (given.get("ntasks-per-gpu"), given.get("ntasks-per-tres")) and request.tasks_per_gpu and gpus:
        return msgspec.structs.replace(request, tasks=gpus * request.tasks_per_gpu, tasks_per_gpu=None)
    return request


def gpu_count(text: str) -> int:
    """ "2", "a100:2", "a100:2,v100:1": how many."""
    counts = (part.rpartition(":")[2] for part in text.split(",") if part)
    return sum(int(count) if count.isdigit() else 1 for count in counts)


def checked_nodes(request: JobRequest, nodes: str) -> None:
    """Raises CommandError when --exclude leaves too few of the allocation's nodes."""
    if not request.excluded_nodes:
        return
    left = set(expand(nodes)) - set(expand(request.excluded_nodes))
    if not left:
        raise CommandError("srun: error: Hostlist is empty!  Can't run job.")
    if request.minimum_nodes is not None and request.minimum_nodes > len(left):
        raise CommandError(
            f"srun: error: Only allocated {len(left)} nodes asked for {request.minimum_nodes}",
            "srun: error: Are required nodes explicitly excluded?",
        )


def step_request(request: JobRequest, attrs: Mapping[str, Any], found: Counts, argv: Sequence[str]) -> StepRequest:
    """The request of the step, without its environment and streams."""
    fields = {name: getattr(request, name) for name in SHARED}
    fields |= {name: attrs[name] for name in OWN if attrs.get(name) is not None}
    fields |= {
        "name": request.name,
        "tasks": found.tasks,
        "minimum_nodes": found.minimum_nodes,
        "maximum_nodes": found.maximum_nodes,
        "tasks_per_node": found.tasks_per_node,
        "argv": list(argv),
        "exclusive": bool(request.exclusive),
        "no_kill": request.no_kill,
    }
    step = StepRequest(**fields)
    if attrs.get("whole") and not step.exclusive:
        # --whole gives all of the nodes though --cpus-per-task alone would not
        step = msgspec.structs.replace(step, exact=False)
    return step


def check_mpi(kind: str) -> None:
    """Raises CommandError for a type this srun can't serve, in the real one's words where it has any."""
    if kind == "cray_shasta":
        raise CannotCarry("srun", "--mpi=cray_shasta", "it needs a Cray's own launcher; --mpi=pmi2 serves other MPIs")
    if kind == "openmpi" or kind in MPI_TYPES:  # openmpi: an old name of none
        return
    raise CommandError(
        f"srun: error: MPI: Cannot create context for mpi/{kind}",
        "srun: error: MPI: Unable to load any plugin",
        f"srun: error: Invalid MPI type '{kind}', --mpi=list for acceptable types",
    )


def mpi_list() -> list[str]:
    return ["MPI plugin types are...", *(f"\t{kind}" for kind in MPI_TYPES)]
