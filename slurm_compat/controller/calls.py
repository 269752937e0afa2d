"""The controller's calls: a handler a row of core/calls.CALLS, and who may make it.

A handler answers a dict (the result), an awaitable of one, an iterable of row chunks, or None for a stream that sends
by itself. What a caller may do to which job is asked again job by job.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.controller import (
    accounting,
    allocating,
    associationrows,
    associations,
    assocmgr,
    attaching,
    bookcalls,
    cancelling,
    changing,
    clusterchange,
    crontabs,
    debugging,
    diagnosing,
    nodeevents,
    notifying,
    partitionkeeping,
    priorities,
    relaycalls,
    reports,
    reserved,
    resvcalls,
    shares,
    show_config,
    submitting,
    tokens,
    triggercalls,
    updating,
    views,
)  # fmt: skip
from slurm_compat.controller.agents import Link
from slurm_compat.controller.authorization import require_reader
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.controller import Controller
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.placing import running
from slurm_compat.controller.privacy import Privacy
from slurm_compat.controller.server import Session
from slurm_compat.core import calls, errors, privatedata
from slurm_compat.core.calls import ADMIN, AGENT, OPERATOR, Call
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.states import COMPLETING
from slurm_compat.store.changes import Change

Rows = Iterable[list[list[Any]]]
Answer = dict[str, Any] | Awaitable[Any] | Rows | None

CHUNK = 1000  # rows a frame
BAD_ARGUMENT = 3001


# handlers that live with what they are about: name -> f(controller, session, args)
ELSEWHERE: dict[str, Callable[[Controller, Session, Any], Answer]] = {
    "relay_listen": relaycalls.listen,
    "relay_dial": relaycalls.dial,
    "relay_take": relaycalls.take,
    "events": nodeevents.events,
    "transactions": bookcalls.transaction_rows,
    "change_book": bookcalls.change,
    "book_records": bookcalls.records,
    "crontab": crontabs.read,
    "update_crontab": crontabs.update,
    "triggers": triggercalls.show,
    "set_trigger": triggercalls.put,
    "clear_triggers": triggercalls.clear,
    "authenticate": tokens.authenticate,
    "statistics": diagnosing.statistics,
    "token": tokens.make,
    "usage": reports.usage,
    "cluster_usage": reports.cluster_usage,
    "reservation_usage": reports.reservation_usage,
    "job_sizes": reports.job_sizes,
    "reservations": resvcalls.rows,
    "notify": notifying.notify,
    "power": debugging.power,
    "set_debug": debugging.change,
    "update_reservation": resvcalls.update,
    "assoc_mgr": assocmgr.show,
}


class Calls:
    def __init__(self, controller: Controller, stop: Callable[[], None], reconfigure: Callable[[], None]) -> None:
        self._controller = controller
        self._stop = stop
        self._reconfigure = reconfigure
        self._handlers: dict[str, Callable[[Session, Any], Answer]] = {
            name: partial(ELSEWHERE[name], controller) if name in ELSEWHERE else getattr(self, name)
            for name in calls.CALLS
        }

    def answer(self, session: Session, call: Call, args: Any) -> Answer:
        caller = session.caller
        if caller is None and call.who != AGENT:
            raise SlurmError(errors.AUTHENTICATION)  # over TCP nobody is anybody before he shows a token
        if caller is not None and (
            (call.who == OPERATOR and not caller.operator) or (call.who == ADMIN and not caller.admin)
        ):
            raise SlurmError(errors.USER_ID_MISSING)  # "Invalid user id", as slurmctld words it
        return self._handlers[call.name](session, args)

    # about the controller

    def ping(self, session: Session, args: calls.Nothing) -> Answer:
        controller = self._controller
        return {
            "hostname": controller.hostname,
            "version": SLURM_VERSION,
            "pid": os.getpid(),
            "boot_time": controller.started_at,
            "mode": "primary",
            "cluster": controller.conf.cluster_name,
        }

    def config(self, session: Session, args: calls.Nothing) -> Answer:
        controller = self._controller
        person = controller.people.person(os.getuid())
        live = show_config.Live(
            hostname=controller.hostname,
            boot_time=controller.started_at,
            next_job_id=controller.next_job_id,
            node_count=len(controller.cluster.nodes),
            cluster_file=controller.cluster_file,
            state=controller.state_folder,
            slurm_user=f"{person.name}({person.uid})",
        )
        set_now = controller.debugging.shown()
        pairs = show_config.pairs(controller.cluster.conf, live)
        return {"pairs": [[key, set_now.get(key, text)] for key, text in pairs]}

    def answered(self, session: Session, call: Call, args: calls.Args, seconds: float) -> None:
        """The server's word that a call was answered. Agents of other machines are known by their tokens alone."""
        if call.name == "authenticate":
            return  # part of a call, in Slurm
        caller = session.caller
        uid, user = (caller.uid, caller.user_name) if caller is not None else (0, "root")
        self._controller.statistics.answered(call.name, args, uid, user, seconds)

    def shutdown(self, session: Session, args: calls.Nothing) -> Answer:
        self._stop()
        return {}

    async def reconfigure(self, session: Session, args: calls.Nothing) -> dict[str, Any]:
        try:
            self._reconfigure()
        except (BadValue, OSError) as problem:
            raise SlurmError(BAD_ARGUMENT, f"{self._controller.cluster_file}: {problem}") from None
        partitionkeeping.forget(self._controller.cluster)
        await clusterchange.nodes_changed(self._controller, [], reread=True)
        self._controller.triggers.happened("reconfig")
        return {}

    # submission

    def submit(self, session: Session, args: calls.Submit) -> Answer:
        return submitting.submit(self._controller, session, args)

    def will_run(self, session: Session, args: calls.WillRun) -> Answer:
        return submitting.will_run(self._controller, session, args)

    def allocate(self, session: Session, args: calls.Allocate) -> Answer:
        allocating.allocate(self._controller, session, args)
        return None

    def complete_allocation(self, session: Session, args: calls.CompleteAllocation) -> Answer:
        return allocating.complete(self._controller, session, args)

    # rows

    def jobs(self, session: Session, args: calls.Jobs) -> Answer:
        controller = self._controller
        row = _compiled(views.job_row, args.fields)
        controller.reasons.refresh()
        chosen: Iterable[Job]
        if args.job_ids:
            chosen = self._named(args.job_ids)
        else:
            chosen = [job for job in controller.table.jobs.values() if not job.folded]
        if args.user_ids:
            users = frozenset(args.user_ids)
            chosen = [job for job in chosen if job.user_id in users]
        if args.states:
            wanted = frozenset(args.states)
            chosen = [job for job in chosen if job.state in wanted or not wanted.isdisjoint(job.flags)]
        return self._job_rows(row, self._shown(session, chosen, args.job_ids))

    def _shown(self, session: Session, jobs: Iterable[Job], job_ids: list[int]) -> list[Job]:
        """Those that the caller may see; a hidden one that was named alone is as one that isn't there."""
        private = Privacy(self._controller, session.caller)
        if not private.hides(privatedata.JOBS):
            return list(jobs)
        found = [job for job in jobs if private.shows_job(job.user_id, job.account)]
        if len(job_ids) == 1 and not found:
            raise SlurmError(errors.INVALID_JOB_ID)
        return found

    def _named(self, job_ids: list[int]) -> list[Job]:
        table = self._controller.table
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

    def _job_rows(self, row: Callable[..., list[Any]], jobs: list[Job]) -> Rows:
        controller = self._controller
        now = controller.now()
        for start in range(0, len(jobs), CHUNK):
            yield [row(job, job.request, job.shape, now, controller) for job in jobs[start : start + CHUNK]]

    def steps(self, session: Session, args: calls.Steps) -> Answer:
        controller = self._controller
        row = _compiled(views.step_row, args.fields)
        now = controller.now()
        chosen = self._named(args.job_ids) if args.job_ids else running(controller)
        if args.job_ids:
            # a heterogeneous job's number means its first component: the others have steps of their own
            chosen = [job for job in chosen if not job.het_offset or job.job_id in args.job_ids]
        rows = [
            row(step, job, now, controller)
            for job in self._shown(session, chosen, args.job_ids)
            for step in controller.table.steps_of(job)
            if not step.end_time
        ]
        return _chunks(rows)

    def nodes(self, session: Session, args: calls.Fields) -> Answer:
        Privacy(self._controller, session.caller).refuse(privatedata.NODES)
        return _chunks(self._rows_of(self._controller.cluster.node_rows, args))

    def partitions(self, session: Session, args: calls.Fields) -> Answer:
        Privacy(self._controller, session.caller).refuse(privatedata.PARTITIONS)
        return _chunks(self._rows_of(self._controller.cluster.partition_rows, args))

    def licenses(self, session: Session, args: calls.Fields) -> Answer:
        cluster = self._controller.cluster
        used = cluster.used_licenses()
        kept = reserved.licenses_reserved(cluster, self._controller.now())
        rows = []
        remote = bookcalls.remote_licenses(self._controller)
        for name, total in sorted(cluster.licenses.items()):
            if args.names and name not in args.names:
                continue
            taken = used.get(name, 0)
            values = {
                "name": name, "total": total, "used": taken, "free": total - taken, "reserved": kept.get(name, 0),
                "remote": "@" in name, "server": name.partition("@")[2], "last_consumed": remote.get(name, (0, 0))[0],
                "last_deficit": 0, "last_update": remote.get(name, (0, 0))[1],
            }  # fmt: skip
            rows.append([_field(values, field) for field in args.fields])
        return _chunks(rows)

    @staticmethod
    def _rows_of(read: Callable[..., list[list[Any]]], args: calls.Fields) -> list[list[Any]]:
        try:
            return read(args.fields, args.names)
        except KeyError as problem:
            raise SlurmError(BAD_ARGUMENT, f"unknown field {problem.args[0]}") from None
        except AttributeError as problem:
            raise SlurmError(BAD_ARGUMENT, f"unknown field {problem.name}") from None

    async def accounting(self, session: Session, args: calls.Accounting) -> Any:
        return await accounting.accounting(self._controller, session, args)

    def associations(self, session: Session, args: calls.Fields) -> Answer:
        controller = self._controller
        private = Privacy(controller, session.caller)
        rows = associationrows.association_rows(controller.cluster.conf)
        shown = private.shows_user_of
        if not shares.FIELDS.isdisjoint(args.fields):
            found = controller.shares.now()
            rows = [row | shares.values(found[row["id"]]) for row in rows]
            shown = private.shows_association
        return _chosen([row for row in rows if shown(row["user"], row["account"])], args.fields)

    def accounts(self, session: Session, args: calls.Fields) -> Answer:
        Privacy(self._controller, session.caller).refuse(privatedata.ACCOUNTS)
        return _chosen(associationrows.account_rows(self._controller.cluster.conf), args.fields)

    def users(self, session: Session, args: calls.Fields) -> Answer:
        private = Privacy(self._controller, session.caller)
        own = self._controller.book.default_wckeys()
        rows = associationrows.user_rows(self._controller.cluster.conf, own)
        return _chosen([row for row in rows if private.shows_user(row["name"])], args.fields)

    def qos(self, session: Session, args: calls.Fields) -> Answer:
        return _chosen(associationrows.qos_rows(self._controller.cluster.conf), args.fields)

    def tres(self, session: Session, args: calls.Fields) -> Answer:
        return _chosen(associations.tres_rows(self._controller.cluster.conf), args.fields)

    def priorities(self, session: Session, args: calls.Priorities) -> Answer:
        controller = self._controller
        now = controller.now()
        table = controller.table
        wanted = frozenset(args.job_ids)
        private = Privacy(controller, session.caller)
        waiting = (table.jobs[job_id] for job_id in sorted(table.pending))
        jobs = (job for job in waiting if private.shows_job(job.user_id, job.account))
        return _chosen(
            [
                row
                for job in jobs
                if priorities.shown(job, now) and (not wanted or wanted & {job.job_id, job.array_job_id})
                for row in priorities.rows(job, controller.cluster, now)
            ],
            args.fields,
        )

    async def job_script(self, session: Session, args: calls.JobId) -> dict[str, Any]:
        controller = self._controller
        job = controller.table.jobs.get(args.job_id)
        if job is None:
            raise SlurmError(errors.INVALID_JOB_ID)
        require_reader(_known(session), job)
        if not job.script:
            raise SlurmError(errors.JOB_SCRIPT_MISSING)
        return {"script": base64.b64encode(await controller.texts.get(job.script)).decode()}

    # changes of jobs

    async def _changed(self, change: Change, refused: list[list[Any]]) -> dict[str, Any]:
        """What was refused, once what was not is durable."""
        if change or change.then:
            await self._controller.commit(change)
        return {"errors": refused}

    async def cancel(self, session: Session, args: calls.Cancel) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, cancelling.cancel(self._controller, _known(session), args, change))

    async def hold(self, session: Session, args: calls.Hold) -> dict[str, Any]:
        change = Change()
        refused = changing.hold(self._controller, _known(session), args.targets, args.user_hold, change)
        return await self._changed(change, refused)

    async def release(self, session: Session, args: calls.Targets) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, changing.release(self._controller, _known(session), args.targets, change))

    async def requeue(self, session: Session, args: calls.Requeue) -> dict[str, Any]:
        change = Change()
        held = args.hold or args.special_exit
        refused = changing.requeue(
            self._controller, _known(session), args.targets, held, args.special_exit, args.incomplete, change
        )
        return await self._changed(change, refused)

    async def suspend(self, session: Session, args: calls.Targets) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, changing.suspend(self._controller, _known(session), args.targets, change))

    async def resume(self, session: Session, args: calls.Targets) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, changing.resume(self._controller, _known(session), args.targets, change))

    async def update_job(self, session: Session, args: calls.UpdateJob) -> dict[str, Any]:
        change = Change()
        refused = updating.update(self._controller, _known(session), args.targets, args.changes, change)
        return await self._changed(change, refused)

    # changes of the cluster

    async def update_node(self, session: Session, args: calls.UpdateNode) -> dict[str, Any]:
        caller = _known(session)
        await clusterchange.update_nodes(self._controller, args.names, args.changes, caller.user_name, caller.uid)
        return {}

    async def update_partition(self, session: Session, args: calls.UpdatePartition) -> dict[str, Any]:
        controller = self._controller
        changes = dict(args.changes)
        if changes.pop("create", False):
            controller.cluster.create_partition(args.name, changes)
        elif changes.pop("delete", False):
            if any(
                args.name in job.partition.split(",") and not job.is_final for job in controller.table.jobs.values()
            ):
                raise SlurmError(errors.PARTITION_IN_USE)
            controller.cluster.delete_partition(args.name)
        else:
            controller.cluster.set_partition(args.name, changes)
        await clusterchange.nodes_changed(controller, [])
        return {}

    # streams

    def wait_job(self, session: Session, args: calls.JobId) -> Answer:
        """One event when the job, or all of an array, has ended."""
        controller = self._controller
        job_id = args.job_id
        if not controller.table.family(job_id):
            raise SlurmError(errors.INVALID_JOB_ID)

        def told(message: dict[str, Any] | None = None) -> None:
            family = controller.table.family(job_id)
            if any(not job.is_final or COMPLETING in job.flags for job in family):
                return
            session.on_close = None
            unlisten()
            worst = max(family, key=_worth) if family else None
            state = worst.state if worst is not None else "COMPLETED"
            code = worst.exit_code if worst is not None else 0
            session.send({"event": "ended", "job_state": state, "exit_code": code})
            session.end()

        def unlisten() -> None:
            controller.listeners.remove(job_id, told)

        controller.listeners.add(job_id, told)
        session.on_close = unlisten
        told()
        return None

    def step_create(self, session: Session, args: calls.StepCreate) -> Answer:
        self._controller.steps.create(session, args)
        return None

    def step_complete(self, session: Session, args: calls.StepComplete) -> Answer:
        return self._controller.steps.complete(session, args)

    def step_attach(self, session: Session, args: calls.StepAttach) -> Answer:
        return attaching.attach(self._controller, session, args)

    def broadcast(self, session: Session, args: calls.Broadcast) -> Answer:
        return attaching.broadcast(self._controller, session, args)

    def agent(self, session: Session, args: calls.AgentHello) -> Answer:
        agents = self._controller.agents
        link = Link(args, session.send, session.close)
        session.on_message = lambda message: agents.heard(link, message)
        session.on_close = lambda: agents.gone(link)
        try:
            agents.hello(link)
        except SlurmError:
            session.on_message = session.on_close = None
            raise
        return None


def _known(session: Session) -> Caller:
    if session.caller is None:
        raise SlurmError(errors.ACCESS_DENIED)
    return session.caller


def _worth(job: Job) -> tuple[bool, int]:
    """Which of an array's ends sbatch --wait reports: the highest exit code, failures first."""
    code = job.exit_code
    return (job.state != "COMPLETED", max(code >> 8, code & 0x7F))


def _compiled(compiler: Callable[..., Callable[..., list[Any]]], fields: list[str]) -> Callable[..., list[Any]]:
    try:
        return compiler(tuple(fields))
    except views.UnknownField as problem:
        raise SlurmError(BAD_ARGUMENT, str(problem)) from None


def _field(values: dict[str, Any], name: str) -> Any:
    if name not in values:
        raise SlurmError(BAD_ARGUMENT, f"unknown field {name}")
    return values[name]


def _chosen(rows: list[dict[str, Any]], fields: list[str]) -> Iterator[list[list[Any]]]:
    return _chunks([[_field(row, field) for field in fields] for row in rows])


def _chunks(rows: list[list[Any]]) -> Iterator[list[list[Any]]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
