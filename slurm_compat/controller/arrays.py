"""An array's record: its tasks as ranges, and how one leaves.

The record keeps the array's job id for its last task; tasks before that get ids of their own as they leave.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from slurm_compat.controller.jobs import Job
from slurm_compat.core import taskids

Ranges = list[tuple[int, int, int]]


def without(ranges: Sequence[tuple[int, int, int]], gone: Iterable[int]) -> Ranges:
    """The ranges without these tasks."""
    left = list(ranges)
    for task in gone:
        for index, (first, last, step) in enumerate(left):
            if first <= task <= last and (task - first) % step == 0:
                parts = []
                if task > first:
                    parts.append(_range(first, task - step, step))
                if task < last:
                    parts.append(_range(task + step, last, step))
                left[index : index + 1] = parts
                break
    return left


def _range(first: int, last: int, step: int) -> tuple[int, int, int]:
    return (first, last, step if first != last else 1)


def common(ranges: Sequence[tuple[int, int, int]], wanted: Sequence[tuple[int, int, int]]) -> list[int]:
    """The tasks of `ranges` that `wanted` names."""
    if taskids.count(wanted) <= taskids.count(ranges):
        return [task for task in taskids.each(wanted) if taskids.contains(ranges, task)]
    return [task for task in taskids.each(ranges) if taskids.contains(wanted, task)]


def split(record: Job, task: int, job_id: int, db_index: int) -> tuple[Job, Job | None]:
    """The task as a job, and the record without it; None when the record itself became the task.

    `job_id` and `db_index` are for the task's job; unused when the task was the record's last.
    """
    if taskids.count(record.array_ranges) == 1:
        job = copy.copy(record)
        job.array_task_id = task
        job.array_ranges = []
        return job, None
    job = copy.copy(record)
    job.job_id = job_id
    job.db_index = db_index
    job.array_task_id = task
    job.array_ranges = []
    rest = copy.copy(record)
    rest.array_ranges = without(record.array_ranges, [task])
    return job, rest
