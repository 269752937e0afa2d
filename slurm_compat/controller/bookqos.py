"""sacctmgr add, modify and delete qos. These are an administrator's."""

from __future__ import annotations

from typing import Any

import msgspec

from slurm_compat.controller import book
from slurm_compat.controller.bookdeleting import JOBS_RUNNING
from slurm_compat.controller.bookvalues import QOS_KEYS, checked, new_values, whole
from slurm_compat.controller.bookwork import (
    Values,
    Where,
    Work,
    info,
    job_line,
    matches,
    names_of,
    need_admin,
    plain,
    user_line,
)
from slurm_compat.core import qosflags
from slurm_compat.core.cluster import QosConf
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError

PREEMPT_MODES = ("", "CANCEL", "REQUEUE", "SUSPEND", "WITHIN")
LOOP = 7016
LOOP_TEXT = "QOS Preemption loop detected"
IN_USE = 7011
COLUMNS = {"max_wall": "max_wall_duration_per_job", "usage_threshold": "usage_thres"}


def add(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {added}"""
    names = names_of(where)
    known = work.qos()
    added = [name for name in names if name not in known]
    if not added:
        return {"added": []}
    need_admin(work)
    wanted = checked(work, values, QOS_KEYS, QosConf)
    for name in added:
        blank = QosConf(name=name)
        full = msgspec.structs.replace(blank, **new_values(work, wanted, blank, ""))
        _check(full)
        work.book.add(book.QOS, name, whole(full), work.now)
        work.note(
            "Add QOS", name, f"mod_time={work.now}, " + info(plain(wanted) | {"description": full.description}, {})
        )
    _need_no_loop(work)
    return {"added": added}


def modify(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {names}"""
    taken = _taken(work, where)
    need_admin(work)
    wanted = checked(work, values, QOS_KEYS, QosConf)
    for conf in taken:
        new = new_values(work, wanted, conf, "")
        _check(msgspec.structs.replace(conf, **new))
        work.book.change(book.QOS, conf.name, new)
        work.note("Modify QOS", f"(name='{conf.name}')", info(plain(wanted), COLUMNS))
    _need_no_loop(work)
    return {"names": [conf.name for conf in taken]}


def delete(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {names}. Lists that name it go on without it."""
    taken = {conf.name for conf in _taken(work, where)}
    need_admin(work)
    jobs = [job for job in work.live if job.qos in taken]
    if jobs:
        raise SlurmError(JOBS_RUNNING, notes=[job_line(work.cluster, jobs[0])])
    _need_no_default(work, taken)
    if taken and taken.issuperset(work.qos()):
        raise SlurmError(BAD_ARGUMENT, "one QOS has to stay")
    for conf in work.conf.accounts:
        if taken & set(conf.qos):
            work.book.change(book.ACCOUNT, conf.name, {"qos": [one for one in conf.qos if one not in taken]})
    for user in work.conf.users:
        if taken & set(user.qos):
            key = book.association_key(user.account, user.name, user.partition)
            work.book.change(book.ASSOCIATION, key, {"qos": [one for one in user.qos if one not in taken]})
    for qos in work.conf.qos:
        if taken & set(qos.preempt):
            work.book.change(book.QOS, qos.name, {"preempt": [one for one in qos.preempt if one not in taken]})
    names = [qos.name for qos in work.conf.qos if qos.name in taken]
    for name in names:
        work.book.remove(book.QOS, name, forget=True)
        work.note("Remove QOS", f"name='{name}'")
    return {"names": names}


def _taken(work: Work, where: Where) -> list[QosConf]:
    return [
        conf
        for conf in work.conf.qos
        if matches(where, "names", conf.name)
        and matches(where, "ids", str(conf.number))
        and matches(where, "descriptions", conf.description or conf.name)
        and matches(where, "preempt_modes", conf.preempt_mode or "cluster")
    ]


def _check(conf: QosConf) -> None:
    if unknown := [flag for flag in conf.flags.split(",") if flag and flag not in qosflags.ALL]:
        raise SlurmError(BAD_ARGUMENT, f"Unknown QOS flag {unknown[0]}")
    if any(mode not in PREEMPT_MODES for mode in conf.preempt_mode.upper().split(",")):
        raise SlurmError(BAD_ARGUMENT, f"Bad Preempt Mode given: {conf.preempt_mode}")


def _need_no_loop(work: Work) -> None:
    """Raises SlurmError when a QOS could preempt itself, by way of others too."""
    reach = {name: set(conf.preempt) for name, conf in work.qos().items()}
    for name in reach:
        seen: set[str] = set()
        waiting = list(reach[name])
        while waiting:
            one = waiting.pop()
            if one == name:
                raise SlurmError(LOOP, LOOP_TEXT, notes=[LOOP_TEXT])
            if one not in seen:
                seen.add(one)
                waiting += reach.get(one, ())


def _need_no_default(work: Work, taken: set[str]) -> None:
    accounts = work.accounts()
    users = {(one.account, one.name, one.partition): one for one in work.users()}
    lines = []
    for entry in work.tree():
        holder = users[entry.account, entry.user, entry.partition] if entry.user else accounts[entry.account]
        if holder.default_qos in taken:
            lines.append(f"DefQOS = {holder.default_qos:<10} {user_line(work.cluster, entry)}")
    if lines:
        raise SlurmError(IN_USE, notes=lines)
