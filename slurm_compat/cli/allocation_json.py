"""What a job has of each node and what its steps use of it: the part of its document that three lists make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.context import Context
from slurm_compat.core import hostlist
from slurm_compat.core.cpulist import cpu_numbers
from slurm_compat.core.states import PENDING
from slurm_compat.core.units import mebibytes_of

Job = Mapping[str, Any]


def resources(job: Job, select: str = "CR_CORE_MEMORY") -> dict[str, Any] | None:
    entries = job["job_resources"]
    if not entries or job["job_state"] == PENDING:
        return None
    places: Mapping[str, tuple[int, int, int]] = job.get("places", {})
    return {
        "select_type": [select],
        "nodes": {
            "count": len(entries),
            "select_type": ["ONE_ROW"],
            "list": hostlist.compress([entry[0] for entry in entries]),
            "whole": job["exclusive"] == "NODE",
            "allocation": [
                _node(place, entry, places.get(entry[0]), _used_on(job, entry[0]))
                for place, entry in enumerate(sorted(entries, key=lambda entry: str(entry[0])))
            ],
        },
        "cpus": sum(entry[1] for entry in entries),
        "threads_per_core": jsondoc.number(job["threads_per_core"]),
    }


def _used_on(job: Job, node: str) -> tuple[int, int]:
    """CPUs and MiB that the job's steps have on a node."""
    there = [(cpus, memory) for names, cpus, memory in job.get("used", ()) if node in names]
    return sum(cpus for cpus, _ in there), sum(memory for _, memory in there)


def _node(place: int, entry: list[Any], inside: tuple[int, int, int] | None, in_use: tuple[int, int]) -> dict[str, Any]:
    """One node of an allocation. `inside`: sockets, cores of each and threads of each core, of the node."""
    name, cpus, ids, memory_mib = entry[:4]
    taken = set(cpu_numbers(ids))
    sockets, cores, threads = inside or (1, max(taken, default=0) + 1, 1)
    allocated = sorted({cpu // threads for cpu in taken})
    busy = allocated[: -(-in_use[0] // threads)]
    return {
        "index": place,
        "name": name,
        "cpus": {"count": cpus, "used": min(in_use[0], cpus)},
        "memory": {"used": min(in_use[1], memory_mib), "allocated": memory_mib},
        "sockets": [
            {
                "index": socket,
                "cores": [
                    {"index": core, "status": _core(socket * cores + core, allocated, busy)} for core in range(cores)
                ],
            }
            for socket in range(sockets)
        ],
    }


def _core(number: int, allocated: list[int], busy: list[int]) -> list[str]:
    if number not in allocated:
        return ["UNALLOCATED"]
    return ["ALLOCATED", "IN_USE"] if number in busy else ["ALLOCATED"]


def nodes_inside(ctx: Context) -> dict[str, tuple[int, int, int]]:
    """Sockets, cores of a socket and threads of a core of each node."""
    return {row[0]: (row[1], row[2], row[3]) for row in ctx.controller.rows("nodes", INSIDE)}


INSIDE = ["name", "sockets", "cores", "threads"]


def in_use(ctx: Context) -> dict[int, list[tuple[list[str], int, int]]]:
    """By job its running steps: nodes, CPUs and MiB on each."""
    found: dict[int, list[tuple[list[str], int, int]]] = {}
    for job_id, step_id, nodes, cpus, text in ctx.controller.rows("steps", USED_BY):
        if step_id.isdigit() and (names := hostlist.expand(nodes)):
            memory = dict(part.partition("=")[::2] for part in text.split(",")).get("mem", "0")
            mebibytes = int(mebibytes_of(memory) or 0)
            found.setdefault(job_id, []).append((names, cpus // len(names), mebibytes // len(names)))
    return found


USED_BY = ["job_id", "step_id", "nodes", "cpus", "tres_alloc_str"]
