"""scancel: ending jobs, tasks and steps, and sending them signals. Each target is refused or done by itself."""

from __future__ import annotations

import copy
import signal as signals
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import arrays, crontabs, het
from slurm_compat.controller.authorization import require_owner
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.submission import Caller
from slurm_compat.controller.targets import Found, find
from slurm_compat.core import errors, taskids
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.jobargs import Cancel
from slurm_compat.core.states import COMPLETING, PENDING, STOPPED, shown_state
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

# signals that end a pending job as a cancel does
_ENDING = {signals.SIGKILL}


def cancel(controller: Controller, caller: Caller, args: Cancel, change: Change) -> list[list[Any]]:
    """[target, number, text] of each target that was refused."""
    refused: list[list[Any]] = []
    for target in args.targets:
        try:
            _one(controller, caller, args, find(controller.table, target), change)
        except SlurmError as problem:
            refused.append([target, problem.number, problem.text])
    return refused


def _one(controller: Controller, caller: Caller, args: Cancel, found: Found, change: Change) -> None:
    if found.step:
        for job in found.jobs:
            require_owner(caller, job)
            _step(controller, caller, args, job, found.step, change)
        if not found.jobs:
            raise SlurmError(errors.INVALID_JOB_ID)
        return
    # the first component of a heterogeneous job takes the others with it
    leaders = {job.job_id for job in found.jobs}
    jobs = [job for job in found.jobs if not job.het_offset or job.het_job_id not in leaders]
    wanted = [job for job in jobs if _in_states(job, args.states)]
    record = found.record if found.record is not None and _in_states(found.record, args.states) else None
    if not wanted and record is None:
        if args.states:
            return
        raise SlurmError(errors.INVALID_JOB_ID)
    for job in ([record] if record is not None else []) + wanted:
        require_owner(caller, job)
    problems: list[SlurmError] = []
    done = 0
    if record is not None and (found.tasks or found.whole):
        try:
            _record(controller, caller, args, record, found, change)
            done += 1
        except SlurmError as problem:
            problems.append(problem)
    for job in wanted:
        try:
            _job(controller, caller, args, job, change)
            done += 1
        except SlurmError as problem:
            problems.append(problem)
    # of an array that runs and waits, what could be done counts
    if problems and not done:
        raise problems[0]


def _in_states(job: Job, states: list[str]) -> bool:
    return not states or job.state in states or shown_state(job.state, job.flags) in states


def _record(controller: Controller, caller: Caller, args: Cancel, record: Job, found: Found, change: Change) -> None:
    """Tasks still in an array's record: they leave it for good; with the last of them the record ends."""
    if record.is_final:
        raise SlurmError(errors.ALREADY_DONE)
    if args.signal is not None and args.signal not in _ENDING:
        raise SlurmError(errors.TRANSITION_STATE_NO_UPDATE)
    if record.staged or found.whole or taskids.count(record.array_ranges) == len(found.tasks):
        _job(controller, caller, args, record, change)
        return
    after = copy.copy(record)
    after.array_ranges = arrays.without(record.array_ranges, found.tasks)
    controller.put(change, after, "tasks cancelled", ",".join(map(str, found.tasks)))


def _job(controller: Controller, caller: Caller, args: Cancel, job: Job, change: Change) -> None:
    if job.is_final:
        raise SlurmError(errors.ALREADY_DONE)
    if job.het_offset and job.state == PENDING:
        raise SlurmError(errors.NOT_WHOLE_HET_JOB)
    now = controller.now()
    if args.signal is None or (args.signal in _ENDING and not args.batch):
        if args.admin_comment and caller.operator:
            job.admin_comment = args.admin_comment
        if job.cron:
            job = crontabs.disable(controller, job, change)
        # the priority of a job that was not held stays to be seen
        controller.apply(job, Event("cancel", now, uid=caller.uid, flag=not job.hold), change)
        return
    if job.state == PENDING:
        if args.signal in _ENDING:
            controller.apply(job, Event("cancel", now, uid=caller.uid, flag=not job.hold), change)
            return
        raise SlurmError(errors.TRANSITION_STATE_NO_UPDATE)
    if COMPLETING in job.flags:
        raise SlurmError(errors.ALREADY_DONE)
    if args.signal in (signals.SIGSTOP, signals.SIGCONT):
        _stopped(controller, job, args.signal == signals.SIGSTOP, change)
    to = "all" if args.full else "batch" if args.batch else "steps"
    for one in het.components(controller.table, job) if not job.het_offset else [job]:
        controller.agents.tell(one.job_id, {"msg": "signal", "to": to, "signal": args.signal})


def _stopped(controller: Controller, job: Job, stopped: bool, change: Change) -> None:
    """A job that was sent SIGSTOP is shown as STOPPED until SIGCONT, or its end."""
    if stopped != (STOPPED in job.flags):
        job.flags = [*job.flags, STOPPED] if stopped else [flag for flag in job.flags if flag != STOPPED]
        controller.put(change, job, "stopped" if stopped else "continued")


def _step(controller: Controller, caller: Caller, args: Cancel, job: Job, step_id: str, change: Change) -> None:
    if job.is_final:
        raise SlurmError(errors.ALREADY_DONE)
    step = controller.table.steps.get(job.db_index, {}).get(step_id)
    if step is None or step.end_time:
        raise SlurmError(errors.INVALID_JOB_ID)
    number = args.signal
    if step_id == "batch":
        if number is None:
            controller.apply(job, Event("cancel", controller.now(), uid=caller.uid), change)
        else:
            controller.agents.tell(job.job_id, {"msg": "signal", "to": "batch", "signal": number})
        return
    if step_id == "extern":
        raise SlurmError(errors.NOT_SUPPORTED)
    # of a heterogeneous job's first component: the step in all of them
    for one in [job] if job.het_offset else het.components(controller.table, job):
        step = controller.table.steps.get(one.db_index, {}).get(step_id)
        if step is None or step.end_time:
            continue
        if args.signal is None:
            step.cancelled_by = caller.uid
            controller.table.put_step(change, step)
        # to cancel is to kill, without a word before, as observed
        number = signals.SIGKILL if args.signal is None else args.signal
        controller.agents.tell(one.job_id, {"msg": "signal", "to": step_id, "signal": number})
