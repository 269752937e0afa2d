"""The calls that list what there is now: jobs, steps, nodes, partitions, licences, accounts, users, QOS, priorities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import associationrows, bookcalls, reserved, shares, views
from slurm_compat.controller.answering import CHUNK, Row, chosen, chunks, unknown_field
from slurm_compat.controller.associations import tres_rows
from slurm_compat.controller.placing import running
from slurm_compat.controller.priorities import rows as priority_rows
from slurm_compat.controller.priorities import shown as has_priority
from slurm_compat.controller.privacy import Privacy
from slurm_compat.core import callargs, errors, jobargs, privatedata, stepargs
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.jobs import Job
    from slurm_compat.controller.server import Session

Rows = Iterator[list[Row]]


def jobs(controller: Controller, session: Session, args: jobargs.Jobs) -> Rows:
    row = _compiled(views.job_row, args.fields)
    controller.reasons.refresh()
    found: Iterable[Job]
    if args.job_ids:
        found = _named(controller, args.job_ids)
    else:
        found = [job for job in controller.table.jobs.values() if not job.folded]
    if args.user_ids:
        users = frozenset(args.user_ids)
        found = [job for job in found if job.user_id in users]
    if args.states:
        wanted = frozenset(args.states)
        found = [job for job in found if job.state in wanted or not wanted.isdisjoint(job.flags)]
    return _job_rows(controller, row, _shown(controller, session, found, args.job_ids))


def _shown(controller: Controller, session: Session, jobs: Iterable[Job], job_ids: list[int]) -> list[Job]:
    """Those that the caller may see; a hidden one that was named alone is as one that isn't there."""
    private = Privacy(controller, session.caller)
    if not private.hides(privatedata.JOBS):
        return list(jobs)
    found = [job for job in jobs if private.shows_job(job.user_id, job.account)]
    if len(job_ids) == 1 and not found:
        raise SlurmError(errors.INVALID_JOB_ID)
    return found


def _named(controller: Controller, job_ids: list[int]) -> list[Job]:
    table = controller.table
    found: dict[int, Job] = {}
    for job_id in job_ids:
        family = table.family(job_id)
        if not family and len(job_ids) == 1:
            raise SlurmError(errors.INVALID_JOB_ID)
        for job in family:
            if job.folded and job.job_id != job_id:
                continue
            found[job.job_id] = job
    return list(found.values())


def _job_rows(controller: Controller, row: Callable[..., list[Any]], jobs: list[Job]) -> Rows:
    now = controller.now()
    for start in range(0, len(jobs), CHUNK):
        yield [row(job, job.request, job.shape, now, controller) for job in jobs[start : start + CHUNK]]


def steps(controller: Controller, session: Session, args: stepargs.Steps) -> Rows:
    row = _compiled(views.step_row, args.fields)
    now = controller.now()
    found = _named(controller, args.job_ids) if args.job_ids else running(controller)
    if args.job_ids:
        # a heterogeneous job's number means its first component: the others have steps of their own
        found = [job for job in found if not job.het_offset or job.job_id in args.job_ids]
    rows = [
        row(step, job, now, controller)
        for job in _shown(controller, session, found, args.job_ids)
        for step in controller.table.steps_of(job)
        if not step.end_time
    ]
    return chunks(rows)


def nodes(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    Privacy(controller, session.caller).refuse(privatedata.NODES)
    return chunks(_rows_of(controller.cluster.node_rows, args))


def partitions(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    Privacy(controller, session.caller).refuse(privatedata.PARTITIONS)
    return chunks(_rows_of(controller.cluster.partition_rows, args))


def licenses(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    cluster = controller.cluster
    used = cluster.used_licenses()
    kept = reserved.licenses_reserved(cluster, controller.now())
    rows = []
    remote = bookcalls.remote_licenses(controller)
    for name, total in sorted(cluster.licenses.items()):
        if args.names and name not in args.names:
            continue
        taken = used.get(name, 0)
        values: dict[str, Any] = {
            "name": name, "total": total, "used": taken, "free": total - taken, "reserved": kept.get(name, 0),
            "remote": "@" in name, "server": name.partition("@")[2], "last_consumed": remote.get(name, (0, 0))[0],
            "last_deficit": 0, "last_update": remote.get(name, (0, 0))[1],
        }  # fmt: skip
        rows.append(values)
    return chosen(rows, args.fields)


def _rows_of(read: Callable[..., list[list[Any]]], args: callargs.Fields) -> list[list[Any]]:
    try:
        return read(args.fields, args.names)
    except KeyError as problem:
        raise unknown_field(problem.args[0]) from None
    except AttributeError as problem:
        raise unknown_field(str(problem.name)) from None


def associations(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    private = Privacy(controller, session.caller)
    rows = associationrows.association_rows(controller.cluster.conf)
    shown = private.shows_user_of
    if not shares.FIELDS.isdisjoint(args.fields):
        found = controller.shares.now()
        rows = [row | shares.values(found[row["id"]]) for row in rows]
        shown = private.shows_association
    return chosen([row for row in rows if shown(row["user"], row["account"])], args.fields)


def accounts(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    Privacy(controller, session.caller).refuse(privatedata.ACCOUNTS)
    return chosen(associationrows.account_rows(controller.cluster.conf), args.fields)


def users(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    private = Privacy(controller, session.caller)
    own = controller.book.default_wckeys()
    rows = associationrows.user_rows(controller.cluster.conf, own)
    return chosen([row for row in rows if private.shows_user(row["name"])], args.fields)


def qos(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    return chosen(associationrows.qos_rows(controller.cluster.conf), args.fields)


def tres(controller: Controller, session: Session, args: callargs.Fields) -> Rows:
    return chosen(tres_rows(controller.cluster.conf), args.fields)


def priorities(controller: Controller, session: Session, args: jobargs.Priorities) -> Rows:
    now = controller.now()
    table = controller.table
    wanted = frozenset(args.job_ids)
    private = Privacy(controller, session.caller)
    waiting = (table.jobs[job_id] for job_id in sorted(table.pending))
    jobs = (job for job in waiting if private.shows_job(job.user_id, job.account))
    return chosen(
        [
            row
            for job in jobs
            if has_priority(job, now) and (not wanted or wanted & {job.job_id, job.array_job_id})
            for row in priority_rows(job, controller.cluster, now)
        ],
        args.fields,
    )


def _compiled(compiler: Callable[..., Callable[..., list[Any]]], fields: list[str]) -> Callable[..., list[Any]]:
    try:
        return compiler(tuple(fields))
    except views.UnknownField as problem:
        raise SlurmError(BAD_ARGUMENT, str(problem)) from None
