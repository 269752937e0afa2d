"""What this machine allows a cluster, and what follows where it doesn't. Looks only; changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from slurm_compat.cli.where import Place

Finding = tuple[bool, str, str]  # fine?, what was looked at, what follows if not


def findings(place: Place) -> Iterator[Finding]:
    root = os.geteuid() == 0
    yield root, "runs as root", "jobs run as you alone; other users' submissions are refused"
    yield (
        shutil.which("cc") is not None or shutil.which("gcc") is not None,
        "a C compiler",
        "commands start through the Python launcher (about 9 ms instead of 2)",
    )
    writable = (os.path.isdir(place.state) and os.access(place.state, os.W_OK)) or _can_make(place.state)
    yield (
        writable,
        f"state folder {place.state} writable",
        "set StateSaveLocation in the cluster file, or XDG_STATE_HOME",
    )
    yield _free(place.state) > 256, "256 MiB free for state", "submissions are refused when the disk is full"
    yield (
        os.access("/sys/fs/cgroup", os.W_OK) and root,
        "memory cgroups",
        "memory limits are kept by watching, not by the kernel",
    )
    yield root, "host names of virtual nodes", "jobs on virtual nodes see this machine's host name"
    yield shutil.which("bash") is not None, "bash", "scripts that start with #!/bin/bash can't run"


def _can_make(path: str) -> bool:
    while path and not os.path.exists(path):
        path = os.path.dirname(path)
    return os.access(path or "/", os.W_OK)


def _free(path: str) -> int:
    """MiB free where `path` is or will be."""
    while path and not os.path.exists(path):
        path = os.path.dirname(path)
    info = os.statvfs(path or "/")
    return info.f_bavail * info.f_frsize >> 20
