"""Partitions: what the cluster file says of them, as the commands see it, and how an administrator changes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.core import billing, hostlist, preemption, timefmt
from slurm_compat.core.cluster import PartitionConf
from slurm_compat.core.errors import (
    INVALID_NODE_NAME,
    INVALID_QOS,
    NOT_SUPPORTED,
    TEXT,
    BadValue,
    SlurmError,
)
from slurm_compat.core.model import UNLIMITED

INVALID_WEIGHTS = 2116


@dataclass
class Partition:
    """One partition. Names are those of PARTITION_FIELDS; `node_names` is in the nodes' order."""

    name: str
    nodes: str = ""
    node_names: list[str] = field(default_factory=list)
    state: str = "UP"
    default: bool = False
    default_time: int | None = None
    max_time: int = UNLIMITED
    over_time_limit: int | None = None
    min_nodes: int = 1
    max_nodes: int = UNLIMITED
    max_cpus_per_node: int = UNLIMITED
    max_cpus_per_socket: int = UNLIMITED
    default_memory_per_cpu: int | None = None
    default_memory_per_node: int | None = None
    max_memory_per_cpu: int | None = None
    max_memory_per_node: int | None = None
    allow_groups: str = "ALL"
    allow_accounts: str = "ALL"
    allow_qos: str = "ALL"
    deny_accounts: str = ""
    deny_qos: str = ""
    allow_alloc_nodes: str = "ALL"
    alternate: str = ""
    qos: str = ""
    priority_job_factor: int = 1
    priority_tier: int = 1
    preempt_mode: str = ""  # "": the cluster's
    grace_time: int = 0
    hidden: bool = False
    root_only: bool = False
    disable_root_jobs: bool = False
    require_reservation: bool = False
    exclusive: str = "NO"
    lln: bool = False
    oversubscribe: str = "NO"
    tres_billing_weights: str = ""
    node_sets: str = ""  # "ALL" where its nodes were named so
    select_type: str = "NONE"
    node_selector: dict[str, str] = field(default_factory=dict)
    priority_class: str = ""
    labelled: bool = (
        True  # its nodes carry its label; False once its nodes are an administrator's, not the cluster file's
    )


# what scontrol may set as it is; the others have rules of their own below
PLAIN = frozenset({
    "default_time", "max_time", "over_time_limit", "min_nodes", "max_nodes", "max_cpus_per_node", "max_cpus_per_socket",
    "default_memory_per_cpu", "default_memory_per_node", "max_memory_per_cpu", "max_memory_per_node", "deny_accounts",
    "deny_qos", "priority_job_factor", "priority_tier", "preempt_mode", "grace_time",
    "hidden", "root_only", "disable_root_jobs", "require_reservation", "exclusive", "lln", "oversubscribe", "state",
    "tres_billing_weights",
})  # fmt: skip
LISTS = frozenset({"allow_groups", "allow_accounts", "allow_qos", "allow_alloc_nodes"})


def partition_of(conf: PartitionConf, names: Sequence[str]) -> Partition:
    """A partition of the cluster file over the cluster's node `names`. Raises BadValue."""
    try:
        nodes, members = members_of(conf.nodes, names)
    except SlurmError:
        raise BadValue(f"partition {conf.partition_name} has nodes that are not declared: {conf.nodes}") from None
    return Partition(
        name=conf.partition_name,
        nodes=nodes,
        node_names=members,
        node_sets=_sets(conf.nodes),
        state=conf.state.upper(),
        default=conf.default,
        default_time=timefmt.minutes(conf.default_time) if conf.default_time else None,
        max_time=timefmt.minutes(conf.max_time),
        min_nodes=conf.min_nodes,
        max_nodes=count_of(conf.max_nodes),
        max_cpus_per_node=count_of(conf.max_cpus_per_node),
        default_memory_per_cpu=conf.def_mem_per_cpu,
        default_memory_per_node=conf.def_mem_per_node,
        max_memory_per_cpu=conf.max_mem_per_cpu,
        max_memory_per_node=conf.max_mem_per_node,
        allow_groups=conf.allow_groups,
        allow_accounts=conf.allow_accounts,
        allow_qos=conf.allow_qos,
        qos=conf.qos,
        priority_job_factor=conf.priority_job_factor,
        priority_tier=conf.priority_tier,
        oversubscribe=conf.over_subscribe,
        tres_billing_weights=_weights(conf.tres_billing_weights),
        grace_time=conf.grace_time,
        preempt_mode=conf.preempt_mode.upper(),
        hidden=conf.hidden,
        root_only=conf.root_only,
        node_selector=conf.node_selector,
        priority_class=conf.priority_class,
    )


def _weights(text: str) -> str:
    """The same text, once it was read. Raises BadValue."""
    billing.weights(text)
    return text


def _sets(nodes: str) -> str:
    return "ALL" if nodes.upper() == "ALL" else ""


def _nodes(partition: Partition, text: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """Nodes=, or with "+=" and "-=" before it, what is added or taken away."""
    sign = text[:2] if text[:2] in ("+=", "-=") else ""
    shown, listed = members_of(text[len(sign) :], names)
    if not sign:
        return shown, listed
    there = set(partition.node_names)
    there = there | set(listed) if sign == "+=" else there - set(listed)
    return hostlist.compress(there), [name for name in names if name in there]


def members_of(nodes: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """The host list as shown, and its names in the cluster's order. Raises SlurmError for a name nobody declared."""
    if nodes.upper() == "ALL":
        return hostlist.compress_as_given(names), list(names)
    try:
        wanted = set(hostlist.expand(nodes))
    except BadValue:
        raise SlurmError(INVALID_NODE_NAME) from None
    if not wanted <= set(names):
        raise SlurmError(INVALID_NODE_NAME)
    return hostlist.compress(wanted), [name for name in names if name in wanted]


def count_of(text: str) -> int:
    """A count, or UNLIMITED. Raises BadValue."""
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return UNLIMITED
    if not text.isdigit():
        raise BadValue(f"not a count: {text}")
    return int(text)


def change(partition: Partition, changes: Mapping[str, Any], names: Sequence[str], qos: Collection[str]) -> None:
    """Set fields by name. Raises SlurmError, with nothing set, for a value or field that can't be.

    An empty list of accounts, groups or QOS allows all of them, as scontrol has it.
    """
    nodes = _nodes(partition, str(changes["nodes"]), names) if "nodes" in changes else None
    listed = [name for key in ("qos", "allow_qos", "deny_qos") for name in str(changes.get(key) or "").split(",")]
    if any(name and name.upper() != "ALL" and name not in qos for name in listed):
        raise SlurmError(INVALID_QOS)
    known = PLAIN | LISTS | {"nodes", "qos", "default", "alternate"}
    for name in changes:
        if name not in known:
            raise SlurmError(NOT_SUPPORTED)
    try:
        _weights(str(changes.get("tres_billing_weights") or ""))
    except BadValue:
        raise SlurmError(INVALID_WEIGHTS) from None
    if changes.get("lln"):
        raise SlurmError(NOT_SUPPORTED, f"LLN: {TEXT[NOT_SUPPORTED]}; Armada goes by the nodes' order and room")
    try:
        preemption.mode_of(str(changes.get("preempt_mode", "")))
    except BadValue as problem:
        raise SlurmError(NOT_SUPPORTED, str(problem)) from None
    for name, value in changes.items():
        if name in PLAIN:
            setattr(partition, name, None if value == UNLIMITED and name in _OPEN else value)
        elif name in LISTS:
            setattr(partition, name, value if value and value.upper() != "ALL" else "ALL")
    if nodes is not None:
        partition.nodes, partition.node_names = nodes
        partition.node_sets = _sets(str(changes["nodes"]))
        partition.labelled = False
    partition.qos = changes.get("qos", partition.qos)
    if "alternate" in changes:
        partition.alternate = "" if str(changes["alternate"]).lower() in ("", "none") else changes["alternate"]
    # memory is bounded by the node or by the CPU: what was said last counts
    for one, other in MEMORY:
        if changes.get(one) is not None:
            setattr(partition, other, None)


MEMORY = (
    ("default_memory_per_cpu", "default_memory_per_node"), ("default_memory_per_node", "default_memory_per_cpu"),
    ("max_memory_per_cpu", "max_memory_per_node"), ("max_memory_per_node", "max_memory_per_cpu"),
)  # fmt: skip

# fields for which "unlimited" means: not set
_OPEN = frozenset({
    "default_memory_per_cpu", "default_memory_per_node", "max_memory_per_cpu", "max_memory_per_node",
})  # fmt: skip
