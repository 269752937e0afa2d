"""Which CPUs each task of a step on one node is bound to, where TaskPlugin is task/affinity.

Pure: `plan` takes the CPUs the step has here, with their places in the machine, and gives each task's set, or raises
OutsideAllocation. Without a --cpu-bind, tasks are bound when they need exactly the sockets, cores or threads the step
has; else all of them share all of its CPUs. Observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slurm_compat.core.binding import Binding

ACTIONS = {
    "none": "NONE", "map_cpu": "MAP ", "mask_cpu": "MASK", "rank_ldom": "LDRANK", "map_ldom": "LDMAP",
    "mask_ldom": "LDMASK",
}  # fmt: skip


class Cpu(NamedTuple):
    """One hardware thread."""

    number: int
    core: int  # unique in the machine
    socket: int
    ldom: int = 0  # NUMA node


class Bound(NamedTuple):
    cpus: list[frozenset[int]]  # by local task id; an empty set leaves the task as it is
    binding: Binding  # what the tasks are told
    action: str  # in the line --cpu-bind=verbose makes each task print


class OutsideAllocation(Exception):
    def __init__(self, allowed: Iterable[int]) -> None:
        super().__init__(f"CPU binding outside of job step allocation, allocated CPUs are: {mask(allowed)}.")


def mask(cpus: Iterable[int]) -> str:
    return f"0x{sum(1 << cpu for cpu in cpus):x}"


def line(bound: Bound, node: str, rank: int, local_id: int, pid: int, now: Iterable[int]) -> str:
    """`now`: the CPUs the task may run on, once bound."""
    cpus = bound.cpus[local_id]
    done = " set" if cpus else ""
    return f"cpu-bind={bound.action} - {node}, task {rank:2} {local_id:2} [{pid}]: mask {mask(cpus or now)}{done}"


def plan(
    binding: Binding, cpus: Sequence[Cpu], machine: Sequence[Cpu], tasks: int, per_task: int, distribution: str,
    one_thread: bool = False,
) -> Bound:  # fmt: skip
    """`cpus`: the step's here; `machine`: all there are; `distribution`: -m as given, whose second and third words
    say how tasks, and a task's CPUs, go round the sockets."""
    kind = binding.kind
    if kind == "none":
        return Bound([frozenset()] * tasks, binding, ACTIONS[kind])
    if kind in ("map_cpu", "mask_cpu"):
        return Bound(_listed(binding, cpus, tasks), binding, ACTIONS[kind])
    if kind.endswith("_ldom"):
        return Bound(_domains(binding, machine, tasks), binding, ACTIONS[kind])
    usable = _first_threads(cpus) if one_thread else sorted(cpus, key=lambda cpu: (cpu.socket, cpu.core, cpu.number))
    sets = _by_entity(kind or _entity(usable, tasks * per_task), usable, cpus, tasks, per_task, distribution)
    shown = sets if len(set(sets)) > 1 or kind or len(usable) == tasks * per_task else sets[:1]
    told = binding._replace(kind="mask_cpu", values=tuple(mask(one) for one in shown))
    return Bound(sets, told, ACTIONS["mask_cpu"])


def _listed(binding: Binding, cpus: Sequence[Cpu], tasks: int) -> list[frozenset[int]]:
    allowed = {cpu.number for cpu in cpus}
    values = binding.expanded()
    if binding.kind == "map_cpu":
        sets = [frozenset({int(value, 0)}) for value in values]
    else:
        sets = [_bits(int(value, 16)) for value in values]
    if any(not one <= allowed for one in sets):
        raise OutsideAllocation(allowed)
    return [sets[task % len(sets)] for task in range(tasks)]


def _domains(binding: Binding, machine: Sequence[Cpu], tasks: int) -> list[frozenset[int]]:
    numbers = sorted({cpu.ldom for cpu in machine})
    if binding.kind == "rank_ldom":
        chosen = [frozenset({numbers[task % len(numbers)]}) for task in range(tasks)]
    else:
        values = binding.expanded()
        read = [frozenset({int(v, 0)}) if binding.kind == "map_ldom" else _bits(int(v, 16)) for v in values]
        chosen = [read[task % len(read)] for task in range(tasks)]
    return [frozenset(cpu.number for cpu in machine if cpu.ldom in ldoms) for ldoms in chosen]


def _bits(number: int) -> frozenset[int]:
    return frozenset(bit for bit in range(number.bit_length()) if number >> bit & 1)


def _first_threads(cpus: Sequence[Cpu]) -> list[Cpu]:
    first: dict[int, Cpu] = {}
    for cpu in sorted(cpus, key=lambda cpu: (cpu.socket, cpu.core, cpu.number)):
        first.setdefault(cpu.core, cpu)
    return list(first.values())


def _entity(cpus: Sequence[Cpu], needed: int) -> str:
    """What tasks are bound to when nothing was said, "" when to nothing in particular."""
    for kind, count in (
        ("sockets", len({cpu.socket for cpu in cpus})),
        ("cores", len({cpu.core for cpu in cpus})),
        ("threads", len(cpus)),
    ):
        if needed == count:
            return kind
    return ""


def _by_entity(
    kind: str, usable: Sequence[Cpu], cpus: Sequence[Cpu], tasks: int, per_task: int, distribution: str
) -> list[frozenset[int]]:
    whole = frozenset(cpu.number for cpu in usable)
    if not kind or tasks * per_task > len(usable):
        return [whole] * tasks
    own = _dealt(usable, tasks, per_task, distribution)
    field = {"sockets": "socket", "cores": "core", "ldoms": "ldom", "threads": "number"}[kind]
    sets = []
    for part in own:
        places = {getattr(cpu, field) for cpu in part}
        held = usable if kind == "threads" else cpus
        sets.append(frozenset(cpu.number for cpu in held if getattr(cpu, field) in places))
    return sets


def _dealt(usable: Sequence[Cpu], tasks: int, per_task: int, distribution: str) -> list[list[Cpu]]:
    """Each task's CPUs: tasks go round the sockets (cyclic, as without a word), or fill one after the other (block)."""
    words = distribution.lower().split(",")[0].split(":")
    second = words[1] if len(words) > 1 else "cyclic"
    sockets: dict[int, list[Cpu]] = {}
    for cpu in usable:
        sockets.setdefault(cpu.socket, []).append(cpu)
    left = list(sockets.values())
    own: list[list[Cpu]] = []
    turn = 0
    for _ in range(tasks):
        part: list[Cpu] = []
        while len(part) < per_task:
            place = turn % len(left) if second != "block" else next(i for i, cpus in enumerate(left) if cpus)
            if not left[place]:
                turn += 1
                continue
            part.append(left[place].pop(0))
            if second == "fcyclic":
                turn += 1
        if second != "fcyclic":
            turn += 1
        own.append(part)
    return own
