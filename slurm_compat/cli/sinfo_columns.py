"""sinfo's columns: each a row of the table with what it shows of a `Group`, what keeps nodes apart, how it sorts."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from slurm_compat.cli.sinfo_groups import Group, Node, Partition, cpu_counts, node_counts
from slurm_compat.core import columns, hostlist, nodestates, timefmt
from slurm_compat.core.model import UNLIMITED


class View(NamedTuple):
    time_format: str = "standard"
    now: float = 0.0
    cluster: str = "N/A"  # shown only when clusters were asked for


Text = Callable[[Group, View], str]
Apart = Callable[[Node, Partition], Any]


class Shown(NamedTuple):
    """One column. `apart` gives what must be equal for two nodes to share a row; of `sizes` only --exact asks that."""

    name: str  # -O
    letter: str  # -o
    header: str
    text: Text
    apart: Apart | None = None
    size: bool = False
    sort: Callable[[Group], Any] | None = None
    nodes: tuple[str, ...] = ()  # fields of nodes and of partitions that it reads
    partition: tuple[str, ...] = ()


def _of_node(name: str, letter: str, header: str, key: str, empty: str = columns.NULL) -> Shown:
    """A text of the first node; nodes that differ in it are apart."""

    def text(group: Group, view: View) -> str:
        return str((group.first[key] if group.first else "") or empty)

    return Shown(name, letter, header, text, lambda node, partition: node[key],
                 sort=lambda group: str(group.first[key] if group.first else ""), nodes=(key,))  # fmt: skip


def _of_partition(
    name: str, letter: str, header: str, key: str, text: Callable[[Any], str] = str, sort: Callable[[Any], Any] = str
) -> Shown:
    return Shown(name, letter, header, lambda group, view: text(group.partition[key]),
                 lambda node, partition: partition[key], sort=lambda group: sort(group.partition[key]),
                 partition=(key,))  # fmt: skip


def _size(name: str, letter: str, header: str, key: str) -> Shown:
    """A number of each node: the least, with "+" when others have more."""

    def values(group: Group) -> list[int]:
        return [node[key] or 0 for node in group.nodes] or [0]

    return Shown(name, letter, header, lambda group, view: least(values(group)), lambda node, partition: node[key],
                 size=True, sort=lambda group: min(values(group)), nodes=(key,))  # fmt: skip


def least(values: list[int]) -> str:
    low = min(values)
    return f"{low}+" if max(values) > low else str(low)


def _spread(name: str, letter: str, header: str, key: str, form: str) -> Shown:
    """A measured number of each node: from the least to the most."""

    def text(group: Group, view: View) -> str:
        known = [node[key] for node in group.nodes if node[key] is not None]
        if not known:
            return "N/A" if group.nodes else form % 0
        low, high = form % min(known), form % max(known)
        return low if low == high else f"{low}-{high}"

    return Shown(name, letter, header, text, lambda node, partition: node[key], size=True,
                 sort=lambda group: min([node[key] or 0 for node in group.nodes] or [0]), nodes=(key,))  # fmt: skip


def _partition_name(star: bool) -> Text:
    def text(group: Group, view: View) -> str:
        return str(group.partition["name"]) + ("*" if star and group.partition["default"] else "")

    return text


_AVAILABLE = {"INACTIVE": "inact"}


def _available(state: str) -> str:
    return _AVAILABLE.get(state, state.lower())


def _time(minutes: int | None) -> str:
    if minutes is None:
        return "n/a"
    return "infinite" if minutes == UNLIMITED else timefmt.short_duration(minutes * 60)


def _time_sort(minutes: int | None) -> int:
    return -1 if minutes is None else minutes


def _all_small(text: str) -> str:
    return "all" if text.upper() == "ALL" else text


def _count(number: int) -> str:
    return "UNLIMITED" if number == UNLIMITED else str(number)


def _job_size(group: Group, view: View) -> str:
    low, high = group.partition["min_nodes"] or 1, group.partition["max_nodes"]
    if high == UNLIMITED:
        return f"{low}-infinite"
    return str(low) if low == high else f"{low}-{high}"


def _sockets_cores_threads(group: Group, view: View) -> str:
    return ":".join(least([node[key] for node in group.nodes] or [0]) for key in ("sockets", "cores", "threads"))


def _state(word: Callable[[str, Collection[str]], str]) -> Text:
    def text(group: Group, view: View) -> str:
        return word(group.first["state"], group.first["state_flags"]).lower() if group.first else "n/a"

    return text


def _state_number(group: Group) -> int:
    return nodestates.sort_number(group.first["state"], group.first["state_flags"]) if group.first else 0


def _long_state_apart(node: Node, partition: Partition) -> str:
    return nodestates.long_state(node["state"], node["state_flags"])


STATE_KEYS = ("state", "state_flags")
REASON_KEYS = ("reason", "reason_set_by_user", "reason_changed_at")


def _reason_user(group: Group, view: View) -> str:
    if group.first is None:
        return "root"
    return group.first["reason_set_by_user"] if group.first["reason"] else "Unknown"


def _reason_user_long(group: Group, view: View) -> str:
    name = _reason_user(group, view)
    try:
        return name if name == "Unknown" else f"{name}({pwd.getpwnam(name).pw_uid})"
    except KeyError:
        return name


def _reason_user_apart(node: Node, partition: Partition) -> str:
    return str(node["reason_set_by_user"]) if node["reason"] else ""


def _reason_time(group: Group, view: View) -> str:
    if group.first is None or not group.first["reason"] or not group.first["reason_changed_at"]:
        return "Unknown"
    return timefmt.clock(group.first["reason_changed_at"], view.time_format, view.now)


def _nodes_text(group: Group, view: View) -> str:
    return hostlist.compress([node["name"] for node in group.nodes])


def _nodes_sort(key: str) -> Callable[[Group], tuple[bool, str]]:
    """By the first name; rows without nodes behind all."""

    def sort(group: Group) -> tuple[bool, str]:
        return (not group.nodes, min((str(node[key]) for node in group.nodes), default=""))

    return sort


def _address_text(group: Group, view: View) -> str:
    return hostlist.compress([node["address"] for node in group.nodes])


def _counts(form: Callable[[int, int, int], str]) -> Text:
    return lambda group, view: form(*node_counts(group.nodes))


COLUMNS = (
    _of_node("AllocMem", "", "ALLOCMEM", "alloc_memory", "0"),
    _of_partition("AllocNodes", "S", "ALLOCNODES", "allow_alloc_nodes", _all_small),
    _of_partition("Available", "a", "AVAIL", "state", _available),
    Shown("Cluster", "V", "CLUSTER", lambda group, view: view.cluster),
    _of_node("Comment", "", "COMMENT", "comment"),
    _size("Cores", "Y", "CORES", "cores"),
    _size("CPUs", "c", "CPUS", "cpus"),
    _spread("CPUsLoad", "O", "CPU_LOAD", "cpu_load", "%.2f"),
    Shown("CPUsState", "C", "CPUS(A/I/O/T)", lambda group, view: "/".join(map(str, cpu_counts(group.nodes))),
          sort=lambda group: cpu_counts(group.nodes), nodes=(*STATE_KEYS, "cpus", "alloc_cpus")),
    _of_partition("DefaultTime", "L", "DEFAULTTIME", "default_time", _time, _time_sort),
    _size("Disk", "d", "TMP_DISK", "temporary_disk"),
    _of_node("Extra", "", "EXTRA", "extra"),
    _of_node("Features", "f", "AVAIL_FEATURES", "features"),
    _of_node("features_act", "b", "ACTIVE_FEATURES", "active_features"),
    _spread("FreeMem", "e", "FREE_MEM", "free_mem", "%d"),
    _of_node("Gres", "G", "GRES", "gres"),
    _of_node("GresUsed", "", "GRES_USED", "gres_used"),
    _of_partition("Groups", "g", "GROUPS", "allow_groups", _all_small),
    _of_partition("MaxCPUsPerNode", "B", "MAX_CPUS_PER_NODE", "max_cpus_per_node", _count, int),
    _size("Memory", "m", "MEMORY", "real_memory"),
    Shown("NodeAddr", "o", "NODE_ADDR", _address_text, lambda node, partition: node["address"],
          sort=lambda group: _address_text(group, View()), nodes=("address",)),
    Shown("NodeAI", "A", "NODES(A/I)", _counts(lambda allocated, idle, other: f"{allocated}/{idle}"),
          sort=lambda group: node_counts(group.nodes), nodes=STATE_KEYS),
    Shown("NodeAIOT", "F", "NODES(A/I/O/T)",
          _counts(lambda allocated, idle, other: f"{allocated}/{idle}/{other}/{allocated + idle + other}"),
          sort=lambda group: node_counts(group.nodes), nodes=STATE_KEYS),
    Shown("NodeHost", "n", "HOSTNAMES", lambda group, view: hostlist.compress([n["hostname"] for n in group.nodes]),
          lambda node, partition: node["hostname"], sort=_nodes_sort("hostname"), nodes=("hostname",)),
    Shown("NodeList", "N", "NODELIST", _nodes_text, sort=_nodes_sort("name")),
    Shown("Nodes", "D", "NODES", lambda group, view: str(len(group.nodes)), sort=lambda group: len(group.nodes)),
    _of_partition("OverSubscribe", "h", "OVERSUBSCRIBE", "oversubscribe"),
    Shown("Partition", "P", "PARTITION", _partition_name(True), lambda node, partition: partition["name"],
          sort=lambda group: group.partition["name"], partition=("default",)),
    Shown("PartitionName", "R", "PARTITION", _partition_name(False), lambda node, partition: partition["name"],
          sort=lambda group: group.partition["name"]),
    _size("Port", "", "PORT", "port"),
    _of_partition("PreemptMode", "M", "PREEMPT_MODE", "preempt_mode"),
    _of_partition("PriorityJobFactor", "I", "PRIO_JOB_FACTOR", "priority_job_factor", str, int),
    _of_partition("PriorityTier", "p", "PRIO_TIER", "priority_tier", str, int),
    _of_node("Reason", "E", "REASON", "reason", "none"),
    _of_node("Reservation", "i", "RESERVATION", "reservation", ""),
    _of_partition("Root", "r", "ROOT", "root_only", lambda only: "yes" if only else "no"),
    Shown("Size", "s", "JOB_SIZE", _job_size, lambda node, partition: (partition["min_nodes"], partition["max_nodes"]),
          sort=lambda group: (group.partition["max_nodes"], group.partition["min_nodes"]),
          partition=("min_nodes", "max_nodes")),
    _size("Sockets", "X", "SOCKETS", "sockets"),
    Shown("SocketCoreThread", "z", "S:C:T", _sockets_cores_threads,
          lambda node, partition: (node["sockets"], node["cores"], node["threads"]), size=True,
          sort=lambda group: min(((n["sockets"], n["cores"], n["threads"]) for n in group.nodes), default=(0, 0, 0)),
          nodes=("sockets", "cores", "threads")),
    Shown("StateCompact", "t", "STATE", _state(nodestates.compact_state), _long_state_apart, sort=_state_number,
          nodes=STATE_KEYS),
    Shown("StateComplete", "", "STATECOMPLETE", _state(nodestates.full_state),
          lambda node, partition: nodestates.full_state(node["state"], node["state_flags"]), nodes=STATE_KEYS),
    Shown("StateLong", "T", "STATE", _state(nodestates.long_state), _long_state_apart, sort=_state_number,
          nodes=STATE_KEYS),
    _size("Threads", "Z", "THREADS", "threads"),
    _of_partition("Time", "l", "TIMELIMIT", "max_time", _time, _time_sort),
    Shown("TimeStamp", "H", "TIMESTAMP", _reason_time, lambda node, partition: node["reason_changed_at"],
          sort=lambda group: group.first["reason_changed_at"] if group.first else 0, nodes=REASON_KEYS),
    Shown("User", "u", "USER", _reason_user, _reason_user_apart,
          sort=lambda group: _reason_user(group, View()), nodes=REASON_KEYS),
    Shown("UserLong", "U", "USER", _reason_user_long,
          _reason_user_apart,
          sort=lambda group: _reason_user(group, View()), nodes=REASON_KEYS),
    _of_node("Version", "v", "VERSION", "version", "N/A"),
    _size("Weight", "w", "WEIGHT", "weight"),
)  # fmt: skip

BY_LETTER = {column.letter: column for column in COLUMNS if column.letter}
BY_NAME = {column.name: column for column in COLUMNS}

# The same as rows of core/columns: a cell's only field is the column's name, its value the text of a group.
TABLE = tuple(columns.Column(column.name, column.letter, column.header, (column.name,)) for column in COLUMNS)

# the letters and names of --helpformat and --helpFormat, in the order in which they are printed there
HELP_LETTERS = tuple("SaVYcOCLdfbeGGgBmoAFnNDhPRMIpEirsXztTZlHuUvw")
