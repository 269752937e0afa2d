"""What the checks of a submission ask of the jobs there are. Satisfies caller.Usage."""

from __future__ import annotations

from slurm_compat.controller.table import Table
from slurm_compat.core import taskids


class Remembered:
    def __init__(self, table: Table) -> None:
        self._table = table

    def known(self, job_id: int, task_id: int | None = None) -> bool:
        """Whether this job, or an array of this number with this task, is live or still remembered."""
        if task_id is not None:
            record = self._table.record_of(job_id)
            waits = record is not None and taskids.contains(record.array_ranges, task_id)
            return waits or task_id in self._table.tasks.get(job_id, ())
        return job_id in self._table.jobs or job_id in self._table.tasks
