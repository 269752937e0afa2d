"""A job's shape: its counts as Slurm shows them, and what each of its nodes must give. `layout` makes it whole."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from slurm_compat.core import tres
from slurm_compat.core.model import JobRequest
from slurm_compat.translators import gres
from slurm_compat.translators.asked import Asked, Defaults, requested_tres
from slurm_compat.translators.gres import Amounts


class Member(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """What one node gives to the job: one pod. Amounts are what the pod asks for."""

    cpus: int
    memory_mib: int
    gpus: int = 0
    gpu_type: str = ""
    tasks: int = 1
    constraint: str = ""  # features of the node, "ib&skylake|rome"
    other_gres: dict[str, int] = {}
    node: str = ""  # the one node this must be, of --nodelist


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


def counted(request: JobRequest, defaults: Defaults, ask: Asked) -> Shape:
    """The shape without members."""
    shape = Shape(
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
    )
    return msgspec.structs.replace(shape, **_tres_texts(request))


def _shown_nodes(request: JobRequest, defaults: Defaults, ask: Asked) -> int:
    """The fewest nodes the tasks can do with, judged by the largest node's CPUs alone."""
    nodes = ask.minimum_nodes
    if ask.tasks_given:
        on_one = defaults.node_cpus // ask.cpus_per_task
        nodes = max(nodes, -(-ask.tasks // max(on_one, 1)))
    if ask.tasks_per_node and not request.tasks_per_node:
        # follows from GPUs a node and a task; --ntasks-per-node has raised the fewest nodes where it may
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
