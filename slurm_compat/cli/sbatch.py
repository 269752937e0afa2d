"""sbatch: hand a script to the controller."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

from slurm_compat.cli import batchopts, help, jobenv, pbs, script
from slurm_compat.cli.batchopts import Parsed
from slurm_compat.cli.caller import Caller, this_process
from slurm_compat.cli.clusters import cluster_named
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.exitcodes import error_code
from slurm_compat.cli.verbose import options_given
from slurm_compat.core.errors import (
    INVALID_ACCOUNT,
    INVALID_BATCH_FEATURES,
    INVALID_GRES,
    INVALID_GRES_TYPE,
    INVALID_QOS,
    NOT_SUPPORTED,
    PATHNAME_TOO_LONG,
    CommandError,
    SlurmError,
)
from slurm_compat.core.model import JobRequest
from slurm_compat.core.optionvalues import RLIMITS
from slurm_compat.core.timefmt import clock

RETRIES = (0.2, 1.0, 2.0, 4.0)  # seconds between repeats of a call whose answer was lost
# an unset variable in a script makes these: the controller would read them as not given
EMPTY_IS_WRONG = {"account": INVALID_ACCOUNT, "qos": INVALID_QOS, "batch": INVALID_BATCH_FEATURES}
# the real sbatch finds these itself, before it asks the controller, and so has no word about a submission
UNPREFIXED = (INVALID_GRES, INVALID_GRES_TYPE)


def main(ctx: Context) -> int:
    code = 0
    try:
        code = submitted(ctx)
    except SlurmError as problem:
        for note in problem.notes:
            ctx.error(note)
        prefix = "" if problem.number in UNPREFIXED else "Batch job submission failed: "
        ctx.error(prefix + problem.text)
        code = error_code(ctx)
    return code


def submitted(ctx: Context) -> int:
    found: list[script.Script] = []

    def directives(rest: list[str], attrs: dict[str, Any]) -> list[list[str]]:
        found.append(script_of(ctx, rest, attrs))
        groups = script.option_groups(found[0])
        if script.says_packjob(found[0]):
            ctx.err('sbatch: warning: The "packjob" component separator is deprecated. Please use "hetjob" instead.')
        if not (attrs.get("ignore_pbs") or "SBATCH_IGNORE_PBS" in ctx.env):
            foreign = pbs.options(found[0])
            groups[0] = groups[0] + foreign.options
            if attrs.get("verbose"):
                for note in foreign.notes:
                    ctx.err(f"sbatch: {note}")
        return groups

    parsed = batchopts.parse(
        "sbatch", ctx.argv[1:], ctx.env, directives, uid=ctx.uid, now=ctx.now(), cwd=ctx.cwd, warn=ctx.err
    )
    if (told := help.answer(ctx, parsed)) is not None:
        return told
    body = found[0]
    everything = [parsed, *parsed.components]
    if parsed.attrs.get("verbose", 0) > 0:
        for one in everything:
            for line in options_given("sbatch", one):
                ctx.err(f"sbatch: {line}")
    caller = this_process(ctx.cwd, ctx.env, parsed.attrs.get("propagate", RLIMITS))
    environment = environment_of(ctx, parsed, caller)
    requests = [complete(ctx, one, body, caller) for one in everything]
    request = requests[0]
    request.het_components = requests[1:]
    cluster = cluster_named(ctx, request.clusters) if "clusters" in parsed.given else ""
    if parsed.attrs.get("test_only"):
        return tested(ctx, request)
    if len(body.body) > script.MAX_SIZE:
        raise SlurmError(PATHNAME_TOO_LONG)
    answer = call_once(ctx, request=request, script=body.body, environment=environment)
    for line in answer.get("messages", []):
        ctx.err(f"sbatch: {line}")
    announce(ctx, parsed, answer["job_id"], cluster)
    return waited(ctx, answer["job_id"]) if parsed.attrs.get("wait") else 0


def script_of(ctx: Context, rest: list[str], attrs: dict[str, Any]) -> script.Script:
    try:
        if "wrap" in attrs:
            if rest:
                raise script.problem("Script arguments not permitted with --wrap option")
            return script.wrapped(attrs["wrap"])
        if rest:
            return script.read(rest[0], ctx.cwd, ctx.env)
        body = getattr(ctx.stdin, "buffer", ctx.stdin).read(script.MAX_SIZE + 1)
        body = body if isinstance(body, bytes) else os.fsencode(body)
        return script.Script(script.checked(body), "sbatch", "", "stdin")
    except CommandError as problem:
        problem.code = error_code(ctx)
        raise


def environment_of(ctx: Context, parsed: Parsed, caller: Caller) -> bytes:
    """The job's environment; what else --export asks for is set in the request."""
    request = parsed.request
    export = request.export if "export" in parsed.given else None
    request.umask, request.rlimits = caller.umask, caller.rlimits
    request.get_user_env = parsed.request.get_user_env or jobenv.wants_login_environment(export)
    if (source := parsed.attrs.get("export_file")) is not None:
        env = jobenv.from_file(export_file(ctx, source), export, ctx.error)
    else:
        env = jobenv.exported(ctx.env, export, ctx.error)
    said = jobenv.of_request(parsed, caller)
    if source is not None:  # the real one does not tell its --export beside a file
        said.pop("SLURM_EXPORT_ENV", None)
    return jobenv.block({**env, **said, **jobenv.of_components(parsed, caller)})


def export_file(ctx: Context, source: str) -> bytes:
    """A path, or the number of an open descriptor above standard error's."""
    try:
        if source.isdigit() and int(source) > 2:
            with os.fdopen(os.dup(int(source)), "rb") as file:
                return file.read()
        with open(os.path.join(ctx.cwd, source), "rb") as file:
            return file.read()
    except OSError:
        text = f"Could not open user environment file {source}"
        raise CommandError(f"sbatch: error: {text}", code=error_code(ctx)) from None


def complete(ctx: Context, parsed: Parsed, body: script.Script, caller: Caller) -> JobRequest:
    """The request with what the command knows beyond its options."""
    request = parsed.request
    request.batch = True
    request.name = request.name if "job-name" in parsed.texts else body.name
    if parsed.texts.get("output") == "":
        request.standard_output = request.current_working_directory + "/"
    request.argv = [body.path, *parsed.rest[1:]] if body.path else []
    request.submit_line = " ".join(ctx.command_line)
    request.umask, request.rlimits = caller.umask, caller.rlimits
    request.allocating_node = caller.host
    request.allocating_sid = ctx.sid
    for option, number in EMPTY_IS_WRONG.items():
        if option in parsed.given and not parsed.texts[option]:
            raise SlurmError(number)
    if parsed.attrs.get("expedite"):
        raise SlurmError(NOT_SUPPORTED)
    for attribute, kind in (("uid", "user"), ("gid", "group")):
        if attribute in parsed.attrs:
            setattr(request, f"{kind}_id", identity(parsed.attrs[attribute], kind))
    if request.mail_type and not request.mail_user:
        request.mail_user = user_name(ctx.uid if request.user_id is None else request.user_id)
    return request


def identity(text: str, kind: str) -> int:
    """The number of a user or group given by name or number."""
    import grp
    import pwd

    try:
        if text.isdigit():
            return int(text)
        return pwd.getpwnam(text).pw_uid if kind == "user" else grp.getgrnam(text).gr_gid
    except KeyError:
        option = {"user": "uid", "group": "gid"}[kind]
        raise CommandError(f"sbatch: error: Invalid --{option} specification", code=255) from None


def user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def tested(ctx: Context, request: JobRequest) -> int:
    try:
        answer = ctx.controller.call("will_run", request=request)
    except SlurmError as problem:
        if problem.number in UNPREFIXED:
            raise
        for note in problem.notes:
            ctx.error(note)
        ctx.err(f"allocation failure: {problem.text}")
        return error_code(ctx)
    ctx.err(
        f"sbatch: Job {answer['job_id']} to start at {clock(answer['start_time'])} a using {answer['cpus']} processors"
        f" on nodes {answer['nodes']} in partition {answer['partition']}"
    )
    return 0


def call_once(ctx: Context, **args: Any) -> dict[str, Any]:
    """`submit`, and again with the same key when the answer was lost: the controller makes one job of it."""
    key = str(uuid.uuid4())
    controller = ctx.controller
    for pause in RETRIES:
        try:
            return controller.call("submit", key=key, **args)
        except ControllerDown:
            time.sleep(pause)
        controller = ctx._controller = ctx.connect()  # waits for one that is being restarted
    return controller.call("submit", key=key, **args)


def announce(ctx: Context, parsed: Parsed, job_id: int, cluster: str) -> None:
    ctx.stderr.flush()
    if parsed.attrs.get("quiet"):
        return
    if parsed.attrs.get("parsable"):
        ctx.out(f"{job_id};{cluster}" if cluster else str(job_id))
    else:
        ctx.out(f"Submitted batch job {job_id}" + (f" on cluster {cluster}" if cluster else ""))
    ctx.stdout.flush()  # whoever reads the number need not wait with --wait


def waited(ctx: Context, job_id: int) -> int:
    """The exit code of the ended job: the highest of an array's; 1 when a signal ended it."""
    events = ctx.controller.events("wait_job", job_id=job_id)
    try:
        for event in events:
            if event["event"] == "ended":
                status = event["exit_code"]
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
    finally:
        events.close()
    return 1
