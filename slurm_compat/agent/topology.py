"""The CPUs of this machine, and which of them a step has: read from the kernel's own description."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from slurm_compat.agent.binding import Cpu
from slurm_compat.core.cpulist import cpu_numbers

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"


def machine() -> list[Cpu]:
    """All CPUs that are on; where the kernel does not tell, each is a core of one socket."""
    domains = _domains()
    found = []
    for number in sorted(_online()):
        core = _number(f"{CPUS}/cpu{number}/topology/core_id", number)
        socket = max(0, _number(f"{CPUS}/cpu{number}/topology/physical_package_id", 0))
        found.append(Cpu(number, socket << 16 | core, socket, domains.get(number, 0)))
    return found


def _online() -> list[int]:
    try:
        with open(f"{CPUS}/online") as file:
            return cpu_numbers(file.read().strip())
    except (OSError, ValueError):
        return sorted(os.sched_getaffinity(0))


def _domains() -> dict[int, int]:
    found: dict[int, int] = {}
    try:
        names = os.listdir(NODES)
    except OSError:
        return found
    for name in names:
        if match := re.fullmatch(r"node(\d+)", name):
            try:
                with open(f"{NODES}/{name}/cpulist") as file:
                    found.update(dict.fromkeys(cpu_numbers(file.read().strip()), int(match[1])))
            except (OSError, ValueError):
                continue
    return found


def _number(path: str, default: int) -> int:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return default


def step_cpus(
    node: str, job_resources: Sequence[Sequence[Any]], step_resources: Sequence[Sequence[Any]], allowed: set[int]
) -> set[int]:
    """The machine's CPUs that the step has on `node`, of those this pod may use.

    The controller counts a node's CPUs from 0. Where the pod has as many as its job has there, they are these in their
    order; where the machine has fewer than its nodes declare, a number means itself, and what is not there is left out.
    """
    job, step = _ids(node, job_resources), _ids(node, step_resources)
    if len(job) == len(allowed):
        places: Mapping[int, int] = dict(zip(sorted(job), sorted(allowed), strict=True))
        found = {places[cpu] for cpu in step if cpu in places}
    else:
        found = allowed & set(step)
    return found or set(allowed)


def _ids(node: str, resources: Sequence[Sequence[Any]]) -> list[int]:
    for name, count, ids, *_ in resources:
        if name == node:
            return cpu_numbers(str(ids)) if ids else list(range(int(count)))
    return []
