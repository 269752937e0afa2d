"""The documents of sacctmgr's --json and --yaml, for the entities that have one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_conditions import Conditions
from slurm_compat.cli.sacctmgr_show import Settings, accounts, associations, clusters, qos, resources, users
from slurm_compat.core import tres
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
    if jsondoc.refusal(ctx, settings.output, settings.parser) is None:
        title, entries = DOCUMENTS[name]
        document = jsondoc.document(ctx, title, list(entries(settings, conditions)), own_cluster(ctx))
        jsondoc.write(ctx, settings.output, document)
    return True


def _short(record: Record) -> dict[str, Any]:
    return {
        "account": record["Account"], "cluster": record["Cluster"], "partition": "", "user": record["User"],
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
    for record, joined in _joined(accounts(settings, conditions), "Account"):
        yield {
            "associations": joined, "coordinators": [], "description": record["Descr"], "name": record["Account"],
            "organization": record["Org"], "flags": [],
        }  # fmt: skip


def _users(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    for record, joined in _joined(users(settings, conditions), "User"):
        yield {
            "administrator_level": [record["Admin"]], "associations": joined, "coordinators": [],
            "default": {"qos": 0, "account": record["Def Acct"], "wckey": ""}, "flags": ["NONE"],
            "name": record["User"], "old_name": "", "wckeys": [],
        }  # fmt: skip


def _associations(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    defaults = {row["id"] for row in settings.rows("associations", ("id", "is_default")) if row["is_default"]}
    for record in associations(settings, conditions):
        yield {
            "accounting": [], "account": record["Account"], "cluster": record["Cluster"], "comment": "",
            "default": {"qos": ""}, "flags": [],
            "max": {
                "jobs": {
                    "per": {"count": NO_LIMIT, "accruing": NO_LIMIT, "submitted": NO_LIMIT, "wall_clock": NO_LIMIT},
                    "active": NO_LIMIT, "accruing": NO_LIMIT, "total": NO_LIMIT,
                },
                "tres": {
                    "total": [], "group": {"minutes": [], "active": []},
                    "minutes": {"total": [], "per": {"job": []}}, "per": {"job": [], "node": []},
                },
                "per": {"account": {"wall_clock": NO_LIMIT}},
            },
            "id": record["ID"], "is_default": record["ID"] in defaults, "lineage": record["Lineage"],
            "min": {"priority_threshold": NO_LIMIT}, "parent_account": record["ParentName"], "partition": "",
            "priority": NO_LIMIT, "qos": list(filter(None, record["QOS"].split(","))), "shares_raw": record["Share"],
            "user": record["User"],
        }  # fmt: skip


def _limit(value: int | None) -> dict[str, Any]:
    return NO_LIMIT if value is None else jsondoc.number(value)


def _qos(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    for record in qos(settings, conditions):
        both = {"account": NO_LIMIT, "user": NO_LIMIT}
        yield {
            "description": record["Descr"], "flags": [_flag(word) for word in filter(None, record["Flags"].split(","))],
            "id": record["ID"],
            "limits": {
                "grace_time": 0,
                "max": {
                    "active_jobs": {"accruing": NO_LIMIT, "count": NO_LIMIT},
                    "jobs": {
                        "count": NO_LIMIT,
                        "active_jobs": {"per": both | {"user": _limit(record["MaxJobsPU"])}},
                        "per": both | {"user": _limit(record["MaxSubmitPU"])},
                    },
                    "tres": {
                        "total": [], "minutes": {"total": [], "per": {"qos": [], "job": [], "account": [], "user": []}},
                        "per": {
                            "account": [], "job": [], "node": [],
                            "user": jsondoc.tres(tres.parse(record["MaxTRESPU"]).items()),
                        },
                    },
                    "wall_clock": {"per": {"qos": NO_LIMIT, "job": NO_LIMIT}},
                    "accruing": {"per": both},
                },
                "factor": NO_FACTOR, "min": {"priority_threshold": NO_LIMIT, "tres": {"per": {"job": []}}},
            },
            "name": record["Name"],
            "preempt": {"list": [], "mode": ["DISABLED"], "exempt_time": NO_LIMIT},
            "priority": jsondoc.number(record["Priority"]), "usage_factor": jsondoc.number(1.0),
            "usage_threshold": NO_FACTOR,
        }  # fmt: skip


def _flag(word: str) -> str:
    known = _FLAGS.get(word.lower())
    return known or "".join("_" * (place > 0 and char.isupper()) + char.upper() for place, char in enumerate(word))


def _tres(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    for record in resources(settings, conditions):
        yield {"type": record["Type"], "name": record["Name"], "id": record["ID"], "count": 0}


def _clusters(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    numbers = {f"{row['type']}/{row['name']}".rstrip("/"): row for row in settings.rows("tres", ("id", "type", "name"))}
    for record in clusters(settings, conditions):
        amounts = tres.parse(record["TRES"])
        yield {
            "controller": {"host": record["ControlHost"], "port": record["ControlPort"]},
            "flags": ["MULTIPLE_SLURMD"], "name": record["Cluster"], "nodes": record["Cluster Nodes"],
            "associations": {"root": {
                "account": "root", "cluster": record["Cluster"], "partition": "", "user": "", "id": 1,
            }},
            "rpc_version": record["RPC"],
            "tres": [row | {"count": amounts.get(name, 0)} for name, row in numbers.items()],
        }  # fmt: skip


def _none(settings: Settings, conditions: Conditions) -> Iterable[dict[str, Any]]:
    return ()


DOCUMENTS: dict[str, tuple[str, Callable[[Settings, Conditions], Iterable[dict[str, Any]]]]] = {
    "account": ("accounts", _accounts),
    "association": ("associations", _associations),
    "cluster": ("clusters", _clusters),
    "qos": ("qos", _qos),
    "tres": ("TRES", _tres),
    "user": ("users", _users),
    "wckey": ("wckeys", _none),
}
