"""What a step's tasks on this node are bound to: CPUs and memory where the cluster binds, GPUs always.

`Bindings` is made once a step; `of(task)` gives what its process must do before it becomes the program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slurm_compat.agent import binding, gpubind, membind, topology
from slurm_compat.agent.environment import GPU_LISTS, gpu_indices
from slurm_compat.core import binding as words

Message = Mapping[str, Any]


def binds(launched: Message) -> bool:
    """Whether the cluster's TaskPlugin binds tasks."""
    return "task/affinity" in str(launched["config"].get("task_plugin", ""))


class Bindings:
    """Raises binding.OutsideAllocation for CPUs the step does not have."""

    def __init__(self, launched: Message, message: Message, node: str, ranks: Sequence[int]) -> None:
        request = message["request"]
        self._node = node
        self._ranks = ranks
        self._tres_bind = str(request.get("tres_bind") or "")
        self._gpus = [str(gpu) for one in launched["nodes"] if one["name"] == node for gpu in one.get("gpus") or ()]
        self._cpu: binding.Bound | None = None
        self._mem = words.Binding()
        self._domains: list[int] = [0]
        if binds(launched) and ranks:
            machine = topology.machine()
            allowed = os.sched_getaffinity(0)
            held = topology.step_cpus(
                node, launched["job"].get("job_resources") or [], message.get("resources") or [], allowed
            )
            self._domains = sorted({cpu.ldom for cpu in machine})
            self._mem = words.parse_mem(str(request.get("mem_bind") or ""))
            self._cpu = binding.plan(
                words.parse_cpu(str(request.get("cpu_bind") or "")),
                [cpu for cpu in machine if cpu.number in held], machine, len(ranks),
                request.get("cpus_per_task") or 1, str(request.get("distribution") or ""),
                request.get("threads_per_core") == 1,
            )  # fmt: skip

    def cpus(self, local_id: int) -> frozenset[int] | None:
        return (self._cpu.cpus[local_id] if self._cpu else None) or None

    def environment(self, local_id: int, env: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """What the task is told of its binding, and slurmstepd's words about it."""
        found = words.environment("SLURM_CPU_BIND", self._cpu.binding) if self._cpu else {}
        if self._cpu and not found and self._cpu.binding.kind:
            found = words.environment("SLURM_CPU_BIND", self._cpu.binding._replace(verbose=False))
        if not self._tres_bind or not self._gpus:
            return found, []
        seen = gpubind.visible(self._tres_bind, self._gpus, local_id, self._ranks[local_id])
        found |= {name: gpu_indices(seen.gpus) for name in GPU_LISTS if name in env}
        return found | {"SLURM_STEP_GPUS": ",".join(seen.gpus)}, seen.errors

    def in_task(self, local_id: int) -> Callable[[], list[str]]:
        """To be called by the task's process once it has its CPUs; lines for its standard error."""

        def bind() -> list[str]:
            lines = []
            rank, pid = self._ranks[local_id], os.getpid()
            if self._cpu and self._cpu.binding.verbose:
                lines.append(binding.line(self._cpu, self._node, rank, local_id, pid, os.sched_getaffinity(0)))
            done = membind.bind(self._mem, local_id, self._domains)
            if self._mem.verbose and self._mem.kind:
                lines.append(membind.line(self._mem, self._node, rank, local_id, pid, self._domains, done))
            if self._tres_bind and self._gpus:
                note = gpubind.visible(self._tres_bind, self._gpus, local_id, rank).note
                lines += [note] if note else []
            return lines

        return bind
