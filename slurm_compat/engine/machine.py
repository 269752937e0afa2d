"""What this computer has: read once, when the engine starts."""

from __future__ import annotations

import glob
import os
import socket

from slurm_compat.engine.nodes import Machine


def this_machine(state: str) -> Machine:
    """`state` is the folder whose file system counts as the disk of pods."""
    disk = os.statvfs(state)
    gpus = sum(path[len("/dev/nvidia") :].isdigit() for path in glob.glob("/dev/nvidia*"))
    return Machine(
        hostname=socket.gethostname().split(".")[0],
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        disk_bytes=disk.f_frsize * disk.f_blocks,
        gpus=gpus,
        gpu_type=gpu_model() if gpus else "",
    )


def gpu_model() -> str:
    """The first GPU's model as a GRES type: "NVIDIA A100-SXM4" is a100-sxm4. "" when the driver does not say."""
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, _, value = line.partition(":")
                    if key == "Model":
                        words = value.split()
                        return "_".join(words[1:] if words[:1] == ["NVIDIA"] else words).lower()
        except OSError:
            continue
    return ""
