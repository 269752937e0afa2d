"""What replay, corpus and clients share: a cluster of its own, and the users its steps run as."""

from __future__ import annotations

import os
import pwd
import shutil
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


# folders that a login shell's PATH has and that are empty on most machines
LOGIN_FOLDERS = ("/usr/local/sbin", "/usr/local/games")
PRIVATE = "SLURM_COMPAT_PRIVATE_MOUNTS"


def with_private_mounts() -> None:
    """Start this program again where mounts are its own, so that login shells (`#!/bin/bash -l`) find the commands.

    A real installation has them in /usr/bin; here they are mounted over empty folders of the default PATH, seen by this
    cluster alone. Only root can; without, scripts that reset PATH don't find them.
    """
    if os.getuid() == 0 and PRIVATE not in os.environ and shutil.which("unshare"):
        os.environ[PRIVATE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])


def _mount_for_login_shells(commands: Path) -> None:
    for folder in LOGIN_FOLDERS:
        if os.path.isdir(folder) and not os.listdir(folder):
            subprocess.run(["mount", "--bind", str(commands), folder], check=True)


@contextmanager
def environment(cluster_file: str) -> Iterator[dict[str, str]]:
    """The environment in which this cluster's commands are the ones on PATH. SLURM_COMPAT_BIN is their folder."""
    with throwaway(str(Path(cluster_file).resolve()) if cluster_file else "") as (commands, copy, state):
        if os.environ.get(PRIVATE):
            _mount_for_login_shells(commands)
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))
        }
        yield env | {
            "PATH": f"{commands}:{env['PATH']}",
            "SLURM_CONF": str(copy),
            "SLURM_COMPAT_BIN": str(commands),
            "SLURM_COMPAT_STATE": state,
        }
