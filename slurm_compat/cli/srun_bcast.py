"""srun --bcast: the program is copied to the job's nodes, and the copy is what runs."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from slurm_compat.cli.allocation import Job
from slurm_compat.cli.context import Context
from slurm_compat.cli.relayed import Relayed
from slurm_compat.cli.sbcast_send import Sending
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.core.errors import CommandError, SlurmError

PATIENCE = 60  # seconds for a node


class Copy(NamedTuple):
    path: str
    by_node: bool  # "_NODE" is yet to be added to it


def broadcast(ctx: Context, job: Job, name: str, target: str, cwd: str) -> Copy:
    """Copy the program `name` to `target`, a path or a folder; "" for a name of the step's in the working directory.

    Raises CommandError with srun's words when a node doesn't get it.
    """
    source = _source(name, ctx.env.get("PATH", os.defpath), cwd)
    stopped = CommandError(f"srun: fatal: Failed to broadcast '{source}'. Step launch aborted.")
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        ctx.error(f"Can't open `{source}`: {problem.strerror}")
        raise stopped from None
    listener = Listener(ctx.env)
    relayed = None
    try:
        relayed = Relayed(ctx, listener)
        if target.endswith("/"):
            target += os.path.basename(source)
        path = os.path.join(cwd, target or f"slurm_bcast_{job['job_id']}")
        answer = ctx.controller.call(
            "broadcast", job_id=int(job["job_id"]), addresses=listener.addresses, secret=listener.secret, path=path,
            force=True, mode=stat.S_IMODE(os.fstat(fd).st_mode), by_node=not target,
        )  # fmt: skip
        unreached = [node for node in answer["nodes"] if node not in answer["reached"]]
        failed = Sending(listener, fd, answer["nodes"], PATIENCE, relayed).run(unreached)
    except SlurmError as problem:
        ctx.error(problem.text)
        raise stopped from None
    finally:
        os.close(fd)
        listener.stop()
        if relayed is not None:
            relayed.close()
    for node, number in failed:
        ctx.error(f"REQUEST_FILE_BCAST({node}): {os.strerror(number)}")
    if failed:
        raise stopped
    return Copy(path if target else f"{path}.{answer['step_id']}", not target)


def _source(name: str, path: str, cwd: str) -> str:
    """The program's file: by PATH for a name alone, then in the working directory."""
    if "/" not in name:
        for folder in path.split(":"):
            found = os.path.join(folder or cwd, name)
            if os.path.isfile(found) and os.access(found, os.X_OK):
                return found
    return os.path.join(cwd, name)
