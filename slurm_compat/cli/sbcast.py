"""sbcast: a file to all nodes of a job, written there by the job's agents as its user."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import help_lines
from slurm_compat.cli.relayed import Relayed
from slurm_compat.cli.sbcast_options import OPTIONS, Asked, asked_for
from slurm_compat.cli.sbcast_send import Sending
from slurm_compat.cli.selected import job_id_of
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.core.errors import CommandError, SlurmError

LINE = "-" * 29
PATIENCE = 60  # seconds for a node, without --timeout
FAILED = 255  # exit code when nothing could be sent


def main(ctx: Context) -> int:
    asked, lines = asked_for(ctx.argv[1:], ctx.env, ctx.cwd)
    for line in lines:
        ctx.err(line)
    if asked.action:
        for line in _told(asked.action):
            ctx.out(line)
        return 0
    assert asked.job is not None
    if asked.verbose:
        for line in _options(asked):
            ctx.err(f"sbcast: {line}")
    try:
        job_id = job_id_of(ctx, asked.job)
    except SlurmError as problem:
        raise CommandError(f"sbcast: error: Failed to load JobId={asked.job.job_id}: '{problem.text}'") from None
    source = _opened(asked.source)
    try:
        return _send(ctx, asked, job_id, source)
    finally:
        os.close(source)


def _opened(path: str) -> int:
    """Raises CommandError for what is no file to send."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise CommandError(f"sbcast: error: Can't open `{path}`: {why}", code=FAILED) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise CommandError(f"sbcast: error: Can't mmap file `{path}`, {os.strerror(errno.ENODEV)}.", code=FAILED)
    return fd


def _send(ctx: Context, asked: Asked, job_id: int, source: int) -> int:
    assert asked.job is not None
    found = os.fstat(source)
    if not found.st_size:
        ctx.err(f"sbcast: warning: file `{asked.source}` is empty.")
    if asked.verbose:
        for line in _file(found):
            ctx.err(f"sbcast: {line}")
    name = str(asked.job.job_id) + (f"+{asked.job.offset}" if asked.job.offset is not None else "")
    listener = Listener(ctx.env)
    relayed = None
    try:
        relayed = Relayed(ctx, listener)
        answer = ctx.controller.call(
            "broadcast", job_id=job_id, step_id=asked.job.step, addresses=listener.addresses, secret=listener.secret,
            path=asked.path, force=asked.force, mode=stat.S_IMODE(found.st_mode),
            times=(found.st_atime, found.st_mtime) if asked.preserve else None,
        )  # fmt: skip
        if asked.verbose:
            for line in _job(asked, name, answer, int(ctx.now())):
                ctx.err(f"sbcast: {line}")
        ctx.stderr.flush()
        sending = Sending(listener, source, answer["nodes"], asked.timeout or PATIENCE, relayed)
        unreached = [node for node in answer["nodes"] if node not in answer["reached"]]
        failed = sending.run(unreached)
    except SlurmError as problem:
        named = name + (f".{asked.job.step}" if asked.job.step else "")
        raise CommandError(f"sbcast: error: Slurm job {named} lookup error: {problem.text}", code=FAILED) from None
    finally:
        with contextlib.suppress(OSError):
            listener.stop()
            if relayed is not None:
                relayed.close()
    for node, number in failed:
        ctx.error(f"REQUEST_FILE_BCAST({node}): {os.strerror(number)}")
    return failed[-1][1] if failed else 0


# --- what -v tells ----------------------------------------------------------------------------------------------------


def _options(asked: Asked) -> Iterator[str]:
    yield LINE
    yield f"block_size = {asked.size}"
    yield f"compress   = {asked.compress}"
    yield f"exclude    = {asked.exclude}"
    yield f"force      = {str(asked.force).lower()}"
    yield f"treewidth     = {asked.treewidth}"
    yield f"preserve   = {str(asked.preserve).lower()}"
    yield "send_libs  = false"
    yield f"timeout    = {asked.timeout * 1000}"
    yield f"verbose    = {asked.verbose}"
    yield f"source     = {asked.source}"
    yield f"dest       = {asked.path}"
    yield LINE


def _file(found: os.stat_result) -> Iterator[str]:
    yield f"modes    = {found.st_mode:o}"
    yield f"uid      = {found.st_uid}"
    yield f"gid      = {found.st_gid}"
    yield f"atime    = {time.ctime(found.st_atime)}"
    yield f"mtime    = {time.ctime(found.st_mtime)}"
    yield f"ctime    = {time.ctime(found.st_ctime)}"
    yield f"size     = {found.st_size}"


def _job(asked: Asked, name: str, answer: dict[str, Any], now: int) -> Iterator[str]:
    assert asked.job is not None
    yield f"jobid      = {name}"
    yield f"node_list  = {answer['node_list']}"
    yield f"Sbcast_cred: JobId   {answer['job_id']}"
    yield f"Sbcast_cred: HetJobId {asked.job.job_id if asked.job.offset is not None else 0}"
    yield f"Sbcast_cred: StepId  {answer['step_id']}"
    yield f"Sbcast_cred: Nodes   {answer['node_list']}"
    yield f"Sbcast_cred: ctime   {time.ctime(now)}"
    yield f"Sbcast_cred: Expire  {time.ctime(answer['end_time'])}"


def _told(action: str) -> Iterator[str]:
    if action == "V":
        yield f"slurm-wlm {SLURM_VERSION}"
    elif action == "autocomplete":
        yield from (f"--{opt.long}" for opt in OPTIONS if opt.help)
    elif action == "usage":
        yield "Usage: sbcast [--exclude] [-CfFjpvV] [--send-libs] SOURCE DEST"
    else:
        yield "Usage: sbcast [OPTIONS] SOURCE DEST"
        yield from help_lines(OPTIONS)
