"""sacctmgr delete account and user: whole ones, or single associations where a condition says which.

Nothing goes that jobs are booked on, nor the default account of a user who has another one.
"""

from __future__ import annotations

from typing import Any

from slurm_compat.controller import book
from slurm_compat.controller.associations import ROOT, Association, below
from slurm_compat.controller.bookwork import (
    LiveJob,
    Values,
    Where,
    Work,
    denied,
    job_line,
    matches,
    names_of,
    removed_line,
    user_associations,
)
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError

JOBS_RUNNING = 7001
NO_REMOVE_DEFAULT = 7009
DAY = 86400  # seconds; what is younger and was never used is forgotten, not marked as deleted


def account(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {names}, or with conditions of associations {lines}"""
    if ROOT in names_of(where):
        raise SlurmError(BAD_ARGUMENT, "You are not allowed to remove the root account.")
    of_associations = bool(where.get("parents") or where.get("clusters") or where.get("qos"))
    taken = [
        entry
        for entry in work.tree()
        if not entry.user
        and entry.account != ROOT
        and matches(where, "names", entry.account)
        and matches(where, "parents", entry.parent)
        and matches(where, "clusters", work.cluster)
        and matches(where, "qos", *entry.qos)
        and _described(work, where, entry.account)
    ]
    if not work.caller.operator:
        own = work.coordinates()
        if not of_associations or not all(entry.account in own and entry.parent in own for entry in taken):
            raise denied()
    names = set().union(*(below(work.conf, entry.account) for entry in taken)) if taken else set()
    gone = [entry for entry in work.tree() if entry.account in names]
    _need_no_defaults(work, gone)
    _need_no_jobs(work, [job for job in work.live if job.account in names])
    for entry in gone:
        _remove(work, entry)
    if taken and of_associations:
        work.note("Remove Associations", " || ".join(f"id_assoc={entry.number}" for entry in gone))
    elif taken:
        shown = ",".join(f"'{entry.account}'" for entry in taken)
        for entry in taken:
            work.note("Remove Account Coords", f"(acct='{entry.account}')")
        work.note("Remove Accounts", f"name in({shown})")
    if of_associations:
        return {"lines": [removed_line(work.cluster, entry) for entry in gone]}
    return {"names": sorted(entry.account for entry in taken)}


def _described(work: Work, where: Where, name: str) -> bool:
    conf = work.accounts()[name]
    return matches(where, "descriptions", conf.description or name) and matches(
        where, "organizations", conf.organization or name
    )


def user(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {names}, or with conditions of associations {lines, left: users that have no other}"""
    if where.get("wckeys"):
        return _wckeys(work, where)
    of_associations = any(where.get(key) for key in ("accounts", "clusters", "partitions", "qos"))
    records = {one.name: one for one in reversed(work.users())}
    taken = [
        entry
        for entry in user_associations(work, where)
        if matches(where, "admin_levels", records[entry.user].admin_level if entry.user in records else "None")
    ]
    if not work.caller.operator and not work.coordinates().issuperset(entry.account for entry in taken):
        raise denied()
    if not work.caller.operator and not work.coordinates():
        raise denied()
    if any(entry.user == ROOT and entry.account == ROOT for entry in taken):
        raise SlurmError(
            BAD_ARGUMENT, "root's own association stays: the cluster's first administrator is booked there"
        )
    places = {(entry.account, entry.user) for entry in taken}
    _need_no_jobs(work, [job for job in work.live if (job.account, job.user_name) in places])
    if of_associations:
        _need_no_defaults(work, taken)
    for entry in taken:
        _remove(work, entry)
    left = {one.name for one in work.users()}
    names = sorted({entry.user for entry in taken} - left)
    for name in names:
        _forget_person(work, name)
    if of_associations:
        if taken:
            work.note("Remove Associations", " || ".join(f"id_assoc={entry.number}" for entry in taken))
        return {"lines": [removed_line(work.cluster, entry) for entry in taken], "left": names}
    return {"names": names}


def _wckeys(work: Work, where: Where) -> dict[str, Any]:
    if not work.caller.operator:
        raise denied()
    lines = []
    for key, _, _ in list(work.book.values(book.WCKEY)):
        name, person = key.split("\t")
        if matches(where, "wckeys", name) and matches(where, "names", person):
            work.book.remove(book.WCKEY, key, forget=True)
            if work.book.user_record(person).get("default_wckey") == name:
                work.book.change(book.USER, person, {"default_wckey": ""})
            work.note("Remove WCKeys", f"wckey_name='{name}' && user='{person}'")
            lines.append(f"C = {work.cluster:<10} W = {name:<10} U = {person:<9}")
    return {"lines": lines, "left": []}


def _forget_person(work: Work, name: str) -> None:
    for conf in work.conf.accounts:
        if name in conf.coordinators:
            others = [one for one in conf.coordinators if one != name]
            work.book.change(book.ACCOUNT, conf.name, {"coordinators": others})
    for key, _, _ in list(work.book.values(book.WCKEY)):
        if key.split("\t")[1] == name:
            work.book.remove(book.WCKEY, key, forget=True)
    work.book.remove(book.USER, name, forget=False)
    work.note("Remove Account Coords", f"(user='{name}')")
    work.note("Remove Users", f"name in('{name}')")


def _remove(work: Work, entry: Association) -> None:
    kind = book.ASSOCIATION if entry.user else book.ACCOUNT
    key = book.association_key(entry.account, entry.user, entry.partition) if entry.user else entry.account
    made = work.book.entries[kind][key].at if key in work.book.entries[kind] else 0
    work.book.remove(kind, key, forget=bool(made) and work.now - made < DAY and not work.has_run(entry.number))


def _need_no_jobs(work: Work, jobs: list[LiveJob]) -> None:
    if jobs:
        raise SlurmError(JOBS_RUNNING, notes=[job_line(work.cluster, jobs[0])])


def _need_no_defaults(work: Work, gone: list[Association]) -> None:
    numbers = {entry.number for entry in gone}
    left = {entry.user for entry in work.tree() if entry.user and entry.number not in numbers}
    lines = [
        f"C = {work.cluster:<15} A = {entry.account:<10} U = {entry.user:<9}"
        for entry in gone
        if entry.user and entry.default and entry.user in left
    ]
    if lines:
        raise SlurmError(NO_REMOVE_DEFAULT, notes=lines)
