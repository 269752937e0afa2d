"""Accounts and QOS: who may use which.

Source: slurm.conf(5), AccountingStorageEnforce; observed on 26.05.
"""

from __future__ import annotations

from typing import NamedTuple

from slurm_compat.controller import associations
from slurm_compat.core.cluster import ClusterConf, UserConf
from slurm_compat.core.errors import INVALID_ACCOUNT, INVALID_QOS, SlurmError


class Association(NamedTuple):
    """A user in an account. `number` 0: the cluster file has no such association, and none is asked for."""

    account: str
    number: int
    qos: tuple[str, ...]
    default_qos: str = ""  # "": nobody says one


def enforced(conf: ClusterConf, what: str) -> bool:
    """Whether AccountingStorageEnforce asks for `what`; limits and qos imply associations."""
    words = set(conf.accounting_storage_enforce.lower().replace(" ", "").split(","))
    if "all" in words:
        return True
    if what == "limits" and "safe" in words:
        return True
    return what in words or (what == "associations" and bool(words & {"limits", "qos", "safe", "wckeys"}))


_indexed: list[tuple[list[UserConf], dict[str, list[tuple[int, UserConf]]]]] = []  # of the users asked for last


def _associations_of(conf: ClusterConf, user_name: str) -> list[tuple[int, UserConf]]:
    """A user's associations with their places in the list: thousands of users are looked up for each job."""
    kept = _indexed[0] if _indexed else None
    if kept is None or kept[0] is not conf.users:
        found: dict[str, list[tuple[int, UserConf]]] = {}
        for place, user in enumerate(conf.users):
            found.setdefault(user.name, []).append((place, user))
        kept = (conf.users, found)
        _indexed[:] = [kept]
    return kept[1].get(user_name, [])


def association(conf: ClusterConf, user_name: str, account: str, partition: str = "") -> Association:
    """Where a user's job is booked; the default account for "". Raises SlurmError for one that has to be known.

    An association of the job's partition goes before one of any partition.
    """
    own = [entry for entry in _associations_of(conf, user_name) if entry[1].partition in ("", partition)]
    own.sort(key=lambda entry: not entry[1].partition)
    if account:
        chosen = [entry for entry in own if entry[1].account.lower() == account.lower()]
    else:
        chosen = [entry for entry in own if entry[1].default] or own
    if chosen:
        place, user = chosen[0]
        qos = associations.allowed_qos(conf, user.account, user.qos)
        number = user.number or associations.numbers(conf)[place]
        return Association(user.account, number, qos, associations.default_qos(conf, user.account, user.default_qos))
    if enforced(conf, "associations"):
        raise SlurmError(INVALID_ACCOUNT)
    return Association(account or _only_account(own), 0, tuple(qos.name for qos in conf.qos))


def _only_account(own: list[tuple[int, UserConf]]) -> str:
    return own[0][1].account if own else ""


def qos_of(conf: ClusterConf, link: Association, asked: str) -> str:
    """The QOS of a job, as the cluster file spells it; the association's default for "". Raises SlurmError."""
    if not asked:
        return link.default_qos or ("normal" if "normal" in link.qos else link.qos[0] if link.qos else "")
    chosen = []
    for word in asked.split(","):
        found = next((qos.name for qos in conf.qos if qos.name.lower() == word.lower()), None)
        if found is None or (enforced(conf, "qos") and found not in link.qos):
            raise SlurmError(INVALID_QOS)
        chosen.append(found)
    return chosen[0]
