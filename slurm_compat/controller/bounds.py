"""How many jobs, and how much at a time, associations, accounts and QOS allow. Each limit is a row.

A user's limit that isn't set is the nearest account's; the group limits of an account count all that is below it.
Source: sacctmgr(1), SPECIFICATIONS FOR ACCOUNTS and FOR QOS; reasons as observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.limits import enforced, qos_named
from slurm_compat.core import reasons, tres
from slurm_compat.core.cluster import AccountConf, ClusterConf, UserConf
from slurm_compat.core.errors import ACCOUNTING_POLICY, BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import minutes


class Owner(NamedTuple):
    """Whose jobs are counted."""

    user_id: int
    account: str
    qos: str


# holder, its field, what jobs have in common that count together, the reason of those that wait or are refused
Row = tuple[str, str, tuple[str, ...], str]
RUNNING: tuple[Row, ...] = (
    ("qos",     "grp_jobs",             ("qos",),              "QOSGrpJobsLimit"),
    ("qos",     "max_jobs_per_account", ("qos", "account"),    "MaxJobsPerAccount"),
    ("user",    "max_jobs",             ("account", "user_id"), "AssocMaxJobsLimit"),
    ("account", "grp_jobs",             ("below",),            "AssocGrpJobsLimit"),
)  # fmt: skip
SUBMITTED: tuple[Row, ...] = (
    ("qos",     "grp_submit_jobs",             ("qos",),              "QOSGrpSubmitJobsLimit"),
    ("qos",     "max_submit_jobs_per_account", ("qos", "account"),    "MaxSubmitJobsPerAccount"),
    ("user",    "max_submit_jobs",             ("account", "user_id"), reasons.ASSOC_SUBMIT_LIMIT),
    ("account", "grp_submit_jobs",             ("below",),            "AssocGrpSubmitJobsLimit"),
)  # fmt: skip
GROUP_TRES: tuple[Row, ...] = (
    ("qos",     "grp_tres", ("qos",),   "QOSGrp"),
    ("account", "grp_tres", ("below",), "AssocGrp"),
)  # fmt: skip
JOB_TRES = (("qos", "max_tres_per_job", "QOSMax"), ("user", "max_tres", "AssocMax"))
WALL = (("qos", "max_wall", "QOSMax"), ("user", "max_wall", "AssocMax"))
GROUP_WORDS = {"cpu": "CpuLimit", "mem": "MemLimit", "node": "NodeLimit", "billing": "BillingLimit"}
JOB_WORDS = {
    "QOSMax": {"cpu": "CpuPerJobLimit", "mem": "MemoryPerJob", "node": "NodePerJobLimit", "billing": "BillingPerJob"},
    "AssocMax": {"cpu": "CpuPerJobLimit", "mem": "MemPerJob", "node": "NodePerJobLimit", "billing": "BillingPerJob"},
}


Index = tuple[dict[tuple[str, str], UserConf], dict[str, AccountConf], bool]  # bool: whether any limit is set
_indexed: list[
    tuple[ClusterConf, Index]
] = []  # of the cluster file in use: thousands of users are looked up for each job


def _index(conf: ClusterConf) -> Index:
    if not _indexed or _indexed[0][0] is not conf:
        users = {(user.name, user.account): user for user in reversed(conf.users)}
        accounts = {account.name: account for account in conf.accounts}
        fields = {row[1] for row in (*RUNNING, *SUBMITTED, *GROUP_TRES)} | {row[1] for row in (*JOB_TRES, *WALL)}
        some = any(
            getattr(one, field, None) not in (None, "")
            for one in (*conf.users, *conf.accounts, *conf.qos)
            for field in fields
        )
        _indexed[:] = [(conf, (users, accounts, some))]
    return _indexed[0][1]


class Scope:
    """The limits of one user, account and QOS, looked up in the cluster file."""

    def __init__(self, conf: ClusterConf, user_name: str, owner: Owner) -> None:
        self.owner = owner
        self._qos = qos_named(conf, owner.qos)
        users, self._accounts, _ = _index(conf)
        self._user = users.get((user_name, owner.account))
        self._path = list(self._above(owner.account))

    def _above(self, name: str) -> Iterator[str]:
        """The account and those above it; a circle in the file ends it."""
        seen: set[str] = set()
        while name and name not in seen:
            seen.add(name)
            yield name
            account = self._accounts.get(name)
            name = account.parent if account is not None else ""

    def values(self, holder: str, field: str) -> Iterator[tuple[Any, str]]:
        """(what is set, the account that has it); nothing where nobody set it."""
        if holder == "qos":
            if self._qos is not None and (value := getattr(self._qos, field)) not in (None, ""):
                yield value, ""
            return
        accounts = [self._accounts[name] for name in self._path if name in self._accounts]
        if holder == "account":
            for account in accounts:
                if (value := getattr(account, field)) not in (None, ""):
                    yield value, account.name
            return
        for one in ([self._user] if self._user is not None else []) + accounts:
            if (value := getattr(one, field)) not in (None, ""):
                yield value, ""
                return

    def counts(self, common: tuple[str, ...], other: Owner, account: str) -> bool:
        """Whether another's job counts against a limit of this kind."""
        if common == ("below",):
            return account in self._above(other.account)
        return all(getattr(self.owner, name) == getattr(other, name) for name in common)


def owner_of(job: Job) -> Owner:
    return Owner(job.user_id, job.account, job.qos)


def waits_for(conf: ClusterConf, job: Job, live: Iterable[Job]) -> str:
    """The limit that keeps a pending job from starting now, "" when none does."""
    if not enforced(conf, "limits") or not _index(conf)[2]:
        return ""
    scope = Scope(conf, job.user_name, owner_of(job))
    wanted = tres.parse(job.tres_req_str)
    if alone := too_much(scope, wanted, job.time_limit):
        return alone
    running = [(row, value, account) for row in RUNNING for value, account in scope.values(row[0], row[1])]
    groups = [(row, value, account) for row in GROUP_TRES for value, account in scope.values(row[0], row[1])]
    if not running and not groups:
        return ""
    others = [other for other in live if other.job_id != job.job_id]
    for (_, _, common, reason), most, account in running:
        if sum(scope.counts(common, owner_of(other), account) for other in others) >= most:
            return reason
    for (_, _, common, word), text, account in groups:
        used: dict[str, int] = {}
        for other in others:
            if scope.counts(common, owner_of(other), account):
                tres.add(used, tres.parse(other.tres_alloc_str or other.tres_req_str))
        for name, most in tres.parse(text).items():
            if used.get(name, 0) + wanted.get(name, 0) > most:
                return word + GROUP_WORDS.get(name, "GRES")
    return ""


def too_much(scope: Scope, wanted: Mapping[str, int], time_limit: int) -> str:
    """The limit of a single job that this one exceeds."""
    for holder, field, word in JOB_TRES:
        for text, _ in scope.values(holder, field):
            for name, most in tres.parse(text).items():
                if wanted.get(name, 0) > most:
                    return word + JOB_WORDS[word].get(name, "GRESPerJob")
    for holder, field, word in WALL:
        for text, _ in scope.values(holder, field):
            if time_limit > wall(text):
                return f"{word}WallDurationPerJobLimit"
    return ""


def wall(text: str) -> int:
    """A MaxWall in minutes; what is no time is no limit."""
    try:
        return minutes(str(text))
    except BadValue:
        return UNLIMITED


def longest(scope: Scope) -> int:
    """The limit a job gets that asks for none: no more than a MaxWall allows."""
    return min((wall(text) for holder, field, _ in WALL for text, _ in scope.values(holder, field)), default=UNLIMITED)


def deny(conf: ClusterConf, scope: Scope, booked: Iterable[tuple[Owner, int]], jobs: int) -> None:
    """Raises SlurmError when these are more jobs than may wait and run together. `booked`: jobs there are, by owner."""
    if not enforced(conf, "limits"):
        return
    counted: list[tuple[Owner, int]] | None = None
    for holder, field, common, reason in SUBMITTED:
        for most, account in scope.values(holder, field):
            counted = list(booked) if counted is None else counted
            if jobs + sum(number for owner, number in counted if scope.counts(common, owner, account)) > most:
                raise SlurmError(ACCOUNTING_POLICY, notes=[reason])
