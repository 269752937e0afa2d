"""scontrol's verbs on jobs: hold, release, requeue, suspend, resume, top, notify. Words and codes as 26.05 has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import errors, hostlist, jobid
from slurm_compat.core.errors import BadValue, SlurmError


def targets_of(session: Session, words: Sequence[str]) -> list[str]:
    """Job ids of "1 2,3" and name=NAME words."""
    targets: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.lower() in ("name", "jobname"):
            rows = session.rows("jobs", ["job_id", "name"], user_ids=[session.ctx.uid] if session.ctx.uid else [])
            targets += [str(row["job_id"]) for row in rows if row["name"] == value]
        else:
            text = value if key.lower() in ("jobid", "job_id") else word
            parts = (part for each in text.split() for part in _outside_brackets(each))
            targets += [part for part in parts if part]
    return targets


def _outside_brackets(text: str) -> list[str]:
    try:
        return hostlist.split(text)
    except BadValue:
        return [text]


def _strangers(session: Session, targets: Sequence[str]) -> list[str]:
    """Of these jobs those that the user of --uid may not change; nobody but root speaks for another."""
    if session.uid == 0 and not session.ctx.uid:
        return []
    if session.ctx.uid not in (0, session.uid):
        return list(targets)
    owners = {str(row["job_id"]): row["user_id"] for row in session.rows("jobs", ["job_id", "user_id"])}
    return [target for target in targets if owners.get(target.partition("_")[0], session.uid) != session.uid]


def on_jobs(session: Session, words: list[str], call: str, also: str = "", **args: Any) -> bool:
    """Make a call on jobs and word what was refused; `also`: a second line Slurm prints after each."""
    targets = targets_of(session, words)
    if call == "update_job" and session.uid is not None and (strangers := _strangers(session, targets)):
        return session.fail(*(f"{errors.TEXT[errors.USER_ID_MISSING]} for job {target}" for target in strangers))
    try:
        refused = session.ctx.controller.call(call, targets=targets, **args)["errors"]
    except ControllerDown:
        # what Slurm's scontrol makes of no answer to these
        refused = [(target, 0, errors.TEXT[errors.UNEXPECTED_MESSAGE]) for target in targets]
    last = ""
    for target, number, text in refused:
        if target.endswith("]"):  # of an array each answer is told of, with the tasks that had it
            session.fail(f"{target}: {text}")
        else:
            if number == errors.NOT_SUPPORTED and "array_max_tasks" in args.get("changes", {}):
                session.ctx.error("Update of ArrayTaskThrottle is only allowed on ArrayJobId")
            session.fail(f"{text} for job {target}")
            last = text
    if also and last:
        session.fail(f"{also}:{last}")
    return not refused


def _word_by_word(session: Session, words: list[str], call: str, **args: Any) -> bool:
    """A call for each word, which may be several jobs by comma."""
    return all([on_jobs(session, [word], call, "slurm_suspend error", **args) for word in words])


def hold(session: Session, words: list[str]) -> bool:
    return _word_by_word(session, words, "hold", user_hold=False)


def uhold(session: Session, words: list[str]) -> bool:
    return _word_by_word(session, words, "hold", user_hold=True)


def release(session: Session, words: list[str]) -> bool:
    return _word_by_word(session, words, "release")


def suspend(session: Session, words: list[str]) -> bool:
    return on_jobs(session, words, "suspend")


def resume(session: Session, words: list[str]) -> bool:
    return on_jobs(session, words, "resume")


def requeue(session: Session, words: list[str]) -> bool:
    incomplete = [word for word in words if word.lower() == "incomplete"]
    jobs = [word for word in words if word.lower() != "incomplete" and word.lower() not in SPECIAL_EXIT]
    return on_jobs(session, jobs, "requeue", incomplete=bool(incomplete))


SPECIAL_EXIT = ("state=specialexit", "state=se")


def requeuehold(session: Session, words: list[str]) -> bool:
    special = [word for word in words if word.lower() in SPECIAL_EXIT]
    jobs = [word for word in words if word not in special]
    return on_jobs(session, jobs, "requeue", hold=True, special_exit=bool(special))


def top(session: Session, words: list[str]) -> bool:
    return on_jobs(session, words, "update_job", changes={"top": True})


def notify(session: Session, words: list[str]) -> bool:
    """A step's id does for its job's. What is no id at all is told as the real one tells it, in one line."""
    try:
        job_id = jobid.parse(words[0].partition(".")[0]).job_id
    except BadValue:
        return session.fail(f"Invalid job_id {words[0]}job notify failure: No error")
    try:
        session.ctx.controller.call("notify", job_id=job_id, text=" ".join(words[1:]))
    except SlurmError as problem:
        return session.fail(f"job notify failure: {problem.text}")
    return True
