"""Where srun puts its tasks' output and takes their input from: its own streams, or files."""

from __future__ import annotations

import contextlib
import os
import select
import stat
from collections.abc import Mapping
from typing import NamedTuple

from slurm_compat.core import patterns
from slurm_compat.core.errors import CommandError

PIECE = 4096  # bytes a pipe or terminal that is ready for any takes without blocking (PIPE_BUF)
LARGE_PIECE = 1 << 16  # bytes at once where a write never waits
HIGH = 1 << 20  # bytes waiting to be written before nothing more is read of the tasks

REMOTE = ("%t", "%n", "%N")  # symbols that differ by task or node: the agents open such files


class Sink:
    """A descriptor that is written to without ever waiting for it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._waiting = bytearray()
        mode = os.fstat(fd).st_mode
        self._at_once = stat.S_ISREG(mode)  # a file never makes us wait
        self._own = False
        if stat.S_ISFIFO(mode):
            # another description of the same pipe, so that not blocking is ours alone and not our neighbours' too
            with contextlib.suppress(OSError):
                self.fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._own = True
        self.failed: OSError | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def _patient(self) -> bool:
        """Whether a write of any size comes back at once."""
        return self._at_once or self._own

    def write(self, data: bytes) -> None:
        """Take `data`; what the descriptor doesn't take now goes out by `drain`."""
        if self.failed:
            return
        if not self._waiting and (self._patient or self._ready()):
            data = data[self._put(data if self._patient else data[:PIECE]) :]
        self._waiting += data

    def _ready(self) -> bool:
        """Whether it takes a piece just now."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(0))

    def drain(self) -> None:
        """The descriptor is ready: write some more."""
        size = LARGE_PIECE if self._patient else PIECE
        while self._waiting:
            written = self._put(bytes(memoryview(self._waiting)[:size]))
            del self._waiting[:written]
            if not written or not self._patient:
                return

    def _put(self, data: bytes) -> int:
        """How much of `data` is dealt with."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError as problem:
            self.failed = problem
            self._waiting.clear()
            return len(data)

    def finish(self) -> None:
        """Write what is left, waiting for it."""
        if self._own:
            os.set_blocking(self.fd, True)
        while self._waiting:
            self.drain()

    def close(self) -> None:
        if self._own:
            self._own = False
            os.close(self.fd)


class Plan(NamedTuple):
    """How one stream is connected. `step`: the word for StepRequest; `path`: a file of srun's own, "" for none."""

    step: str
    path: str


def plan(option: str, tasks: int, per_task: bool = True) -> Plan:
    """What an --input, --output or --error means for a step of `tasks` tasks. "" is the default.

    "none" and the number of a task go to the agents as they are; so does a file name with symbols that differ by task
    or node. Other file names are srun's own to open; a number that is no task's is a file name.
    """
    if option in ("", "all"):
        return Plan("", "")
    if option == "none" or (option.isascii() and option.isdigit() and int(option) < tasks):
        return Plan(option, "")
    if "\\" not in option and any(symbol in _without_widths(option) for symbol in REMOTE):
        return Plan(option, "")
    return Plan("", option)


def _without_widths(pattern: str) -> str:
    out, digits = "", False
    for letter in pattern:
        if letter == "%":
            digits = True
        elif digits and letter.isdigit():
            continue
        else:
            digits = False
        out += letter
    return out


def needs_step(path: str) -> bool:
    """Whether the name can be known only once the step has its number."""
    return "\\" not in path and any(symbol in _without_widths(path) for symbol in ("%s", "%J"))


def expand(path: str, values: Mapping[str, str | None], cwd: str) -> str:
    return os.path.join(cwd, patterns.expand(path, values))


def open_output(command: str, which: str, path: str, append: bool) -> int:
    """Open for writing, making folders that are missing. Raises CommandError with srun's words."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    try:
        try:
            return os.open(path, flags, 0o644)
        except FileNotFoundError:
            with contextlib.suppress(OSError):  # then opening fails again, and says so
                os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            return os.open(path, flags, 0o644)
    except (OSError, ValueError) as problem:
        raise _could_not_open(command, which, problem) from None


def open_input(command: str, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as problem:
        raise _could_not_open(command, "stdin", problem) from None


def _could_not_open(command: str, which: str, problem: Exception) -> CommandError:
    why = problem.strerror if isinstance(problem, OSError) else str(problem)
    return CommandError(f"{command}: error: Could not open {which} file: {why}")


class Outputs:
    """The sinks of a step's standard output and error. `open_later` are names that wait for the step's number."""

    def __init__(
        self, command: str, out: str, err: str | None, append: bool, cwd: str, beside: Outputs | None = None
    ) -> None:
        """`out`, `err`: file names, "" for srun's own streams; `err` None: where `out` goes. `beside`: those of another
        component of the same step, with which srun's own streams are shared."""
        self._command = command
        self._names = (out, err)
        self._append = append
        self._cwd = cwd
        self._fds: list[int] = []
        self.out: Sink | None = None
        self.err: Sink | None = None
        # srun's own words; the tasks' errors go the same way, in their order
        self.own: Sink = beside.own if beside else Sink(2)
        self._beside = beside

    def open(self, values: Mapping[str, str | None], step_known: bool) -> None:
        """Open what can be opened now. Called before the step is made, and again after."""
        out, err = self._names
        if self.out is None and (step_known or not needs_step(out)):
            self.out = self._sink("stdout", out, values, 1)
        if self.err is None and (err is None or err == out) and out:
            self.err = self.out
        elif self.err is None and (step_known or not needs_step(err or "")):
            self.err = self._sink("stderr", err or "", values, 2)

    def _sink(self, which: str, name: str, values: Mapping[str, str | None], own: int) -> Sink:
        if not name:
            shared = self._beside.out if self._beside and not self._beside._names[0] else None
            return self.own if own == 2 else shared or Sink(own)
        fd = open_output(self._command, which, expand(name, values, self._cwd), self._append)
        self._fds.append(fd)
        return Sink(fd)

    def sinks(self) -> list[Sink]:
        return list({id(sink): sink for sink in (self.out, self.err, self.own) if sink is not None}.values())

    def full(self) -> bool:
        return any(sink.waiting > HIGH for sink in self.sinks())

    def finish(self) -> None:
        for sink in self.sinks():
            sink.finish()
            sink.close()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
