"""Job expressions as users write them, and the jobs they name."""

from __future__ import annotations

from typing import NamedTuple

from slurm_compat.controller import arrays
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.sluid import number
from slurm_compat.controller.table import Table
from slurm_compat.core import jobid, taskids
from slurm_compat.core.errors import INVALID_JOB_ID, BadValue, SlurmError


class Found(NamedTuple):
    """`jobs` have records of their own; `tasks` are still in `record`. `step` is "" for the job itself."""

    jobs: list[Job]
    record: Job | None
    tasks: list[int]
    whole: bool  # the whole array, or a plain job
    step: str


def find(table: Table, text: str) -> Found:
    """What `text` names among the live jobs. Raises SlurmError INVALID_JOB_ID when that is nothing."""
    try:
        expression = jobid.parse(text)
    except BadValue:
        raise SlurmError(INVALID_JOB_ID) from None
    if expression.sluid:
        wanted = number(expression.sluid)
        jobs = [job for job in table.jobs.values() if job.db_index == wanted]
        if not jobs:
            raise SlurmError(INVALID_JOB_ID)
        return Found(jobs, None, [], True, expression.step)
    if expression.offset is not None:
        family = table.family(expression.job_id)
        jobs = [job for job in family if job.het_job_id == expression.job_id and job.het_offset == expression.offset]
        if not jobs:
            raise SlurmError(INVALID_JOB_ID)
        return Found(jobs, None, [], True, expression.step)
    job_id = expression.job_id
    if not expression.tasks:
        return _whole(table, job_id, expression.step)
    record = table.record_of(job_id)
    jobs = []
    for task, other in list(table.tasks.get(job_id, {}).items()):
        if expression.has_task(task) and other in table.jobs:
            jobs.append(table.jobs[other])
    tasks = arrays.common(record.array_ranges, expression.tasks) if record is not None else []
    if not jobs and not tasks:
        raise SlurmError(INVALID_JOB_ID)
    return Found(jobs, record, tasks, False, expression.step)


def _whole(table: Table, job_id: int, step: str) -> Found:
    job = table.jobs.get(job_id)
    is_array = job_id in table.tasks or (job is not None and job.is_array_record)
    if job is not None and not is_array:
        return Found([job] if step else table.family(job_id), None, [], True, step)
    family = table.family(job_id)
    record = table.record_of(job_id)
    jobs = [other for other in family if other is not record]
    if not jobs and record is None:
        raise SlurmError(INVALID_JOB_ID)
    # the id of an array's task names that task alone
    return Found(jobs, record, list(taskids.each(record.array_ranges)) if record is not None else [], True, step)
