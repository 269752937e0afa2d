"""Hold, release, requeue, suspend and resume: scontrol's ways to change what a job does. Target by target."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import arrays, crontabs, launching, stepkeeping
from slurm_compat.controller.authorization import require_owner
from slurm_compat.controller.jobs import ADMIN_HOLD, NO_HOLD, USER_HOLD, Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.submission import Caller
from slurm_compat.controller.targets import Found, find
from slurm_compat.core import errors, jobid, states, taskids
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.jobid import JobExpression
from slurm_compat.core.states import COMPLETING, PENDING, REQUEUED, RESV_DEL_HOLD, RUNNING, SPECIAL_EXIT, SUSPENDED
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

    Tasks that are named and still in their array's record leave it first. Of an array each task has its answer: where
    one is refused all are told of, as [123_[0-2], number, text] for those with the same answer, 0 for done.
    `stranger`: how others than owner and operator are refused; slurmctld's words differ by call.
    """
    refused: list[list[Any]] = []
    for target in targets:
        try:
            expression = jobid.parse(target)
            if expression.step:
                raise SlurmError(errors.INVALID_JOB_ID)
            if _is_array(controller, expression):
                refused += _on_array(controller, caller, expression, change, act, stranger)
                continue
            for job in find(controller.table, target).jobs:
                require_owner(caller, job, stranger)
                act(job)
        except BadValue:
            refused.append([target, errors.INVALID_JOB_ID, errors.TEXT[errors.INVALID_JOB_ID]])
        except SlurmError as problem:
            refused.append([target, problem.number, problem.text])
    return refused


def _is_array(controller: Controller, expression: JobExpression) -> bool:
    """Whether it speaks of tasks, or of an array by its id. The id of a task alone is a job's."""
    table = controller.table
    known = expression.job_id in table.tasks or table.record_of(expression.job_id) is not None
    return bool(expression.tasks) or (known and not expression.sluid)


def _on_array(
    controller: Controller, caller: Caller, expression: JobExpression, change: Change, act: Act, stranger: int
) -> list[list[Any]]:
    """What became of each task, [] when all is done; one answer for those that are in the record together."""
    answers: list[tuple[int, str, list[int]]] = []

    def tell(tasks: Iterable[int], problem: SlurmError | None) -> None:
        number, text = (problem.number, problem.text) if problem is not None else (0, "No error")
        if problem is not None and problem.notes:
            text = f"{text} ({problem.notes[0]})"
        for known, words, others in answers:
            if (known, words) == (number, text):
                others.extend(tasks)
                return
        answers.append((number, text, list(tasks)))

    def on(job: Job, tasks: Iterable[int]) -> None:
        try:
            require_owner(caller, job, stranger)
            act(controller.table.jobs[job.job_id])
        except SlurmError as problem:
            tell(tasks, problem)
        else:
            tell(tasks, None)

    missing = set(taskids.each(expression.tasks))
    try:
        found = find(controller.table, str(jobid.show(expression)))
    except SlurmError:
        found = None
    if found is not None:
        record = found.record
        if record is not None and found.tasks:
            missing.difference_update(found.tasks)
            try:
                require_owner(caller, record, stranger)
            except SlurmError as problem:
                tell(found.tasks, problem)
            else:
                for job in own_jobs(controller, found, change):
                    on(job, [job.array_task_id] if job.array_task_id is not None else found.tasks)
        for job in sorted(found.jobs, key=lambda job: job.array_task_id or 0):
            if job.array_task_id is not None:
                missing.discard(job.array_task_id)
                on(job, [job.array_task_id])
    if missing:
        tell(sorted(missing), SlurmError(errors.INVALID_JOB_ID))
    if all(number == 0 for number, _, _ in answers):
        return []
    answers.sort(key=lambda answer: min(answer[2]))
    return [
        [f"{expression.job_id}_[{taskids.show(sorted(tasks))}]", number, text] for number, text, tasks in answers
    ]  # fmt: skip


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


def _over_others(caller: Caller, job: Job) -> bool:
    """Whether more than the job's owner: such a one's hold is lifted by such a one."""
    return caller.operator or job.account in caller.coordinates


def hold(
    controller: Controller, caller: Caller, targets: list[str], user_hold: bool, change: Change
) -> list[list[Any]]:
    def act(job: Job) -> None:
        if job.is_final:
            raise SlurmError(errors.ALREADY_DONE if COMPLETING in job.flags else errors.JOB_FINISHED)
        crontabs.refuse(job)
        kind = USER_HOLD if user_hold or caller.uid == job.user_id else ADMIN_HOLD
        if job.state != PENDING:
            # a running job is shown so, and waits, held, if it is requeued
            job.reason = "JobHeldUser" if kind == USER_HOLD else "JobHeldAdmin"
            job.description = ""
            controller.put(change, job, "hold")
            return
        if job.hold == ADMIN_HOLD and not _over_others(caller, job):
            return
        job = copy.copy(controller.handover.take_back(job, change, "held"))
        job.hold = kind
        job.priority = 0
        job.reason = "JobHeldUser" if kind == USER_HOLD else "JobHeldAdmin"
        job.description = ""
        controller.readiness.changed(job, change, "hold", kind)

    return each_target(controller, caller, targets, change, act, errors.USER_ID_MISSING)


def release(controller: Controller, caller: Caller, targets: list[str], change: Change) -> list[list[Any]]:
    def act(job: Job) -> None:
        if job.is_final:
            raise SlurmError(errors.ALREADY_DONE if COMPLETING in job.flags else errors.JOB_FINISHED)
        crontabs.refuse(job)
        if job.hold == ADMIN_HOLD and not _over_others(caller, job):
            raise SlurmError(errors.ACCESS_DENIED)
        if job.state != PENDING:
            job.reason, job.description = "None", ""
            controller.put(change, job, "release")
            return
        job = copy.copy(job)
        job.hold = NO_HOLD
        job.flags = [flag for flag in job.flags if flag not in (SPECIAL_EXIT, RESV_DEL_HOLD)]
        job.reason, job.description = "None", ""
        job.priority = controller.priority(job)
        controller.readiness.changed(job, change, "release")

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
        if job.het_offset and REQUEUED in controller.table.jobs[job.job_id].flags:
            return  # with its heterogeneous job
        if not job.has_script:
            raise SlurmError(errors.DISABLED)
        if incomplete and job.state == states.COMPLETED:
            return
        if job.state == PENDING:
            raise SlurmError(errors.JOB_PENDING)
        if COMPLETING in job.flags:
            raise SlurmError(errors.TRANSITION_STATE_NO_UPDATE)
        if not job.requeue:
            raise SlurmError(errors.DISABLED)
        event = Event("requeue", controller.now(), uid=caller.uid, flag=held, text=SPECIAL_EXIT if special else "")
        was_final = job.is_final
        job = controller.apply(job, event, change)
        if was_final:
            controller.readiness.changed(job, change)

    return each_target(controller, caller, targets, change, act)


def _suspension(refused: list[list[Any]]) -> list[list[Any]]:
    """For a job nobody knows, slurmctld answers suspend and resume with words of their own.

    Who may not is refused once for all tasks that were named; scontrol shows these without brackets.
    """
    told: list[list[Any]] = []
    unknown = [errors.UNEXPECTED_MESSAGE, errors.TEXT[errors.UNEXPECTED_MESSAGE]]
    for target, number, text in refused:
        if number == errors.INVALID_JOB_ID and target[:1].isdigit() and not target.endswith("]"):
            told.append([target, *unknown])
        elif number == errors.ACCESS_DENIED:
            told.append([target.replace("[", "").replace("]", ""), number, text])
        else:
            told.append([target, number, text])
    return told


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
            raise SlurmError(errors.JOB_PENDING if job.state == PENDING else errors.JOB_NOT_SUSPENDED)
        job = controller.apply(job, Event("resume", controller.now()), change)
        stepkeeping.suspended(controller, job, True, change)
        change.then.append(lambda: controller.agents.say(job.job_id, {"msg": "resume"}))
        if job.resv_ends_at:  # a reservation's end does not wait for what was suspended
            end = {"msg": "update", "end_time": launching.end_time(job)}
            change.then.append(lambda: controller.agents.say(job.job_id, end))

    return _suspension(each_target(controller, caller, targets, change, act))
