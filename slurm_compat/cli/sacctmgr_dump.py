"""sacctmgr dump: the accounting as a file of the form that sacctmgr load, here and of Slurm's own, reads.

Lines are `Kind - 'name':Key=value:…`; associations stand below the `Parent - 'account'` they are in. What inherits is
left out. Source: sacctmgr(1), FLAT FILE DUMP AND LOAD; order and spelling observed on 26.05.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_records import ASSOCIATION, QOS_ROW, amounts, wall_minutes
from slurm_compat.cli.sacctmgr_settings import Settings, caller_is_admin
from slurm_compat.cli.sacctmgr_values import PARENT_SHARE, pair
from slurm_compat.core import treslimits
from slurm_compat.core.errors import CommandError

HEAD = """\
# Lines of this file, in this order: QOS, the cluster, then accounts and users below their parent.
# Cluster - 'cluster_name':MaxTRESPerJob=node=50
# Parent - 'root'
# Account - 'physics':Description='Physics':Organization='Science':Fairshare=10:MaxJobs=4
# Parent - 'physics'
# User - 'alice':DefaultAccount='physics':Fairshare=1:MaxWallDurationPerJob=60
# What stands behind a ':' may be left out, and stand in any order; a parent has its own line before it is used.
"""
# the key in the file, the limit, how it is written
LIMITS = (
    ("GrpTRESMins", "grp_tres_mins", "tres"), ("GrpTRESRunMins", "grp_tres_run_mins", "tres"),
    ("GrpTRES", "grp_tres", "tres"), ("GrpJobs", "grp_jobs", ""), ("GrpJobsAccrue", "grp_jobs_accrue", ""),
    ("GrpSubmitJobs", "grp_submit_jobs", ""), ("GrpWall", "grp_wall", "wall"),
    ("MaxTRESMinsPerJob", "max_tres_mins", "tres"), ("MaxTRESPerJob", "max_tres", "tres"),
    ("MaxTRESPerNode", "max_tres_per_node", "tres"), ("MaxJobs", "max_jobs", ""),
    ("MaxJobsAccrue", "max_jobs_accrue", ""), ("MaxSubmitJobs", "max_submit_jobs", ""),
    ("MaxWallDurationPerJob", "max_wall", "wall"), ("MinPrioThresh", "min_prio_threshold", ""),
    ("Priority", "priority", ""),
)  # fmt: skip
QOS_LIMITS = (
    ("GrpJobsAccrue", "grp_jobs_accrue", ""), ("GrpJobs", "grp_jobs", ""), ("GrpSubmitJobs", "grp_submit_jobs", ""),
    ("GrpTRES", "grp_tres", "tres"), ("GrpTRESMins", "grp_tres_mins", "tres"),
    ("GrpTRESRunMins", "grp_tres_run_mins", "tres"), ("GrpWall", "grp_wall", "wall"),
    ("LimitFactor", "limit_factor", "factor"), ("MaxJobsPA", "max_jobs_per_account", ""),
    ("MaxJobsPU", "max_jobs_per_user", ""), ("MaxJobsAccruePA", "max_jobs_accrue_per_account", ""),
    ("MaxJobsAccruePU", "max_jobs_accrue_per_user", ""), ("MaxSubmitJobsPA", "max_submit_jobs_per_account", ""),
    ("MaxSubmitJobsPU", "max_submit_jobs_per_user", ""), ("MaxTRESMinsPerJob", "max_tres_mins_per_job", "tres"),
    ("MaxTRESPerAccount", "max_tres_per_account", "tres"), ("MaxTRESPerJob", "max_tres_per_job", "tres"),
    ("MaxTRESPerNode", "max_tres_per_node", "tres"), ("MaxTRESPerUser", "max_tres_per_user", "tres"),
    ("MaxTRESRunMinsPerAccount", "max_tres_run_mins_per_account", "tres"),
    ("MaxTRESRunMinsPerUser", "max_tres_run_mins_per_user", "tres"), ("MaxWallDurationPerJob", "max_wall", "wall"),
    ("MinPrioThresh", "min_prio_threshold", ""), ("MinTRESPerJob", "min_tres_per_job", "tres"),
)  # fmt: skip


def dump(settings: Settings, words: Sequence[str]) -> int:
    ctx = settings.ctx
    name = path = ""
    for word in words:
        key, operator, text = pair(word)
        if operator and "file".startswith(key.lower()):
            path = text
        elif not operator or "cluster".startswith(key.lower()):
            name = text or word
    if not name:
        raise CommandError(" We need a cluster to dump.")
    if name != own_cluster(ctx):
        raise CommandError(f" Cluster {name} doesn't exist.")
    if not caller_is_admin(settings):
        raise CommandError(" Your user does not have sufficient privileges to dump clusters.")
    if not path:
        path = f"./{name}.cfg"
        ctx.out(f" No filename given, using {path}.")
    _write(settings, os.path.join(ctx.cwd, path))
    return 0


def _write(settings: Settings, path: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(HEAD)
            qos = list(qos_lines(settings))
            cluster, *others = tree_lines(settings)
            file.write("".join(f"{line}\n" for line in (*qos, cluster, *others)))
    except OSError as problem:
        raise CommandError(f" Unable to open {path}: {problem.strerror}") from None
    settings.ctx.err("sacctmgr: " + "\n".join((*qos, cluster)))
    for line in others:
        settings.ctx.err(f"sacctmgr: {line}")


def qos_lines(settings: Settings) -> Iterator[str]:
    rows = settings.rows("qos", QOS_ROW)
    places = {row["name"]: row["id"] for row in rows}
    for row in rows:
        words = [f"QOS - '{row['name']}'", f"Description='{row['description']}'"]
        if row["flags"]:
            words.append(f"Flags='{row['flags']}'")
        if row["grace_time"]:
            words.append(f"GraceTime={row['grace_time']}")
        words += _limits(row, QOS_LIMITS)
        if row["preempt"]:
            words.append(f"Preempt='{','.join(sorted(row['preempt'], key=lambda name: places.get(name, 0)))}'")
        if row["preempt_mode"]:
            words.append(f"PreemptMode='{row['preempt_mode'].lower()}'")
        exempt = wall_minutes(row["preempt_exempt_time"])
        if exempt is not None:
            words.append(f"PreemptExemptTime={exempt * 60}")
        if row["priority"]:
            words.append(f"Priority={row['priority']}")
        if row["usage_factor"] != 1.0:
            words.append(f"UsageFactor={row['usage_factor']:f}")
        if row["usage_threshold"] is not None:
            words.append(f"UsageThreshold={row['usage_threshold']:f}")
        yield ":".join(words)


def _limits(values: Mapping[str, Any], table: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for key, name, kind in table:
        value = values.get(name)
        if value is None or value == "":
            continue
        if kind == "tres":
            yield f"{key}={treslimits.show(amounts(value))}"
        elif kind == "wall":
            minutes = wall_minutes(value)
            if minutes is not None:
                yield f"{key}={minutes}"
        else:
            yield f"{key}={value:f}" if kind == "factor" else f"{key}={value}"


def tree_lines(settings: Settings) -> Iterator[str]:
    """The cluster's line, then each account's users and the accounts below it, level by level."""
    rows = settings.rows("associations", ASSOCIATION)
    accounts = {row["name"]: row for row in settings.rows("accounts", ("name", "description", "organization",
                                                                       "direct_coordinators"))}  # fmt: skip
    people = {row["name"]: row for row in settings.rows("users", ("name", "default_account", "admin_level",
                                                                  "default_wckey"))}  # fmt: skip
    wckeys: dict[str, list[str]] = {}
    for _, name, user in settings.ctx.controller.call("book_records")["wckeys"] or ():
        wckeys.setdefault(user, []).append(name)
    coordinated: dict[str, list[str]] = {}
    for account in accounts.values():
        for user in account["direct_coordinators"]:
            coordinated.setdefault(user, []).append(account["name"])
    root = next(row for row in rows if not row["parent_id"])
    yield ":".join([f"Cluster - '{root['cluster']}'", *_shared(root)])
    children: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        children.setdefault(row["parent_id"], []).append(row)
    waiting = [root]
    while waiting:
        parent = waiting.pop(0)
        below = children.get(parent["id"], [])
        if not below:
            continue
        yield f"Parent - '{parent['account']}'"
        for row in below:
            if row["user"]:
                person = people[row["user"]]
                words = [f"User - '{row['user']}'"]
                if row["partition"]:
                    words.append(f"Partition='{row['partition']}'")
                words.append(f"DefaultAccount='{person['default_account']}'")
                if person["default_wckey"]:
                    words.append(f"DefaultWCKey='{person['default_wckey']}'")
                if person["admin_level"] != "None":
                    words.append(f"AdminLevel='{person['admin_level']}'")
                if row["user"] in coordinated:
                    words.append(f"Coordinator='{','.join(coordinated[row['user']])}'")
                if row["user"] in wckeys:
                    words.append(f"WCKeys='{','.join(sorted(wckeys[row['user']]))}'")
                yield ":".join([*words, *_shared(row)])
        accounts_below = [row for row in below if not row["user"]]
        for row in accounts_below:
            told = accounts[row["account"]]
            words = [f"Account - '{row['account']}'", f"Description='{told['description']}'"]
            words.append(f"Organization='{told['organization']}'")
            yield ":".join([*words, *_shared(row)])
        waiting += accounts_below


def _shared(row: Mapping[str, Any]) -> Iterator[str]:
    """What associations of all kinds have, where they have it themselves."""
    own = row["own_limits"]
    if own.get("default_qos"):
        yield f"DefaultQOS='{own['default_qos']}'"
    yield f"Fairshare={'parent' if row['shares_raw'] == PARENT_SHARE else row['shares_raw']}"
    yield from _limits(own, LIMITS)
    qos = row["own_qos"] if row["parent_id"] else row["qos"]
    if qos:
        yield f"QOS='{','.join(qos)}'"
