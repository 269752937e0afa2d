"""sacctmgr show event: nodes that take no work, since when and why, and the cluster's own entry."""

from __future__ import annotations

import pwd
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.cli.sacctmgr_conditions import Conditions, moment_of
from slurm_compat.core import hostlist, nodestates, timefmt, tres
from slurm_compat.core.errors import BadValue

if TYPE_CHECKING:
    from slurm_compat.cli.sacctmgr_show import Settings

Record = dict[str, Any]

CLUSTER, NODE = "Cluster", "Node"
REGISTERED = "Cluster Registered TRES"
# base states and flags by the bits that StateRaw shows
BITS = {"DOWN": 1, "IDLE": 2, "ALLOCATED": 3, "ERROR": 4, "MIXED": 5, "FUTURE": 6}
FLAG_BITS = {"DRAIN": 0x200, "FAIL": 0x2000, "MAINTENANCE": 0x100000}
NODE_FIELDS = (
    "name", "state", "state_flags", "reason", "reason_set_by_user", "reason_changed_at", "slurmd_start_time", "tres",
    "cpus",
)  # fmt: skip


def titles(conditions: Conditions) -> str:
    if conditions.values.get("events") and all(word.startswith("c") for word in conditions.values["events"]):
        return "Cluster,TRES,TimeStart,TimeEnd,Cluster Nodes"
    return "Cluster,NodeName,TimeStart,TimeEnd,State,Reason,User"


def events(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    from slurm_compat.cli.clusters import own_cluster

    cluster = own_cluster(settings.ctx)
    if not conditions.passes("clusters", cluster):
        return
    ping = settings.ctx.controller.call("ping")
    nodes = settings.rows("nodes", NODE_FIELDS)
    start, end = (moment_of(settings, conditions, key) for key in ("start", "end"))
    found = [*_cluster(settings, ping["boot_time"], nodes), *_nodes(settings, nodes)]
    everything = "all_time" in conditions.switches
    only_open = any("open".startswith(flag) for flag in conditions.values.get("flags", ()))
    if not only_open:
        found += _ended(settings, start or (0 if everything else _yesterday(settings.ctx.now())))
    by_node = only_open or (everything and not start)
    found.sort(key=lambda entry: (entry[1].get("NodeName", ""), entry[0]) if by_node else ("", entry[0]))
    for at, record in found:
        if not _passes(record, conditions) or (end and at > end):
            continue
        since = at if start > settings.ctx.now() else max(at, start)
        until = record.get("until") or end or int(settings.ctx.now())
        style = settings.ctx.env.get("SLURM_TIME_FORMAT") or "standard"
        yield record | {
            "Cluster": cluster,
            "TimeStart": timefmt.clock(since, style),
            "TimeEnd": timefmt.clock(record["until"], style) if "until" in record else None,
            "Duration": timefmt.duration(max(0, until - since)),
        }


def _yesterday(now: float) -> int:
    """The beginning of the day before, by the local clock: what is listed when nothing is said of times."""
    day = time.localtime(now)
    return int(time.mktime((day.tm_year, day.tm_mon, day.tm_mday - 1, 0, 0, 0, 0, 0, -1)))


def _ended(settings: Settings, start: int) -> Iterator[tuple[int, Record]]:
    """What is over, of those that ended after `start`."""
    fields = ["node", "start", "end", "state", "reason", "uid", "tres"]
    for node, at, end, state, reason, uid, amounts in settings.ctx.controller.rows("events", fields, start=start):
        if not end:
            continue  # nodes themselves tell what still is so
        words = [word.rstrip("*$~#%@^!-") for word in state.split("+")]
        shown = [word for word in words if word == nodestates.DOWN or word in FLAG_BITS]
        counts = tres.parse(amounts)
        yield at, {
            "Event": NODE, "EventRaw": 2, "NodeName": node, "Reason": reason, "User": _named(uid),
            "State": "+".join(shown), "StateRaw": BITS.get(words[0], 0) | sum(FLAG_BITS.get(word, 0) for word in words),
            "CPU Cnt": counts.get("cpu", 0), "TRES": by_name(counts), "until": end,
        }  # fmt: skip


def _named(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name}({uid})"
    except KeyError:
        return str(uid)


def _cluster(settings: Settings, started: int, nodes: list[Record]) -> Iterator[tuple[int, Record]]:
    counted = settings.rows("tres", ("type", "name"))
    yield started, {
        "Event": CLUSTER, "EventRaw": 1, "Reason": REGISTERED, "Cluster Nodes": node_names(nodes), "StateRaw": 0,
        "CPU Cnt": sum(node["cpus"] for node in nodes), "TRES": whole_cluster(nodes, counted), "State": "",
    }  # fmt: skip


def _nodes(settings: Settings, nodes: Iterable[Record]) -> Iterator[tuple[int, Record]]:
    for node in nodes:
        flags = [flag for flag in FLAG_BITS if flag in node["state_flags"]]
        if node["state"] != nodestates.DOWN and not flags:
            continue
        yield node["reason_changed_at"] or node["slurmd_start_time"], {
            "Event": NODE, "EventRaw": 2, "NodeName": node["name"], "Reason": node["reason"],
            "User": _numbered(node["reason_set_by_user"]),
            "State": "+".join([*([node["state"]] if node["state"] == nodestates.DOWN else []), *flags]),
            "StateRaw": BITS.get(node["state"], 0) | sum(FLAG_BITS[flag] for flag in flags),
            "CPU Cnt": node["cpus"], "TRES": by_name(tres.parse(node["tres"])),
        }  # fmt: skip


def _numbered(name: str) -> str:
    """root(0)"""
    try:
        return f"{name}({pwd.getpwnam(name).pw_uid})" if name else ""
    except KeyError:
        return name


def _passes(record: Record, conditions: Conditions) -> bool:
    kinds = conditions.values.get("events")
    if kinds and not any(record["Event"].lower().startswith(kind.rstrip("s")) for kind in kinds):
        return False
    nodes = conditions.values.get("nodes")
    if nodes and record.get("NodeName", "").lower() not in _expanded(nodes):
        return False
    states = conditions.values.get("states")
    if states and not set(states) & set(record["State"].lower().split("+")):
        return False
    user = record.get("User", "").partition("(")[0]
    return conditions.passes("users", user) and conditions.passes("reasons", record["Reason"])


def _expanded(texts: Iterable[str]) -> list[str]:
    try:
        return hostlist.expand(",".join(texts))
    except BadValue:
        return list(texts)


def node_names(nodes: Iterable[Mapping[str, Any]]) -> str:
    return hostlist.compress([node["name"] for node in nodes])


def by_name(amounts: Mapping[str, int]) -> str:
    """As the database has it: by name, and memory in plain mebibytes."""
    return ",".join(f"{name}={amounts[name]}{'M' if name == 'mem' else ''}" for name in sorted(amounts))


def whole_cluster(nodes: Iterable[Mapping[str, Any]], counted: Iterable[Mapping[str, Any]]) -> str:
    """What all nodes have together, of everything that is counted."""
    total = {row["type"] + (f"/{row['name']}" if row["name"] else ""): 0 for row in counted}
    number = 0
    for number, node in enumerate(nodes, 1):  # noqa: B007
        tres.add(total, tres.parse(node["tres"]))
    return by_name(total | {"node": number})
