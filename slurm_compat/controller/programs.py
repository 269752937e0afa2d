"""A program of a user's that the controller runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import signal
from typing import Any

log = logging.getLogger(__name__)


async def run_as(uid: int, argv: list[str], folder: str, patience: float) -> None:
    """Run `argv` as the user, with nothing of this process's environment, as far as it may become others.

    What takes longer than `patience` seconds is killed. A failure is logged: nobody waits for it.
    """
    try:
        person = pwd.getpwuid(uid)
        groups = os.getgrouplist(person.pw_name, person.pw_gid)
        other: dict[str, Any] = {}
        if os.getuid() == 0:
            other = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": groups}
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=folder, start_new_session=True, umask=0o022, **other,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": person.pw_dir, "USER": person.pw_name,
                 "LOGNAME": person.pw_name, "SHELL": person.pw_shell or "/bin/sh"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except (KeyError, ValueError, OSError) as problem:
        log.error("%s for uid %d: %s", argv[0], uid, problem)
        return
    try:
        status = await asyncio.wait_for(process.wait(), patience)
    except asyncio.TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = await process.wait()
    if status:
        log.info("%s for uid %d ended with %d", argv[0], uid, status)
