"""Starting a process as a job's user: who that is, and the way from fork to exec. Batch scripts and tasks alike."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.agent import limits, signals
from slurm_compat.agent.streams import error_line

NO_DIRECTORY = "/tmp"  # where Slurm goes when the working directory can't be entered


class Refused(Exception):
    """This agent may not run for that user."""


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    group: str = ""
    groups: tuple[int, ...] = ()
    home: str = "/"
    shell: str = "/bin/sh"

    @classmethod
    def of(cls, packet: Mapping[str, Any]) -> User:
        """The user of a launch packet. Raises Refused when this process can't become them."""
        user = cls(
            packet["name"],
            packet["uid"],
            packet["gid"],
            packet.get("group", ""),
            tuple(packet.get("groups") or (packet["gid"],)),
            packet.get("home") or "/",
            packet.get("shell") or "/bin/sh",
        )
        if os.geteuid() not in (0, user.uid):
            raise Refused(f"an agent of uid {os.geteuid()} can't run jobs of {user.name} (uid {user.uid})")
        return user

    def become(self) -> None:
        """For good: groups, group, user."""
        if os.geteuid() == 0:
            os.setgroups(self.groups)
            os.setgid(self.gid)
            os.setuid(self.uid)


@contextmanager
def acting_as(user: User, umask: int = 0o022) -> Iterator[None]:
    """Open and make files with the user's own rights, and be ourselves again after."""
    before_mask = os.umask(umask)
    other = os.geteuid() == 0 and user.uid != 0
    before_groups = os.getgroups() if other else []
    if other:
        os.setgroups(user.groups)
        os.setegid(user.gid)
        os.seteuid(user.uid)
    try:
        yield
    finally:
        if other:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before_groups)
        os.umask(before_mask)


@dataclass
class Program:
    """What is to run. The child closes every descriptor but its three streams."""

    path: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin: int
    stdout: int
    stderr: int
    umask: int = 0o022
    rlimits: Mapping[str, int] = field(default_factory=dict)
    memory_mib: int | None = None  # what the job may use on this node, for ulimit -m
    cpus: frozenset[int] | None = None  # affinity; None: as we have it
    extra: int = -1  # one more descriptor it gets, as number `extra_as`; -1: none
    extra_as: int = -1
    before: Callable[[], list[str]] | None = None  # called in the child once it is bound; lines for its error stream
    terminal: bool = False  # stdin is a terminal and becomes the controlling one of a new session


def start(program: Program, user: User) -> int:
    """The new process's id; it leads a process group of its own. SLURM_TASK_PID is set to it where `env` has that name.

    What goes wrong from here on is told in the program's own error stream, in slurmstepd's words, and its exit code is
    the error's number, as Slurm has it. Raises OSError when no process can be made.
    """
    # what can be found out before the fork is: of the child's work every page it touches is copied first
    soft_limits = limits.changes(program.rlimits)
    # held back until the child has let go of our handlers: a signal for it must not count as one for us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # a leader of a group could not begin a session, as the child with a terminal will
        if not program.terminal:
            with suppress(OSError):  # it has run exec or ended already
                os.setpgid(pid, pid)  # the child does so too: whoever is first, it holds when we go on
        return pid
    code = 1
    try:
        code = _become(program, user, soft_limits)
    finally:
        os._exit(code)


def _become(program: Program, user: User, soft_limits: limits.Changes) -> int:
    """In the child: turn into the program. Comes back only with the number of an error."""
    signals.restore_defaults()
    os.setsid() if program.terminal else os.setpgid(0, 0)
    for target, source in enumerate(_clear_of_targets((program.stdin, program.stdout, program.stderr))):
        os.dup2(source, target)
    _close_all_but_streams(program)
    if program.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    try:
        limits.make(soft_limits)
        if program.memory_mib:
            limits.set_resident(program.memory_mib)
        if program.cpus:
            os.sched_setaffinity(0, program.cpus)
        if program.before:
            for text in program.before():
                os.write(2, f"{text}\n".encode())
        user.become()
        enter(program.cwd, 2)
        os.umask(program.umask)
        if "SLURM_TASK_PID" in program.env:
            program.env["SLURM_TASK_PID"] = str(os.getpid())
        os.execve(program.path, program.argv, program.env)
    except OSError as problem:
        say(2, exec_error(program.path, problem))
        return problem.errno or 1
    except ValueError as problem:  # a NUL byte in an argument
        say(2, f"execve(): {program.path}: {problem}")
        return 1


def _close_all_but_streams(program: Program) -> None:
    most = os.sysconf("SC_OPEN_MAX")
    if program.extra < 0:
        os.closerange(3, most)
        return
    os.dup2(program.extra, program.extra_as)
    os.set_inheritable(program.extra_as, True)
    os.closerange(3, program.extra_as)
    os.closerange(program.extra_as + 1, most)


def _clear_of_targets(fds: tuple[int, int, int]) -> list[int]:
    """Copies above 2, so that putting one into its place doesn't overwrite another."""
    return [fcntl.fcntl(fd, fcntl.F_DUPFD, 3) for fd in fds]


def exec_error(path: str, problem: OSError) -> str:
    """slurmstepd's words. A script that is there while exec says it isn't has an interpreter that isn't."""
    if isinstance(problem, FileNotFoundError):
        interpreter = _interpreter(path)
        if interpreter:
            return f"execve(): bad interpreter({interpreter}): {problem.strerror}"
    return f"execve(): {path}: {problem.strerror}"


def _interpreter(path: str) -> str:
    """What the first line names after #!, arguments included; "" when it names nothing."""
    try:
        with open(path, "rb") as file:
            first = file.read(256)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    return first[2:].split(b"\n", 1)[0].strip().decode("utf-8", "replace")


def enter(path: str, error_fd: int) -> str:
    """Change into `path`, or into /tmp with a line that says so. The folder we are in now."""
    try:
        os.chdir(path)
        return path
    except OSError as problem:
        say(error_fd, f"couldn't chdir to `{path}': {problem.strerror}: going to {NO_DIRECTORY} instead")
    try:
        os.chdir(NO_DIRECTORY)
        return NO_DIRECTORY
    except OSError:
        os.chdir("/")
        return "/"


def say(fd: int, text: str) -> None:
    """A line of slurmstepd's into somebody's error stream; one that is full or gone is not our trouble."""
    with suppress(OSError):
        os.write(fd, error_line(text))


def make_tmpdir(env: dict[str, str], default: str) -> list[str]:
    """See that TMPDIR names a folder, made if need be; else it becomes `default`. Lines for the job's error stream."""
    wanted = env.get("TMPDIR")
    if wanted is None:
        env["TMPDIR"] = default
        return []
    try:
        os.mkdir(wanted, 0o700)
        return []
    except FileExistsError:
        if not os.path.isdir(wanted):
            why = f"TMPDIR [{wanted}] is not a directory"
        elif os.access(wanted, os.W_OK, effective_ids=True):
            return []
        else:
            why = f"TMPDIR [{wanted}] is not writeable"
    except (OSError, ValueError) as problem:
        why = f"Unable to create TMPDIR [{wanted}]: {getattr(problem, 'strerror', None) or problem}"
    env["TMPDIR"] = default
    return [why, f"Setting TMPDIR to {default}"]
