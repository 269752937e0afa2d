"""What the checks of a submission ask of the jobs there are. Satisfies caller.Usage."""

from __future__ import annotations

from slurm_compat.controller.table import Table


class Remembered:
    def __init__(self, table: Table) -> None:
        self._table = table

    def submitted(self, user_id: int, qos: str) -> int:
        """Jobs of a user in a QOS that have not ended; array tasks count each."""
        return self._table.submitted[user_id, qos]

    def known(self, job_id: int) -> bool:
        """Whether this job, or an array of this number, is live or still remembered."""
        return job_id in self._table.jobs or job_id in self._table.tasks
