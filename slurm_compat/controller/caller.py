"""Who asks, and what the checks of a submission need to know of other jobs."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Caller(NamedTuple):
    uid: int
    gid: int
    user_name: str
    group_name: str
    operator: bool
    admin: bool
    coordinates: frozenset[str] = frozenset()  # accounts whose coordinator this is, with those below them
    slurm_user: bool = False  # SlurmUser, or who runs the controller

    def may_act_as(self, uid: int) -> bool:
        """Run something in this user's name: they themselves, root, and whose processes do so anyway."""
        return self.uid in (uid, 0) or self.slurm_user

    def has_power(self, user_id: int, account: str) -> bool:
        """Over a job of this user in this account: its owner, the account's coordinator, or an operator."""
        return self.uid == user_id or self.operator or account in self.coordinates


class Usage(Protocol):
    def known(self, job_id: int, task_id: int | None = None) -> bool:
        """Whether this job, or an array of this number with this task, is live or still remembered."""
