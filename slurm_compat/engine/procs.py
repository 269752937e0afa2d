"""Processes as /proc tells of them. Standard library only; every answer may be stale by the time it is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    pid: int
    state: str  # "R", "S", "Z" …
    parent: int
    session: int
    started: int  # clock ticks since boot: with the pid it names a process for good
    rss: int  # bytes


def process(pid: int) -> Process | None:
    """None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # the name stands in brackets and may hold anything, brackets and blanks included
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]), int(fields[21]) * PAGE
    )  # fmt: skip


def start_time(pid: int) -> int:
    """When the process started, 0 when there is none or only its corpse is left."""
    found = process(pid)
    return 0 if found is None or found.state in "ZX" else found.started


@cache
def boot_id() -> str:
    """Which start of the machine this is; read once, and before the forks that ask for it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def all_processes() -> list[Process]:
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in found if one is not None]


def children(pid: int) -> list[int]:
    """The direct children of a process with one thread, dead ones that nobody has waited for included."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without this file
        return [one.pid for one in all_processes() if one.parent == pid]


def descendants(roots: Iterable[int], processes: Iterable[Process]) -> dict[int, list[Process]]:
    """root: the processes below it, itself left out."""
    below: dict[int, list[Process]] = {}
    for one in processes:
        below.setdefault(one.parent, []).append(one)
    trees = {}
    for root in roots:
        tree: list[Process] = []
        frontier = [root]
        while frontier:
            for child in below.get(frontier.pop(), ()):
                tree.append(child)
                frontier.append(child.pid)
        trees[root] = tree
    return trees


def with_variable(name: str, value: str) -> list[int]:
    """The processes that started with this variable; those whose environment we may not read are left out."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(entry))
        except OSError:
            continue
    return found
