"""An array's record: its tasks as ranges, and how one leaves.

The record keeps the array's job id for its last task; tasks before that get ids of their own as they leave.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from slurm_compat.controller.jobs import Job
from slurm_compat.core import taskids

Ranges = list[tuple[int, int, int]]


MANY_GAPS = 64  # gaps from which on ranges are made anew of what is left


def without(ranges: Sequence[tuple[int, int, int]], gone: Iterable[int]) -> Ranges:
    """The ranges without these tasks."""
    holes = taskids.runs(sorted(gone))
    if len(holes) > MANY_GAPS:
        out = {task for first, last in holes for task in range(first, last + 1)}
        left = [task for task in taskids.each(ranges) if task not in out]
        return [(first, last, 1) for first, last in taskids.runs(left)]
    parts = list(ranges)
    for first, last in holes:
        parts = [part for one in parts for part in _cut(one, first, last)]
    return parts


def _cut(one: tuple[int, int, int], hole_first: int, hole_last: int) -> Ranges:
    """What is left of a range on both sides of a hole."""
    first, last, step = one
    if hole_last < first or last < hole_first:
        return [one]
    before = first + (hole_first - 1 - first) // step * step if hole_first > first else first - 1
    after = first + (hole_last - first) // step * step + step
    parts = [_range(first, before, step)] if before >= first else []
    return [*parts, _range(after, last, step)] if after <= last else parts


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
