"""Resource limits a job's processes run under: those of the submitting shell, and the memory granted."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from contextlib import suppress

# Slurm's names (PropagateResourceLimits), without RLIMIT_
NAMES = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS")


Changes = list[tuple[int, tuple[int, int]]]  # resource, soft and hard limit


def changes(limits: Mapping[str, int]) -> Changes:
    """What it takes for this process to have these soft limits; -1 is unlimited. Hard limits stay the node's.

    A limit above the node's hard one becomes the hard one: the closest that the node's owner allows.
    """
    found: Changes = []
    for name in NAMES:
        if name not in limits:
            continue
        which = getattr(resource, f"RLIMIT_{name}")
        soft, hard = resource.getrlimit(which)
        wanted = limits[name] if limits[name] >= 0 else resource.RLIM_INFINITY
        if hard != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > hard):
            wanted = hard
        if wanted != soft:
            found.append((which, (wanted, hard)))
    return found


def make(found: Changes) -> None:
    for which, wanted in found:
        # the kernel's own ceiling (NOFILE above fs.nr_open): the node's limit stays
        with suppress(ValueError, OSError):
            resource.setrlimit(which, wanted)


def set_resident(mebibytes: int) -> None:
    """Soft and hard RSS limit: no kernel since 2.4 keeps it, but scripts find the job's memory in `ulimit -m`."""
    size = mebibytes << 20
    with suppress(ValueError, OSError):  # a lower hard limit, that only root may raise
        resource.setrlimit(resource.RLIMIT_RSS, (size, size))
