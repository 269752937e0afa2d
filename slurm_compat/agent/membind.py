"""--mem-bind: from which NUMA nodes a task's memory comes, where TaskPlugin is task/affinity.

The kernel is asked by its own call, for Python has none for it. Source: set_mempolicy(2); words observed on 26.05.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

from slurm_compat.core.binding import Binding

SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}.get(platform.machine())
PREFERRED, BIND, LOCAL = 1, 2, 4  # MPOL_*
ACTIONS = {"none": "NONE", "rank": "RANK", "local": "LOC", "map_mem": "MAP ", "mask_mem": "MASK"}


def nodes_of(binding: Binding, local_id: int, known: Sequence[int]) -> int:
    """The NUMA nodes of a task as a mask; `known`: those there are."""
    everything = sum(1 << node for node in set(known))
    if binding.kind == "rank":
        return 1 << known[local_id % len(known)]
    if binding.kind in ("map_mem", "mask_mem"):
        values = binding.expanded()
        value = values[local_id % len(values)]
        wanted = int(value, 16) if binding.kind == "mask_mem" else sum(1 << n for n in known if n == int(value, 0))
        return wanted & everything
    return everything


def bind(binding: Binding, local_id: int, known: Sequence[int]) -> bool:
    """Bind this process; False where the kernel doesn't."""
    if binding.kind in ("", "none") or SET_MEMPOLICY is None:
        return False
    import ctypes  # few steps have use for it

    mask = nodes_of(binding, local_id, known)
    libc = ctypes.CDLL(None, use_errno=True)
    if binding.kind == "local":
        return bool(libc.syscall(SET_MEMPOLICY, LOCAL, None, 0) == 0)
    mode = PREFERRED if binding.prefer else BIND
    nodes = ctypes.c_ulong(mask)
    return bool(mask and libc.syscall(SET_MEMPOLICY, mode, ctypes.byref(nodes), 64) == 0)


def line(binding: Binding, node: str, rank: int, local_id: int, pid: int, known: Sequence[int], done: bool) -> str:
    mask = nodes_of(binding, local_id, known)
    told = " set" if done else ""
    return f"mem-bind={ACTIONS[binding.kind]} - {node}, task {rank:2} {local_id:2} [{pid}]: mask 0x{mask:x}{told}"
