"""The warm host of the commands that the job itself calls (srun, sbatch … in a batch script), where it can be had.

A host started by a job would be one of the job's processes, and be charged and killed with it; so the agent, which is
warm already, forks its job's commands. In an image that has the agent alone there is none, and commands start by
themselves. See launcher/child.py for what is spoken.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slurm_compat.agent.launch import User

OWNER = "commands"  # in agent.processes: neither the batch script's usage nor a step's


def loaded() -> Any:
    """The module that serves launchers, None where the commands are not installed."""
    try:
        from slurm_compat.launcher import child
    except ImportError:
        return None
    return child


def preload() -> None:
    """For a process that forks agents: all that the commands need."""
    if loaded():
        from slurm_compat.launcher import host

        host.preload()


def remote(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which the job's commands reach a controller on another machine; none where it is on this one.

    Their word is made from the agent's token (as controller/tokens.py makes it) and does not give that away.
    """
    address = environ["SLURM_COMPAT_CONTROLLER"]
    if address.startswith("unix:"):
        return {}
    word = hashlib.sha256(b"commands " + environ["SLURM_COMPAT_TOKEN"].encode()).hexdigest()
    return {
        "SLURM_COMPAT_CONTROLLER": address,
        "SLURM_COMPAT_AUTHORITY": environ.get("SLURM_COMPAT_AUTHORITY", ""),
        "SLURM_COMPAT_WORD": f"{environ['SLURM_COMPAT_JOB_ID']}:{word}",
    }


class CommandHost:
    """A socket that the job's user alone is served on. `path` is "" where commands can't be served."""

    def __init__(self, user: User, base: str | None = None) -> None:
        self._user = user
        self._child = loaded()
        self._folder = ""
        self.path = ""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        if self._child is None:
            return
        for place in (base, None):  # a long name doesn't fit a socket's address: the temporary folder's does
            try:
                self._folder = tempfile.mkdtemp(prefix="slurm-commands-", dir=place)
                path = os.path.join(self._folder, "host")
                self.listener.bind(path)
            except OSError:
                self.close_folder()
                continue
            os.chmod(self._folder, 0o755)
            os.chmod(path, 0o666)  # the kernel says who calls
            self.listener.listen(64)
            self.path = path
            return

    def serve(self) -> int:
        """Take one waiting launcher; the pid of its command, 0 when it was turned away."""
        pid: int = self._child.serve_one(self.listener, (self._user.uid,), self._user.become)
        return pid

    def close(self) -> None:
        self.listener.close()
        self.close_folder()

    def close_folder(self) -> None:
        if self._folder:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._folder, "host"))
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)
            self._folder = ""
