"""A control group a pod: its memory limit, kept by the kernel, and the one sure list of its processes.

Version 2 where the memory controller can be had there, else version 1. Where neither may be written, there are none and
the kubelet watches memory itself. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass

ROOT = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Files:
    """How a version names things."""

    limit: str
    events: str
    kills: str  # the line of `events` that counts processes killed for memory


V1 = Files("memory.limit_in_bytes", "memory.oom_control", "oom_kill")
V2 = Files("memory.max", "memory.events", "oom_kill")


class Cgroups:
    """The groups below one base folder, which is ours alone."""

    def __init__(self, base: str, files: Files) -> None:
        self.base = base
        self.files = files

    def path(self, run_id: str) -> str:
        return os.path.join(self.base, run_id)

    def create(self, run_id: str, limit: int) -> str:
        """A group with this memory limit in bytes, 0 for none. Raises OSError."""
        path = self.path(run_id)
        with contextlib.suppress(FileExistsError):
            try:
                os.mkdir(path, 0o755)
            except FileNotFoundError:  # somebody took our base away
                os.makedirs(path, 0o755)
        if limit:
            write(os.path.join(path, self.files.limit), str(limit))
        return path

    def kills(self, run_id: str) -> int:
        """How many of the pod's processes the kernel has killed for memory."""
        try:
            with open(os.path.join(self.path(run_id), self.files.events), encoding="ascii") as file:
                for line in file:
                    key, _, value = line.partition(" ")
                    if key == self.files.kills:
                        return int(value)
        except (OSError, ValueError):
            pass
        return 0

    def pids(self, run_id: str) -> list[int]:
        """Every process of the pod, groups that its own processes made below included."""
        found: list[int] = []
        for folder in folders(self.path(run_id)):
            try:
                with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
                    found.extend(int(word) for word in file.read().split())
            except OSError:
                continue
        return found

    def remove(self, run_id: str) -> bool:
        """False while a process is still dying in it."""
        for folder in reversed(folders(self.path(run_id))):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError as problem:
                if problem.errno == errno.EBUSY:
                    return False
                raise
        return True

    def sweep(self, known: set[str]) -> None:
        """Remove groups of pods that nobody knows any more, with what runs in them."""
        for name in os.listdir(self.base):
            if name in known or not os.path.isdir(os.path.join(self.base, name)):
                continue
            for pid in self.pids(name):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                self.remove(name)


def folders(path: str) -> list[str]:
    """A group and those below it, each before what is below; none when it is gone."""
    try:
        if os.stat(path).st_nlink == 2:  # each folder below would count as a link
            return [path]
    except OSError:
        return []
    return [folder for folder, _, _ in os.walk(path)]


def holding(group: str) -> Cgroups | None:
    """The groups that this one is among; None when it is no more."""
    if not os.path.isdir(group):
        return None
    files = V1 if os.path.exists(os.path.join(group, V1.limit)) else V2
    return Cgroups(os.path.dirname(group), files)


def join(path: str) -> None:
    """Put the calling process into the group."""
    write(os.path.join(path, "cgroup.procs"), "0")


def write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def available(name: str) -> Cgroups | None:
    """Groups below a folder of this name, where we may make them; None where not. Tried, not guessed."""
    for parent, files in candidates():
        base = os.path.join(parent, name)
        try:
            if files is V2:
                enable_memory(parent)
            with contextlib.suppress(FileExistsError):
                os.mkdir(base, 0o755)
            if files is V2:
                enable_memory(base)
            groups = Cgroups(base, files)
            probe = f"probe-{os.getpid()}-{time.monotonic_ns()}"
            try:
                groups.create(probe, 1 << 30)
                os.stat(os.path.join(groups.path(probe), files.events))
            finally:
                groups.remove(probe)
            return groups
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(base)
    return None


def enable_memory(folder: str) -> None:
    with open(os.path.join(folder, "cgroup.controllers"), encoding="ascii") as file:
        if "memory" not in file.read().split():
            raise OSError(errno.ENOTSUP, "no memory controller", folder)
    control = os.path.join(folder, "cgroup.subtree_control")
    with open(control, encoding="ascii") as file:
        if "memory" in file.read().split():
            return
    write(control, "+memory")


def candidates() -> list[tuple[str, Files]]:
    """Folders that may take our base, the likeliest first: our own group's neighbours, then the hierarchy's top."""
    found: list[tuple[str, Files]] = []
    try:
        with open("/proc/self/cgroup", encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            own = os.path.normpath(ROOT + path)
            # a group with processes may not hand controllers down, so ours goes beside, not below
            found += [(os.path.dirname(own) if own != ROOT else own, V2), (ROOT, V2)]
        elif "memory" in controllers.split(","):
            top = os.path.join(ROOT, "memory")
            found += [(os.path.normpath(top + path), V1), (top, V1)]
    return [(folder, files) for folder, files in dict.fromkeys(found) if os.access(folder, os.W_OK)]
