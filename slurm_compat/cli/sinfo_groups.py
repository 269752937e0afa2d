"""The rows of sinfo: nodes of a partition that look the same in every shown column are one row.

A `Group` is a row: a partition (of the first node that made it) and nodes. Partitions and nodes are dicts of
fields.PARTITION_FIELDS and NODE_FIELDS. Which fields keep nodes apart depends on the columns; sizes do with --exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.core import nodestates

Node = Mapping[str, Any]
Partition = Mapping[str, Any]


@dataclass
class Group:
    number: int  # of the partition, as configured
    partition: Partition
    nodes: list[Node] = field(default_factory=list)

    @property
    def first(self) -> Node | None:
        return self.nodes[0] if self.nodes else None


def grouped(
    partitions: Sequence[Partition],
    nodes: Mapping[str, Node],
    passes: Callable[[Node], bool],
    apart: Sequence[Callable[[Node, Partition], Any]],
    one_a_node: bool,
    show_partition: bool,
) -> list[Group]:
    """All rows, unsorted. With `one_a_node` each node of each partition is one.

    A partition none of whose nodes passes has an empty row when `show_partition`, for it would not be seen else.
    """
    rows: dict[Any, Group] = {}
    seen: dict[Any, set[str]] = {}
    for number, partition in enumerate(partitions):
        found = False
        for name in partition["node_names"]:
            node = nodes.get(name)
            if node is None or not passes(node):
                continue
            found = True
            key = (number, name) if one_a_node else tuple(value(node, partition) for value in apart)
            names = seen.setdefault(key, set())
            if name not in names:
                names.add(name)
                rows.setdefault(key, Group(number, partition)).nodes.append(node)
        if not found and show_partition and not one_a_node:
            rows[number] = Group(number, partition)
    return list(rows.values())


def state_filter(text: str) -> Callable[[Node], bool] | None:
    """Whether a node is in what -t names: "idle,mix", "drain&~idle"; None for "all". Raises ValueError(bad word)."""
    words = text.split(",") if text else []
    if any(word.lower() == "all" for word in words):
        return None
    ways = [[_term(term) for term in word.split("&")] for word in words]

    def passes(node: Node) -> bool:
        state, flags = node["state"], node["state_flags"]
        return any(all(test(state, flags) != negated for test, negated in terms) for terms in ways)

    return passes


def _term(text: str) -> tuple[Callable[[str, Collection[str]], bool], bool]:
    negated = text.startswith("~")
    word = text.lstrip("~").lower()
    for name, short, test in STATES:
        if word and (name.startswith(word) or short.startswith(word)):
            return test, negated
    raise ValueError(text.lstrip("~"))


def _base(name: str) -> Callable[[str, Collection[str]], bool]:
    return lambda state, flags: state == name


def _flag(name: str) -> Callable[[str, Collection[str]], bool]:
    return lambda state, flags: name in flags


def _allocated(state: str, flags: Collection[str]) -> bool:
    return state in (nodestates.ALLOCATED, nodestates.MIXED)


# what -t takes, in the order of --helpstate: name, its short form, test of a node's base state and flags
STATES: tuple[tuple[str, str, Callable[[str, Collection[str]], bool]], ...] = (
    ("unknown", "unk", _base(nodestates.UNKNOWN)),
    ("down", "down", _base(nodestates.DOWN)),
    ("idle", "idle", _base(nodestates.IDLE)),
    ("allocated", "alloc", _allocated),
    ("mixed", "mix", _base(nodestates.MIXED)),
    ("future", "futr", _base(nodestates.FUTURE)),
    ("drain", "drain", _flag(nodestates.DRAIN)),
    ("drained", "drained", nodestates.is_drained),
    ("draining", "drng", nodestates.is_draining),
    ("no_respond", "no_resp", _flag(nodestates.NOT_RESPONDING)),
    ("reserved", "resv", _flag(nodestates.RESERVED)),
    ("planned", "plnd", _flag(nodestates.PLANNED)),
    ("blocked", "block", _flag(nodestates.BLOCKED)),
    ("cloud", "cloud", _flag(nodestates.CLOUD)),
    ("completing", "comp", _flag(nodestates.COMPLETING)),
    ("powering_down", "pow_dn", _flag(nodestates.POWERING_DOWN)),
    ("powered_down", "powered_down", _flag(nodestates.POWERED_DOWN)),
    ("power_down", "power_down", _flag(nodestates.POWER_DOWN)),
    ("powering_up", "powering_up", _flag(nodestates.POWERING_UP)),
    ("power_up", "pow_up", _flag(nodestates.POWER_UP)),
    ("inval", "inval", _flag(nodestates.INVALID_REG)),
    ("fail", "fail", _flag(nodestates.FAIL)),
    ("maint", "maint", _flag(nodestates.MAINTENANCE)),
    ("reboot", "boot", _flag(nodestates.REBOOT_REQUESTED)),
    ("reboot^", "boot^", _flag(nodestates.REBOOT_ISSUED)),
    ("external", "external", _flag(nodestates.EXTERNAL)),
    ("dynamic_future", "dynamic_future", _flag(nodestates.DYNAMIC_FUTURE)),
    ("dynamic_norm", "dynamic_norm", _flag(nodestates.DYNAMIC_NORM)),
)  # fmt: skip


def node_counts(nodes: Iterable[Node]) -> tuple[int, int, int]:
    """Nodes that are allocated, idle, other."""
    allocated = idle = other = 0
    for node in nodes:
        state, flags = node["state"], node["state_flags"]
        if state in (nodestates.ALLOCATED, nodestates.MIXED) or nodestates.COMPLETING in flags:
            allocated += 1
        elif state != nodestates.IDLE or nodestates.DRAIN in flags or nodestates.FAIL in flags:
            other += 1
        else:
            idle += 1
    return allocated, idle, other


def cpu_counts(nodes: Iterable[Node]) -> tuple[int, int, int, int]:
    """CPUs that are allocated, idle, other, and all; free ones of a node that takes no jobs are other."""
    allocated = idle = other = total = 0
    for node in nodes:
        free = node["cpus"] - node["alloc_cpus"]
        total += node["cpus"]
        allocated += node["alloc_cpus"]
        if node["state"] in (nodestates.DOWN, nodestates.UNKNOWN) or {nodestates.DRAIN, nodestates.FAIL} & set(
            node["state_flags"]
        ):
            other += free
        else:
            idle += free
    return allocated, idle, other, total
