"""srun: run a parallel step, in the allocation this command is in or in one made for it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from typing import Any

import msgspec

from slurm_compat.cli import (
    allocation,
    batchopts,
    help,
    jobenv,
    srun_het,
    srun_request,
    terminal,
)
from slurm_compat.cli.allocation import Allocation, Interrupted, SrunWords, info
from slurm_compat.cli.batchopts import Parsed
from slurm_compat.cli.caller import this_process
from slurm_compat.cli.clusters import cluster_named
from slurm_compat.cli.context import Context
from slurm_compat.cli.exitcodes import own_error_code
from slurm_compat.cli.forwarding import refuse_x11
from slurm_compat.cli.signalpipe import SignalPipe, caught
from slurm_compat.cli.srun_component import Component
from slurm_compat.cli.srun_step import NotCreated, StepRun
from slurm_compat.cli.verbose import options_given
from slurm_compat.core import errors, jobid, states
from slurm_compat.core.errors import BadValue, CannotCarry, CommandError, SlurmError
from slurm_compat.core.model import JobRequest
from slurm_compat.core.optionvalues import RLIMITS
from slurm_compat.core.timefmt import clock

CAUGHT = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
    signal.SIGALRM, signal.SIGPIPE, signal.SIGWINCH,
)  # fmt: skip

JOB_FIELDS = [
    "job_id", "array_job_id", "array_task_id", "name", "user_name", "account", "partition", "qos", "cluster",
    "job_state", "nodes", "node_count", "job_resources", "resv_name", "licenses", "licenses_allocated",
]  # fmt: skip


def main(ctx: Context) -> int:
    components = srun_het.size(ctx.env)
    warn = silent if components else ctx.err  # there each part is read again, as its component reads it
    parsed = batchopts.parse("srun", ctx.argv[1:], ctx.env, uid=ctx.uid, now=ctx.now(), cwd=ctx.cwd, warn=warn)
    if (answered := help.answer(ctx, parsed)) is not None:
        return answered
    if parsed.attrs.get("mpi") == "list":
        for line in srun_request.mpi_list():
            ctx.out(line)
        return 0
    with own_error_code(ctx):
        return _step(ctx, parsed, components)


def _step(ctx: Context, parsed: Parsed, components: int) -> int:
    asked = [_checked(one) for one in _with_commands(parsed)]
    refuse_x11(ctx, parsed)
    groups = [one.attrs.get("het_group") for one in asked]
    placed: list[tuple[Context, Parsed]] = [(ctx, one) for one in asked]
    if parsed.given.get("jobid") == batchopts.COMMAND_LINE and str(parsed.attrs["jobid"]) != ctx.env.get(
        "SLURM_JOB_ID"
    ):
        components = 0  # another job than the one around us
    told = [group for group in groups if group is not None]
    if told and not parsed.attrs.get("jobid"):
        for text in told:
            srun_het.groups(text)
        raise CommandError("srun: error: --het-group expected to be used within an HetJob allocation")
    if parsed.attrs.get("jobid") and (components or told or len(asked) > 1):
        if len(asked) > 1 and not components:
            raise CannotCarry("srun", "a step of several programs in a job without components", "use --multi-prog")
        placed = [_in_component(ctx, group, part) for group, part in srun_het.places(groups, components)]
    for _, one in placed:
        _tell_options(ctx, one)
    if "clusters" in parsed.texts:
        cluster_named(ctx, parsed.request.clusters)
    wanted = [Component(place, _completed(place, one), one, own=False) for place, one in placed]
    if parsed.attrs.get("test_only"):
        return max(_tested(one.ctx, one.request) for one in wanted)
    for component in wanted:
        _tell_compression(ctx, component.attrs.get("compress"))
    if "relative" in parsed.attrs and not parsed.attrs.get("jobid"):
        raise CommandError("srun: fatal: --relative option invalid for job allocation request")
    ignored = set(parsed.attrs.get("ignore_signals") or ())
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    with caught(number for number in CAUGHT if number not in ignored) as signals:
        if not parsed.attrs.get("jobid"):
            return _alone(ctx, wanted, signals)
        for component in wanted:
            component.job = _job_of(ctx, str(component.attrs["jobid"]))
            if component.parsed.given.get("job-name") != batchopts.COMMAND_LINE:
                # SLURM_JOB_NAME is the job's name, not the step's
                component.request = msgspec.structs.replace(component.request, name="")
        return _Srun(ctx, wanted, signals, None).run()


def _tell_compression(ctx: Context, library: str | None) -> None:
    if library and library.lower() not in ("lz4", "none"):
        ctx.error(f"Compression type '{library}' unknown, disabling compression support.")


def silent(line: str) -> None:
    """For warnings that are given elsewhere."""


def _with_commands(parsed: Parsed) -> list[Parsed]:
    """All parts of the command line. One without a command runs that of the next."""
    parts = [parsed, *parsed.components]
    for before, after in zip(parts[-2::-1], parts[::-1], strict=False):
        before.rest = before.rest or after.rest
    return parts


def _checked(parsed: Parsed) -> Parsed:
    """One component's options, with what this srun can't do refused by name."""
    if not parsed.rest and not parsed.attrs.get("test_only"):
        raise CommandError("srun: fatal: No command given to execute.")
    if parsed.attrs.get("send_libs") and "bcast" in parsed.attrs:
        raise CannotCarry("srun", "--send-libs with --bcast", "put the program on a file system that all nodes share")
    if parsed.attrs.get("mpi") is not None:
        srun_request.check_mpi(str(parsed.attrs["mpi"]))
    if parsed.attrs.get("pty_fd"):
        raise CannotCarry("srun", "--pty=descriptor", "redirect the descriptor to standard input and use --pty")
    return parsed


def _in_component(ctx: Context, group: int, part: int) -> tuple[Context, Parsed]:
    """The command line's part as it reads where that component of the job is all of it."""
    place = dataclasses.replace(ctx, env=srun_het.component_environment(ctx.env, group))
    warn = silent if part else ctx.err
    parsed = batchopts.parse("srun", ctx.argv[1:], place.env, uid=ctx.uid, now=ctx.now(), cwd=ctx.cwd, warn=warn)
    parsed = _checked(_with_commands(parsed)[part])
    # what the options did not name is the component's own job
    if parsed.given.get("jobid") == batchopts.COMMAND_LINE:
        parsed.attrs["jobid"] = place.env["SLURM_JOB_ID"]
    return place, parsed


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
        submit_line=" ".join(ctx.command_line),
        argv=list(parsed.rest),
        allocating_node=caller.host,
        allocating_sid=ctx.sid,
    )


def _job_of(ctx: Context, text: str) -> dict[str, Any]:
    """The job a step is wanted in. Raises CommandError when there is none that could take it."""
    try:
        wanted = jobid.parse(text)
    except BadValue as problem:
        why = problem if text[:1].strip("0").isdigit() else "JobID can not be zero"
        raise CommandError(f"srun: fatal: Bad job/step specified: {text}: {why}") from None
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


def _alone(ctx: Context, wanted: list[Component], signals: SignalPipe) -> int:
    """Make an allocation, run the step in it, give it back however that ends."""
    quiet = bool(wanted[0].attrs.get("quiet"))
    for one in wanted:
        allocation.refuse_empty(ctx, SrunWords, one.parsed.texts)
        one.own = True
        name = one.request.name or os.path.basename(one.argv[0])
        one.request = msgspec.structs.replace(one.request, name=name)
    request = msgspec.structs.replace(wanted[0].request, het_components=[one.request for one in wanted[1:]])
    try:
        granted = allocation.allocate(ctx, request, jobenv.block(ctx.env), SrunWords, signals, quiet=quiet)
    except Interrupted as interrupted:
        if interrupted.number == signal.SIGINT:
            info(ctx, quiet, f"Force Terminated JobId={interrupted.job_id}")
        info(ctx, quiet, f"Job allocation {interrupted.job_id} has been revoked")
        return 1
    for one, job in zip(wanted, granted.jobs, strict=True):
        one.job = job
    if wanted[0].attrs.get("verbose"):
        if len(wanted) == 1:
            info(ctx, quiet, f"JobId={granted.job_id} returned by the controller")
        info(ctx, quiet, "Waiting for resource configuration")
        for one in wanted:
            info(ctx, quiet, f"Nodes {one.job['nodes']} are ready for job")
    status = 256
    try:
        srun = _Srun(ctx, wanted, signals, granted)
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

    def __init__(self, ctx: Context, components: list[Component], signals: SignalPipe, own: Allocation | None) -> None:
        self._ctx = ctx
        self._components = components
        self._first = components[0]
        self._signals = signals
        self._own = own
        self.status = 256  # a wait status, for the allocation

    def run(self) -> int:
        for one in self._components:
            if self._own:
                one.kill_wait = self._own.kill_wait
            if len(self._components) > 1:
                one.beside = [other.job for other in self._components]
        stdin, first = self._first.prepare(None)
        others = [one.prepare(first.outputs)[1] for one in self._components[1:]]
        run = StepRun(
            self._ctx, first.job, first.request, first.options, first.outputs, stdin, first.listener, self._signals,
            self._own, others, first.cpu_bind,
        )  # fmt: skip
        self._first.helper("prolog")
        raw = terminal.raw(0) if first.request.pty else contextlib.nullcontext()
        try:
            with raw:
                code = run.run()
        except NotCreated:
            return 1
        finally:
            self.status = run.status
        self._first.helper("epilog")
        return code
