"""What falls due with time: begin times, deadlines, the end of patience, and forgetting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from slurm_compat.controller import deadlines, limitmail
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.table import job_row
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller


def _begin(controller: Controller, job: Job) -> None:
    if job.begin_time <= controller.now():
        controller.readiness.reconsider([job.job_id])


def _judge_again(controller: Controller, job: Job) -> None:
    controller.readiness.reconsider([job.job_id])


def _deadline(controller: Controller, job: Job) -> None:
    if job.state != PENDING or COMPLETING in job.flags or not job.deadline:
        return
    if deadlines.last_start(job) < controller.now():
        controller.apply(job, Event("deadline", controller.now()))


def _linger(controller: Controller, job: Job) -> None:
    """Agents had their time: Armada removes the pods, and what can't be heard of any more is given up."""
    if COMPLETING not in job.flags:
        return
    change = Change()
    controller.withdraw(job, change, "did not end")
    controller.commit(change)
    controller.agents.give_up(job.job_id)
    controller.apply(job, Event("all gone", controller.now()))


def _absent(controller: Controller, job: Job) -> None:
    """A job to end whose agents did not come back: Armada takes its pods away."""
    run = controller.agents.runs.get(job.job_id)
    if COMPLETING in job.flags and (run is None or not run.links):
        change = Change()
        controller.withdraw(job, change, "no agent came back")
        controller.commit(change)


def _purge(controller: Controller, job: Job) -> None:
    if not job.is_final or COMPLETING in job.flags:
        return
    if job.end_time + controller.conf.min_job_age > controller.now():
        controller.due.at(job.end_time + controller.conf.min_job_age, "purge", job.job_id)
        return
    change = Change()
    # the store has it as history before memory forgets it: a job is never in neither
    change.put("jobs", job.db_index, job_row(job, live=False))
    controller.commit(change, lambda: _forget(controller, job.job_id, job.db_index))


def _forget(controller: Controller, job_id: int, db_index: int) -> None:
    job = controller.table.jobs.get(job_id)
    if job is not None and job.db_index == db_index and job.is_final:
        controller.table.forget(job)
        if job_id not in controller.table.tasks:  # an array is waited for by the id its last task has
            controller.listeners.forget(job_id)


def _preempt(controller: Controller, job: Job) -> None:
    """A preempted job's grace is over."""
    if job.preempt_time and job.preempt_time + controller.preempting.grace_of(job) <= controller.now():
        change = Change()
        controller.preempting.end(job, change)
        if change:
            controller.commit(change)


DUE: dict[str, Callable[[Controller, Job], None]] = {
    "begin": _begin,
    "dependency": _judge_again,
    "deadline": _deadline,
    "absent": _absent,
    "linger": _linger,
    "purge": _purge,
    "preempt": _preempt,
    limitmail.DUE: limitmail.fell_due,
    "step limit": lambda controller, job: controller.steps.past_limit(job),
}
