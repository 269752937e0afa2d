"""scontrol: look at and change the cluster's state; one verb a call, or many in an interactive session.

Verbs are a table: name, how many letters suffice, words it takes, function. A verb returns True when all went well; the
exit code is 1 if any of a call's verbs did not. Words and codes as 26.05 has them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from slurm_compat import SLURM_VERSION
from slurm_compat.cli import scontrol_show as show
from slurm_compat.cli import scontrol_update as update
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.scontrol_create import create, delete
from slurm_compat.cli.where import controller_host
from slurm_compat.core import errors, hostlist, jobid, taskids, timefmt
from slurm_compat.core.errors import BadValue, CommandError, SlurmError

MAX_LINE = 64 * 1024  # characters of an interactive line
ANY_TASK = 1 << 32  # no task's id is above it


LOAD_ERRORS = {
    "nodes": "slurm_load_node error: ",
    "partitions": "slurm_load_partitions error: ",
    "reservations": "slurm_load_reservations error: ",
    "licenses": "slurm_load_licenses error: ",
}


@dataclass
class Session:
    """One run of scontrol: where it prints, and what its options and option verbs have set."""

    ctx: Context
    one_line: bool = False
    details: int = 0
    all: bool = False
    quiet: bool = False
    over: bool = False  # exit or quit was said

    @property
    def time_format(self) -> str:
        return self.ctx.env.get("SLURM_TIME_FORMAT", "standard")

    def rows(self, call: str, fields: list[str], **args: Any) -> list[dict[str, Any]]:
        """Rows of a list; a refusal of those in LOAD_ERRORS ends the command in Slurm's words for that list."""
        try:
            return [dict(zip(fields, row, strict=True)) for row in self.ctx.controller.rows(call, fields, **args)]
        except SlurmError as problem:
            if call in LOAD_ERRORS:
                raise CommandError(f"{LOAD_ERRORS[call]}{problem.text}") from None
            raise

    def fail(self, *lines: str) -> bool:
        for line in lines:
            self.ctx.err(line)
        return False


class Verb(NamedTuple):
    least: int  # letters that suffice
    fewest: int  # words after it
    most: int | None
    do: Callable[[Session, list[str]], bool]


# -- show -------------------------------------------------------------------------------------------------------------


def show_job(session: Session, words: list[str]) -> bool:
    job_ids: list[int] = []
    task: jobid.JobExpression | None = None
    if words:
        try:
            task = jobid.parse(words[0])
            if task.tasks and task.task is None:
                raise BadValue(words[0])  # of tasks one is shown, or all with their array
        except BadValue:
            return session.fail("scontrol_print_job error: Invalid job id specified")
        job_ids = [task.job_id]
    try:
        rows = session.rows("jobs", show.JOB_NEEDS, job_ids=job_ids)
    except SlurmError as problem:
        return session.fail(f"slurm_load_jobs error: {problem.text}")
    if task is not None and task.tasks:
        rows = [row for row in rows if _of_task(row, task)]
        if not rows:
            return session.fail(f"Job {words[0]} not found")
    for row in rows:
        session.ctx.stdout.write(
            show.record(show.job_lines(row, session.time_format, bool(session.details)), session.one_line)
        )
    if not rows:
        session.ctx.out("No jobs in the system")
    return True


def _of_task(row: dict[str, Any], wanted: jobid.JobExpression) -> bool:
    """Whether this row is the task's; of an array's record the task alone is left in it."""
    task = wanted.task
    assert task is not None
    if row["array_task_id"] is not None or not row["array_task_string"]:
        return bool(row["array_task_id"] == task)
    waiting = taskids.parse(row["array_task_string"], ANY_TASK).ranges
    row["array_task_string"] = str(task)
    row["one_task"] = True
    return taskids.contains(waiting, task)


def show_step(session: Session, words: list[str]) -> bool:
    job_ids: list[int] = []
    step_id = ""
    if words:
        job, _, step_id = words[0].partition(".")
        try:
            job_ids = [jobid.parse(job).job_id]
        except BadValue:
            return session.fail(f"scontrol: error: Invalid job id {words[0]}")
    try:
        rows = session.rows("steps", show.STEP_NEEDS, job_ids=job_ids)
    except SlurmError as problem:
        failure = f"scontrol_print_step: slurm_get_job_steps({words[0] if words else '(null)'}) failed: {problem.text}"
        return session.fail(f"scontrol: error: {failure}")
    rows = [row for row in rows if not step_id or row["step_id"] == step_id]
    for row in rows:
        session.ctx.stdout.write(show.record(show.step_lines(row, session.time_format), session.one_line))
    if not rows:
        if words:
            session.ctx.out(f"Job step {words[0]} not found")
            return False
        session.ctx.out("No job steps in the system")
    return True


def show_node(session: Session, words: list[str]) -> bool:
    if words:
        try:
            wanted = hostlist.expand(words[0])
        except BadValue:
            return session.fail(f"Invalid hostlist: {words[0]}")
    else:
        wanted = []
    rows = {row["name"]: row for row in session.rows("nodes", show.NODE_NEEDS)}
    good = True
    for name in wanted or rows:
        row = rows.get(name)
        if row is None:
            session.ctx.out(f"Node {name} not found")
            good = False
            continue
        lines = show.node_lines(row, session.time_format, bool(session.details))
        session.ctx.stdout.write(show.record(lines, session.one_line))
    if not rows:
        session.ctx.out("No nodes in the system")
    return good


def show_partition(session: Session, words: list[str]) -> bool:
    rows = session.rows("partitions", show.PARTITION_NEEDS)
    wanted = [row for row in rows if not words or row["name"] == words[0]]
    for row in wanted:
        if not row["hidden"] or session.all or words:
            session.ctx.stdout.write(show.record(show.partition_lines(row, session.time_format), session.one_line))
    if words and not wanted:
        session.ctx.out(f"Partition {words[0]} not found")
        return False
    if not rows:
        session.ctx.out("No partitions in the system")
    return True


def show_reservation(session: Session, words: list[str]) -> bool:
    rows = session.rows("reservations", ["name"])
    if words and words[0] not in (row["name"] for row in rows):
        session.ctx.out(f"Reservation {words[0]} not found")
        return False
    session.ctx.out("No reservations in the system")
    return True


def show_license(session: Session, words: list[str]) -> bool:
    rows = session.rows("licenses", show.LICENSE_NEEDS)
    wanted = [row for row in rows if not words or row["name"] == words[0]]
    for row in wanted:
        session.ctx.stdout.write(show.license_text(row, session.one_line))
    if not wanted:
        if words:
            session.ctx.error(f'query "{words[0]}" matched zero licenses.')
            return False
        session.ctx.out("No licenses configured in Slurm.")
    return True


def show_config(session: Session, words: list[str]) -> bool:
    try:
        pairs = session.ctx.controller.call("config")["pairs"]
    except SlurmError as problem:
        return session.fail(f"slurm_load_ctl_conf error:{problem.text}")
    session.ctx.out(f"Configuration data as of {timefmt.clock(int(session.ctx.now()), session.time_format)}")
    for key, value in pairs:
        session.ctx.out(f"{key:<23} = {value}")
    session.ctx.out("")
    return ping(session, [])


def show_hostnames(session: Session, words: list[str]) -> bool:
    text = words[0] if words else session.ctx.env.get("SLURM_NODELIST", "")
    if not words and not text:
        session.ctx.error("host list is empty")
        return True
    for name in _hosts(session, text) or ():
        session.ctx.out(name)
    return True  # Slurm counts what is no host list as done, too


def show_hostlist(session: Session, words: list[str], ordered: bool = False) -> bool:
    if not words:
        session.fail("invalid encode argument")
        help_verb(session, [])
        return False
    text = words[0]
    if text.startswith("/"):  # a file of names
        try:
            with open(text, encoding="utf-8", errors="surrogateescape") as file:
                text = ",".join(file.read(MAX_LINE).split())
        except OSError:
            return session.fail(f"Can not open {text}")
    names = _hosts(session, text)
    if names is None:
        return False
    session.ctx.out(hostlist.compress_sorted(names) if ordered else hostlist.compress_as_given(names))
    return True


def _hosts(session: Session, text: str) -> list[str] | None:
    """The names of a host list; None, and Slurm's words, when it is none."""
    try:
        return hostlist.expand(text)
    except hostlist.BadRange as problem:
        session.ctx.error(f"_parse_single_range: Invalid range: `{problem.text}'")
    except BadValue:
        pass
    session.fail(f"Invalid hostlist: {text}")
    return None


def show_daemons(session: Session, words: list[str]) -> bool:
    """The daemons of this node: slurmctld where the controller runs; slurmd's part is each job's agent."""
    here = session.ctx.controller.call("ping")["hostname"] == os.uname().nodename
    session.ctx.out("slurmctld " if here else "(null)")
    return True


def show_nothing(session: Session, words: list[str]) -> bool:
    """Aliases, topology: what Slurm prints where there is none, which is nothing."""
    return True


def not_kept(what: str) -> Callable[[Session, list[str]], bool]:
    def refuse(session: Session, words: list[str]) -> bool:
        session.ctx.error(f"show {what}: not kept by this cluster yet; see the table of scontrol in the documentation")
        return False

    return refuse


# entity: letters that suffice, function
ENTITIES: dict[str, tuple[int, Callable[[Session, list[str]], bool]]] = {
    "aliases": (2, show_nothing),
    "assoc_mgr": (2, not_kept("assoc_mgr")),
    "bbstat": (3, not_kept("bbstat")),
    "burstbuffer": (2, not_kept("burstbuffer")),
    "config": (1, show_config),
    "daemons": (1, show_daemons),
    "dwstat": (2, not_kept("dwstat")),
    "federation": (1, not_kept("federation")),
    "hostlist": (5, show_hostlist),
    "hostlistsorted": (9, lambda session, words: show_hostlist(session, words, ordered=True)),
    "hostnames": (5, show_hostnames),
    "jobs": (1, show_job),
    "licenses": (1, show_license),
    "nodes": (1, show_node),
    "partitions": (1, show_partition),
    "reservations": (1, show_reservation),
    "slurmd": (2, not_kept("slurmd")),
    "steps": (2, show_step),
    "topology": (1, show_nothing),
}


def show_verb(session: Session, words: list[str]) -> bool:
    entity, equals, value = words[0].partition("=")
    rest = [value, *words[1:]] if equals else words[1:]
    for name, (least, do) in ENTITIES.items():
        if len(entity) >= least and name.startswith(entity.lower()):
            if len(rest) > 1 and name != "assoc_mgr":
                return session.fail("too many arguments for keyword:show")
            return do(session, rest)
    return session.fail(f"invalid entity:{entity} for keyword:show")


# -- jobs: hold, release, requeue, suspend, resume --------------------------------------------------------------------


def _targets(session: Session, words: Sequence[str]) -> list[str]:
    """Job ids of "1 2,3" and name=NAME words."""
    targets: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.lower() in ("name", "jobname"):
            rows = session.rows("jobs", ["job_id", "name"], user_ids=[session.ctx.uid] if session.ctx.uid else [])
            targets += [str(row["job_id"]) for row in rows if row["name"] == value]
        else:
            targets += [part for part in _outside_brackets(value if equals else word) if part]
    return targets


def _outside_brackets(text: str) -> list[str]:
    try:
        return hostlist.split(text)
    except BadValue:
        return [text]


def _on_jobs(session: Session, words: list[str], call: str, also: str = "", **args: Any) -> bool:
    """Make a call on jobs and word what was refused; `also`: a second line Slurm prints after each."""
    targets = _targets(session, words)
    try:
        refused = session.ctx.controller.call(call, targets=targets, **args)["errors"]
    except ControllerDown:
        # what Slurm's scontrol makes of no answer to these
        refused = [(target, 0, errors.TEXT[errors.UNEXPECTED_MESSAGE]) for target in targets]
    last = ""
    for target, _, text in refused:
        if target.endswith("]"):  # of an array each answer is told of, with the tasks that had it
            session.fail(f"{target}: {text}")
        else:
            session.fail(f"{text} for job {target}")
            last = text
    if also and last:
        session.fail(f"{also}:{last}")
    return not refused


def hold(session: Session, words: list[str]) -> bool:
    return _on_jobs(session, words, "hold", "slurm_suspend error", user_hold=False)


def uhold(session: Session, words: list[str]) -> bool:
    return _on_jobs(session, words, "hold", "slurm_suspend error", user_hold=True)


def release(session: Session, words: list[str]) -> bool:
    return _on_jobs(session, words, "release", "slurm_suspend error")


def suspend(session: Session, words: list[str]) -> bool:
    return _on_jobs(session, words, "suspend")


def resume(session: Session, words: list[str]) -> bool:
    return _on_jobs(session, words, "resume")


def requeue(session: Session, words: list[str]) -> bool:
    incomplete = [word for word in words if word.lower() == "incomplete"]
    jobs = [word for word in words if word.lower() != "incomplete"]
    return _on_jobs(session, jobs, "requeue", incomplete=bool(incomplete))


def requeuehold(session: Session, words: list[str]) -> bool:
    special = [word for word in words if word.lower().startswith("state=")]
    jobs = [word for word in words if not word.lower().startswith("state=")]
    if special and special[0].partition("=")[2].lower() not in ("specialexit", "se"):
        return session.fail(f"Invalid state specified: {special[0]}")
    return _on_jobs(session, jobs, "requeue", hold=True, special_exit=bool(special))


def top(session: Session, words: list[str]) -> bool:
    return _on_jobs(session, words, "update_job", changes={"top": True})


def notify(session: Session, words: list[str]) -> bool:
    try:
        result = session.ctx.controller.call("update_job", targets=[words[0]], changes={"notify": " ".join(words[1:])})
    except SlurmError as problem:
        return session.fail(f"job notify failure: {problem.text}")
    for _, _, text in result["errors"]:
        session.fail(f"job notify failure: {text}")
    return not result["errors"]


# -- update -----------------------------------------------------------------------------------------------------------

SUBJECTS = (
    # key that names what is updated: letters that suffice
    ("JobId", 3), ("JobName", 4), ("StepId", 4), ("NodeName", 5), ("PartitionName", 5), ("ReservationName", 3),
    ("SlurmctldDebug", 2),
)  # fmt: skip


def update_verb(session: Session, words: list[str]) -> bool:
    if not words:
        return session.fail("too few arguments for update keyword")
    subject, name, rest = _subject(words)
    updates = {
        "JobId": _update_job, "JobName": _update_job_named, "StepId": _update_step,
        "NodeName": _update_node, "PartitionName": _update_partition,
    }  # fmt: skip
    if subject in updates:
        return updates[subject](session, name, rest)
    if subject == "ReservationName":
        session.ctx.error("reservations are not kept by this cluster yet; hold the jobs, or set a partition down")
        return False
    if subject == "SlurmctldDebug":
        return setdebug(session, [name])
    return session.fail(
        "No valid entity in update command",
        'Input line must include "NodeName", "PartitionName", "Reservation", "JobId", or "SlurmctldDebug"',
    )


def _subject(words: list[str]) -> tuple[str, str, list[str]]:
    """What an update is about, its name, and the other words. JobId wins over JobName, which may be a change."""
    for subject, least in SUBJECTS:
        for index, word in enumerate(words):
            key, equals, value = word.partition("=")
            if equals and len(key) >= least and subject.lower().startswith(key.lower()):
                return subject, value, words[:index] + words[index + 1 :]
    return "", "", words


def _update_job(session: Session, name: str, words: list[str]) -> bool:
    changes = update.changes(words, update.JOB_KEYS, session.ctx.now(), update.bad_job_value)
    if "." in name:  # a step is updated as StepId
        return session.fail(f"{errors.TEXT[errors.INVALID_JOB_ID]} for job {name}")
    if changes.pop("user_id", None) is not None or not changes:
        return session.fail("No changes specified")
    return _on_jobs(session, [name], "update_job", changes=changes)


def _update_job_named(session: Session, name: str, words: list[str]) -> bool:
    changes = update.changes(words, update.JOB_KEYS, session.ctx.now(), update.bad_job_value)
    targets = _targets(session, [f"name={name}"])
    if not targets:
        return session.fail(f"No job with name {name} found")
    return _on_jobs(session, targets, "update_job", changes=changes)


def _update_step(session: Session, name: str, words: list[str]) -> bool:
    keys = [key for key in update.JOB_KEYS if key.field == "time_limit"]
    changes = update.changes(words, keys, session.ctx.now(), update.bad_job_value)
    if not changes:
        return session.fail("No changes specified")
    result = session.ctx.controller.call("update_job", targets=[name], changes=changes)
    for _, _, text in result["errors"]:
        session.fail(f"slurm_update error: {text}")
    return not result["errors"]


def _update_node(session: Session, name: str, words: list[str]) -> bool:
    changes = update.changes(words, update.NODE_KEYS, session.ctx.now(), update.bad_node_value)
    if changes.get("state") in ("DOWN", "DRAIN") and not changes.get("reason"):
        return session.fail("You must specify a reason when DOWNING or DRAINING a node. Request denied")
    try:
        session.ctx.controller.call("update_node", names=hostlist.expand(name), changes=changes)
    except BadValue:
        return session.fail(f"Invalid hostlist: {name}")
    except SlurmError as problem:
        return session.fail(f"slurm_update error: {problem.text}")
    return True


def _update_partition(session: Session, name: str, words: list[str]) -> bool:
    changes = update.changes(words, update.PARTITION_KEYS, session.ctx.now(), update.bad_partition_value)
    try:
        session.ctx.controller.call("update_partition", name=name, changes=changes)
    except SlurmError as problem:
        return session.fail(f"slurm_update error: {problem.text}")
    return True


# -- the rest ---------------------------------------------------------------------------------------------------------


def ping(session: Session, words: list[str]) -> bool:
    try:
        answer = session.ctx.controller.call("ping")
    except ControllerDown:
        host = controller_host(session.ctx.env) or os.uname().nodename.partition(".")[0]
        session.ctx.out(f"Slurmctld(primary) at {host} is DOWN")
        stars = "*" * 41
        session.ctx.out(f"{stars}\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n{stars}")
        return False
    session.ctx.out(f"Slurmctld(primary) at {answer['hostname']} is UP")
    return True


def version(session: Session, words: list[str]) -> bool:
    session.ctx.out(f"slurm-wlm {SLURM_VERSION}")
    return True


def errnumstr(session: Session, words: list[str]) -> bool:
    try:
        number = int(words[0])
    except ValueError:
        return session.fail(f"invalid value for keyword:errnumstr:{words[0]}")
    session.ctx.out(errors.TEXT.get(number) or (os.strerror(number) if number < 200 else f"Unknown error {number}"))
    return True


def write(session: Session, words: list[str]) -> bool:
    if words[0].lower() == "config":
        session.ctx.error("write config: the configuration is the cluster file; scontrol show config prints it")
        return False
    if words[0].lower() != "batch_script" or len(words) < 2:
        return session.fail(f"invalid write argument:{words[0]}")
    try:
        job = jobid.parse(words[1]).job_id
        script = session.ctx.controller.call("job_script", job_id=job)["script"]
    except BadValue:
        return session.fail(f"job script retrieval failed: {errors.TEXT[errors.INVALID_JOB_ID]}")
    except SlurmError as problem:
        # Slurm counts this as done: its exit code stays 0
        session.fail(f"job script retrieval failed: {problem.text}")
        return True
    import base64

    content = base64.b64decode(script)
    if len(words) > 2 and words[2] == "-":
        session.ctx.stdout.write(content.decode("utf-8", "surrogateescape"))
        return True
    path = words[2] if len(words) > 2 else f"slurm-{words[1]}.sh"
    try:
        with open(os.path.join(session.ctx.cwd, path), "wb") as file:
            file.write(content)
    except OSError as problem:
        return session.fail(f"failed to open file `{path}`: {problem.strerror}")
    session.ctx.out(f"batch script for job {words[1]} written to {path}")
    return True


def completing(session: Session, words: list[str]) -> bool:
    rows = session.rows("jobs", ["job_id", "nodes", "state_flags", "end_time", "partition"], states=["COMPLETING"])
    for row in rows:
        ended = timefmt.clock(row["end_time"], session.time_format)
        session.ctx.out(
            f"JobId={row['job_id']} EndTime={ended} CompletingTime=00:00:00 Nodes(COMPLETING)={row['nodes']}"
        )
    return True


def wait_job(session: Session, words: list[str]) -> bool:
    """Nodes of a running job are ready here: pods start when they are."""
    try:
        rows = session.rows("jobs", ["job_state"], job_ids=[jobid.parse(words[0]).job_id])
    except (BadValue, SlurmError):
        return session.fail(f"scontrol: Problem running job {words[0]}")
    return all(row["job_state"] == "RUNNING" for row in rows)


def listpids(session: Session, words: list[str]) -> bool:
    wanted = words[0].partition(".") if words else ("", "", "")
    here = os.uname().nodename
    fields = ["job_id", "step_id", "pids"]
    rows = [
        row
        for row in session.rows("steps", fields)
        if wanted[0] in ("", str(row["job_id"])) and wanted[2] in ("", row["step_id"])
    ]
    lines = [
        f"{pid:<8} {row['job_id']:<8} {row['step_id']:<8} {rank:<7} {rank}"
        for row in rows
        for node, rank, pid in row["pids"]
        if node == here
    ]
    if not lines:
        return session.fail("No job steps exist on this node.")
    session.ctx.out("PID      JOBID    STEPID   LOCALID GLOBALID")
    for line in lines:
        session.ctx.out(line)
    return True


def setdebug(session: Session, words: list[str]) -> bool:
    return session.fail("slurm_set_debug_level error:Permission denied")


def reconfigure(session: Session, words: list[str]) -> bool:
    try:
        session.ctx.controller.call("reconfigure")
    except SlurmError as problem:
        return session.fail(f"slurm_reconfigure error:{problem.text}")
    return True


def shutdown(session: Session, words: list[str]) -> bool:
    try:
        session.ctx.controller.call("shutdown")
    except SlurmError as problem:
        return session.fail(f"slurm_shutdown error:{problem.text}")
    return True


def token(session: Session, words: list[str]) -> bool:
    session.ctx.error(f"slurm_fetch_token: error with request: {errors.TEXT[8004]}")
    return False


def refused(what: str, instead: str) -> Callable[[Session, list[str]], bool]:
    def refuse(session: Session, words: list[str]) -> bool:
        session.ctx.error(f"{what} is not supported here; {instead}")
        return False

    return refuse


def help_verb(session: Session, words: list[str]) -> bool:
    from slurm_compat.cli.scontrol_help import help_text

    session.ctx.stdout.write(help_text(VERBS))
    return True


def option_verb(**changes: Any) -> Callable[[Session, list[str]], bool]:
    def change(session: Session, words: list[str]) -> bool:
        for name, value in changes.items():
            setattr(session, name, value)
        return True

    return change


VERBS: dict[str, Verb] = {
    "abort": Verb(5, 0, 0, refused("abort", "scontrol shutdown stops the controller")),
    "all": Verb(3, 0, 0, option_verb(all=True)),
    "cancel_reboot": Verb(3, 1, 1, refused("cancel_reboot", "no reboot is ever pending: nodes are not rebooted here")),
    "cluster": Verb(2, 0, 1, refused("cluster", "there is one cluster; SLURM_CONF names another's file")),
    "completing": Verb(2, 0, 0, completing),
    "create": Verb(2, 0, None, create),
    "delete": Verb(3, 0, None, delete),
    "details": Verb(3, 0, 0, option_verb(details=1)),
    "errnumstr": Verb(2, 1, 1, errnumstr),
    "exit": Verb(1, 0, 0, option_verb(over=True)),
    "fsdampeningfactor": Verb(2, 1, 1, refused("fsdampeningfactor", "shares are Armada's")),
    "getent": Verb(3, 0, 1, refused("getent", "users are looked up on the node itself")),
    "help": Verb(2, 0, 0, help_verb),
    "hide": Verb(2, 0, 0, option_verb(all=False)),
    "hold": Verb(2, 1, None, hold),
    "holdu": Verb(5, 1, None, uhold),
    "listjobs": Verb(5, 0, 1, refused("listjobs", "squeue -w NODE lists them")),
    "listpids": Verb(5, 0, 2, listpids),
    "liststeps": Verb(5, 0, 1, refused("liststeps", "squeue -s -w NODE lists them")),
    "notify": Verb(1, 2, None, notify),
    "oneliner": Verb(1, 0, 0, option_verb(one_line=True)),
    "pidinfo": Verb(3, 1, 1, refused("pidinfo", "scontrol listpids shows the pids of a job")),
    "ping": Verb(3, 0, 0, ping),
    "power": Verb(3, 1, None, refused("power", "nodes' power is not managed here")),
    "quiet": Verb(4, 0, 0, option_verb(quiet=True)),
    "quit": Verb(4, 0, 0, option_verb(over=True)),
    "reboot": Verb(3, 1, None, refused("reboot", "nodes are not rebooted here")),
    "reboot_nodes": Verb(8, 0, None, refused("reboot_nodes", "nodes are not rebooted here")),
    "reconfigure": Verb(3, 0, 0, reconfigure),
    "release": Verb(3, 1, None, release),
    "requeue": Verb(3, 1, None, requeue),
    "requeuehold": Verb(8, 1, None, requeuehold),
    "resume": Verb(3, 1, None, resume),
    "schedloglevel": Verb(3, 1, 1, refused("schedloglevel", "there is no scheduler log; scheduling is Armada's")),
    "setdebug": Verb(8, 1, None, setdebug),
    "setdebugflags": Verb(9, 1, None, setdebug),
    "show": Verb(2, 1, None, show_verb),
    "shutdown": Verb(8, 0, 1, shutdown),
    "suspend": Verb(2, 1, None, suspend),
    "takeover": Verb(8, 0, 1, refused("takeover", "there is no backup controller")),
    "token": Verb(3, 0, None, token),
    "top": Verb(3, 1, None, top),
    "uhold": Verb(3, 1, None, uhold),
    "update": Verb(1, 0, None, update_verb),
    "verbose": Verb(4, 0, 0, option_verb(quiet=False)),
    "version": Verb(4, 0, 0, version),
    "wait_job": Verb(2, 1, 1, wait_job),
    "write": Verb(1, 1, 3, write),
}


def process(session: Session, words: list[str]) -> bool:
    """One command line of words."""
    keyword = words[0].lower()
    for name, verb in VERBS.items():
        if name == keyword or (len(keyword) >= verb.least and name.startswith(keyword)):
            rest = words[1:]
            if len(rest) < verb.fewest:
                return session.fail(f"too few arguments for keyword:{words[0]}")
            if verb.most is not None and len(rest) > verb.most:
                session.fail(f"too many arguments for keyword:{words[0]}")
                if verb.do is help_verb:
                    help_verb(session, [])
                return False
            try:
                return verb.do(session, rest)
            except update.BadUpdate as problem:
                return session.fail(*problem.lines)
    return session.fail(f"invalid keyword: {words[0]}")


def interactive(session: Session) -> bool:
    """A session on stdin until exit, quit or its end."""
    good = True
    while not session.over:
        session.ctx.stdout.write("scontrol: ")
        session.ctx.stdout.flush()
        line = session.ctx.stdin.readline(MAX_LINE)
        if not line:
            session.ctx.out("")
            break
        if not session.ctx.stdin.isatty():
            session.ctx.out(line.rstrip("\n"))  # as readline shows what it reads where no terminal does
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        if words:
            good &= process(session, words)
            session.ctx.stderr.flush()
    return good


def main(ctx: Context) -> int:
    from slurm_compat.cli.optiontable import OPERAND, parsed
    from slurm_compat.cli.scontrol_help import MORE, OPTIONS

    session = Session(ctx, all="SCONTROL_ALL" in ctx.env)
    words: list[str] = []
    for key, value in parsed("scontrol", ctx.argv[1:], OPTIONS, MORE):
        if key == OPERAND:
            words.append(value)
        elif key == "V":
            version(session, [])
            return 0
        elif key == "h":
            help_verb(session, [])
            return 0
        else:
            _set_option(session, key, value)
    good = process(session, words) if words else interactive(session)
    return 0 if good else 1


def _set_option(session: Session, key: str, value: str) -> None:
    if key == "o":
        session.one_line = True
    elif key == "d":
        session.details += 1
    elif key in ("a", "F"):
        session.all = True
    elif key == "hide":
        session.all = False
    elif key in ("json", "yaml"):
        raise CommandError(f"scontrol: error: --{key} is not supported here yet; the text forms have every field")
    elif key == "u" and session.ctx.uid:
        raise CommandError("scontrol: error: Only root may act as another user with --uid")
    elif key == "M":
        require_own_cluster(session.ctx, value)
