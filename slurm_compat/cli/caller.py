"""What the kernel knows of this process and a job takes over: umask, limits, niceness, host name."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from slurm_compat.core.optionvalues import RLIMITS


@dataclass
class Caller:
    cwd: str = ""
    host: str = ""
    umask: int = 0o022
    nice: int = 0
    rlimits: dict[str, int] = field(default_factory=dict)  # by Slurm's names, -1: unlimited


def this_process(cwd: str, env: Mapping[str, str], limits: Iterable[str] = RLIMITS) -> Caller:
    """`limits`: which resource limits go with the job. SLURM_UMASK, where set, is the umask."""
    return Caller(
        cwd=cwd,
        host=socket.gethostname(),
        umask=_umask(env.get("SLURM_UMASK", "")),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        rlimits={name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in limits},
    )


def _umask(given: str) -> int:
    try:
        return int(given, 8) & 0o777
    except ValueError:
        current = os.umask(0o077)  # there is no way to ask without setting it
        os.umask(current)
        return current
