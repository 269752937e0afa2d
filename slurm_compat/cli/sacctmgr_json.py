"""The documents of sacctmgr's --json and --yaml, for the entities that have one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.jsondoc import Form
from slurm_compat.cli.sacctmgr_conditions import Conditions
from slurm_compat.cli.sacctmgr_others import wckeys
from slurm_compat.cli.sacctmgr_records import amounts, wall_minutes
from slurm_compat.cli.sacctmgr_settings import Settings, caller_is_operator
from slurm_compat.cli.sacctmgr_show import accounts, associations, clusters, qos, resources, users
from slurm_compat.core import tres
from slurm_compat.core.errors import CommandError
from slurm_compat.core.model import UNLIMITED

Record = Mapping[str, Any]
NO_LIMIT = jsondoc.number(UNLIMITED)
NO_FACTOR = NO_LIMIT | {"number": 0.0}
_FLAGS = {"denyonlimit": "DENY_LIMIT"}  # other flags are spelled with "_" before each capital


def print_entity(settings: Settings, name: str, conditions: Conditions) -> bool:
    """Whether there was a document of this entity to print."""
    if name not in DOCUMENTS:
        return False
    ctx = settings.ctx
    form = jsondoc.begin(ctx, settings.output, settings.parser)
    if isinstance(form, int):
        if form:
            raise CommandError(code=form)  # its words are told
        return True
    title, entries = DOCUMENTS[name]
    shaped = (_of_version(title, entry, form) for entry in entries(settings, conditions))
    jsondoc.stream(ctx, form, title, shaped, own_cluster(ctx), empty=EMPTY)
    return True


EMPTY = frozenset({"wckey"})  # with the flag complex: "" where other missing texts are null


def _of_version(title: str, entry: dict[str, Any], form: Form) -> dict[str, Any]:
    """An entry as the older versions of the schema have it."""
    if title == "users" and form.upto("v0.0.43"):
        default = {key: value for key, value in entry["default"].items() if key != "qos"}
        return entry | {"default": default}
    if title == "clusters" and form.upto("v0.0.44"):
        keys = list(entry)
        place = keys.index("nodes") + 1
        return {**{key: entry[key] for key in keys[:place]}, "select_plugin": "", **entry}
    if title == "associations" and form.upto("v0.0.42"):
        return entry | {"id": 0}
    return entry


def _short(record: Record) -> dict[str, Any]:
    return {
        "account": record["Account"], "cluster": record["Cluster"], "partition": record["Partition"],
        "user": record["User"],
        "id": record["ID"],
    }  # fmt: skip


def _joined(records: Iterable[Record], key: str) -> Iterable[tuple[Record, list[dict[str, Any]]]]:
    """Each user or account once, with its associations where they were asked for."""
    found: dict[str, tuple[Record, list[dict[str, Any]]]] = {}
    for record in records:
        entry = found.setdefault(record[key], (record, []))
        if "ID" in record:
            entry[1].append(_short(record))
    return found.values()


def _accounts(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    direct = {
        row["name"]: row["direct_coordinators"] for row in settings.rows("accounts", ("name", "direct_coordinators"))
    }
    shown = "withcoord" in conditions.switches
    for record, joined in _joined(accounts(settings, conditions), "Account"):
        yield {
            "associations": joined,
            "coordinators": [
                {"name": name, "direct": name in direct.get(record["Account"], ())}
                for name in filter(None, record.get("Coord Accounts", "").split(",") if shown else ())
            ],
            "description": record["Descr"], "name": record["Account"], "organization": record["Org"],
            "flags": ["USERS_ARE_COORDS"] if record["Flags"] == "UsersAreCoords" else [],
        }  # fmt: skip


def _users(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    wckeys_of: dict[str, list[dict[str, Any]]] = {}
    for entry in _wckeys(settings, conditions) if caller_is_operator(settings) else ():
        wckeys_of.setdefault(entry["user"], []).append(entry)
    direct: dict[str, set[str]] = {}
    for row in settings.rows("accounts", ("name", "direct_coordinators")):
        for name in row["direct_coordinators"]:
            direct.setdefault(name, set()).add(row["name"])
    shown = "withcoord" in conditions.switches
    for record, joined in _joined(users(settings, conditions), "User"):
        yield {
            "administrator_level": [record["Admin"]], "associations": joined,
            "coordinators": [
                {"name": name, "direct": name in direct.get(record["User"], ())}
                for name in filter(None, record.get("Coord Accounts", "").split(",") if shown else ())
            ],
            "default": {"qos": 0, "account": record.get("Def Acct", ""), "wckey": record.get("Def WCKey", "")},
            "flags": ["NONE"], "name": record["User"], "old_name": "",
            "wckeys": wckeys_of.get(record["User"], []) if "withassoc" in conditions.switches else [],
        }  # fmt: skip


def _associations(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    numbers = {row["name"]: row["id"] for row in settings.rows("qos", ("name", "id"))}
    defaults = {row["id"] for row in settings.rows("associations", ("id", "is_default")) if row["is_default"]}
    resources = _resources(settings)
    for record in associations(settings, conditions):
        own = record.get("limits", {})
        yield {
            "accounting": [], "account": record["Account"], "cluster": record["Cluster"], "comment": "",
            "default": {"qos": own.get("default_qos", "")},
            "flags": ["DELETED"] if record["Flags"] == "Deleted" else [],
            "max": {
                "jobs": {
                    "per": {
                        "count": _limit(own.get("grp_jobs")), "accruing": _limit(own.get("grp_jobs_accrue")),
                        "submitted": _limit(own.get("grp_submit_jobs")),
                        "wall_clock": _limit(wall_minutes(own.get("max_wall"))),
                    },
                    "active": _limit(own.get("max_jobs")), "accruing": _limit(own.get("max_jobs_accrue")),
                    "total": _limit(own.get("max_submit_jobs")),
                },
                "tres": {
                    "total": _amounts(own.get("grp_tres"), resources),
                    "group": {
                        "minutes": _amounts(own.get("grp_tres_mins"), resources),
                        "active": _amounts(own.get("grp_tres_run_mins"), resources),
                    },
                    "minutes": {"total": [], "per": {"job": _amounts(own.get("max_tres_mins"), resources)}},
                    "per": {
                        "job": _amounts(own.get("max_tres"), resources),
                        "node": _amounts(own.get("max_tres_per_node"), resources),
                    },
                },
                "per": {"account": {"wall_clock": _limit(wall_minutes(own.get("grp_wall")))}},
            },
            "id": record["ID"], "is_default": record["ID"] in defaults, "lineage": record.get("Lineage", ""),
            "min": {"priority_threshold": _limit(own.get("min_prio_threshold"))},
            "parent_account": record.get("ParentName", ""), "partition": record["Partition"],
            "priority": _limit(own.get("priority")), "qos": _by_number(record.get("QOS", ""), numbers),
            "shares_raw": record.get("shares", 1), "user": record["User"],
        }  # fmt: skip


def _by_number(names: str, numbers: Mapping[str, int]) -> list[str]:
    """Names of QOS in the order in which these were made."""
    return sorted(filter(None, names.split(",")), key=lambda name: numbers.get(name, 0))


def _limit(value: int | None) -> dict[str, Any]:
    return NO_LIMIT if value is None else jsondoc.number(value)


def _factor(value: float | None) -> dict[str, Any]:
    return NO_FACTOR if value is None else jsondoc.number(value)


def _resources(settings: Settings) -> dict[str, Record]:
    """What is counted, by its whole name."""
    return {f"{row['type']}/{row['name']}".rstrip("/"): row for row in settings.rows("tres", ("id", "type", "name"))}


def _amounts(text: str | None, resources: Mapping[str, Record]) -> list[dict[str, Any]]:
    return [
        {"type": row["type"], "name": row["name"], "id": row["id"], "count": count}
        for name, count in amounts(text).items()
        if (row := resources.get(name)) is not None
    ]


def _qos(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    resources = _resources(settings)
    for record in qos(settings, conditions):
        own = record["limits"]
        exempt = wall_minutes(own["preempt_exempt_time"])
        yield {
            "description": record["Descr"], "flags": [_flag(word) for word in filter(None, record["Flags"].split(","))],
            "id": record["ID"],
            "limits": {
                "grace_time": own["grace_time"],
                "max": {
                    "active_jobs": {"accruing": _limit(own["grp_jobs_accrue"]), "count": _limit(own["grp_jobs"])},
                    "jobs": {
                        "count": _limit(own["grp_submit_jobs"]),
                        "active_jobs": {"per": _both(own, "max_jobs_per_{}")},
                        "per": _both(own, "max_submit_jobs_per_{}"),
                    },
                    "tres": {
                        "total": _amounts(own["grp_tres"], resources),
                        "minutes": {
                            "total": _amounts(own["grp_tres_mins"], resources),
                            "per": {
                                "qos": _amounts(own["grp_tres_run_mins"], resources),
                                "job": _amounts(own["max_tres_mins_per_job"], resources),
                                "account": _amounts(own["max_tres_run_mins_per_account"], resources),
                                "user": _amounts(own["max_tres_run_mins_per_user"], resources),
                            },
                        },
                        "per": {
                            "account": _amounts(own["max_tres_per_account"], resources),
                            "job": _amounts(own["max_tres_per_job"], resources),
                            "node": _amounts(own["max_tres_per_node"], resources),
                            "user": _amounts(own["max_tres_per_user"], resources),
                        },
                    },
                    "wall_clock": {
                        "per": {
                            "qos": _limit(wall_minutes(own["grp_wall"])), "job": _limit(wall_minutes(own["max_wall"])),
                        },
                    },
                    "accruing": {"per": _both(own, "max_jobs_accrue_per_{}")},
                },
                "factor": _factor(own["limit_factor"]),
                "min": {
                    "priority_threshold": _limit(own["min_prio_threshold"]),
                    "tres": {"per": {"job": _amounts(own["min_tres_per_job"], resources)}},
                },
            },
            "name": record["Name"],
            "preempt": {
                "list": list(filter(None, record["Preempt"].split(","))),
                "mode": own["preempt_mode"].upper().split(",") if own["preempt_mode"] else ["DISABLED"],
                "exempt_time": _limit(None if exempt is None else exempt * 60),
            },
            "priority": jsondoc.number(record["Priority"]), "usage_factor": jsondoc.number(own["usage_factor"]),
            "usage_threshold": _factor(own["usage_threshold"]),
        }  # fmt: skip


def _both(own: Record, name: str) -> dict[str, Any]:
    return {each: _limit(own[name.format(each)]) for each in ("account", "user")}


def _flag(word: str) -> str:
    known = _FLAGS.get(word.lower())
    return known or "".join("_" * (place > 0 and char.isupper()) + char.upper() for place, char in enumerate(word))


def _tres(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    for record in resources(settings, conditions):
        yield {"type": record["Type"], "name": record["Name"], "id": record["ID"], "count": 0}


def _clusters(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    numbers = {f"{row['type']}/{row['name']}".rstrip("/"): row for row in settings.rows("tres", ("id", "type", "name"))}
    for record in clusters(settings, conditions):
        counts = tres.parse(record["TRES"])
        yield {
            "controller": {"host": record["ControlHost"], "port": record["ControlPort"]},
            "flags": ["MULTIPLE_SLURMD"], "name": record["Cluster"], "nodes": record["Cluster Nodes"],
            "associations": {"root": {
                "account": "root", "cluster": record["Cluster"], "partition": "", "user": "", "id": 1,
            }},
            "rpc_version": record["RPC"],
            "tres": [
                {"type": row["type"], "name": row["name"], "id": row["id"], "count": counts.get(name, 0)}
                for name, row in numbers.items()
            ],
        }  # fmt: skip


def _wckeys(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    for record in wckeys(settings, Conditions()):
        yield {
            "accounting": [], "cluster": record["Cluster"], "id": record["ID"], "name": record["WCKey"],
            "user": record["User"], "flags": [],
        }  # fmt: skip


DOCUMENTS: dict[str, tuple[str, Callable[[Settings, Conditions], Iterable[dict[str, Any]]]]] = {
    "account": ("accounts", _accounts),
    "association": ("associations", _associations),
    "cluster": ("clusters", _clusters),
    "qos": ("qos", _qos),
    "tres": ("TRES", _tres),
    "user": ("users", _users),
    "wckey": ("wckeys", _wckeys),
}
