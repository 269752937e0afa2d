"""Hold, release, requeue, suspend and resume: scontrol's ways to change what a job does. Target by target."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import arrays, stepkeeping
from slurm_compat.controller.authorization import require_owner
from slurm_compat.controller.jobs import ADMIN_HOLD, NO_HOLD, USER_HOLD, Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.submission import Caller
from slurm_compat.controller.targets import Found, find
from slurm_compat.core import errors, states, taskids
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.states import COMPLETING, PENDING, RUNNING, SPECIAL_EXIT, SUSPENDED
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

Act = Callable[[Job], None]


def each_target(
    controller: Controller,
    caller: Caller,
    targets: list[str],
    change: Change,
    act: Act,
    stranger: int = errors.ACCESS_DENIED,
) -> list[list[Any]]:
    """Do `act` to every job of every target; [target, number, text] of those refused.

    Tasks that are named and still in their array's record leave it first. `stranger`: how others than owner and
    operator are refused; slurmctld's words differ by call.
    """
    refused: list[list[Any]] = []
    for target in targets:
        try:
            found = find(controller.table, target)
            if found.step:
                raise SlurmError(errors.INVALID_JOB_ID)
            _act_on(controller, caller, found, change, act, stranger)
        except SlurmError as problem:
            refused.append([target, problem.number, problem.text])
    return refused


def _act_on(controller: Controller, caller: Caller, found: Found, change: Change, act: Act, stranger: int) -> None:
    some = list(found.jobs) + ([found.record] if found.record is not None else [])
    for job in some:
        require_owner(caller, job.user_id, stranger)
    problems: list[SlurmError] = []
    done = 0
    jobs = list(found.jobs)
    if found.record is not None and (found.tasks or found.whole):
        jobs = [*own_jobs(controller, found, change), *jobs]
    for job in jobs:
        try:
            act(controller.table.jobs[job.job_id])
            done += 1
        except SlurmError as problem:
            problems.append(problem)
    if problems and not done:
        raise problems[0]


def own_jobs(controller: Controller, found: Found, change: Change) -> list[Job]:
    """The record when all of it is meant, else each task that is meant as a job of its own."""
    record = found.record
    assert record is not None
    if found.whole or record.is_final or len(found.tasks) == taskids.count(record.array_ranges):
        return [record]
    jobs = []
    for task in found.tasks:
        job, rest = arrays.split(record, task, controller.new_job_id(), controller.new_db_index())
        assert rest is not None
        record = rest
        controller.put(change, job, "left the array's record")
        jobs.append(job)
    controller.put(change, record)
    return jobs


def hold(
    controller: Controller, caller: Caller, targets: list[str], user_hold: bool, change: Change
) -> list[list[Any]]:
    def act(job: Job) -> None:
        if job.is_final:
            raise SlurmError(errors.ALREADY_DONE if COMPLETING in job.flags else errors.JOB_FINISHED)
        kind = USER_HOLD if user_hold or caller.uid == job.user_id or not caller.operator else ADMIN_HOLD
        if job.state != PENDING:
            # a running job is shown so, and waits, held, if it is requeued
            job.reason = "JobHeldUser" if kind == USER_HOLD else "JobHeldAdmin"
            job.description = ""
            controller.put(change, job, "hold")
            return
        if job.hold == ADMIN_HOLD and not caller.operator:
            return
        job = copy.copy(controller.take_back(job, change, "held"))
        job.hold = kind
        job.priority = 0
        job.reason = "JobHeldUser" if kind == USER_HOLD else "JobHeldAdmin"
        job.description = ""
        controller.changed(job, change, "hold", kind)

    return each_target(controller, caller, targets, change, act, errors.USER_ID_MISSING)


def release(controller: Controller, caller: Caller, targets: list[str], change: Change) -> list[list[Any]]:
    def act(job: Job) -> None:
        if job.is_final:
            raise SlurmError(errors.ALREADY_DONE if COMPLETING in job.flags else errors.JOB_FINISHED)
        if job.hold == ADMIN_HOLD and not caller.operator:
            raise SlurmError(errors.ACCESS_DENIED)
        if job.state != PENDING:
            job.reason, job.description = "None", ""
            controller.put(change, job, "release")
            return
        job = copy.copy(job)
        job.hold = NO_HOLD
        job.flags = [flag for flag in job.flags if flag != SPECIAL_EXIT]
        job.reason, job.description = "None", ""
        job.priority = controller.priority(job)
        controller.changed(job, change, "release")

    return each_target(controller, caller, targets, change, act, errors.USER_ID_MISSING)


def requeue(
    controller: Controller,
    caller: Caller,
    targets: list[str],
    held: bool,
    special: bool,
    incomplete: bool,
    change: Change,
) -> list[list[Any]]:
    def act(job: Job) -> None:
        if not job.request.batch:
            raise SlurmError(errors.DISABLED)
        if incomplete and job.state == states.COMPLETED:
            return
        if job.state == PENDING:
            raise SlurmError(errors.JOB_PENDING)
        if COMPLETING in job.flags:
            raise SlurmError(errors.TRANSITION_STATE_NO_UPDATE)
        if not job.requeue and not caller.operator:
            raise SlurmError(errors.DISABLED)
        event = Event("requeue", controller.now(), uid=caller.uid, flag=held, text=SPECIAL_EXIT if special else "")
        was_final = job.is_final
        job = controller.apply(job, event, change)
        if was_final:
            controller.changed(job, change)

    return each_target(controller, caller, targets, change, act)


def _suspension(refused: list[list[Any]]) -> list[list[Any]]:
    """For a job nobody knows, slurmctld answers suspend and resume with words of their own."""
    unknown = [errors.UNEXPECTED_MESSAGE, errors.TEXT[errors.UNEXPECTED_MESSAGE]]
    return [[row[0], *unknown] if row[1] == errors.INVALID_JOB_ID else row for row in refused]


def suspend(controller: Controller, caller: Caller, targets: list[str], change: Change) -> list[list[Any]]:
    def act(job: Job) -> None:
        if job.state == SUSPENDED:
            return
        if job.state == PENDING:
            raise SlurmError(errors.JOB_PENDING)
        if job.state != RUNNING:
            raise SlurmError(errors.JOB_FINISHED)
        job = controller.apply(job, Event("suspend", controller.now()), change)
        stepkeeping.suspended(controller, job, False, change)
        change.then.append(lambda: controller.agents.say(job.job_id, {"msg": "suspend"}))

    return _suspension(each_target(controller, caller, targets, change, act))


def resume(controller: Controller, caller: Caller, targets: list[str], change: Change) -> list[list[Any]]:
    def act(job: Job) -> None:
        if job.state != SUSPENDED:
            if job.is_final:
                raise SlurmError(errors.JOB_FINISHED)
            raise SlurmError(errors.JOB_NOT_SUSPENDED)
        job = controller.apply(job, Event("resume", controller.now()), change)
        stepkeeping.suspended(controller, job, True, change)
        change.then.append(lambda: controller.agents.say(job.job_id, {"msg": "resume"}))

    return _suspension(each_target(controller, caller, targets, change, act))
