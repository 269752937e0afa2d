"""The controller's calls: a handler a row of core/calls.CALLS, and who may make it.

A handler answers a dict (the result), an awaitable of one, an iterable of row chunks, or None for a stream that sends
by itself. What a caller may do to which job is asked again job by job.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.controller import (
    accounting,
    allocating,
    assocmgr,
    attaching,
    bookcalls,
    cancelling,
    changing,
    clusterchange,
    crontabs,
    debugging,
    diagnosing,
    listings,
    nodeevents,
    notifying,
    partitionkeeping,
    relaycalls,
    reports,
    resvcalls,
    show_config,
    submitting,
    tokens,
    triggercalls,
    updating,
)  # fmt: skip
from slurm_compat.controller.agents import Link
from slurm_compat.controller.authorization import require_reader
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.controller import Controller
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.server import Session
from slurm_compat.core import callargs, calls, clusterargs, errors, jobargs, stepargs
from slurm_compat.core.calls import ADMIN, AGENT, OPERATOR, Call
from slurm_compat.core.errors import BAD_ARGUMENT, BadValue, SlurmError
from slurm_compat.core.states import COMPLETING
from slurm_compat.store.changes import Change

Rows = Iterable[list[list[Any]]]
Answer = dict[str, Any] | Awaitable[Any] | Rows | None


log = logging.getLogger(__name__)

# handlers that live with what they are about: name -> f(controller, session, args)
ELSEWHERE: dict[str, Callable[[Controller, Session, Any], Answer]] = {
    "jobs": listings.jobs,
    "steps": listings.steps,
    "nodes": listings.nodes,
    "partitions": listings.partitions,
    "reservations": resvcalls.rows,
    "licenses": listings.licenses,
    "priorities": listings.priorities,
    "associations": listings.associations,
    "accounts": listings.accounts,
    "users": listings.users,
    "qos": listings.qos,
    "tres": listings.tres,
    "assoc_mgr": assocmgr.show,
    "book_records": bookcalls.records,
    "change_book": bookcalls.change,
    "events": nodeevents.events,
    "transactions": bookcalls.transaction_rows,
    "usage": reports.usage,
    "cluster_usage": reports.cluster_usage,
    "reservation_usage": reports.reservation_usage,
    "job_sizes": reports.job_sizes,
    "update_reservation": resvcalls.update,
    "notify": notifying.notify,
    "crontab": crontabs.read,
    "update_crontab": crontabs.update,
    "triggers": triggercalls.show,
    "set_trigger": triggercalls.put,
    "clear_triggers": triggercalls.clear,
    "relay_listen": relaycalls.listen,
    "relay_dial": relaycalls.dial,
    "relay_take": relaycalls.take,
    "authenticate": tokens.authenticate,
    "token": tokens.make,
    "statistics": diagnosing.statistics,
    "set_debug": debugging.change,
    "power": debugging.power,
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

    def ping(self, session: Session, args: callargs.Nothing) -> Answer:
        controller = self._controller
        return {
            "hostname": controller.hostname,
            "version": SLURM_VERSION,
            "pid": os.getpid(),
            "boot_time": controller.started_at,
            "mode": "primary",
            "cluster": controller.conf.cluster_name,
        }

    def config(self, session: Session, args: callargs.Nothing) -> Answer:
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

    def answered(self, session: Session, call: Call, args: callargs.Args, seconds: float) -> None:
        """The server's word that a call was answered. Agents of other machines are known by their tokens alone."""
        if call.name == "authenticate":
            return  # part of a call, in Slurm
        caller = session.caller
        uid, user = (caller.uid, caller.user_name) if caller is not None else (0, "root")
        self._controller.statistics.answered(call.name, args, uid, user, seconds)

    def shutdown(self, session: Session, args: callargs.Nothing) -> Answer:
        self._stop()
        return {}

    async def reconfigure(self, session: Session, args: callargs.Nothing) -> dict[str, Any]:
        try:
            self._reconfigure()
        except (BadValue, OSError) as problem:
            raise SlurmError(BAD_ARGUMENT, f"{self._controller.cluster_file}: {problem}") from None
        partitionkeeping.forget(self._controller.cluster)
        await clusterchange.nodes_changed(self._controller, [], reread=True)
        self._controller.triggers.happened("reconfig")
        return {}

    # submission

    def submit(self, session: Session, args: jobargs.Submit) -> Answer:
        return submitting.submit(self._controller, session, args)

    def will_run(self, session: Session, args: jobargs.WillRun) -> Answer:
        return submitting.will_run(self._controller, session, args)

    def allocate(self, session: Session, args: jobargs.Allocate) -> Answer:
        allocating.allocate(self._controller, session, args)
        return None

    def complete_allocation(self, session: Session, args: jobargs.CompleteAllocation) -> Answer:
        return allocating.complete(self._controller, session, args)

    # records

    async def accounting(self, session: Session, args: jobargs.Accounting) -> Any:
        return await accounting.accounting(self._controller, session, args)

    async def job_script(self, session: Session, args: callargs.JobId) -> dict[str, Any]:
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

    async def cancel(self, session: Session, args: jobargs.Cancel) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, cancelling.cancel(self._controller, _known(session), args, change))

    async def hold(self, session: Session, args: jobargs.Hold) -> dict[str, Any]:
        change = Change()
        refused = changing.hold(self._controller, _known(session), args.targets, args.user_hold, change)
        return await self._changed(change, refused)

    async def release(self, session: Session, args: callargs.Targets) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, changing.release(self._controller, _known(session), args.targets, change))

    async def requeue(self, session: Session, args: jobargs.Requeue) -> dict[str, Any]:
        change = Change()
        held = args.hold or args.special_exit
        refused = changing.requeue(
            self._controller, _known(session), args.targets, held, args.special_exit, args.incomplete, change
        )
        return await self._changed(change, refused)

    async def suspend(self, session: Session, args: callargs.Targets) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, changing.suspend(self._controller, _known(session), args.targets, change))

    async def resume(self, session: Session, args: callargs.Targets) -> dict[str, Any]:
        change = Change()
        return await self._changed(change, changing.resume(self._controller, _known(session), args.targets, change))

    async def update_job(self, session: Session, args: jobargs.UpdateJob) -> dict[str, Any]:
        change = Change()
        try:
            refused = updating.update(self._controller, _known(session), args.targets, args.changes, change)
        except (TypeError, ValueError, LookupError, OverflowError) as problem:
            # values of another kind than scontrol sends
            log.info("update_job %.200r: %.200r", args.changes, problem)
            raise SlurmError(BAD_ARGUMENT) from None
        return await self._changed(change, refused)

    # changes of the cluster

    async def update_node(self, session: Session, args: clusterargs.UpdateNode) -> dict[str, Any]:
        caller = _known(session)
        await clusterchange.update_nodes(self._controller, args.names, args.changes, caller.user_name, caller.uid)
        return {}

    async def update_partition(self, session: Session, args: clusterargs.UpdatePartition) -> dict[str, Any]:
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

    def wait_job(self, session: Session, args: callargs.JobId) -> Answer:
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

    def step_create(self, session: Session, args: stepargs.StepCreate) -> Answer:
        self._controller.steps.create(session, args)
        return None

    def step_complete(self, session: Session, args: stepargs.StepComplete) -> Answer:
        return self._controller.steps.complete(session, args)

    def step_attach(self, session: Session, args: stepargs.StepAttach) -> Answer:
        return attaching.attach(self._controller, session, args)

    def broadcast(self, session: Session, args: stepargs.Broadcast) -> Answer:
        return attaching.broadcast(self._controller, session, args)

    def agent(self, session: Session, args: stepargs.AgentHello) -> Answer:
        agents = self._controller.agents
        link = Link(args, session.send, session.close, session.caller is not None and session.caller.slurm_user)
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
