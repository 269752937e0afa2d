"""When a pending job is ready: what it still waits for, and who is judged again when something started or ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from slurm_compat.controller import arrays, deadlines, dependencies, het
from slurm_compat.controller.jobs import ADMIN_HOLD, NO_HOLD, Job
from slurm_compat.controller.machine import Event
from slurm_compat.core import taskids
from slurm_compat.core.cluster import scheduler_parameter
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

MANY_TERMS = 100  # terms of a dependency, or tasks of an array, from which on each news isn't judged by itself
GATHER = 0.25  # seconds for which such a job's news are gathered
WAKE_AT_ONCE = 500  # jobs judged again before others have their turn


class Readiness:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._woken: dict[int, list[int]] = {}  # job that waits: jobs it waits for that started or ended
        self._woken_late: dict[int, list[int]] = {}  # the same of jobs that wait for very many

    def consider(self, job: Job, change: Change, woken_by: list[int] | None = None) -> None:
        """A pending job's reason and what it waits for next; ready ones stand in line for Armada."""
        if job.state != PENDING or COMPLETING in job.flags or job.staged:
            return
        now = self._controller.now()
        self._controller.staging.retract(job.het_job_id or job.job_id)
        if job.deadline:
            self._controller.due.at(deadlines.last_start(job) + 1, "deadline", job.job_id)
        if job.hold != NO_HOLD:
            job.priority = 0
            if job.reason not in ("BadConstraints",) and not job.description:
                job.reason = "JobHeldAdmin" if job.hold == ADMIN_HOLD else "JobHeldUser"
            return
        if job.dependency and not self._dependency_met(job, change, now, woken_by or []):
            return
        if job.begin_time > now:
            self._controller.due.at(job.begin_time, "begin", job.job_id)
            job.reason, job.description = "BeginTime", ""
            job.eligible_time = job.begin_time
            return
        if job.reason in ("Dependency", "BeginTime"):
            job.waited_for = job.reason
        if job.reason in ("Dependency", "BeginTime", "JobHeldUser", "JobHeldAdmin", "BadConstraints"):
            job.reason, job.description = "None", ""
        job.eligible_time = job.eligible_time if 0 < job.eligible_time <= now else now
        if not job.accrue_time and self._controller.limiter.accrues(job):
            job.accrue_time = job.eligible_time
            self._controller.limiter.tally.place(job)
        if not job.priority:
            job.priority = self._controller.priority(job)
        if job.het_job_id:
            het.offer(self._controller, job)
        else:
            self._controller.staging.offer(job, self._controller.queue_of(job))
        self._controller.handover.pump_soon()

    def _part_decided(self, record: Job, change: Change, woken_by: list[int]) -> None:
        """Tasks of an array whose counterparts have ended leave its record and go their own way."""
        if not any(term.kind == "aftercorr" for term in record.dependency):
            return
        for task in dependencies.decided_tasks(record, self._controller.table, self._controller.now(), woken_by):
            if taskids.count(record.array_ranges) == 1:
                record.array_task_id, record.array_ranges = task, []
                return
            job, _ = arrays.split(record, task, self._controller.new_job_id(), self._controller.new_db_index())
            record.array_ranges = arrays.without(record.array_ranges, [task])
            self._controller.table.place(record)
            self.changed(job, change, "left the array's record")

    def _dependency_met(self, job: Job, change: Change, now: int, woken_by: list[int]) -> bool:
        self._controller.watchers.remove(job)
        if job.is_array_record:
            self._part_decided(job, change, woken_by)
        verdict = dependencies.judge(job, self._controller.table, now)
        job.dependency = verdict.left
        if not verdict.left:
            return True
        self._controller.watchers.add(job)
        job.eligible_time = 0
        if verdict.never:
            if job.reason != "DependencyNeverSatisfied":
                self._controller.outbox.mail(change, job, "INVALID_DEPEND")
            job.reason, job.description = "DependencyNeverSatisfied", ""
            if job.request.kill_on_invalid_dependency or (
                job.request.kill_on_invalid_dependency is None
                and scheduler_parameter(self._controller.conf, "kill_invalid_depend") is not None
            ):
                asyncio.get_running_loop().call_soon(self._kill_never, job.job_id)
        else:
            job.reason, job.description = "Dependency", ""
            if verdict.ask_at:
                self._controller.due.at(verdict.ask_at, "dependency", job.job_id)
        return False

    def _kill_never(self, job_id: int) -> None:
        job = self._controller.table.jobs.get(job_id)
        if job is not None and job.state == PENDING:
            self._controller.apply(job, Event("cancel", self._controller.now(), uid=None, flag=True))

    def wake_dependents(self, job: Job) -> None:
        """The job started or ended: those that wait for it are judged again, soon and in one go."""
        loop = asyncio.get_running_loop()
        for job_id in self._controller.watchers.of(job):
            waiting = self._controller.table.jobs.get(job_id)
            many = waiting is not None and (
                len(waiting.dependency) > MANY_TERMS
                or (
                    len(self._controller.table.tasks.get(job.array_job_id, ())) > MANY_TERMS
                    and not waiting.is_array_record
                )
            )
            woken = self._woken_late if many else self._woken
            if not woken:
                loop.call_later(GATHER if many else 0, self._wake, woken)
            woken.setdefault(job_id, []).append(job.job_id)

    def _wake(self, woken: dict[int, list[int]]) -> None:
        """Judge some of the woken again, and the others when somebody else had a turn."""
        change = Change()
        for job_id in list(woken)[:WAKE_AT_ONCE]:
            self._reconsider(job_id, change, woken.pop(job_id))
        if change:
            self._controller.commit(change)
        if woken:
            asyncio.get_running_loop().call_soon(self._wake, woken)

    def reconsider(self, job_ids: list[int]) -> None:
        change = Change()
        for job_id in job_ids:
            self._reconsider(job_id, change)
        if change:
            self._controller.commit(change)

    def _reconsider(self, job_id: int, change: Change, woken_by: list[int] | None = None) -> None:
        job = self._controller.table.jobs.get(job_id)
        if job is None or job.state != PENDING or job.staged:
            return
        before = (job.reason, job.dependency, job.array_ranges)
        self.consider(job, change, woken_by)
        # most of those that are woken still wait as they did
        if before != (job.reason, job.dependency, job.array_ranges):
            self._controller.put(change, job)

    def changed(self, job: Job, change: Change, event: str = "", data: str = "") -> Job:
        """Something of a pending job was set on the copy `job`: consider it anew and keep it."""
        self.consider(job, change)
        self._controller.put(change, job, event, data)
        return job
