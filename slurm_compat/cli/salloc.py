"""salloc: an allocation, and a command or a shell within it."""

from __future__ import annotations

import contextlib
import os
import pwd
import selectors
import signal
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from slurm_compat.cli import allocation, batchopts, help, jobenv, srun_environment, srun_het, where
from slurm_compat.cli.allocation import Allocation, Interrupted, SallocWords, info
from slurm_compat.cli.batchopts import Parsed
from slurm_compat.cli.clusters import cluster_named
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.exitcodes import error_code, own_error_code
from slurm_compat.cli.forwarding import refuse_x11
from slurm_compat.cli.signalpipe import SignalPipe, caught
from slurm_compat.cli.verbose import options_given
from slurm_compat.core.errors import NO_WORKING_DIRECTORY, TEXT, CommandError, SlurmError
from slurm_compat.core.model import JobRequest

CAUGHT = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGCHLD, signal.SIGTSTP,
)  # fmt: skip
GIVING_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)  # sent to salloc alone, they end the allocation
DEFAULT_NAME = "interactive"


def main(ctx: Context) -> int:
    parsed = batchopts.parse("salloc", ctx.argv[1:], ctx.env, uid=ctx.uid, now=ctx.now(), cwd=ctx.cwd, warn=ctx.err)
    if (told := help.answer(ctx, parsed)) is not None:
        return told
    refuse_x11(ctx, parsed)
    with own_error_code(ctx):
        return _allocated(ctx, parsed)


def _allocated(ctx: Context, parsed: Parsed) -> int:
    attrs = parsed.attrs
    quiet = bool(attrs.get("quiet"))
    argv = list(parsed.rest)
    if attrs.get("verbose"):
        for one in (parsed, *parsed.components):
            for line in options_given("salloc", one):
                ctx.err(f"salloc: {line}")
    if "chdir" in parsed.texts:
        try:
            os.chdir(parsed.request.current_working_directory)
        except OSError as problem:
            text = f"chdir({parsed.request.current_working_directory}): {problem.strerror}"
            raise CommandError(f"salloc: error: {text}") from None
    if "clusters" in parsed.texts:
        cluster_named(ctx, parsed.request.clusters)
    for one in (parsed, *parsed.components):
        allocation.refuse_empty(ctx, SallocWords, one.texts)
    requests = [_completed(ctx, one, argv) for one in (parsed, *parsed.components)]
    request = msgspec.structs.replace(requests[0], het_components=requests[1:])
    if not request.current_working_directory:
        raise CommandError(f"salloc: error: Job submit/allocate failed: {TEXT[NO_WORKING_DIRECTORY]}")
    detached = any(one.attrs.get("no_shell") for one in (parsed, *parsed.components))
    with caught(CAUGHT) as signals:
        try:
            granted = allocation.allocate(
                ctx, request, jobenv.block(ctx.env), SallocWords, signals, quiet=quiet, detached=detached
            )
        except Interrupted as interrupted:
            info(ctx, quiet, "Job aborted due to signal")
            info(ctx, quiet, f"Job allocation {interrupted.job_id} has been revoked.")
            return 1
        if attrs.get("verbose"):
            info(ctx, quiet, f"JobId={granted.job_id} returned by the controller")
        info(ctx, quiet, f"Granted job allocation {granted.job_id}")
        for job in granted.jobs:
            info(ctx, quiet, f"Nodes {job['nodes']} are ready for job")
        if attrs.get("bell") == "always" and ctx.stdout.isatty():
            ctx.stdout.write("\a")
        if detached:
            granted.close()
            return 0
        return _Command(ctx, request, attrs, granted, signals, quiet).run(argv)


def _completed(ctx: Context, parsed: Parsed, argv: list[str]) -> JobRequest:
    request = parsed.request
    return msgspec.structs.replace(
        request,
        name=request.name or DEFAULT_NAME,
        submit_line=" ".join(ctx.command_line),
        argv=argv,
        allocating_node=socket.gethostname(),
        allocating_sid=ctx.sid,
    )


class _Command:
    """The command within the allocation: a job of the terminal, as a shell would start it."""

    def __init__(
        self, ctx: Context, request: JobRequest, attrs: Mapping[str, Any], granted: Allocation, signals: SignalPipe,
        quiet: bool,
    ) -> None:  # fmt: skip
        self._ctx = ctx
        self._request = request
        self._kill_signal = int(attrs.get("kill_command") or 0)
        self._granted = granted
        self._signals = signals
        self._quiet = quiet
        self._pid = 0
        self._given_back = False

    def run(self, argv: list[str]) -> int:
        argv = argv or [_shell(self._ctx.env)]
        path = _found(argv[0], self._ctx.env)
        status = 0
        if path is None:
            self._ctx.error(f'_fork_command: Unable to find command "{argv[0]}"')
            code = error_code(self._ctx)
            status = 256
        else:
            status = self._wait(self._start(path, argv))
            # a command that a signal ended counts as a good end, as it does with Slurm
            code = os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 0
        if not self._granted.revoked and not self._given_back:
            info(self._ctx, self._quiet, f"Relinquishing job allocation {self._granted.job_id}")
            self._give_back(status)
        self._granted.close()
        return code

    def _environment(self) -> dict[str, str]:
        ctx, request = self._ctx, self._request
        env = dict(ctx.env) | jobenv.MPI_LAUNCHERS
        env |= srun_environment.of_submitter(ctx.cwd, request.allocating_node)
        requests = [request, *request.het_components]
        described = [_of_component(one, job) for one, job in zip(requests, self._granted.jobs, strict=True)]
        if len(described) == 1:
            env |= described[0]
        else:
            env |= _of_components(described)
        if file := where.cluster_file(ctx.env):
            env["SLURM_CONF"] = file
        return env

    def _start(self, path: str, argv: list[str]) -> int:
        self._ctx.stdout.flush()
        self._ctx.stderr.flush()
        environment = self._environment()
        interactive = _owns_terminal()
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                if interactive:
                    os.setpgid(0, 0)
                    _take_terminal(os.getpid())
                for number in (*CAUGHT, signal.SIGPIPE, signal.SIGTTOU, signal.SIGTTIN):
                    if number != signal.SIGKILL:
                        signal.signal(number, signal.SIG_DFL)
                os.execve(path, argv, environment)
            except OSError as problem:
                os.write(2, f"salloc: error: execve({path}): {problem.strerror}\n".encode())
            finally:
                os._exit(127)
        if interactive:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            _take_terminal(pid)
        return pid

    def _wait(self, pid: int) -> int:
        """Until the command has ended: its wait status."""
        self._pid = pid
        selector = selectors.DefaultSelector()
        selector.register(self._signals.fileno(), selectors.EVENT_READ)
        selector.register(self._granted.fileno(), selectors.EVENT_READ)
        try:
            while True:
                done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
                if done and not os.WIFSTOPPED(status):
                    return status
                if done:
                    # the shell above has to see us stop as well; when it goes on, so does the command
                    os.kill(os.getpid(), signal.SIGSTOP)
                    os.killpg(pid, signal.SIGCONT)
                    continue
                ready = [key.fd for key, _ in selector.select()]
                for number in self._signals.read():
                    self._on_signal(number)
                if self._granted.fileno() in ready and not self._still_ours():
                    selector.unregister(self._granted.fileno())
        finally:
            selector.close()
            if _owns_terminal() or os.isatty(0):
                _take_terminal(os.getpgrp())

    def _on_signal(self, number: int) -> None:
        if number in GIVING_BACK:
            self._give_back(256)
        elif number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(self._pid, number)

    def _still_ours(self) -> bool:
        """Something came about the allocation; False when it has ended."""
        try:
            event = self._granted.next()
        except (SlurmError, ControllerDown):
            event = None
        if event is not None:
            return True
        self._granted.revoked = True
        info(self._ctx, self._quiet, f"Job allocation {self._granted.job_id} has been revoked.")
        if self._kill_signal:
            with contextlib.suppress(OSError):
                os.killpg(os.getpgid(self._pid), self._kill_signal)
        return False

    def _give_back(self, status: int) -> None:
        if self._given_back:
            return
        self._given_back = True
        try:
            self._ctx.controller.call("complete_allocation", job_id=self._granted.job_id, exit_code=status)
        except SlurmError as problem:
            if isinstance(problem, ControllerDown):
                self._ctx.error(problem.text)


def _of_component(request: JobRequest, job: Mapping[str, Any]) -> dict[str, str]:
    """What the command finds of one component's request and allocation; a plain job has one."""
    env = srun_environment.of_request(request)
    env |= srun_environment.of_allocation(job, tasks_by_node(job, request))
    tasks = request.tasks
    if tasks is None and request.tasks_per_node:
        tasks = request.tasks_per_node * int(job["node_count"])
    if tasks is not None:
        env["SLURM_NTASKS"] = env["SLURM_NPROCS"] = str(tasks)
    if request.distribution:
        env |= srun_environment.distribution(request, request.tasks or 1, int(job["node_count"]), alone=False)
    return env


def _of_components(described: list[dict[str, str]]) -> dict[str, str]:
    """The same of a heterogeneous job: each component's by its number, and little of them together."""
    first = described[0]
    whole = {name: first[name] for name in ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID")}
    whole["SLURM_HET_SIZE"] = whole["SLURM_PACK_SIZE"] = str(len(described))
    tasks = sum(int(one.get("SLURM_NTASKS", "0")) for one in described)
    if tasks:
        whole["SLURM_NTASKS"] = whole["SLURM_NPROCS"] = str(tasks)
    hidden = {"SLURM_CLUSTER_NAME"}
    return whole | srun_het.by_group([{name: one[name] for name in one.keys() - hidden} for one in described])


def tasks_by_node(job: Mapping[str, Any], request: JobRequest) -> list[int]:
    """How many tasks each node of an allocation has room for, dealt in blocks."""
    rooms = [int(entry[1]) // (request.cpus_per_task or 1) or 1 for entry in job["job_resources"]]
    if request.tasks_per_node:
        return [request.tasks_per_node] * len(rooms)
    if request.tasks is None:
        return rooms
    left = request.tasks - len(rooms)
    counts = []
    for room in rooms:
        more = max(0, min(left, room - 1))
        counts.append(1 + more)
        left -= more
    return counts


def _shell(env: Mapping[str, str]) -> str:
    if shell := env.get("SHELL"):
        return shell
    try:
        return pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    except KeyError:
        return "/bin/sh"


def _found(name: str, env: Mapping[str, str]) -> str | None:
    """The file of a command, by PATH; None when there is none that may be run."""
    if "/" in name:
        return name if os.access(name, os.X_OK) and not os.path.isdir(name) else None
    for folder in env.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def _owns_terminal() -> bool:
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _take_terminal(group: int) -> None:
    """Make a process group the terminal's; doing so from the background would stop us otherwise."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, group)
    signal.signal(signal.SIGTTOU, before)
