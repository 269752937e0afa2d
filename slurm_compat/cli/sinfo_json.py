"""sinfo --json and --yaml: its rows, each with its partition, in the shape of the published schema."""

from __future__ import annotations

from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli import sinfo_columns as c
from slurm_compat.cli.context import Context
from slurm_compat.cli.jsondoc import Form
from slurm_compat.cli.sinfo_groups import Group, Node, Partition, cpu_counts, node_counts
from slurm_compat.core.model import UNLIMITED

NODE_FIELDS = (
    "name", "port", "state", "state_flags", "hostname", "address", "cpus", "alloc_cpus", "cpu_load", "sockets", "cores",
    "threads", "temporary_disk", "real_memory", "free_mem", "alloc_memory", "weight", "features", "active_features",
    "gres", "gres_used", "cluster", "comment", "extra", "reason", "reason_changed_at", "reason_set_by_user",
    "reservation", "specialized_cpus", "specialized_memory",
)  # fmt: skip
PARTITION_FIELDS = (
    "name", "node_names", "hidden", "nodes", "total_nodes", "total_cpus", "allow_alloc_nodes", "allow_accounts",
    "deny_accounts", "allow_groups", "allow_qos", "deny_qos", "qos", "alternate", "tres_billing_weights", "tres",
    "select_type", "default_memory_per_cpu", "default_memory_per_node", "default_time", "default", "exclusive",
    "oversubscribe", "state", "grace_time", "max_cpus_per_node", "max_cpus_per_socket", "max_memory_per_cpu",
    "max_memory_per_node", "max_nodes", "max_time", "over_time_limit", "min_nodes", "preempt_mode",
    "priority_job_factor", "priority_tier", "root_only", "disable_root_jobs", "require_reservation", "lln", "cluster",
)  # fmt: skip


def by_gres(node: Node, partition: Partition) -> Any:
    """What keeps nodes apart in these documents whatever the columns."""
    return node["gres"]


def needed() -> c.Shown:
    """The fields asked for, as a column that reads them all."""
    return c.Shown("", "", "", lambda group, view: "", nodes=NODE_FIELDS, partition=PARTITION_FIELDS)


def print_rows(ctx: Context, kind: str, parser: str, shown: list[Group], cluster: str) -> int:
    form = jsondoc.begin(ctx, kind, parser)
    if isinstance(form, int):
        return form
    jsondoc.stream(ctx, form, "sinfo", (row(group, form) for group in shown), cluster, empty=EMPTY)
    return 0


EMPTY = frozenset({"reason_set_by_user"})  # with the flag complex: "" where other missing texts are null


def row(group: Group, form: Form) -> dict[str, Any]:
    first: dict[str, Any] = dict(group.first) if group.first else {}
    by = first.get("reason_set_by_user", "")
    older = form.upto("v0.0.44")
    allocated, idle, other = node_counts(group.nodes)
    cpus_allocated, cpus_idle, cpus_other, cpus = cpu_counts(group.nodes)
    free = [node["free_mem"] for node in group.nodes if node["free_mem"] is not None]
    load = [round((node["cpu_load"] or 0) * 100) for node in group.nodes] or [0]
    return {
        "port": first.get("port", 0),
        "node": {"state": [first["state"], *first["state_flags"]] if first else ["UNKNOWN"]},
        "nodes": {
            "allocated": allocated, "idle": idle, "other": other, "total": len(group.nodes), "hostnames": [],
            "addresses": [], "nodes": [node["name"] for node in group.nodes],
        },
        "cpus": {
            "allocated": cpus_allocated, "idle": cpus_idle, "other": cpus_other, "total": cpus,
            **_range(group, "cpus"),
            "load": {"minimum": min(load), "maximum": max(load)},
            "per_node": {"max": jsondoc.number(group.partition["max_cpus_per_node"] if first else 0)},
        },
        "sockets": _range(group, "sockets"),
        "cores": _range(group, "cores"),
        "threads": _range(group, "threads"),
        "disk": _range(group, "temporary_disk"),
        "memory": {
            **_range(group, "real_memory"),
            "free": {
                "minimum": jsondoc.number(min(free, default=None if first else 0)),
                "maximum": jsondoc.number(max(free, default=None if first else 0)),
            },
            "allocated": first.get("alloc_memory", 0),
        },
        "weight": _range(group, "weight"),
        "features": {"total": first.get("features", ""), "active": first.get("active_features", "")},
        "gres": {"total": first.get("gres", ""), "used": first.get("gres_used", "")},
        "cluster": "",
        "comment": first.get("comment", ""),
        "extra": first.get("extra", ""),
        "reason": {
            "description": first.get("reason", ""), "time": first.get("reason_changed_at", 0),
            **({"user": by} if older else {}),
        },
        "reservation": first.get("reservation", ""),
        **({} if older else {"reason_set_by_user": by}),
        "resource_spec": {
            "cpus": first.get("specialized_cpus", ""), "memory": first.get("specialized_memory", 0),
        },
        "partition": partition(group.partition, form),
    }  # fmt: skip


def _range(group: Group, key: str) -> dict[str, int]:
    values = [node[key] or 0 for node in group.nodes] or [0]
    return {"minimum": min(values), "maximum": max(values)}


def _all(text: str) -> str:
    return "" if text == "ALL" else text


def partition(row: Partition, form: Form) -> dict[str, Any]:
    unset = jsondoc.number(None)
    shares, _, jobs = row["oversubscribe"].partition(":")
    older = form.upto("v0.0.44")
    most: int | None = int(jobs or (1 if older else 0))
    state = {"state": [row["state"]]}
    if form.complex and not most:
        most = None
    return {
        "nodes": {
            "allowed_allocation": _all(row["allow_alloc_nodes"]), "configured": row["nodes"],
            "total": row["total_nodes"],
        },
        "accounts": {"allowed": _all(row["allow_accounts"]), "deny": row["deny_accounts"]},
        "groups": {"allowed": _all(row["allow_groups"])},
        "qos": {"allowed": _all(row["allow_qos"]), "deny": row["deny_qos"], "assigned": row["qos"]},
        "alternate": row["alternate"],
        "tres": {"billing_weights": row["tres_billing_weights"], "configured": row["tres"]},
        "cluster": "",
        "select_type": [name for name in [row["select_type"]] if not (older and name == "NONE")],
        "cpus": {"task_binding": 0 if older else [], "total": row["total_cpus"]},
        "defaults": {
            **_memory(row["default_memory_per_cpu"], row["default_memory_per_node"], form),
            "time": jsondoc.number(row["default_time"]),
            "job": "",
        },
        **({} if older else {
            "flags": [name for name, key in _FLAGS if row[key]],
            "partition": {"exclusive": row["exclusive"], "oversubscribe": row["oversubscribe"], **state},
        }),
        "grace_time": row["grace_time"],
        "maximums": {
            "cpus_per_node": jsondoc.number(row["max_cpus_per_node"]),
            "cpus_per_socket": jsondoc.number(row["max_cpus_per_socket"]),
            **_memory(row["max_memory_per_cpu"], row["max_memory_per_node"], form),
            "nodes": jsondoc.number(row["max_nodes"]),
            "shares": most,
            "oversubscribe": {
                "jobs": most, "flags": ["force"] if shares == "FORCE" else None if form.complex else [],
            },
            "time": jsondoc.number(row["max_time"]),
            "over_time_limit": jsondoc.number(row["over_time_limit"]),
        },
        "minimums": {"nodes": row["min_nodes"]},
        "name": row["name"],
        "node_sets": "",
        **({} if older else {
            "preempt_mode": ["CLUSTER_GLOBAL" if row["preempt_mode"] == "OFF" else row["preempt_mode"]],
        }),
        "priority": {"job_factor": row["priority_job_factor"], "tier": row["priority_tier"]},
        "timeouts": {"resume": unset, "suspend": unset},
        **({} if form.upto("v0.0.42") else {"topology": ""}),
        **({"partition": state} if older else {}),
        "suspend_time": unset,
    }  # fmt: skip


_FLAGS = (
    ("DEFAULT", "default"),
    ("HIDDEN", "hidden"),
    ("NO_ROOT", "disable_root_jobs"),
    ("ROOT_ONLY", "root_only"),
    ("REQ_RESV", "require_reservation"),
    ("LLN", "lln"),
)


def _memory(per_cpu: int | None, per_node: int | None, form: Form) -> dict[str, Any]:
    """A limit or default of memory in MiB; in the single number the highest bit says that it is for each CPU."""
    if per_cpu not in (None, UNLIMITED):
        both = (per_cpu or 0) | 1 << 63
    else:
        both = 0 if per_node in (None, UNLIMITED) else per_node or 0
    return {
        "memory_per_cpu": both or (None if form.complex else 0),
        "partition_memory_per_cpu": jsondoc.number(None if per_cpu == UNLIMITED else per_cpu),
        "partition_memory_per_node": jsondoc.number(
            None if per_cpu not in (None, UNLIMITED) else 0 if per_node in (None, UNLIMITED) else per_node
        ),
    }
