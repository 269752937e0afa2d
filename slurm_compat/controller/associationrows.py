"""Rows of the calls associations, accounts, users and qos: the accounting book as sacctmgr and sshare show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.controller.associations import (
    NORMAL_DESCRIPTION,
    ROOT,
    ROOT_DESCRIPTION,
    coordinated,
    default_accounts,
    qos_numbers,
    tree,
)
from slurm_compat.core import treslimits
from slurm_compat.core.cluster import AssociationLimits, ClusterConf, QosConf

Values = dict[str, Any]

# limits that a user's association, or an account below, has of the nearest account above where it has none of its own
INHERITED = (
    "max_jobs", "max_jobs_accrue", "max_submit_jobs", "max_tres", "max_tres_per_node", "max_tres_mins", "max_wall",
    "min_prio_threshold", "priority", "default_qos",
)  # fmt: skip
GROUP = (
    "grp_jobs", "grp_jobs_accrue", "grp_submit_jobs", "grp_tres", "grp_tres_mins", "grp_tres_run_mins", "grp_wall",
)  # fmt: skip
QOS_FIELDS = tuple(name for name in QosConf.__struct_fields__ if name not in ("number", "name", "description"))


def is_set(value: Any) -> bool:
    return value is not None and value != ""


def own_limits(conf: AssociationLimits | None) -> Values:
    """What is set at an association itself."""
    if conf is None:
        return {}
    return {name: value for name in (*INHERITED, *GROUP) if is_set(value := getattr(conf, name))}


def with_inherited(own: Values, above: Values) -> Values:
    """An association's limits beside those `above` it; TRES by TRES the nearest counts."""
    found = dict(own)
    for name in INHERITED:
        if name not in above:
            continue
        if name.startswith("max_tres") and name in own:
            found[name] = treslimits.inherited(own[name], above[name])
        else:
            found.setdefault(name, above[name])
    return found


def association_rows(conf: ClusterConf) -> list[Values]:
    """`limits`: what counts; `own_limits` and `own_qos`: what of it is set here. Parents come before children."""
    known = qos_numbers(conf)
    accounts = {account.name: account for account in conf.accounts}
    users = {(user.account, user.name, user.partition): user for user in reversed(conf.users)}
    limits: dict[int, Values] = {}
    rows = []
    for entry in tree(conf):
        holder: AssociationLimits | None = (
            users.get((entry.account, entry.user, entry.partition)) if entry.user else accounts.get(entry.account)
        )
        own = own_limits(holder)
        limits[entry.number] = found = with_inherited(own, limits.get(entry.parent_number, {}))
        rows.append(
            {
                "id": entry.number,
                "cluster": conf.cluster_name,
                "account": entry.account,
                "user": entry.user,
                "partition": entry.partition,
                "parent_account": entry.parent,
                "parent_id": entry.parent_number,
                "lineage": entry.lineage,
                "is_default": entry.default,
                "shares_raw": entry.shares,
                "qos": sorted(entry.qos),
                "qos_ids": sorted(known[name] for name in entry.qos if name in known),
                "own_qos": sorted(holder.qos) if holder is not None else [],
                "limits": found,
                "own_limits": own,
            }
        )
    return rows


def account_rows(conf: ClusterConf) -> list[Values]:
    rows: dict[str, Values] = {
        account.name: {
            "name": account.name,
            "description": account.description or account.name,
            "organization": account.organization or account.name,
            "coordinators": [],
            "direct_coordinators": sorted(account.coordinators),
            "flags": account.flags,
        }
        for account in conf.accounts
    }
    root: Values = {
        "name": ROOT, "description": ROOT_DESCRIPTION, "organization": ROOT, "coordinators": [],
        "direct_coordinators": [], "flags": "",
    }  # fmt: skip
    listed = rows.get(ROOT, root)
    rows[ROOT] = root | {key: listed[key] for key in ("direct_coordinators", "flags")}
    for user in sorted(coordinators(conf)):
        for name in coordinated(conf, user):
            if name in rows:
                rows[name]["coordinators"].append(user)
    return [rows[name] for name in sorted(rows)]


def coordinators(conf: ClusterConf) -> set[str]:
    named = {name for account in conf.accounts for name in account.coordinators}
    all_are = {account.name for account in conf.accounts if "usersarecoords" in account.flags.lower()}
    return named | {user.name for user in conf.users if user.account in all_are}


def user_rows(conf: ClusterConf, default_wckeys: Mapping[str, str] = {}) -> list[Values]:
    levels = {name: "Operator" for name in conf.operators} | {ROOT: "Administrator"}
    for user in conf.users:
        if user.admin_level.lower() not in ("", "none"):
            levels[user.name] = "Administrator" if user.admin_level.lower().startswith("a") else "Operator"
    return [
        {
            "name": name,
            "default_account": account,
            "admin_level": levels.get(name, "None"),
            "coordinates": sorted(coordinated(conf, name)),
            "default_wckey": default_wckeys.get(name, ""),
        }
        for name, account in sorted(default_accounts(conf).items())
    ]


def qos_rows(conf: ClusterConf) -> list[Values]:
    numbers = qos_numbers(conf)
    return [_qos_row(numbers[qos.name], qos) for qos in conf.qos]


def _qos_row(number: int, qos: QosConf) -> Values:
    described = qos.description or (NORMAL_DESCRIPTION if qos.name == "normal" else qos.name)
    return {"id": number, "name": qos.name, "description": described} | {
        name: getattr(qos, name) for name in QOS_FIELDS
    }
