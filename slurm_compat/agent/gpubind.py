"""Which of its step's GPUs a task sees: --gpu-bind, --tres-bind=gres/gpu:…, and what --gpus-per-task means.

Pure. `visible` takes the words behind "gres/gpu:" and gives the task's GPUs with the lines slurmstepd says about it.
Observed on 26.05; `closest` sees all, for no GPU here is known to be nearer to some CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slurm_compat.core.binding import MOST_REPEATS

PREFIX = "gres/gpu:"


class Visible(NamedTuple):
    gpus: list[str]
    errors: list[str] = []
    note: str = ""  # with "verbose"


def visible(tres_bind: str, gpus: Sequence[str], local_id: int, rank: int) -> Visible:
    """`gpus`: those of the step on this node."""
    words = tres_bind.removeprefix(PREFIX)
    head, _, rest = words.partition(",")
    verbose = head.lower() in ("v", "verbose")
    kind, _, text = (rest if verbose else words).partition(":")
    kind = kind.lower()
    chosen: list[str] = list(gpus)
    errors: list[str] = []
    if kind == "single":
        slots = int(text or 1)
        place = local_id // slots
        if place >= len(gpus):
            errors.append(
                f"_get_single_usable_gres Can't find free slot for local_proc_id = {local_id}, "
                "continue using block distribution"
            )
        chosen = [gpus[place % len(gpus)]]
    elif kind == "per_task":
        count = int(text or 1)
        chosen = list(gpus[local_id * count : (local_id + 1) * count])
        if len(chosen) < count:
            errors.append(f"Not enough gres to bind {count} per task")
    elif kind in ("map_gpu", "map", "mask_gpu", "mask"):
        chosen = _listed(kind, text, gpus, local_id)
        if not chosen:
            errors.append("Invalid map or mask value specified.")
    if not chosen:
        chosen = [gpus[0]]
        errors.append(
            f"Bind request {tres_bind} does not specify any devices within the allocation for task {rank}. "
            "Binding to the first device in the allocation instead."
        )
    note = ""
    if verbose:
        listed = ",".join(chosen)
        note = (
            f"gpu-bind: usable_gres={_bits(gpus, chosen)}; bit_alloc={_bits(gpus, gpus)}; local_inx=0; "
            f"global_list={listed}; local_list={listed}"
        )
    return Visible(chosen, errors, note)


def _listed(kind: str, text: str, gpus: Sequence[str], local_id: int) -> list[str]:
    values: list[str] = []
    for value in text.split(","):
        number, _, times = value.partition("*")
        values += [number] * min(int(times or 1), MOST_REPEATS)
    value = values[local_id % len(values)]
    try:
        if kind.startswith("mask"):
            return [gpu for place, gpu in enumerate(gpus) if int(value, 16) >> _number(gpu, place) & 1]
        return [gpu for place, gpu in enumerate(gpus) if int(value, 0) == _number(gpu, place)]
    except ValueError:
        return []


def _number(gpu: str, place: int) -> int:
    """A GPU's number on its node; one that is named otherwise has that of its place."""
    return int(gpu) if gpu.isdigit() else place


def _bits(gpus: Sequence[str], chosen: Sequence[str]) -> str:
    return f"0x{sum(1 << _number(gpu, place) for place, gpu in enumerate(gpus) if gpu in chosen):x}"
