"""Who asks, and what the checks of a submission need to know of other jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol


class Caller(NamedTuple):
    uid: int
    gid: int
    user_name: str
    group_name: str
    operator: bool
    admin: bool


class Usage(Protocol):
    def submitted(self, user_id: int, qos: str) -> int:
        """Jobs of a user in a QOS that have not ended; array tasks count each."""

    def booked(self) -> Iterator[tuple[Any, int]]:
        """(user id, account and QOS, jobs that have not ended), as bounds.Owner has them; tasks count each."""

    def known(self, job_id: int, task_id: int | None = None) -> bool:
        """Whether this job, or an array of this number with this task, is live or still remembered."""
