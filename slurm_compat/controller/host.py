"""What this machine is: read when the controller starts, and its load when somebody asks."""

from __future__ import annotations

import glob
import grp
import os
import platform
import pwd
import socket
from typing import NamedTuple


class Machine(NamedTuple):
    """The computer that a node without figures of its own stands for."""

    hostname: str
    cpus: int
    memory_mib: int
    gpus: int = 0
    gpu_type: str = ""
    architecture: str = "x86_64"
    operating_system: str = ""  # "Linux 6.1.0 #1 SMP …"
    boot_time: int = 0  # epoch seconds


def this_machine() -> Machine:
    system = os.uname()
    gpus = sum(path[len("/dev/nvidia") :].isdigit() for path in glob.glob("/dev/nvidia*"))
    return Machine(
        hostname=socket.gethostname().split(".")[0],
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        gpus=gpus,
        gpu_type=_gpu_type() if gpus else "",
        architecture=platform.machine(),
        operating_system=f"{system.sysname} {system.release} {system.version}",
        boot_time=_boot_time(),
    )


def load_and_free() -> tuple[float, int | None]:
    """The load of the last minute, and free memory in MiB where the system tells."""
    free = None
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemFree:"):
            free = int(line.split()[1]) >> 10
    try:
        return os.getloadavg()[0], free
    except OSError:
        return 0.0, free


def groups_of(user_name: str) -> frozenset[str]:
    """The names of a user's groups; none for a user this machine doesn't know."""
    try:
        ids = os.getgrouplist(user_name, pwd.getpwnam(user_name).pw_gid)
    except (KeyError, OSError):
        return frozenset()
    names = set()
    for gid in ids:
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue  # a group without a name can't be listed either
    return frozenset(names)


def _gpu_type() -> str:
    """As a GRES type is written: "NVIDIA A100-SXM4" is a100-sxm4."""
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        for line in _lines(path):
            key, _, value = line.partition(":")
            if key == "Model":
                words = value.split()
                return "_".join(words[1:] if words[:1] == ["NVIDIA"] else words).lower()
    return ""


def _boot_time() -> int:
    for line in _lines("/proc/stat"):
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError:
        return []
