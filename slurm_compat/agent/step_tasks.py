"""The tasks of a step on one node: where their streams lead, what they run, how they start."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import stat
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.agent import launch as launching
from slurm_compat.agent import pmi
from slurm_compat.agent.launch import Program, User
from slurm_compat.agent.streams import WRITE, CannotOpen, error_line
from slurm_compat.agent.usage import Meter
from slurm_compat.core import multiprog, patterns, stepio
from slurm_compat.core.cpulist import cpu_numbers
from slurm_compat.core.folded import folded
from slurm_compat.core.hostlist import compress
from slurm_compat.core.stepio import Lines

_INDICES = re.compile(r"gpu[^(]*\([^)]*IDX:([\d,-]+)\)")


@dataclass
class Output:
    """One output stream of a task on its way to srun."""

    fd: int
    kind: int  # stepio.STDOUT, STDERR
    task: int
    lines: Lines | None  # None: sent as it comes


@dataclass
class Task:
    rank: int
    meter: Meter
    pid: int = 0
    status: int | None = None  # wait status, None while it runs
    epilog: int = 0  # pid of its task epilog
    told: bool = False  # srun knows of its end
    stdin: int = -1  # our end of its standard input, -1: none
    waiting: bytearray = field(default_factory=bytearray)  # input its standard input did not take yet
    stdin_ended: bool = False
    outputs: list[Output] = field(default_factory=list)
    error_fd: int = -1  # where slurmstepd's own lines for it go when that is a file
    terminal: int = -1  # our end of its terminal


class Wiring:
    """How the streams of a step's tasks are connected, by what srun asked for."""

    def __init__(self, request: Mapping[str, Any], values: Mapping[int, Mapping[str, str | None]]) -> None:
        self._request = request
        self._values = values  # what file name patterns stand for, by rank
        self._opened: dict[str, int] = {}

    def connect(self, task: Task) -> tuple[int, int, int]:
        """The task's three descriptors; ours are noted in `task`. Raises CannotOpen."""
        request = self._request
        if request.get("pty") and task.rank == 0:
            return self._terminal(task)
        unbuffered = bool(request.get("unbuffered"))
        stdin = self._stdin(task)
        out = request.get("standard_output", "")
        stdout = self._output(task, out, stepio.STDOUT, unbuffered, "STDOUT")
        stderr = self._output(task, request.get("standard_error") or out, stepio.STDERR, unbuffered, "STDERR")
        return stdin, stdout, stderr

    def close(self) -> None:
        for fd in self._opened.values():
            os.close(fd)
        self._opened.clear()

    def _terminal(self, task: Task) -> tuple[int, int, int]:
        ours, theirs = pty.openpty()
        rows, columns = self._request.get("winsize") or (24, 80)
        set_winsize(ours, rows, columns)
        os.set_blocking(ours, False)
        task.terminal = task.stdin = ours
        task.outputs.append(Output(ours, stepio.STDOUT, task.rank, None))
        return theirs, os.dup(theirs), os.dup(theirs)

    def _stdin(self, task: Task) -> int:
        mode = self._request.get("standard_input", "")
        pty_follower = self._request.get("pty")
        if mode in ("", "all") or (mode.isdigit() and int(mode) == task.rank):
            if not pty_follower:
                theirs, ours = os.pipe()
                os.set_blocking(ours, False)
                task.stdin = ours
                return theirs
            mode = "none"
        if mode == "none" or mode.isdigit():
            return os.open(os.devnull, os.O_RDONLY)
        return self._open("STDIN", self._path(mode, task.rank), os.O_RDONLY)

    def _output(self, task: Task, mode: str, kind: int, unbuffered: bool, which: str) -> int:
        if mode in ("", "all") and self._request.get("pty"):
            mode = "none"  # only what the terminal's task says is seen
        if mode in ("", "all") or (mode.isdigit() and int(mode) == task.rank):
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            task.outputs.append(Output(ours, kind, task.rank, None if unbuffered else Lines()))
            return theirs
        if mode == "none" or mode.isdigit():
            return os.open(os.devnull, os.O_WRONLY)
        path = self._path(mode, task.rank)
        if path not in self._opened:
            keep = self._request.get("open_mode", "").startswith("a")
            self._opened[path] = self._open(which, path, WRITE if keep else WRITE | os.O_TRUNC)
        if which == "STDERR":
            task.error_fd = self._opened[path]
        return os.dup(self._opened[path])

    def _path(self, pattern: str, rank: int) -> str:
        return os.path.join(self._request["current_working_directory"], patterns.expand(pattern, self._values[rank]))

    def _open(self, which: str, path: str, flags: int) -> int:
        try:
            try:
                return os.open(path, flags | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
                os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
                return os.open(path, flags | os.O_CLOEXEC, 0o666)
        except ValueError as problem:  # a NUL byte in the name
            raise CannotOpen(which, path, OSError(errno.EINVAL, str(problem))) from None
        except OSError as problem:
            raise CannotOpen(which, path, problem) from None


def with_step_gpus(launched: Mapping[str, Any], resources: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The launch packet with each node's GPUs cut down to those the step has there: "gpu:a100:1(IDX:0)"."""
    held = {entry[0]: str(entry[4]) for entry in resources if len(entry) > 4}
    nodes = []
    for node in launched["nodes"]:
        if node["name"] in held and node.get("gpus"):
            indices = {str(n) for part in _INDICES.findall(held[node["name"]]) for n in cpu_numbers(part)}
            node = node | {"gpus": [gpu for gpu in node["gpus"] if str(gpu) in indices]}
        nodes.append(node)
    return {**launched, "nodes": nodes}


def step_environment(layout: Sequence[Sequence[Any]]) -> dict[str, str]:
    """What srun could not know before the step had its nodes."""
    per_node = folded(len(ranks) for _, ranks, *_ in layout)
    tasks = str(sum(len(ranks) for _, ranks, *_ in layout))
    return {
        "SLURM_NNODES": str(len(layout)),
        "SLURM_NTASKS": tasks,
        "SLURM_NPROCS": tasks,
        "SLURM_TASKS_PER_NODE": per_node,
        "SLURM_STEP_NODELIST": compress(entry[0] for entry in layout),
        "SLURM_STEP_NUM_NODES": str(len(layout)),
        "SLURM_STEP_NUM_TASKS": tasks,
        "SLURM_STEP_TASKS_PER_NODE": per_node,
    }


def set_winsize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def argv_of(request: Mapping[str, Any], rank: int) -> list[str]:
    """What this task runs; [] when a --multi-prog file has nothing for it."""
    lines = request.get("multi_prog") or []
    if not lines:
        return list(request.get("argv") or [])
    return multiprog.argv_for([(str(ranks), list(argv)) for ranks, argv in lines], rank)


def program_path(name: str, env: Mapping[str, str], cwd: str) -> str:
    """The file that is run for `name`, by the task's own PATH; `name` itself when none is found: exec will say so."""
    if name.startswith("/"):
        return name
    if "/" in name:
        return os.path.join(cwd, name)
    for folder in env.get("PATH", "").split(":"):
        path = os.path.join(folder or cwd, name)
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                return path
        except (OSError, ValueError):
            continue
    return name


def program_of(
    request: Mapping[str, Any], env: dict[str, str], rank: int, streams: tuple[int, int, int], pmi_fd: int = -1
) -> Program:
    cwd = request.get("current_working_directory") or "/"
    argv = argv_of(request, rank) or [""]
    if request.get("by_node"):
        argv = [f"{argv[0]}_{env['SLURMD_NODENAME']}", *argv[1:]]
    stdin, stdout, stderr = streams
    return Program(
        path=program_path(argv[0], env, cwd),
        argv=argv,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        umask=request.get("umask", 0o022),
        rlimits=request.get("rlimits") or {},
        terminal=bool(request.get("pty")) and rank == 0,
        extra=pmi_fd,
        extra_as=pmi.FD,
    )


class PrologFailed(Exception):
    """A task prolog that can't run, or says no. `lines` are slurmstepd's words; `code` the task's exit code."""

    def __init__(self, code: int, lines: list[str]) -> None:
        super().__init__(lines)
        self.code = code
        self.lines = lines


def run_task_prolog(path: str, env: dict[str, str], cwd: str) -> bytes:
    """Run it; its `export NAME=value` and `unset NAME` change `env`, what it prints is for the task's output."""
    try:
        done = subprocess.run(
            [path], env=env, cwd=cwd if os.path.isdir(cwd) else "/", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except OSError as problem:
        if problem.errno == errno.ENOEXEC:
            raise PrologFailed(127, ["--task-prolog failed status=127"]) from None
        why = f"can not be executed ({path}) {problem.strerror}"
        if not path.startswith("/"):
            why = f"is not a fully qualified pathname ({path})"
        raise PrologFailed(
            1,
            [
                f"run_command: user task_prolog {why}",
                "user task_prolog did not exit normally. reason: Run command failed - configuration error",
                "--task-prolog failed status=1",
            ],
        ) from None
    if done.returncode:
        raise PrologFailed(1, [f"--task-prolog failed status={done.returncode}"])
    printed = b""
    for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
        word, _, rest = line.strip().partition(" ")
        name, equals, value = rest.partition("=")
        if word == "export" and equals:
            env[name] = value
        elif word == "unset":
            env.pop(rest.strip(), None)
        elif word == "print":
            printed += rest.encode("utf-8", "surrogateescape") + b"\n"
    return printed


def start_task_epilog(path: str, env: dict[str, str], user: User, cwd: str) -> int:
    """Start it, its output discarded as Slurm does; its pid. Raises OSError when it can't be run."""
    mode = os.stat(os.path.join(cwd, path)).st_mode
    if not stat.S_ISREG(mode) or not mode & 0o111:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    null = os.open(os.devnull, os.O_RDWR)
    try:
        return launching.start(Program(path, [path], env, cwd, null, null, null), user)
    finally:
        os.close(null)


def say(task: Task, text: str) -> bytes:
    """A line of slurmstepd's own in the task's standard error; what is returned must go to srun."""
    line = error_line(text)
    if task.error_fd < 0:
        return stepio.data(stepio.STDERR, task.rank, line)
    with contextlib.suppress(OSError):  # the file is full: what it should have said is lost with the rest
        os.write(task.error_fd, line)
    return b""
