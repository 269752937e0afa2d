"""The tables in which sacctmgr load shows what it would add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slurm_compat.cli.sacctmgr_fields import placed
from slurm_compat.cli.sacctmgr_loadlines import Told
from slurm_compat.cli.sacctmgr_records import (
    ASSOCIATION_LIMITS,
    ASSOCIATION_TRES,
    QOS_FACTORS,
    QOS_NUMBERS,
    QOS_TRES,
    WALLS,
    amounts,
    wall,
)
from slurm_compat.cli.sacctmgr_settings import Settings
from slurm_compat.cli.sacctmgr_show import QOS_LIST
from slurm_compat.cli.sacctmgr_values import PARENT_SHARE
from slurm_compat.core import fieldprint, treslimits
from slurm_compat.core.fieldprint import COLUMNS as PLAIN
from slurm_compat.core.timefmt import duration

ACCOUNTS = "Name,Descr,Org,QOS"
USERS = "Name,Def Acct,Def WCKey,QOS,Admin,Coord Accounts"
LIMITS = (
    "Share,GrpTRESMins,GrpTRESRunMins,GrpTRES,GrpJobs,GrpJobsAccrue,GrpMem,GrpNodes,GrpSubmit,GrpWall,MaxTRESMins,"
    "MaxTRES,MaxTRESPerNode,MaxJobs,MaxSubmit,MaxNodes,MaxWall,QOS,Def QOS"
)
SHORT, LONG = "-" * 51, "-" * 62
Record = dict[str, Any]


def show_tables(settings: Settings, told: Told, which: str) -> None:
    """`which`: qos, or the rest."""
    if which == "qos":
        rows = [_qos(name, values) for name, values in told.qos.items()]
        _table(settings, "", QOS_LIST.replace("Name,", "Name%20,", 1), rows, LONG)
        return
    accounts = [
        {"Name": name, "Descr": values.get("description", name), "Org": values.get("organization", parent)}
        for name, (parent, values) in told.accounts.items()
    ]
    _table(settings, "Accounts", ACCOUNTS, accounts, SHORT)
    rows = [
        {"Account": name, "ParentName": parent} | _limits(values) for name, (parent, values) in told.accounts.items()
    ]
    _table(settings, "Account Associations", f"Account,ParentName,{LIMITS}", rows, LONG)
    users = [
        {
            "Name": name, "Def Acct": person["default_account"], "Def WCKey": person.get("default_wckey", ""),
            "Admin": person.get("admin_level", "Not Set"), "Coord Accounts": person.get("coordinator", ""),
        }
        for name, person in told.users.items()
    ]  # fmt: skip
    _table(settings, "Users", USERS, users, SHORT)
    rows = [{"User": user, "Account": account} | _limits(values) for user, account, values in told.associations]
    _table(settings, "User Associations", f"User,Account,{LIMITS}", rows, LONG)


def _table(settings: Settings, title: str, columns: str, rows: Iterable[Record], end: str) -> None:
    rows = list(rows)
    if not rows:
        return
    out = settings.ctx.out
    if title:
        out(title)
    cells = placed(columns.split(","))
    for line in fieldprint.header(cells, PLAIN):
        out(line)
    for row in rows:
        out(fieldprint.line(cells, row, None, PLAIN))
    out(end)
    out("")


def _names(value: Any) -> str:
    return ",".join(sorted(value["names"])) if value else ""


def _limits(values: Mapping[str, Any]) -> Record:
    share = values.get("fairshare")
    record: Record = {"Share": "parent" if share == PARENT_SHARE else share, "QOS": _names(values.get("qos"))}
    record |= {title: values.get(name) for title, name in ASSOCIATION_LIMITS.items()}
    record |= {title: treslimits.show(amounts(values.get(name))) for title, name in ASSOCIATION_TRES.items()}
    return record | {title: wall(values.get(name)) for title, name in WALLS.items()}


def _qos(name: str, values: Mapping[str, Any]) -> Record:
    flags = (values.get("flags") or {"names": []})["names"]
    record: Record = {
        "Name": name, "Priority": values.get("priority"), "Flags": ",".join(flags),
        "PreemptMode": (values.get("preempt_mode") or "cluster").lower(), "Preempt": _names(values.get("preempt")),
    }  # fmt: skip
    if values.get("grace_time"):
        record["GraceTime"] = duration(values["grace_time"])
    record |= {title: values.get(key) for title, key in (QOS_NUMBERS | QOS_FACTORS).items()}
    record |= {title: treslimits.show(amounts(values.get(key))) for title, key in QOS_TRES.items()}
    return record | {title: wall(values.get(key)) for title, key in WALLS.items()}
