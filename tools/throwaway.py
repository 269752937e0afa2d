"""What replay, corpus and clients share: a cluster of its own, and the users its steps run as."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_compat.operator import throwaway


# the transcripts' users, with the uids they had: some output shows the number
USERS = {"alice": 2001, "bob": 2002}


def have_users() -> None:
    """The transcripts' users exist on this machine; made when they don't, which only root can."""
    for name, uid in USERS.items():
        try:
            pwd.getpwnam(name)
        except KeyError:
            if os.getuid():
                sys.exit(f"there is no user {name} here, and only root can make one")
            subprocess.run(["useradd", "-m", "-u", str(uid), "-s", "/bin/bash", name], check=True)


@contextmanager
def environment(cluster_file: str) -> Iterator[dict[str, str]]:
    """The environment in which this cluster's commands are the ones on PATH. SLURM_COMPAT_BIN is their folder."""
    with throwaway(str(Path(cluster_file).resolve()) if cluster_file else "") as (commands, copy, state):
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))
        }
        yield env | {
            "PATH": f"{commands}:{env['PATH']}",
            "SLURM_CONF": str(copy),
            "SLURM_COMPAT_BIN": str(commands),
            "SLURM_COMPAT_STATE": state,
        }
