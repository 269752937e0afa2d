"""sacctmgr list wckey, resource, transaction and problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_conditions import Conditions, moment_of
from slurm_compat.cli.sacctmgr_settings import NO_PRIVILEGE, Settings, caller_is_operator, has_uid
from slurm_compat.core import timefmt
from slurm_compat.core.errors import CommandError

Record = dict[str, Any]

ACTIONS = (
    "Add Accounts", "Add Account Coord", "Add Associations", "Add Clusters", "Add QOS", "Add Resources", "Add TRES",
    "Add Users", "Add WCKeys", "Modify Accounts", "Modify Associations", "Modify Clusters", "Modify QOS",
    "Modify Resources", "Modify Users", "Modify WCKeys", "Remove Accounts", "Remove Account Coords",
    "Remove Associations", "Remove Clusters", "Remove QOS", "Remove Resources", "Remove Users", "Remove WCKeys",
)  # fmt: skip


def wckeys(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    """To see them is an operator's."""
    cluster = own_cluster(settings.ctx)
    listed = settings.ctx.controller.call("book_records")["wckeys"]
    if listed is None:
        raise CommandError(*NO_PRIVILEGE)
    for number, name, user in sorted(listed, key=lambda entry: entry[1:]):
        if (
            conditions.passes("names", name)
            and conditions.passes("users", user)
            and conditions.passes("ids", str(number))
        ):
            yield {"WCKey": name, "Cluster": cluster, "User": user, "ID": number}


def licenses_list(conditions: Conditions) -> str:
    if _of_clusters(conditions):
        return "Name,Server,Type,Count,LastConsumed,Allocated,ServerType,Cluster,Allowed,Flags"
    return "Name,Server,Type,Count,LastConsumed,Allocated,ServerType,Flags"


def _of_clusters(conditions: Conditions) -> bool:
    return "withclusters" in conditions.switches or bool(conditions.values.get("clusters"))


def licenses(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    """Licences that servers give out; with their clusters those alone that this one has a part of."""
    cluster = own_cluster(settings.ctx)
    for row in settings.ctx.controller.call("book_records")["resources"]:
        allowed = row["allowed"]
        if not (
            conditions.passes("names", row["name"], f"{row['name']}@{row['server']}")
            and conditions.passes("servers", row["server"])
            and conditions.passes("ids", str(row["id"]))
            and conditions.passes("descriptions", row["description"])
            and conditions.passes("server_types", row["server_type"])
        ):
            continue
        record = {
            "Name": row["name"], "Server": row["server"], "Type": "License", "Count": row["count"],
            "LastConsumed": row["last_consumed"], "Allocated": allowed or 0, "ServerType": row["server_type"],
            "Flags": row["flags"], "Descr": row["description"], "ID": row["id"], "Manager": row["server_type"],
        }  # fmt: skip
        if not _of_clusters(conditions):
            yield record
        elif allowed is not None and conditions.passes("clusters", cluster):
            yield record | {"Cluster": cluster, "Allowed": allowed}


def transactions(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    wanted = _actions(conditions)
    start, end = (moment_of(settings, conditions, key) for key in ("start", "end"))
    style = settings.ctx.env.get("SLURM_TIME_FORMAT") or "standard"
    cluster = own_cluster(settings.ctx)
    fields = ["id", "at", "action", "actor", "name", "info"]
    for row in list(settings.ctx.controller.rows("transactions", fields, start=start, end=end)):
        number, at, action, actor, name, info = row
        if (
            (not wanted or action in wanted)
            and conditions.passes("actors", actor)
            and conditions.passes("ids", str(number))
            and conditions.passes("clusters", cluster)
            and _about(conditions, "accounts", "acct", name, info)
            and _about(conditions, "users", "user", name, info)
        ):
            yield {
                "Time": timefmt.clock(at, style), "Action": action, "Actor": actor, "Where": name, "Info": info,
                "ID": number, "Cluster": cluster if "Associations" in action else "",
            }  # fmt: skip


def _actions(conditions: Conditions) -> set[str]:
    wanted = set()
    for word in conditions.values.get("actions", ()):
        found = next((action for action in ACTIONS if action.lower() == word), None)
        if found is None:
            raise CommandError(f"sacctmgr: error: You gave a bad action '{word}'.")
        wanted.add(found)
    return wanted


def _about(conditions: Conditions, key: str, column: str, name: str, info: str) -> bool:
    """Whether the record names one of these accounts or users."""
    wanted = conditions.values.get(key)
    return not wanted or any(
        each == name or f"'{each}'" in name or f"{column}='{each}'" in info.lower() for each in wanted
    )


def problems(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    """Accounts that nobody is in, and users that this machine doesn't know."""
    if not caller_is_operator(settings):
        raise CommandError("sacctmgr: error: Access/permission denied", " Error with request: Access/permission denied")
    cluster = own_cluster(settings.ctx)
    rows = settings.rows("associations", ("account", "user", "lineage"))
    lineages = [row["lineage"] for row in rows if row["user"]]
    for row in rows:
        if row["user"] or any(lineage.startswith(row["lineage"]) for lineage in lineages):
            continue
        if conditions.passes("accounts", row["account"]):
            yield {"Cluster": cluster, "Account": row["account"], "Problem": "Account has no users"}
    for name in sorted({row["user"] for row in rows if row["user"]}):
        if conditions.passes("users", name) and not has_uid(name):
            yield {"User": name, "Problem": "User does not have a uid"}
