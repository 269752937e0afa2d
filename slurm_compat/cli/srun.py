"""srun: run a parallel step, in the allocation this command is in or in one made for it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Mapping
from typing import Any

import msgspec

from slurm_compat.cli import (
    allocation,
    batchopts,
    help,
    jobenv,
    srun_environment,
    srun_het,
    srun_request,
    srun_streams,
    terminal,
    where,
)
from slurm_compat.cli.allocation import Allocation, Interrupted, SrunWords, info
from slurm_compat.cli.batchopts import Parsed
from slurm_compat.cli.caller import this_process
from slurm_compat.cli.context import Context
from slurm_compat.cli.signalpipe import SignalPipe, caught
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_step import NotCreated, Options, StepRun
from slurm_compat.cli.verbose import options_given
from slurm_compat.core import errors, jobid, multiprog, states
from slurm_compat.core.errors import BadValue, CannotCarry, CommandError, SlurmError
from slurm_compat.core.model import JobRequest, StepRequest
from slurm_compat.core.optionvalues import RLIMITS
from slurm_compat.core.timefmt import clock

Job = Mapping[str, Any]

CAUGHT = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
    signal.SIGALRM, signal.SIGPIPE, signal.SIGWINCH,
)  # fmt: skip

JOB_FIELDS = [
    "job_id", "array_job_id", "array_task_id", "name", "user_name", "account", "partition", "qos", "cluster",
    "job_state", "nodes", "node_count", "job_resources", "resv_name", "licenses", "licenses_allocated",
]  # fmt: skip


def main(ctx: Context) -> int:
    parsed = batchopts.parse("srun", ctx.argv[1:], ctx.env, uid=ctx.uid, now=ctx.now(), cwd=ctx.cwd, warn=ctx.err)
    if (told := help.answer(ctx, parsed)) is not None:
        return told
    attrs = parsed.attrs
    if attrs.get("mpi") == "list":
        for line in srun_request.mpi_list():
            ctx.out(line)
        return 0
    if not parsed.rest:
        raise CommandError("srun: fatal: No command given to execute.")
    if attrs.get("mpi") is not None:
        srun_request.check_mpi(str(attrs["mpi"]))
    _refuse(parsed)
    if (text := attrs.get("het_group")) and not ctx.env.get(IN_COMPONENT):
        env = srun_het.component_environment(ctx.env, srun_het.group(str(text)))
        return main(dataclasses.replace(ctx, env=env | {IN_COMPONENT: "1"}))
    _tell_options(ctx, parsed)
    request = _completed(ctx, parsed)
    if attrs.get("test_only"):
        return _tested(ctx, request)
    ignored = set(attrs.get("ignore_signals") or ())
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    with caught(number for number in CAUGHT if number not in ignored) as signals:
        if attrs.get("jobid"):
            job = _job_of(ctx, str(attrs["jobid"]))
            if parsed.given.get("job-name") != batchopts.COMMAND_LINE:
                # SLURM_JOB_NAME is the job's name, not the step's
                request = msgspec.structs.replace(request, name="")
            return _Srun(ctx, request, attrs, parsed.rest, job, signals, None).run()
        return _alone(ctx, request, attrs, parsed.rest, signals)


IN_COMPONENT = "_SLURM_COMPAT_COMPONENT"  # --het-group was heeded: the environment is its component's


def _refuse(parsed: Parsed) -> None:
    """What this srun can't do, by name."""
    if parsed.components:
        raise CannotCarry("srun", "a heterogeneous step", "start one srun for each component, in the background with &")
    if parsed.attrs.get("pty_fd"):
        raise CannotCarry("srun", "--pty=descriptor", "redirect the descriptor to standard input and use --pty")


def _tell_options(ctx: Context, parsed: Parsed) -> None:
    """-v begins with the options that were given."""
    if parsed.attrs.get("verbose"):
        if parsed.attrs.get("quiet"):
            raise CommandError("srun: error: don't specify both --verbose (-v) and --quiet (-Q)")
        for line in options_given("srun", parsed):
            ctx.err(f"srun: {line}")


def _tested(ctx: Context, request: JobRequest) -> int:
    """--test-only: when and where it would start."""
    try:
        answer = ctx.controller.call("will_run", request=request)
    except SlurmError as problem:
        for note in problem.notes:
            ctx.error(note)
        raise CommandError(f"allocation failure: {problem.text}") from None
    ctx.err(
        f"srun: Job {answer['job_id']} to start at {clock(answer['start_time'])} a using {answer['cpus']} processors"
        f" on nodes {answer['nodes']} in partition {answer['partition']}"
    )
    return 0


def _completed(ctx: Context, parsed: Parsed) -> JobRequest:
    """The request with what it takes from this process."""
    caller = this_process(ctx.cwd, ctx.env, parsed.attrs.get("propagate", RLIMITS))
    return msgspec.structs.replace(
        srun_request.own_tasks(parsed.request, parsed.given),
        umask=caller.umask,
        rlimits=caller.rlimits,
        submit_line=" ".join(ctx.argv),
        argv=list(parsed.rest),
        allocating_node=caller.host,
        allocating_sid=ctx.sid,
    )


def _job_of(ctx: Context, text: str) -> dict[str, Any]:
    """The job a step is wanted in. Raises CommandError when there is none that could take it."""
    try:
        wanted = jobid.parse(text)
    except BadValue as problem:
        raise CommandError(f"srun: fatal: Bad job/step specified: {text}: {problem}") from None
    try:
        rows = [dict(zip(JOB_FIELDS, row, strict=True)) for row in ctx.controller.rows(
            "jobs", JOB_FIELDS, job_ids=[wanted.job_id])]  # fmt: skip
    except SlurmError as problem:
        raise _not_confirmed(text, problem) from None
    if wanted.tasks:
        rows = [row for row in rows if row["array_task_id"] is not None and wanted.has_task(row["array_task_id"])]
    row = next((row for row in rows if row["job_id"] == wanted.job_id), rows[0] if rows else None)
    if row is None:
        raise _not_confirmed(text, SlurmError(errors.INVALID_JOB_ID))
    if row["job_state"] == states.PENDING:
        raise _not_confirmed(text, SlurmError(errors.JOB_PENDING))
    if row["job_state"] in states.FINAL:
        raise _not_confirmed(text, SlurmError(errors.ALREADY_DONE))
    return row


def _not_confirmed(text: str, problem: SlurmError) -> CommandError:
    lines = [f"srun: error: Unable to confirm allocation for job {text}: {problem.text}"]
    if problem.number in (errors.INVALID_JOB_ID, errors.ALREADY_DONE):
        lines.append(f"srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {text}")
    return CommandError(*lines)


def _alone(ctx: Context, request: JobRequest, attrs: Mapping[str, Any], argv: list[str], signals: SignalPipe) -> int:
    """Make an allocation, run the step in it, give it back however that ends."""
    quiet = bool(attrs.get("quiet"))
    wanted = msgspec.structs.replace(request, name=request.name or os.path.basename(argv[0]))
    try:
        granted = allocation.allocate(ctx, wanted, jobenv.block(ctx.env), SrunWords, signals, quiet=quiet)
    except Interrupted as interrupted:
        if interrupted.number == signal.SIGINT:
            info(ctx, quiet, f"Force Terminated JobId={interrupted.job_id}")
        info(ctx, quiet, f"Job allocation {interrupted.job_id} has been revoked")
        return 1
    status = 256
    try:
        srun = _Srun(ctx, wanted, attrs, argv, granted.job, signals, granted)
        code = srun.run()
        status = srun.status
        return code
    finally:
        # the connection's end would do, but then the job's exit code would not be known
        with contextlib.suppress(SlurmError, Exception):
            if not granted.revoked:
                ctx.controller.call("complete_allocation", job_id=granted.job_id, exit_code=status)
        granted.close()


class _Srun:
    """One step, from its request to its exit code."""

    def __init__(
        self, ctx: Context, request: JobRequest, attrs: Mapping[str, Any], argv: list[str], job: Job,
        signals: SignalPipe, own: Allocation | None,
    ) -> None:  # fmt: skip
        self._ctx = ctx
        self._request = request
        self._attrs = attrs
        self._argv = argv
        self._job = dict(job)
        self._signals = signals
        self._own = own
        self._listener: Listener | None = None
        self.status = 256  # a wait status, for the allocation

    def run(self) -> int:
        request, attrs = self._request, self._attrs
        found = srun_request.step_counts(request, attrs.get("relative"), int(self._job["node_count"]))
        for line in found.warnings:
            self._ctx.err(f"srun: warning: {line}")
        self._ctx.stderr.flush()
        srun_request.checked_nodes(request, str(self._job["nodes"]))
        if attrs.get("verbose"):
            cpus = srun_environment.fold(entry[1] for entry in self._job["job_resources"])
            counted = ",".join(part if "(" in part else f"{part}(x1)" for part in cpus.split(","))
            where_ = f"nodes({self._job['node_count']}):`{self._job['nodes']}'"
            self._ctx.err(f"srun: jobid {self._job['job_id']}: {where_}, cpu counts: {counted}")
        step = srun_request.step_request(request, attrs, found, self._argv)
        if attrs.get("multi_prog"):
            step = msgspec.structs.replace(step, multi_prog=self._multi_prog(found.tasks or 1))
        step, stdin, outputs = self._streams(step, found.tasks or 1)
        step = msgspec.structs.replace(
            step, name=self._step_name(), mpi=str(attrs.get("mpi") or ""),
            winsize=terminal.size() if step.pty else None, srun_pid=os.getpid(), srun_host=request.allocating_node,
        )  # fmt: skip
        if attrs.get("external_launcher"):
            # mpirun's daemons: they share what the job has with the steps beside them
            step = msgspec.structs.replace(step, overlap=True)
        self._listener = Listener(self._ctx.env)
        step = msgspec.structs.replace(
            step, environment=jobenv.block(self._environment(step)), srun_ports=[self._listener.port]
        )
        return self._run(step, stdin, outputs)

    def _run(self, step: StepRequest, stdin: int, outputs: srun_streams.Outputs) -> int:
        assert self._listener is not None
        options = self._options()
        run = StepRun(
            self._ctx, self._job, step, options, outputs, stdin, self._listener,
            self._signals, self._own,
        )  # fmt: skip
        self._helper("prolog")
        raw = terminal.raw(0) if step.pty else contextlib.nullcontext()
        try:
            with raw:
                code = run.run()
        except NotCreated:
            return 1
        finally:
            self.status = run.status
        self._helper("epilog")
        return code

    def _options(self) -> Options:
        attrs = self._attrs
        return Options(
            label=bool(attrs.get("label")),
            quiet=bool(attrs.get("quiet")),
            verbose=int(attrs.get("verbose") or 0),
            kill_on_bad_exit=bool(attrs.get("kill_on_bad_exit")),
            wait=int(attrs.get("wait") or 0),
            kill_wait=self._own.kill_wait if self._own else 30.0,
            immediate=self._request.immediate is not None,
            quit_on_interrupt=bool(attrs.get("quit_on_interrupt")),
            disable_status=bool(attrs.get("disable_status")),
        )

    def _step_name(self) -> str:
        return self._request.name or os.path.basename(self._argv[0])

    def _multi_prog(self, tasks: int) -> list[tuple[str, list[str]]]:
        name = self._argv[0]
        try:
            with open(os.path.join(self._ctx.cwd, name), encoding="utf-8", errors="surrogateescape") as file:
                return multiprog.parse(file.read(), tasks, name)
        except OSError:
            raise CommandError(f"srun: error: Could not open multi_prog config file {name}") from None
        except multiprog.BadLine as problem:
            raise CommandError(*(f"srun: error: {line}" for line in problem.lines)) from None

    def _streams(self, step: StepRequest, tasks: int) -> tuple[StepRequest, int, srun_streams.Outputs]:
        """Which files are opened here and which by the agents; the descriptor that is forwarded as input, or -1."""
        request = self._request
        values = StepRun.pattern_values(self._job)
        given = srun_streams.plan(request.standard_input, tasks)
        out = srun_streams.plan(request.standard_output, tasks)
        err = srun_streams.plan(request.standard_error, tasks) if request.standard_error else None
        stdin = -1
        if given.path:
            path = srun_streams.expand(given.path, values, self._ctx.cwd)
            stdin = srun_streams.open_input("srun", path)
        elif given.step in ("", "all") or given.step.isdigit():
            stdin = 0
        outputs = srun_streams.Outputs(
            "srun", out.path, err.path if err else None, request.open_mode.startswith("a"), self._ctx.cwd
        )
        outputs.open(values, step_known=False)
        step = msgspec.structs.replace(
            step, standard_input=given.step, standard_output=out.step, standard_error=err.step if err else out.step
        )
        return step, stdin, outputs

    def _environment(self, step: StepRequest) -> dict[str, str]:
        assert self._listener is not None
        ctx, request, attrs = self._ctx, self._request, self._attrs
        env = jobenv.exported(ctx.env, request.export or None, ctx.error)
        env.pop(IN_COMPONENT, None)
        if request.export and request.export.upper() != "ALL":
            env["SLURM_EXPORT_ENV"] = request.export
        env |= jobenv.MPI_LAUNCHERS | srun_environment.of_request(request)
        env |= srun_environment.distribution(
            request, step.tasks or 1, step.minimum_nodes or 1, alone=self._own is not None
        )
        tasks_per_node = [1] * int(self._job["node_count"])  # the agents put the step's own in its place
        of_job = srun_environment.of_allocation(self._job, tasks_per_node)
        if self._own is not None:
            env |= srun_environment.of_submitter(ctx.cwd, request.allocating_node) | of_job
            if file := where.cluster_file(ctx.env):
                env["SLURM_CONF"] = file
        else:
            env = of_job | env
        if step.tasks_per_node is None:
            env.pop("SLURM_NTASKS_PER_NODE", None)
        if "SLURM_JOB_NAME" not in ctx.env and self._own is None:
            env["SLURM_JOB_NAME"] = self._step_name()
        env |= srun_environment.of_step(
            self._listener.host, self._listener.port, int(attrs.get("verbose") or 0), int(attrs.get("quiet") or 0),
            request.umask, os.getpriority(os.PRIO_PROCESS, 0),
        )  # fmt: skip
        return env

    def _helper(self, which: str) -> None:
        """--prolog and --epilog run here, beside srun."""
        path = self._attrs.get(which)
        if not path or path == "none":
            return
        try:
            pid = os.posix_spawnp(str(path), [str(path)], dict(self._ctx.env))
            os.waitpid(pid, 0)
        except OSError as problem:
            self._ctx.error(f"can't execute {which} {path}: {problem.strerror}")
