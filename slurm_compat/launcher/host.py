"""The warm host: a process of the user's own with every command loaded, whose forked workers become the commands.

One host serves one user with one set of groups, one mount and one pid namespace, one installation. It is started by the
first command, never needed, and ends when idle. A job's agent serves its job's commands the same way (child.py says
what is spoken, workers.py who speaks).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import pkgutil
import socket
import stat
import sys

from slurm_compat.launcher import workers

IDLE = 1800.0  # seconds without a command, then the host ends


def preload() -> None:
    """Everything a command could import, and the collector told that it stays: forks share it."""
    for package in ("slurm_compat.core", "slurm_compat.cli"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
            if not module.name.endswith("__main__"):
                # a module that can't be had here fails its own command, not every command
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    gc.disable()


def address(build: str) -> str:
    """Where the launchers of this user, groups and namespaces look; makes the folder. Raises OSError when unsafe."""
    folder = f"/tmp/slurm-compat-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    hashed = 1469598103934665603 ^ os.getegid()
    for group in os.getgroups():
        hashed = (hashed ^ group) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    mnt, pid = (os.stat(f"/proc/self/ns/{name}").st_ino for name in ("mnt", "pid"))
    return f"{folder}/{build}-{mnt:x}-{pid:x}-{hashed:x}"


def main() -> None:
    """Listen until idle. The second host of the same address finds the lock taken and ends."""
    # whoever ran the first command may have left it descriptors and wait for their end: mpiexec.hydra does
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    path = address(sys.argv[1])
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    preload()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(128)
        workers.Host(listener).run(IDLE)
        os.unlink(path)


if __name__ == "__main__":
    main()
