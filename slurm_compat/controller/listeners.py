"""Who waits for a job to start or to end: sbatch --wait, salloc, srun. Told when the store has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slurm_compat.controller.table import Table
from slurm_compat.store.changes import Change

Listener = Callable[[dict[str, Any]], None]


class Listeners:
    """By job id; an array's id stands for each of its tasks, too."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._by_id: dict[int, list[Listener]] = {}

    def add(self, job_id: int, listener: Listener) -> None:
        self._by_id.setdefault(job_id, []).append(listener)

    def remove(self, job_id: int, listener: Listener) -> None:
        listeners = self._by_id.get(job_id, [])
        if listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._by_id[job_id]

    def forget(self, job_id: int) -> None:
        self._by_id.pop(job_id, None)

    def note(self, job_id: int, text: str) -> bool:
        """A word for whoever waits for this very job: {"event": "note", "text"}; False when nobody does."""
        self._say({job_id}, {"event": "note", "text": text})
        return job_id in self._by_id

    def tell(self, change: Change, job_id: int, message: dict[str, Any]) -> None:
        """Once the change is durable: {"event": "started"} or {"event": "ended", …}."""
        job = self._table.jobs.get(job_id)
        ids = {job_id, job.array_job_id} if job is not None and job.array_job_id else {job_id}
        if not self._by_id.keys().isdisjoint(ids):
            change.then.append(lambda: self._say(ids, message))

    def _say(self, ids: set[int], message: dict[str, Any]) -> None:
        for listener in [listener for job_id in ids for listener in self._by_id.get(job_id, ())]:
            listener(message)
