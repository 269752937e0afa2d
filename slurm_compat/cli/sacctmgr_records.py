"""One row of the accounting book as sacctmgr's columns have it, by their titles."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.core import treslimits
from slurm_compat.core.errors import BadValue
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import duration, minutes

if TYPE_CHECKING:
    from slurm_compat.cli.sacctmgr_conditions import Conditions
    from slurm_compat.cli.sacctmgr_settings import Settings

Record = dict[str, Any]
PARENT_SHARE = 0x7FFFFFFF
ROOT_ACCOUNT, ROOTS_OWN = 1, 2  # root's association in the account root has no flags, where others have none set

ASSOCIATION = (
    "id", "cluster", "account", "user", "partition", "parent_account", "parent_id", "lineage", "is_default",
    "shares_raw", "qos", "qos_ids", "own_qos", "limits", "own_limits",
)  # fmt: skip
# title: the limit, and the one resource of it that the column is about
ASSOCIATION_LIMITS = {
    "Priority": "priority", "GrpJobs": "grp_jobs", "GrpJobsAccrue": "grp_jobs_accrue", "GrpSubmit": "grp_submit_jobs",
    "MaxJobs": "max_jobs", "MaxJobsAccrue": "max_jobs_accrue", "MaxSubmit": "max_submit_jobs",
    "MinPrioThres": "min_prio_threshold", "Def QOS": "default_qos",
}  # fmt: skip
ASSOCIATION_TRES = {
    "GrpTRES": "grp_tres", "GrpTRESMins": "grp_tres_mins", "GrpTRESRunMins": "grp_tres_run_mins", "MaxTRES": "max_tres",
    "MaxTRESPerNode": "max_tres_per_node", "MaxTRESMins": "max_tres_mins",
}  # fmt: skip
ASSOCIATION_ONE = {
    "GrpCPUs": ("grp_tres", "cpu"), "GrpNodes": ("grp_tres", "node"), "GrpMem": ("grp_tres", "mem"),
    "GrpCPUMins": ("grp_tres_mins", "cpu"), "GrpCPURunMins": ("grp_tres_run_mins", "cpu"),
    "MaxCPUs": ("max_tres", "cpu"), "MaxNodes": ("max_tres", "node"), "MaxCPUMins": ("max_tres_mins", "cpu"),
}  # fmt: skip
WALLS = {"GrpWall": "grp_wall", "MaxWall": "max_wall"}

QOS_NUMBERS = {
    "GrpJobs": "grp_jobs", "GrpJobsAccrue": "grp_jobs_accrue", "GrpSubmit": "grp_submit_jobs",
    "MaxJobsPU": "max_jobs_per_user", "MaxJobsPA": "max_jobs_per_account",
    "MaxJobsAccruePU": "max_jobs_accrue_per_user", "MaxJobsAccruePA": "max_jobs_accrue_per_account",
    "MaxSubmitPU": "max_submit_jobs_per_user", "MaxSubmitPA": "max_submit_jobs_per_account",
    "MinPrioThres": "min_prio_threshold",
}  # fmt: skip
QOS_TRES = {
    "GrpTRES": "grp_tres", "GrpTRESMins": "grp_tres_mins", "GrpTRESRunMins": "grp_tres_run_mins",
    "MaxTRES": "max_tres_per_job", "MaxTRESPerNode": "max_tres_per_node", "MaxTRESMins": "max_tres_mins_per_job",
    "MaxTRESPU": "max_tres_per_user", "MaxTRESPA": "max_tres_per_account",
    "MaxTRESRunMinsPU": "max_tres_run_mins_per_user", "MaxTRESRunMinsPA": "max_tres_run_mins_per_account",
    "MinTRES": "min_tres_per_job",
}  # fmt: skip
QOS_ONE = {
    "GrpCPUs": ("grp_tres", "cpu"), "GrpNodes": ("grp_tres", "node"), "GrpMem": ("grp_tres", "mem"),
    "GrpCPUMins": ("grp_tres_mins", "cpu"), "GrpCPURunMins": ("grp_tres_run_mins", "cpu"),
    "MaxCPUs": ("max_tres_per_job", "cpu"), "MaxNodes": ("max_tres_per_job", "node"),
    "MaxCPUMins": ("max_tres_mins_per_job", "cpu"), "MaxCPUsPU": ("max_tres_per_user", "cpu"),
    "MaxNodesPU": ("max_tres_per_user", "node"), "MaxCPURunMinsPU": ("max_tres_run_mins_per_user", "cpu"),
    "MinCPUs": ("min_tres_per_job", "cpu"),
}  # fmt: skip
QOS_FACTORS = {"UsageFactor": "usage_factor", "UsageThres": "usage_threshold", "LimitFactor": "limit_factor"}
QOS_ROW = (
    "id", "name", "description", "priority", "flags", "grace_time", "preempt", "preempt_mode", "preempt_exempt_time",
    "grp_wall", "max_wall", *QOS_NUMBERS.values(), *QOS_TRES.values(), *QOS_FACTORS.values(),
)  # fmt: skip


def wall(text: Any) -> str:
    """A limit of time, "" where there is none."""
    limit = wall_minutes(text)
    return "" if limit is None else duration(limit * 60)


def wall_minutes(text: Any) -> int | None:
    if text in (None, ""):
        return None
    if str(text) == "0":
        return 0
    try:
        limit = minutes(str(text))
    except BadValue:
        return None
    return None if limit == UNLIMITED else limit


def amounts(text: Any) -> dict[str, int]:
    """A limit of TRES; what is no such limit is none."""
    try:
        return treslimits.parse(text or "")
    except BadValue:
        return {}


def association_record(row: Mapping[str, Any], switches: Collection[str] = ()) -> Record:
    own_alone = "wopinfo" in switches
    limits = row["own_limits"] if own_alone or "wolimits" in switches or "woplimits" in switches else row["limits"]
    qos = row["own_qos"] if own_alone and row["id"] != ROOT_ACCOUNT else row["qos"]
    record = {
        "Cluster": row["cluster"],
        "Account": row["account"],
        "User": row["user"],
        "Partition": row["partition"],
        "Share": "parent" if row["shares_raw"] == PARENT_SHARE else row["shares_raw"],
        "ID": row["id"],
        "ParentID": row["parent_id"],
        "ParentName": "" if own_alone else row["parent_account"],
        "Lineage": row["lineage"],
        "QOS": ",".join(qos),
        "QOS_RAW": ",".join(map(str, row["qos_ids"])) if qos else "",
        "Flags": "" if row["id"] == ROOTS_OWN else "None",
    }
    record["limits"] = limits  # for documents
    record["shares"] = row["shares_raw"]
    record |= {title: limits.get(name) for title, name in ASSOCIATION_LIMITS.items()}
    record |= {title: treslimits.show(amounts(limits.get(name))) for title, name in ASSOCIATION_TRES.items()}
    record |= {title: amounts(limits.get(name)).get(one) for title, (name, one) in ASSOCIATION_ONE.items()}
    record |= {title: wall(limits.get(name)) for title, name in WALLS.items()}
    return record


def qos_record(row: Mapping[str, Any], places: Mapping[str, int]) -> Record:
    """`places`: the numbers of all QOS, by which those that may be preempted are listed."""
    record: Record = {
        "Name": row["name"],
        "ID": row["id"],
        "Descr": row["description"],
        "Priority": row["priority"],
        "Flags": row["flags"],
        "GraceTime": duration(row["grace_time"]),
        "Preempt": ",".join(sorted(row["preempt"], key=lambda name: places.get(name, 0))),
        "PreemptMode": row["preempt_mode"].lower() or "cluster",
        "PreemptExemptTime": wall(row["preempt_exempt_time"]),
    }
    record["limits"] = row  # for documents
    record |= {title: row[name] for title, name in QOS_NUMBERS.items()}
    record |= {title: treslimits.show(amounts(row[name])) for title, name in QOS_TRES.items()}
    record |= {title: amounts(row[name]).get(one) for title, (name, one) in QOS_ONE.items()}
    record |= {title: None if row[name] is None else f"{row[name]:.6f}" for title, name in QOS_FACTORS.items()}
    record |= {title: wall(row[name]) for title, name in WALLS.items()}
    return record


def deleted(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    """Associations that are remembered though they were deleted."""
    cluster = own_cluster(settings.ctx)
    for kind, key, number in settings.ctx.controller.call("book_records")["deleted"]:
        if kind not in ("account", "association"):
            continue
        account, user, partition = key.split("\t") if kind == "association" else (key, "", "")
        if conditions.passes("accounts", account) and conditions.passes("users", user):
            yield {
                "Cluster": cluster, "Account": account, "User": user, "Partition": partition, "ID": number,
                "Flags": "Deleted",
            }  # fmt: skip


def deleted_names(settings: Settings, kind: str, conditions: Conditions) -> Iterator[str]:
    """Accounts or users that are remembered though they were deleted."""
    for each, key, _ in settings.ctx.controller.call("book_records")["deleted"]:
        if each == kind and conditions.passes("names", key):
            yield key
