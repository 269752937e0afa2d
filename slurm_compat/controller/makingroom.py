"""Which running jobs have to go so that one fits: the layout tried over nodes with ever more of them away. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.nodes import gres_of_text
from slurm_compat.core.model import JobRequest
from slurm_compat.translators import layout
from slurm_compat.translators.asked import Defaults
from slurm_compat.translators.gres import Amounts
from slurm_compat.translators.shapes import Member, Room

Freed = dict[str, tuple[int, int, Amounts]]  # node: CPUs, MiB, GRES


def given_back(job: Job) -> Freed:
    """What nodes have more of when the job is gone."""
    return {name: (cpus, memory, gres_of_text(words)[0]) for name, cpus, _, memory, words in job.resources}


def with_freed(rooms: Sequence[Room], some: Iterable[Freed]) -> list[Room]:
    found = {room.name: room for room in rooms}
    for freed in some:
        for name, (cpus, memory, gres) in freed.items():
            if name in found:
                found[name] = _changed(found[name], cpus, memory, gres, 1)
    return list(found.values())


def taken(rooms: Sequence[Room], promised: Iterable[tuple[str, Member]]) -> list[Room]:
    """The rooms without what others will take of them."""
    found = {room.name: room for room in rooms}
    for name, member in promised:
        if name in found:
            gres = dict(member.other_gres)
            if member.gpus:
                gres[f"gpu:{member.gpu_type}" if member.gpu_type else "gpu"] = member.gpus
            found[name] = _changed(found[name], member.cpus, member.memory_mib, gres, -1)
    return list(found.values())


def _changed(room: Room, cpus: int, memory: int, gres: Amounts, sign: int) -> Room:
    amounts = dict(room.gres)
    for name, number in gres.items():
        # a request that names no type takes of whichever there is
        key = name if name in amounts else next((known for known in amounts if known.partition(":")[0] == name), name)
        amounts[key] = amounts.get(key, 0) + sign * number
    return room._replace(cpus=room.cpus + sign * cpus, memory_mib=room.memory_mib + sign * memory, gres=amounts)


def place(request: JobRequest, defaults: Defaults, rooms: Sequence[Room]) -> list[tuple[str, Member]]:
    """The members of a request and a node for each, [] when it does not fit."""
    members = layout.shape(request, defaults, rooms).members
    left = list(rooms)
    found: list[tuple[str, Member]] = []
    for member in members:
        for position, room in enumerate(left):
            gpus = sum(number for name, number in room.gres.items() if name.partition(":")[0] == "gpu")
            fits = room.cpus >= member.cpus and room.memory_mib >= member.memory_mib and gpus >= member.gpus
            if fits and member.node in ("", room.name):
                found.append((room.name, member))
                del left[position]
                break
    return found


def choose(
    request: JobRequest, defaults: Defaults, free: Sequence[Room], going: Sequence[Freed], candidates: Sequence[Job]
) -> list[Job]:
    """The candidates without which the request fits, the least first; [] when it would not fit without them all."""

    def fits(gone: Iterable[Job]) -> bool:
        rooms = with_freed(free, [*going, *map(given_back, gone)])
        return bool(layout.shape(request, defaults, rooms).members)

    chosen: list[Job] = []
    for job in candidates:
        chosen.append(job)
        if fits(chosen):
            break
    else:
        return []
    for job in list(chosen[:-1]):
        without = [other for other in chosen if other is not job]
        if fits(without):
            chosen = without
    return chosen
