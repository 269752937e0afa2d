"""What a starting controller reads back and takes up again, and what it tidies now and then.

A restart is a replay: live jobs are read, running ones keep their resources, what the outbox still holds is done, and
each event stream goes on behind the last event that was noted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from slurm_compat.armada.client import ArmadaError
from slurm_compat.controller import (
    bookcalls,
    clusterchange,
    consumption,
    crontabs,
    deadlines,
    limitmail,
    partitionkeeping,
    shares,
)
from slurm_compat.controller.jobs import Job, slim
from slurm_compat.controller.machine import Event
from slurm_compat.controller.table import job_of, step_of
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store import questions
from slurm_compat.store.changes import Change
from slurm_compat.store.store import Connection

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.watch import Watch

log = logging.getLogger(__name__)

TIDY_EVERY = 600.0  # seconds
KEYS_KEPT = 24 * 3600  # seconds a submission's key is remembered
FADED = 10  # half-lives after which a job's use counts no more
RECENT = 1800  # seconds of keys that are read back into memory


async def restore(controller: Controller, watch: Watch) -> None:
    now = controller.now()
    saved, highest, answers = await controller.store.read(lambda connection: _read(connection, now))
    await bookcalls.restore(controller, saved.things)
    table = controller.table
    interned = controller.submissions.interned
    for data in saved.jobs:
        job = slim(job_of(data))
        job.request = interned.one(job.request)
        job.shape = interned.one(job.shape)
        table.place(job)
        controller.numbers.last = max(controller.numbers.last, job.db_index)
    for data in saved.steps:
        step = step_of(data)
        table.steps.setdefault(step.db_index, {})[step.step_id] = step
    for key, answer in answers:
        controller.submissions.keep(key, answer)
    controller.next_job_id = max(controller.next_job_id, highest + 1)
    await controller.store.read(controller.node_events.restore)
    controller.cluster.restore({name: data for kind, name, data in saved.things if kind == "node"})
    controller.crontabs.restore(saved.things)
    controller.triggers.restore(saved.things)
    limit_usage = {name: data for kind, name, data in saved.things if kind == consumption.KIND}
    controller.limiter.consumption.restore(limit_usage)
    controller.cluster.kept_partitions = partitionkeeping.of_store(saved.things)
    partitionkeeping.restore(controller.cluster, controller.cluster.kept_partitions)
    controller.calendar.restore(saved.things)
    watch.last.update(saved.streams)
    for job in list(table.jobs.values()):
        _take_up(controller, job, now)
    for job in list(table.jobs.values()):
        if job.staged:
            watch.learn(job)
            watch.follow(job.queue, job.job_set)
    crontabs.settle(controller)
    controller.outbox.resume(saved.outbox)
    controller.calendar.tick()
    await controller.node_keeping.tell()
    change = Change()
    clusterchange.record_states(controller, change)
    if change:
        controller.commit(change)
    if table.jobs:
        log.info("read back %d jobs, %d running", len(table.jobs), len(table.running))
    controller.spawn(reconcile(controller, watch))
    if not shares.restored(controller.shares.used, saved.things):
        controller.spawn(count_past_use(controller))


async def count_past_use(controller: Controller) -> None:
    """What earlier jobs used, for the fair shares, from the records of a store that has no sums of it yet. Read beside
    the work, for it may be a million of them."""
    jobs = controller.table.jobs
    for job in jobs.values():
        if job.is_final:
            controller.shares.ended(job)
    known, last = frozenset(job.db_index for job in jobs.values()), controller.new_db_index()
    half_life = controller.shares.used.half_life
    since = int(controller.now() - FADED * half_life) if half_life else 0
    beside = controller.shares.beside()
    past = await controller.store.read(
        lambda connection: shares.past_use(beside, questions.ended_since(connection, since), known, last)
    )
    controller.shares.used.take_over(past)
    change = Change()
    for row in shares.rows(controller.shares.used):
        change.put("things", (shares.KIND, row["name"]), row)
    await controller.commit(change)


def _read(connection: Connection, now: int) -> tuple[questions.Saved, int, list[tuple[str, Any]]]:
    return (
        questions.saved(connection),
        questions.highest_job_id(connection),
        questions.recent_answers(connection, now - RECENT),
    )


def _take_up(controller: Controller, job: Job, now: int) -> None:
    if job.is_running or (COMPLETING in job.flags and job.resources):
        controller.cluster.reserve(job.job_id, job.resources, job.licenses_allocated)
    if job.is_running and job.preempt_time:
        controller.preempting.watch_grace(job)
    for step in controller.table.steps_of(job):
        if not step.end_time:
            controller.steps.keep_limit(step)
    if job.is_running and job.request.mail_type:
        limitmail.arm(controller, job)
    if COMPLETING in job.flags:
        controller.linger(job)
    elif job.is_final:
        controller.due.at(job.end_time + controller.conf.min_job_age, "purge", job.job_id)
    elif job.state == PENDING:
        if job.staged:
            controller.staging.entered(job.job_id, job.queue)
        else:
            change = Change()
            controller.readiness.consider(job, change)
            if change:
                controller.commit(change)
    if job.state == PENDING and job.deadline:
        controller.due.at(deadlines.last_start(job) + 1, "deadline", job.job_id)


async def reconcile(controller: Controller, watch: Watch) -> None:
    """Ask Armada about the jobs it should know: what it has never heard of, as after a loss of its state, is lost."""
    armada = controller.outbox.armada
    assert armada is not None
    jobs = [job for job in controller.table.jobs.values() if job.staged and job.placements]
    if not jobs:
        return
    ids = [placement.armada_id for job in jobs for placement in job.placements]
    while True:
        try:
            states = await armada.statuses(ids)
            break
        except ArmadaError as problem:
            log.info("can't ask Armada about its jobs yet: %s", problem)
            await asyncio.sleep(2)
    for job in jobs:
        if any(states.get(placement.armada_id, "UNKNOWN") != "UNKNOWN" for placement in job.placements):
            continue
        current = controller.table.jobs.get(job.job_id)
        if current is None or current.attempt != job.attempt or not current.staged or current.is_final:
            continue
        if controller.agents.runs.get(job.job_id) is not None:
            continue  # its agents say otherwise
        log.warning("job %d is unknown to Armada: lost", job.job_id)
        change = Change()
        after = controller.apply(current, Event("lost", controller.now(), reason="NODE FAILURE", text="lost"), change)
        if COMPLETING in after.flags:
            controller.agents.pods_over(after, change)
        elif after.state == PENDING:
            controller.readiness.changed(after, change)
        controller.commit(change)


async def housekeeping(controller: Controller) -> None:
    """Forget old submission keys, and environments of jobs that can't run any more."""
    while True:
        await asyncio.sleep(TIDY_EVERY)
        now = int(time.time())
        in_use = {job.environment for job in controller.table.jobs.values() if job.environment}

        def tidy(connection: Connection, now: int = now, in_use: set[str] = in_use) -> None:
            questions.forget_submissions(connection, now - KEYS_KEPT)
            questions.forget_environments(connection, now - 2 * int(TIDY_EVERY), in_use)

        try:
            await controller.store.read(tidy)
        except Exception:
            log.exception("tidying the store")
