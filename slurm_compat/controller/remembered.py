"""What the checks of a submission ask of the jobs there are. Satisfies caller.Usage."""

from __future__ import annotations

from collections.abc import Iterator

from slurm_compat.controller.bounds import Owner
from slurm_compat.controller.table import Table
from slurm_compat.core import taskids


class Remembered:
    def __init__(self, table: Table) -> None:
        self._table = table

    def submitted(self, user_id: int, qos: str) -> int:
        """Jobs of a user in a QOS that have not ended; array tasks count each."""
        return self._table.submitted[user_id, qos]

    def booked(self) -> Iterator[tuple[Owner, int]]:
        """Jobs that have not ended by whose they are; array tasks count each."""
        return ((Owner(*owner), number) for owner, number in self._table.booked.items())

    def known(self, job_id: int, task_id: int | None = None) -> bool:
        """Whether this job, or an array of this number with this task, is live or still remembered."""
        if task_id is not None:
            record = self._table.record_of(job_id)
            waits = record is not None and taskids.contains(record.array_ranges, task_id)
            return waits or task_id in self._table.tasks.get(job_id, ())
        return job_id in self._table.jobs or job_id in self._table.tasks
