"""Allocations of salloc and srun: granted to a connection, ended with it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import het
from slurm_compat.controller.authorization import require_self
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.server import Session
from slurm_compat.controller.submitting import checked_key, submit_once
from slurm_compat.controller.views import job_fields
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.jobargs import Allocate, CompleteAllocation
from slurm_compat.core.states import PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller


def allocate(controller: Controller, session: Session, args: Allocate) -> None:
    """Begin; the rest happens as events on the session."""
    controller.spawn(_allocate(controller, session, args))


async def _allocate(controller: Controller, session: Session, args: Allocate) -> None:
    assert session.caller is not None
    try:
        answer = await submit_once(
            controller, session.caller, args.request, b"", args.environment, checked_key(args.key)
        )
    except SlurmError as problem:
        session.send_error(problem)
        return
    job_id: int = answer["job_id"]
    job = controller.table.jobs.get(job_id)
    if job is None:
        session.send_error(SlurmError(errors.INVALID_JOB_ID))
        return
    job.detached = args.detached
    Allocating(controller, session, job_id, args.request.immediate, args.detached).begin(answer)


class Allocating:
    """One salloc's or srun's wait and hold."""

    def __init__(
        self, controller: Controller, session: Session, job_id: int, immediate: int | None, detached: bool
    ) -> None:
        self._controller = controller
        self._session = session
        self._job_id = job_id
        self._immediate = immediate
        self._detached = detached
        self._granted = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, answer: dict[str, Any]) -> None:
        job = self._controller.table.jobs[self._job_id]
        self._session.send({"event": "submitted", **answer})
        self._controller.listeners.add(self._job_id, self._told)
        self._session.on_close = self._closed
        if job.is_running:
            self._told({"event": "started"})
        elif job.is_final:
            self._told({"event": "ended"})
        else:
            self._session.send({"event": "pending", "reason": job.description or job.reason})
            if self._immediate is not None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(max(self._immediate, 1), self._too_late)
        if self._session.closed and self._session.on_close is not None:
            self._closed()

    def _told(self, message: dict[str, Any]) -> None:
        job = self._controller.table.jobs.get(self._job_id)
        if job is None:
            return
        if message["event"] == "started" and not self._granted:
            self._granted = True
            self._session.send({"event": "granted", **grant(self._controller, job)})
            if self._timer is not None:
                self._timer.cancel()
        elif message["event"] == "note":
            self._session.send(message)
        elif message["event"] == "ended":
            self._session.on_close = None
            self._forget()
            reason = job.description or job.reason
            self._session.send({"event": "revoked", "reason": reason, "state": job.state, "exit": job.exit_code})
            self._session.end()

    def _forget(self) -> None:
        self._controller.listeners.remove(self._job_id, self._told)
        if self._timer is not None:
            self._timer.cancel()

    def _too_late(self) -> None:
        """--immediate: what did not start in time is given up."""
        job = self._controller.table.jobs.get(self._job_id)
        if job is not None and job.state == PENDING:
            self._session.on_close = None
            self._forget()
            self._controller.apply(job, Event("cancel", self._controller.now(), uid=job.user_id, flag=True))
            self._session.send_error(SlurmError(errors.CAN_NOT_START_IMMEDIATELY))

    def _closed(self) -> None:
        """The command is gone without having said how it ended: the job is cancelled, as srun's own keeper does it."""
        self._forget()
        job = self._controller.table.jobs.get(self._job_id)
        if job is None or job.is_final or self._detached:
            return
        controller = self._controller
        change = Change()
        for step in list(controller.table.steps_of(job)):
            if step.step_id.isdigit() and not step.end_time:
                step.cancelled_by = job.user_id
                controller.table.put_step(change, step)
                controller.agents.tell(job.job_id, {"msg": "signal", "to": step.step_id, "signal": signal.SIGKILL})
        controller.apply(job, Event("cancel", controller.now(), uid=job.user_id, flag=True), change)
        controller.commit(change)


def grant(controller: Controller, job: Job) -> dict[str, Any]:
    """What the command needs of its allocation; `components`: the further ones of a heterogeneous job."""
    jobs = [job_fields(controller, one) for one in het.components(controller.table, job)]
    return {"job": jobs[0], "components": jobs[1:], "kill_wait": controller.conf.kill_wait}


def end(controller: Controller, job: Job, status: int) -> None:
    """The allocation is given back; its steps end with it."""
    change = Change()
    job = controller.apply(job, Event("ended", controller.now(), status), change)
    controller.agents.finish_or_terminate(job, change)
    controller.commit(change)


def complete(controller: Controller, session: Session, args: CompleteAllocation) -> dict[str, Any]:
    job = controller.table.jobs.get(args.job_id)
    if job is None:
        raise SlurmError(errors.INVALID_JOB_ID)
    assert session.caller is not None
    require_self(session.caller, job)
    if job.is_final:
        raise SlurmError(errors.ALREADY_DONE)
    if job.state == PENDING:
        controller.apply(job, Event("cancel", controller.now(), uid=session.caller.uid, flag=True))
    else:
        end(controller, job, args.exit_code)
    return {}
