"""Users' crontabs: their text as it was given, and the job of each entry, which waits again whenever it has run.

An entry's job waits for its next time as for a --begin. Cancelled by somebody, or replaced with the table, it is no
cron job any more and ends for good; the lines of a cancelled one are shown with DISABLED before them. A table is a
thing of kind "crontab" named by its user's number: {"text", "jobs": [[job id, first line, last line]…]}, lines from 0.
Source: scrontab(1); observed on 26.05.
"""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from slurm_compat.controller import submitting
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.table import job_row
from slurm_compat.core import cron, errors
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.jobargs import CronEntry, Crontab, UpdateCrontab
from slurm_compat.core.states import PENDING
from slurm_compat.store.changes import Change
from slurm_compat.store.store import StoreFull

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

NOT_THROUGH_SCONTROL = 2096
DISABLED = "#DISABLED: "
MAX_TEXT = 1 << 20  # characters
MAX_ENTRIES = 1000  # of a table
NO_SESSION = 0xFFFFFFFE  # what Slurm shows for a job that no session submitted
REPLACED = 1 << 8  # the exit code that a waiting job is left with when its table is replaced


class Table(NamedTuple):
    text: str
    jobs: dict[int, tuple[int, int]]  # job id: its lines


class Crontabs:
    def __init__(self) -> None:
        self.of: dict[int, Table] = {}  # by uid

    def restore(self, things: list[tuple[str, str, Any]]) -> None:
        for kind, name, data in things:
            if kind == "crontab":
                self.of[int(name)] = Table(data["text"], {row[0]: (row[1], row[2]) for row in data["jobs"]})

    def put(self, change: Change, uid: int, table: Table | None) -> None:
        key = ("crontab", str(uid))
        if table is None:
            self.of.pop(uid, None)
            change.delete("things", key)
            return
        self.of[uid] = table
        data = {"text": table.text, "jobs": [[job_id, *lines] for job_id, lines in table.jobs.items()]}
        change.put("things", key, {"kind": key[0], "name": key[1], "data": json.dumps(data)})


def enabled(controller: Controller) -> bool:
    return "enable" in controller.conf.scron_parameters.lower().split(",")


def _whose(controller: Controller, session: Session, uid: int) -> Caller:
    caller = session.caller
    assert caller is not None
    if not enabled(controller):
        raise SlurmError(errors.DISABLED)
    if caller.uid == uid:
        return caller
    if not caller.may_act_as(uid):
        raise SlurmError(errors.USER_ID_MISSING)
    return controller.roles.caller(controller.people.person(uid))


def read(controller: Controller, session: Session, args: Crontab) -> dict[str, Any]:
    _whose(controller, session, args.user_id)
    table = controller.crontabs.of.get(args.user_id)
    return {"text": None if table is None else table.text}


async def update(controller: Controller, session: Session, args: UpdateCrontab) -> dict[str, Any]:
    """The whole table is taken or none of it; then the jobs of the one before go."""
    owner = _whose(controller, session, args.user_id)
    if len(args.text or "") > MAX_TEXT or len(args.entries) > MAX_ENTRIES:
        raise SlurmError(errors.PATHNAME_TOO_LONG)
    if len(controller.table.jobs) + controller.arriving + len(args.entries) > controller.conf.max_job_count:
        raise SlurmError(errors.MAX_JOB_COUNT)
    jobs = []
    for number, entry in enumerate(args.entries):
        try:
            jobs.append(_job(controller, owner, entry))
        except SlurmError as problem:
            message = problem.notes[0] if problem.notes else ""
            return {"failed": {"entry": number, "text": problem.text, "message": message}}
    change = Change(refusable=True)
    for entry, job in zip(args.entries, jobs, strict=True):
        submitting.keep_texts(controller, job, entry.script, entry.environment, change)
        change.put("jobs", job.db_index, job_row(job))
        change.event(job.db_index, job.submit_time, "submitted", "scrontab")
    before = controller.crontabs.of.get(owner.uid)
    lines = {job.job_id: (entry.first, entry.last) for entry, job in zip(args.entries, jobs, strict=True)}
    controller.crontabs.put(change, owner.uid, None if args.text is None else Table(args.text, lines))
    controller.arriving += len(jobs)
    change.then[:0] = [partial(controller.admit, job) for job in jobs]
    try:
        await controller.commit(change)
    except StoreFull:
        controller.crontabs.put(Change(), owner.uid, before)
        raise SlurmError(submitting.WRITE_FAILED) from None
    finally:
        controller.arriving -= len(jobs)
    gone = Change()
    for job_id in before.jobs if before is not None else ():
        _retire(controller, job_id, gone)
    if gone:
        await controller.commit(gone)
    return {"job_ids": [job.job_id for job in jobs]}


def _job(controller: Controller, owner: Caller, entry: CronEntry) -> Job:
    try:
        spec = str(cron.parse(f"{entry.spec} x")[0])
        begin = cron.next_start(spec, controller.now())
    except BadValue:
        raise SlurmError(errors.INVALID_TIME_VALUE) from None
    request = msgspec.structs.replace(
        entry.request,
        batch=True,
        requeue=True,
        begin_time=begin,
        user_id=None,
        group_id=None,
        allocating_node=controller.hostname,
        allocating_sid=NO_SESSION,
    )
    if request.array or request.het_components or request.hold:
        raise SlurmError(errors.NOT_SUPPORTED)
    accepted = submitting.accept(controller, owner, request, entry.script)
    job = submitting.made_job(controller, owner, request, accepted)
    job.cron, job.crontab_spec = True, spec
    return job


def _retire(controller: Controller, job_id: int, change: Change) -> None:
    """Its table is gone: what runs may end, what waits does not."""
    job = controller.table.jobs.get(job_id)
    if job is None or not job.cron:
        return
    job = copy.copy(job)
    job.cron = False
    if job.state == PENDING:
        job.exit_code = REPLACED
        controller.apply(job, Event("cancel", controller.now(), uid=None, flag=True), change)
    else:
        controller.put(change, job, "left the crontab")


def settle(controller: Controller) -> None:
    """After a start: cron jobs that their table does not know are of one that was replaced a moment before the end."""
    change = Change()
    for job in list(controller.table.jobs.values()):
        table = controller.crontabs.of.get(job.user_id)
        if job.cron and (table is None or job.job_id not in table.jobs):
            _retire(controller, job.job_id, change)
    if change:
        controller.commit(change)


def disable(controller: Controller, job: Job, change: Change) -> Job:
    """Somebody cancels an entry's job: it is none any more, and its lines say so."""
    table = controller.crontabs.of.get(job.user_id)
    if table is not None and (span := table.jobs.get(job.job_id)) is not None:
        lines = table.text.split("\n")
        for number in range(span[0], min(span[1] + 1, len(lines))):
            if lines[number].strip():
                lines[number] = DISABLED + lines[number]
        kept = {job_id: lines_of for job_id, lines_of in table.jobs.items() if job_id != job.job_id}
        controller.crontabs.put(change, job.user_id, Table("\n".join(lines), kept))
    job = copy.copy(job)
    job.cron = False
    return job


def refuse(job: Job) -> None:
    """scontrol does not change an entry's job. Raises SlurmError."""
    if job.cron:
        raise SlurmError(NOT_THROUGH_SCONTROL)
