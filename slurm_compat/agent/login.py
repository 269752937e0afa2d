"""The environment a user's login shell makes: what --get-user-env and --export=NONE start from."""

from __future__ import annotations

import os
import select
import signal
import time

from slurm_compat.agent import launch
from slurm_compat.agent.environment import split

PATIENCE = 20.0  # seconds a login shell may take over its start files
MOST = 16 << 20  # bytes of an environment
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


def basics(user: launch.User) -> dict[str, str]:
    """What login sets before any start file is read."""
    return {
        "SHELL": user.shell,
        "PWD": user.home,
        "LOGNAME": user.name,
        "HOME": user.home,
        "USER": user.name,
        "PATH": PATH,
        "MAIL": f"/var/mail/{user.name}",
    }


def environment(user: launch.User, patience: float = PATIENCE) -> dict[str, str] | None:
    """The login environment; None when the shell can't be started, fails, or doesn't end in time."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    program = launch.Program(
        path=user.shell,
        # a dash in front of the name makes it a login shell
        argv=["-" + os.path.basename(user.shell), "-c", "exec env -0"],
        env=basics(user),
        cwd=user.home,
        stdin=null,
        stdout=write_end,
        stderr=null,
    )
    try:
        pid = launch.start(program, user)
    except OSError:
        os.close(read_end)
        return None
    finally:
        os.close(write_end)
        os.close(null)
    try:
        block = _read_all(read_end, time.monotonic() + patience)
    finally:
        os.close(read_end)
        if _still_there(pid):
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return split(block) if block is not None and status == 0 else None


def _read_all(fd: int, deadline: float) -> bytes | None:
    """All until the end; None when that doesn't come in time, or is no environment by its size."""
    block = bytearray()
    while True:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        data = os.read(fd, 1 << 16)
        if not data:
            return bytes(block)
        block += data
        if len(block) > MOST:
            return None


def _still_there(pid: int) -> bool:
    """Whether it has not ended within a moment of closing its output."""
    for _ in range(100):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.001)
    return True
