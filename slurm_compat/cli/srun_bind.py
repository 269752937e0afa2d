"""What srun makes of --cpu-bind, --hint, --mem-bind and --gpu-bind: words for the agents, the tasks and itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slurm_compat.core import binding
from slurm_compat.core.errors import CommandError
from slurm_compat.core.model import JobRequest

# what a hint means to a binding; of the others nothing follows for CPUs. Observed on 26.05
HINTS = {"nomultithread": "threads", "multithread": "threads", "compute_bound": "cores", "memory_bound": "cores"}


class Wishes(NamedTuple):
    cpu_bind: str  # for the agents
    mem_bind: str
    tres_bind: str
    one_thread: bool
    environment: dict[str, str]
    shown: str  # what -v calls CpuBindType
    notes: list[str]  # for the user


def wishes(attrs: Mapping[str, Any], request: JobRequest, tasks_per_gpu: int | None = None) -> Wishes:
    """Raises CommandError for a --cpu-bind nobody knows."""
    cpu = _cpu(str(attrs.get("cpu_bind") or ""), empty=attrs.get("cpu_bind") == "")
    mem = binding.parse_mem(str(attrs.get("mem_bind") or ""))
    notes = []
    if cpu.kind == "rank":
        notes.append("Ignoring --cpu-bind=rank. Rank binding is obsolete.")
        cpu = cpu._replace(kind="")
    one_thread = request.hint == "nomultithread" or request.threads_per_core == 1
    if not cpu.kind and request.hint in HINTS:
        cpu = cpu._replace(kind=HINTS[request.hint])
    tres_bind = str(attrs.get("tres_bind") or "")
    if not tres_bind and tasks_per_gpu:
        tres_bind = f"gres/gpu:single:{tasks_per_gpu}"
    env = binding.environment("SLURM_CPU_BIND", cpu) | binding.environment("SLURM_MEM_BIND", mem)
    if tres_bind:
        env["SLURM_TRES_BIND"] = env["SLURMD_TRES_BIND"] = tres_bind
    shown = ",".join(filter(None, ("verbose" if cpu.verbose else "", cpu.kind, "one_thread" if one_thread else "")))
    return Wishes(cpu.text, mem.text, tres_bind, one_thread, env, shown or "(null type)", notes)


def _cpu(text: str, empty: bool) -> binding.Binding:
    try:
        if empty:
            raise ValueError(text)
        return binding.parse_cpu(text)
    except ValueError as problem:
        raise CommandError(
            f'srun: error: unrecognized --cpu-bind argument "{problem}"',
            "srun: fatal: Failed to parse --cpu-bind= values.",
        ) from None
