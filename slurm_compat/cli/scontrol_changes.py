"""scontrol update: what it is about is found among its words, wherever it stands. Words and codes as 26.05 has them."""

from __future__ import annotations

from slurm_compat.cli import scontrol_partition, scontrol_reservation
from slurm_compat.cli import scontrol_update as update
from slurm_compat.cli.scontrol_jobs import on_jobs, targets_of
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import errors, hostlist, jobid
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED

SUBJECTS = (
    # key that names what is updated: letters that suffice
    ("JobId", 3), ("JobName", 4), ("StepId", 4), ("NodeName", 5), ("PartitionName", 5), ("ReservationName", 3),
    ("SlurmctldDebug", 2),
)  # fmt: skip


def update_verb(session: Session, words: list[str]) -> bool:
    if not words:
        return session.fail("too few arguments for update keyword")
    words = _id_joined(words)
    subject, name, rest = _subject(words)
    updates = {
        "JobId": _update_job, "JobName": _update_job_named, "StepId": _update_step,
        "NodeName": _update_node, "PartitionName": _update_partition,
    }  # fmt: skip
    if subject in updates:
        return updates[subject](session, name, rest)
    if subject == "ReservationName":
        return scontrol_reservation.update(session, name, rest)
    if subject == "SlurmctldDebug":
        # the real one takes no name of a level here
        if not name.isdigit():
            return session.fail(f"invalid debug level: {name}")
        return _of_daemons(session, level=str(min(int(name), MOST_DEBUG)))
    if any(word.lower().startswith("suspendexc") for word in words):
        # no power is saved here, so there is nothing to except from it
        return _of_daemons(session) and session.fail(f"slurm_update error: {errors.TEXT[errors.NOT_SUPPORTED]}")
    bare = words[0].lower()
    if bare in ("job", "jobid"):
        return session.fail(f"Invalid input: {words[0]}", "Request aborted")
    if bare in ("partition", "partitionname", "node", "nodename"):
        session.ctx.error(f"Invalid input: {words[0]}  Request aborted")
        return False
    return session.fail(
        "No valid entity in update command",
        'Input line must include "NodeName", "PartitionName", "Reservation", "JobId", or "SlurmctldDebug"',
    )


MOST_DEBUG = 9  # debug5


def _of_daemons(session: Session, **args: str) -> bool:
    try:
        session.ctx.controller.call("set_debug", **args)
    except SlurmError as problem:
        return session.fail(f"slurm_update error: {problem.text}")
    return True


def _id_joined(words: list[str]) -> list[str]:
    """ "jobid 5 name=x" is "jobid=5 name=x"; of jobs alone."""
    if words[0].lower() in ("job", "jobid") and len(words) > 1 and "=" not in words[1]:
        return [f"{words[0]}={words[1]}", *words[2:]]
    return words


def _subject(words: list[str]) -> tuple[str, str, list[str]]:
    """What an update is about, its name, and the other words.

    JobId wins over JobName, which may be a change; of a reservation and a partition, which may be one too, the first.
    """
    found: dict[str, int] = {}
    for subject, least in SUBJECTS:
        for index, word in enumerate(words):
            key, equals, _ = word.partition("=")
            if equals and len(key) >= least and subject.lower().startswith(key.lower()):
                found.setdefault(subject, index)
    if not found:
        return "", "", words
    subject = next(iter(found))
    if subject == "PartitionName" and found.get("ReservationName", len(words)) < found[subject]:
        subject = "ReservationName"
    index = found[subject]
    return subject, words[index].partition("=")[2], words[:index] + words[index + 1 :]


def _update_job(session: Session, name: str, words: list[str]) -> bool:
    words = [word for word in words if word.partition("=")[0].lower() not in ("job", "jobid")]  # said again
    changes = update.changes(words, update.JOB_KEYS, session.ctx.now(), update.bad_job_value)
    if "." in name:  # a step is updated as StepId
        return session.fail(f"{errors.TEXT[errors.INVALID_JOB_ID]} for job {name}")
    if changes.pop("user_id", None) is not None or not changes:
        return session.fail("No changes specified")
    if not _limit_can_change(session, name, changes.get("time_limit")):
        return False
    return on_jobs(session, [name], "update_job", changes=changes)


def _limit_can_change(session: Session, name: str, limit: object) -> bool:
    """Whether "+5" or "-5" can be counted from the limit there is."""
    if not isinstance(limit, str) or not name.isdigit():
        return True
    try:
        rows = session.rows("jobs", ["time_limit"], job_ids=[int(name)])
    except SlurmError:
        return True
    now = rows[0]["time_limit"] if rows else 0
    if now == UNLIMITED:
        session.ctx.error("Cannot increment/decrement TimeLimit when set to UNLIMITED.")
        return False
    if now + int(limit) < 0:
        session.ctx.error(f"TimeLimit decrement larger than current time limit ({limit[1:]} > {now})")
        return False
    return True


def _update_job_named(session: Session, name: str, words: list[str]) -> bool:
    changes = update.changes(words, update.JOB_KEYS, session.ctx.now(), update.bad_job_value)
    targets = targets_of(session, [f"name={name}"])
    if not targets:
        session.ctx.error(f"No jobs with name '{name}'")
        return False
    return on_jobs(session, targets, "update_job", changes=changes)


def _update_step(session: Session, name: str, words: list[str]) -> bool:
    keys = [key for key in update.JOB_KEYS if key.field == "time_limit"]
    changes = update.changes(words, keys, session.ctx.now(), update.bad_job_value)
    if not changes:
        return session.fail("No changes specified")
    try:
        jobid.parse(name)
    except BadValue:
        return session.fail(f"Invalid StepID parameter: stepid={name}", "Request aborted")
    targets = [name]
    if "." not in name:  # all steps of the job
        job = jobid.parse(name)
        rows = session.rows("steps", ["step_id"], job_ids=[job.job_id])
        targets = [f"{name}.{row['step_id']}" for row in rows]
    result = session.ctx.controller.call("update_job", targets=targets, changes=changes)
    for _, _, text in result["errors"]:
        session.fail(f"slurm_update error: {text}")
    return not result["errors"]


def _update_node(session: Session, name: str, words: list[str]) -> bool:
    if misformed := next((word for word in words if "=" not in word), ""):
        session.ctx.error(f"Invalid input: {misformed}  Request aborted")
        return False
    changes = update.changes(words, update.NODE_KEYS, session.ctx.now(), update.bad_node_value)
    if not changes:
        return session.fail("No changes specified")
    if "resume_after" in changes and changes.get("state") not in ("DOWN", "DRAIN"):
        return session.fail("You can only specify a resume time when DOWNING or DRAINING a node. Request denied")
    if changes.get("state") in ("DOWN", "DRAIN") and not changes.get("reason"):
        return session.fail("You must specify a reason when DOWNING or DRAINING a node. Request denied")
    try:
        session.ctx.controller.call("update_node", names=hostlist.expand(name), changes=changes)
    except BadValue:
        return session.fail(f"slurm_update error: {errors.TEXT[errors.INVALID_NODE_NAME]}")
    except SlurmError as problem:
        return session.fail(f"slurm_update error: {problem.text}")
    return True


def _update_partition(session: Session, name: str, words: list[str]) -> bool:
    changes = scontrol_partition.changes(words)
    if not changes:
        session.ctx.error("No changes specified")
        return False
    try:
        session.ctx.controller.call("update_partition", name=name, changes=changes)
    except SlurmError as problem:
        return session.fail(f"slurm_update error: {problem.text}")
    return True
