"""Accounts, QOS and their limits: who may use what, and how much of it at a time.

Source: slurm.conf(5), AccountingStorageEnforce; sacctmgr(1), SPECIFICATIONS FOR QOS; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slurm_compat.controller import associations
from slurm_compat.controller.jobs import Job
from slurm_compat.core import reasons, tres
from slurm_compat.core.cluster import ClusterConf, QosConf, UserConf
from slurm_compat.core.errors import ACCOUNTING_POLICY, INVALID_ACCOUNT, INVALID_QOS, SlurmError


class Association(NamedTuple):
    """A user in an account. `number` 0: the cluster file has no such association, and none is asked for."""

    account: str
    number: int
    qos: tuple[str, ...]


def enforced(conf: ClusterConf, what: str) -> bool:
    """Whether AccountingStorageEnforce asks for `what`; limits and qos imply associations."""
    words = set(conf.accounting_storage_enforce.lower().replace(" ", "").split(","))
    if "all" in words:
        return True
    return what in words or (what == "associations" and bool(words & {"limits", "qos", "safe", "wckeys"}))


def association(conf: ClusterConf, user_name: str, account: str) -> Association:
    """Where a user's job is booked; the default account for "". Raises SlurmError for one that has to be known."""
    own = [(place, user) for place, user in enumerate(conf.users) if user.name == user_name]
    if account:
        chosen = [entry for entry in own if entry[1].account.lower() == account.lower()]
    else:
        chosen = [entry for entry in own if entry[1].default] or own
    if chosen:
        place, user = chosen[0]
        qos = associations.allowed_qos(conf, user.account, user.qos)
        return Association(user.account, associations.numbers(conf)[place], qos)
    if enforced(conf, "associations"):
        raise SlurmError(INVALID_ACCOUNT)
    return Association(account or _only_account(own), 0, tuple(qos.name for qos in conf.qos))


def _only_account(own: list[tuple[int, UserConf]]) -> str:
    return own[0][1].account if own else ""


def qos_of(conf: ClusterConf, link: Association, asked: str) -> str:
    """The QOS of a job, as the cluster file spells it; the association's first for "". Raises SlurmError."""
    if not asked:
        return link.qos[0] if link.qos else ""
    chosen = []
    for word in asked.split(","):
        found = next((qos.name for qos in conf.qos if qos.name.lower() == word.lower()), None)
        if found is None or (enforced(conf, "qos") and found not in link.qos):
            raise SlurmError(INVALID_QOS)
        chosen.append(found)
    return chosen[0]


def qos_named(conf: ClusterConf, name: str) -> QosConf | None:
    return next((qos for qos in conf.qos if qos.name == name), None)


def deny(conf: ClusterConf, qos_name: str, wanted: Mapping[str, int], submitted: int, jobs: int) -> None:
    """Raises SlurmError for a job that its QOS will never let run (DenyOnLimit), or one job too many.

    `wanted`: the job's TRES; `submitted`: jobs the user has in this QOS; `jobs`: how many this submission adds.
    """
    qos = qos_named(conf, qos_name)
    if qos is None or not enforced(conf, "limits"):
        return
    most = qos.max_submit_jobs_per_user
    if most is not None and submitted + jobs > most:
        raise SlurmError(ACCOUNTING_POLICY, notes=[reasons.QOS_SUBMIT_PER_USER])
    if "denyonlimit" in qos.flags.lower():
        over = exceeded(qos, {}, wanted)
        if over:
            raise SlurmError(ACCOUNTING_POLICY, notes=[over])


def exceeded(qos: QosConf, used: Mapping[str, int], wanted: Mapping[str, int]) -> str:
    """The reason for which `wanted` may not be added to what a user holds in this QOS; "" when it may."""
    for name, most in tres.parse(qos.max_tres_per_user).items():
        if used.get(name, 0) + wanted.get(name, 0) > most:
            return reasons.qos_tres_reason(name)
    return ""


def waits_for(conf: ClusterConf, job: Job, live: Iterable[Job]) -> str:
    """The limit a pending job runs into now, "" when none: what the user's other jobs of the QOS hold counts."""
    qos = qos_named(conf, job.qos)
    if qos is None or not enforced(conf, "limits") or not (qos.max_tres_per_user or qos.max_jobs_per_user is not None):
        return ""
    used: dict[str, int] = {}
    running = 0
    for other in live:
        if other.user_id == job.user_id and other.qos == job.qos and other.job_id != job.job_id:
            running += 1
            tres.add(used, tres.parse(other.tres_alloc_str or other.tres_req_str))
    if qos.max_jobs_per_user is not None and running >= qos.max_jobs_per_user:
        return reasons.QOS_JOBS_PER_USER
    return exceeded(qos, used, tres.parse(job.tres_req_str))
