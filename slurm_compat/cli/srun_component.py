"""One component of a step as srun asks for it: checked, with its files open and its environment ready."""

from __future__ import annotations

import errno
import os

import msgspec

from slurm_compat.cli import (
    jobenv,
    srun_bcast,
    srun_bind,
    srun_environment,
    srun_het,
    srun_request,
    srun_streams,
    terminal,
    where,
)
from slurm_compat.cli.allocation import Job
from slurm_compat.cli.batchopts import COMMAND_LINE, Parsed
from slurm_compat.cli.context import Context
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_part import Options, Wanted, pattern_values
from slurm_compat.core import multiprog
from slurm_compat.core.errors import CommandError
from slurm_compat.core.folded import folded
from slurm_compat.core.model import JobRequest, StepRequest

UNTOLD = ("SLURM_HINT", "SLURM_GPUS_PER_TASK")  # salloc tells of these, srun does not


class Component:
    """What is asked of one component: a plain step has one."""

    def __init__(self, ctx: Context, request: JobRequest, parsed: Parsed, own: bool) -> None:
        self.ctx = ctx
        self.request = request
        self.parsed = parsed
        self.attrs = parsed.attrs
        self.argv = parsed.rest
        self.own = own  # the allocation was made for this step
        self.job: Job = {}
        self.beside: list[Job] = []  # of a heterogeneous step: all components' jobs, this one's too
        self.kill_wait = 30.0
        self.bound: dict[str, str] = {}  # what tasks are told of their binding

    def prepare(self, beside: srun_streams.Outputs | None) -> tuple[int, Wanted]:
        """Check, open its files and listen; the descriptor that is forwarded to it, and what to ask the controller.

        `beside`: the streams of the step's first component, whose input alone is srun's.
        """
        request, attrs = self.request, self.attrs
        nodes_told = "--nodes" if self.parsed.given.get("nodes") == COMMAND_LINE else "SLURM_JOB_NUM_NODES"
        found = srun_request.step_counts(request, attrs.get("relative"), int(self.job["node_count"]), nodes_told)
        for line in found.warnings:
            self.ctx.err(f"srun: warning: {line}")
        of_job = "" if self.own else self.ctx.env.get("SLURM_CPUS_PER_TASK", "")
        if of_job.isdigit() and (request.cpus_per_task or 0) > int(of_job):
            counts = f"({request.cpus_per_task} > {of_job})"
            self.ctx.err(
                f"srun: Job step's --cpus-per-task value exceeds that of job {counts}. Job step may never run."
            )
        self.ctx.stderr.flush()
        srun_request.checked_nodes(request, str(self.job["nodes"]))
        if attrs.get("verbose"):
            cpus = folded(entry[1] for entry in self.job["job_resources"])
            counted = ",".join(part if "(" in part else f"{part}(x1)" for part in cpus.split(","))
            where_ = f"nodes({self.job['node_count']}):`{self.job['nodes']}'"
            self.ctx.err(f"srun: jobid {self.job['job_id']}: {where_}, cpu counts: {counted}")
            if request.cpus_per_task is not None and not (attrs.get("exact") or attrs.get("whole")):
                self.ctx.err("srun: Implicitly setting --exact, because -c/--cpus-per-task given.")
            self.ctx.stderr.flush()
        step = srun_request.step_request(request, attrs, found, self.argv)
        if step.pty and not os.isatty(0):
            self.ctx.error("ioctl(TIOCGWINSZ): Inappropriate ioctl for device")
            self.ctx.error("Not using a pseudo-terminal, disregarding --pty option")
            step = msgspec.structs.replace(step, pty=False)
        if attrs.get("multi_prog"):
            step = msgspec.structs.replace(step, multi_prog=self._multi_prog(found.tasks or 1))
        wishes = srun_bind.wishes(attrs, request, self.parsed.request.tasks_per_gpu)
        for line in wishes.notes:
            self.ctx.err(f"srun: {line}")
        step = msgspec.structs.replace(
            step, cpu_bind=wishes.cpu_bind, mem_bind=wishes.mem_bind, tres_bind=wishes.tres_bind,
            threads_per_core=1 if wishes.one_thread else request.threads_per_core,
        )  # fmt: skip
        self.bound = wishes.environment
        if "bcast" in attrs:
            target = str(attrs["bcast"])
            copy = srun_bcast.broadcast(self.ctx, self.job, self.argv[0], target, request.current_working_directory)
            step = msgspec.structs.replace(step, argv=[copy.path, *self.argv[1:]], by_node=copy.by_node)
        step, stdin, outputs = self._streams(step, found.tasks or 1, beside)
        step = msgspec.structs.replace(
            step, name=self._step_name(), mpi=str(attrs.get("mpi") or ""),
            winsize=terminal.size() if step.pty else None, srun_pid=os.getpid(), srun_host=request.allocating_node,
        )  # fmt: skip
        if attrs.get("external_launcher"):
            # mpirun's daemons: they share what the job has with the steps beside them
            step = msgspec.structs.replace(step, overlap=True, memory_per_cpu=None)
        listener = Listener(self.ctx.env)
        step = msgspec.structs.replace(
            step, environment=jobenv.block(self._environment(step, listener)), srun_ports=[listener.port]
        )
        return stdin, Wanted(self.job, step, self._options(), outputs, listener, wishes.shown)

    def _options(self) -> Options:
        attrs = self.attrs
        return Options(
            label=bool(attrs.get("label")),
            quiet=bool(attrs.get("quiet")),
            verbose=int(attrs.get("verbose") or 0),
            kill_on_bad_exit=bool(attrs.get("kill_on_bad_exit")),
            wait=int(attrs.get("wait") or 0),
            kill_wait=self.kill_wait,
            immediate=self.request.immediate is not None,
            quit_on_interrupt=bool(attrs.get("quit_on_interrupt")),
            disable_status=bool(attrs.get("disable_status")),
        )

    def _step_name(self) -> str:
        return self.request.name or os.path.basename(self.argv[0])

    def _multi_prog(self, tasks: int) -> list[tuple[str, list[str]]]:
        name = self.argv[0]
        try:
            with open(os.path.join(self.ctx.cwd, name), encoding="utf-8", errors="surrogateescape") as file:
                return multiprog.parse(file.read(), tasks, name)
        except OSError:
            raise CommandError(f"srun: error: Could not open multi_prog config file {name}") from None
        except multiprog.BadLine as problem:
            raise CommandError(*(f"srun: error: {line}" for line in problem.lines)) from None

    def _streams(
        self, step: StepRequest, tasks: int, beside: srun_streams.Outputs | None
    ) -> tuple[StepRequest, int, srun_streams.Outputs]:
        """Which files are opened here and which by the agents; the descriptor that is forwarded as input, or -1."""
        request = self.request
        values = pattern_values(self.job)
        given = srun_streams.plan(request.standard_input, tasks)
        out = srun_streams.plan(request.standard_output, tasks)
        err = srun_streams.plan(request.standard_error, tasks) if request.standard_error else None
        if beside is not None and given.step in ("", "all"):
            given = srun_streams.Plan("none", "")  # srun's input is the first component's
            step = msgspec.structs.replace(step, pty=False)
        stdin = -1
        if given.path:
            path = srun_streams.expand(given.path, values, self.ctx.cwd)
            stdin = srun_streams.open_input("srun", path)
        elif given.step in ("", "all") or given.step.isdigit():
            stdin = 0
        outputs = srun_streams.Outputs(
            "srun", out.path, err.path if err else None, request.open_mode.startswith("a"), self.ctx.cwd, beside
        )
        outputs.open(values, step_known=False)
        step = msgspec.structs.replace(
            step, standard_input=given.step, standard_output=out.step, standard_error=err.step if err else out.step
        )
        return step, stdin, outputs

    def _environment(self, step: StepRequest, listener: Listener) -> dict[str, str]:
        ctx, request, attrs = self.ctx, self.request, self.attrs
        env = jobenv.exported(ctx.env, request.export if "export" in self.parsed.given else None, ctx.error)
        told = srun_environment.of_request(request)
        env |= jobenv.MPI_LAUNCHERS | {name: text for name, text in told.items() if name not in UNTOLD}
        env |= srun_environment.distribution(request, step.tasks or 1, step.minimum_nodes or 1, alone=self.own)
        tasks_per_node = [1] * int(self.job["node_count"])  # the agents put the step's own in its place
        of_job = srun_environment.of_allocation(self.job, tasks_per_node)
        if self.own:
            env |= srun_environment.of_submitter(ctx.cwd, request.allocating_node) | of_job
            if file := where.cluster_file(ctx.env):
                env["SLURM_CONF"] = file
        else:
            env = of_job | env
        if step.tasks_per_node is None:
            env.pop("SLURM_NTASKS_PER_NODE", None)
        if "SLURM_JOB_NAME" not in ctx.env and not self.own:
            env["SLURM_JOB_NAME"] = self._step_name()
        env |= self.bound
        if attrs.get("label"):
            env["SLURM_LABELIO"] = "1"
        if self.beside:
            env.pop("SLURM_TRES_PER_TASK", None)
            env |= srun_het.of_whole(self.beside) | (srun_het.of_own_job(self.beside) if self.own else {})
        env |= srun_environment.of_step(
            listener.host, listener.port, int(attrs.get("verbose") or 0), int(attrs.get("quiet") or 0),
            request.umask, os.getpriority(os.PRIO_PROCESS, 0),
        )  # fmt: skip
        return env

    def helper(self, which: str) -> None:
        """--prolog and --epilog run here, beside srun."""
        path = self.attrs.get(which)
        if not path or path == "none":
            return
        try:
            os.stat(path)
            if not os.access(path, os.R_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as problem:
            self.ctx.err(f"srun: Access denied for {path}: {problem.strerror}")
            return
        try:
            pid = os.posix_spawn(str(path), [str(path), *self.argv], dict(self.ctx.env))
            os.waitpid(pid, 0)
        except OSError as problem:
            self.ctx.error(f"Failed to execute srun prolog/epilog script: {problem.strerror}")
