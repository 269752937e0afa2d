"""Which Armada queue a job goes to, and what share that queue has.

A queue is Armada's unit of fair share; Slurm's is the account. Sites may want another cut (`Armada.Queue` of the
cluster file: "{account}", "{partition}", "slurm-{user}" …).
"""

from __future__ import annotations

import re
from typing import Protocol

from slurm_compat.core.cluster import PARENT_SHARE, ClusterConf
from slurm_compat.core.errors import BadValue

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._-]+")
_FIELD = re.compile(r"\{(\w*)\}")


class Booked(Protocol):
    """What of a job may name its queue."""

    @property
    def account(self) -> str: ...
    @property
    def user_name(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def qos(self) -> str: ...


def queue_name(template: str, job: Booked) -> str:
    """The queue's name: letters, digits, ".", "_", "-". A job without an account goes by its user. Raises BadValue."""
    words = {
        "account": job.account or job.user_name,
        "user": job.user_name,
        "partition": job.partition.split(",")[0],
        "qos": job.qos or "normal",
    }

    def word(match: re.Match[str]) -> str:
        if match[1] not in words:
            raise BadValue(f"Armada.Queue: {match[0]} is none of {', '.join(f'{{{name}}}' for name in words)}")
        return words[match[1]]

    return _NOT_ALLOWED.sub("-", _FIELD.sub(word, template)).strip("-") or "slurm"


def queue_of_account(template: str, account: str) -> str:
    """The queue that all jobs of an account go to, "" where more than the account decides."""
    if set(_FIELD.findall(template)) != {"account"}:
        return ""
    return _NOT_ALLOWED.sub("-", template.replace("{account}", account)).strip("-")


def priority_factor(conf: ClusterConf, account: str) -> float:
    """Armada's weight of a queue is 1 / factor: an account with twice the shares has half the factor."""
    return priority_factors(conf).get(account, _most_shares(conf))


def _most_shares(conf: ClusterConf) -> float:
    return max((entry.fairshare for entry in conf.accounts if entry.fairshare != PARENT_SHARE), default=1) or 1


def priority_factors(conf: ClusterConf) -> dict[str, float]:
    """That of each account. One whose shares are its parent's has one share, as one that nobody declared."""
    most = _most_shares(conf)
    return {
        entry.name: most / (1 if entry.fairshare == PARENT_SHARE else max(entry.fairshare, 1))
        for entry in conf.accounts
    }
