"""The live jobs in memory, with their steps, and how they are written down.

Every change of a job goes through `put`, so that memory and store say the same. Jobs are in order of their creation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from slurm_compat.controller.jobs import Job, Step
from slurm_compat.core import taskids
from slurm_compat.store.changes import Change, Row

NO_TASK = 1 << 32  # behind all tasks of an array

_encode = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
_decode_step = msgspec.msgpack.Decoder(Step).decode


def job_row(job: Job, live: bool = True) -> Row:
    return {
        "db_index": job.db_index,
        "job_id": job.job_id,
        "array_job_id": job.array_job_id,
        "user_id": job.user_id,
        "submit_time": job.submit_time,
        "end_time": job.end_time,
        "live": live,
        "data": _encode(job),
        "start_time": job.start_time,
        "task": job.array_task_id if job.array_task_id is not None else NO_TASK,
        "state": job.state,
        "account": job.account,
        "name": job.name,
        "partition": job.partition,
        "qos": job.qos,
        "wckey": job.request.wckey,
        "tres": job.tres_alloc_str,
        "suspended": job.suspended_for,
    }


def job_of(data: bytes) -> Job:
    return _decode_job(data)


def step_row(step: Step) -> Row:
    return {"db_index": step.db_index, "step_id": step.step_id, "data": _encode(step)}


def step_of(data: bytes) -> Step:
    return _decode_step(data)


class Table:
    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.steps: dict[int, dict[str, Step]] = {}  # by the run's db_index, in order of their start
        self.tasks: dict[int, dict[int, int]] = {}  # array job id: task id: job id, of tasks that left the record
        self.folded: dict[int, set[int]] = {}  # array job id: tasks that have left but are shown in the record
        self.active: dict[int, set[int]] = {}  # array job id: job ids of its tasks that are handed to Armada or run
        self.names: dict[tuple[int, str], dict[int, None]] = {}  # (user, name): ids of live jobs, the earliest first
        self._named: dict[int, tuple[int, str]] = {}  # job id: its key of `names`
        self.pending: set[int] = set()
        self.running: set[int] = set()
        self.placed: Callable[[Job], None] = lambda job: None  # told of each job as it is now; the controller sets it

    def put(self, change: Change, job: Job, event: str = "", at: int = 0, data: str = "") -> None:
        """The job is now this, here and in the store; with `event`, that happened to it at `at`."""
        change.put("jobs", job.db_index, job_row(job))
        if event:
            change.event(job.db_index, at, event, data)
        self.place(job)

    def place(self, job: Job) -> None:
        job_id = job.job_id
        self.jobs[job_id] = job
        state = job.state
        if state == "PENDING":
            self.pending.add(job_id)
            self.running.discard(job_id)
        elif state == "RUNNING" or state == "SUSPENDED":
            self.pending.discard(job_id)
            self.running.add(job_id)
        else:
            self.pending.discard(job_id)
            self.running.discard(job_id)
        if job.array_job_id:
            self._place_task(job)
        self._name(job)
        self.placed(job)

    def _name(self, job: Job) -> None:
        key = None if job.is_final else (job.user_id, job.name)
        before = self._named.get(job.job_id)
        if before == key:
            return
        if before is not None:
            del self._named[job.job_id]
            del self.names[before][job.job_id]
            if not self.names[before]:
                del self.names[before]
        if key is not None:
            self._named[job.job_id] = key
            self.names.setdefault(key, {})[job.job_id] = None

    def _place_task(self, job: Job) -> None:
        array = job.array_job_id
        if job.array_task_id is not None:
            self.tasks.setdefault(array, {})[job.array_task_id] = job.job_id
            if job.folded:
                self.folded.setdefault(array, set()).add(job.array_task_id)
            elif array in self.folded:
                self.folded[array].discard(job.array_task_id)
        active = self.active.setdefault(array, set())
        if job.staged or job.is_running:
            active.add(job.job_id)
        else:
            active.discard(job.job_id)

    def put_step(self, change: Change, step: Step) -> None:
        change.put("steps", (step.db_index, step.step_id), step_row(step))
        self.steps.setdefault(step.db_index, {})[step.step_id] = step

    def forget(self, job: Job) -> None:
        """The job is history: the store keeps it, memory does not."""
        job_id = job.job_id
        self.jobs.pop(job_id, None)
        self.steps.pop(job.db_index, None)
        self.pending.discard(job_id)
        self.running.discard(job_id)
        if job.array_job_id and job.array_task_id is not None:
            tasks = self.tasks.get(job.array_job_id)
            if tasks is not None:
                tasks.pop(job.array_task_id, None)
                if not tasks:
                    self.tasks.pop(job.array_job_id, None)
                    self.folded.pop(job.array_job_id, None)
                    self.active.pop(job.array_job_id, None)

    # looking up

    def record_of(self, array_job_id: int) -> Job | None:
        """The array's record, while tasks are in it."""
        job = self.jobs.get(array_job_id)
        return job if job is not None and job.is_array_record else None

    def task(self, array_job_id: int, task_id: int) -> Job | None:
        """The task's own job; None while it is in the record, or unknown."""
        job_id = self.tasks.get(array_job_id, {}).get(task_id)
        return self.jobs.get(job_id) if job_id is not None else None

    def family(self, job_id: int) -> list[Job]:
        """The job; for an array's id its record (or what the record became) and all tasks, latest first; for that of a
        heterogeneous job's first component all of them."""
        first = self.jobs.get(job_id)
        tasks = self.tasks.get(job_id)
        if first is not None and first.het_job_id == job_id:
            return [self.jobs[one] for one in first.het_ids if one in self.jobs]
        if tasks is None or (first is not None and first.array_job_id != job_id):
            return [first] if first is not None else []
        found = [self.jobs[other] for other in reversed(tasks.values()) if other != job_id and other in self.jobs]
        return [first, *found] if first is not None else found

    def steps_of(self, job: Job) -> Iterator[Step]:
        """Steps of the job's present run."""
        return iter(self.steps.get(job.db_index, {}).values())

    def tasks_waiting(self, record: Job) -> str:
        """array_task_string of a record: the tasks in it, and those handed to Armada that have not started."""
        folded = self.folded.get(record.array_job_id)
        if not folded:
            return taskids.show_ranges(record.array_ranges)
        return taskids.show(sorted({*taskids.each(record.array_ranges), *folded}))
