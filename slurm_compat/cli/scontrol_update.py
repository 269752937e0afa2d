"""`scontrol update …`: keys a job or node takes, and how their values are read.

A row a key: the shortest spelling that Slurm takes (any longer beginning of the full one will do, in any case), the
name the controller knows it by, and its reader. A key with `refused` is known to Slurm and not to us; the text says
why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from slurm_compat.core import moments, sizes, timefmt
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.model import UNLIMITED

Reader = Callable[[str, float], Any]


class Key(NamedTuple):
    name: str  # as documented
    least: int  # letters that suffice
    field: str
    read: Reader
    refused: str = ""


class BadUpdate(CommandError):
    """The request is dropped as a whole: nothing of it was sent."""


def text(value: str, now: float) -> str:
    return value


def number(value: str, now: float) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadValue(value) from None


def size(value: str, now: float) -> int:
    return sizes.mebibytes(value)


def moment(value: str, now: float) -> int:
    return moments.moment(value, now)


def yes(value: str, now: float) -> bool:
    """1, yes and true; 0, no and false."""
    word = value.lower()
    if word in ("1", "yes", "true", "y"):
        return True
    if word in ("0", "no", "false", "n"):
        return False
    raise BadValue(value)


def limit(value: str, now: float) -> str | int:
    """Minutes; with a sign ("+5", "-10") the text stays, for only the controller knows what it is added to."""
    if value[:1] in ("+", "-") and value != "-1":
        return value[0] + str(timefmt.minutes(value[1:]))
    return timefmt.minutes(value)


def count_range(value: str, now: float) -> list[int]:
    """[least, most] of "2" or "2-4"; least alone stands for both."""
    low, dash, high = value.partition("-")
    return [number(low, now), number(high if dash else low, now)]


def names(value: str, now: float) -> list[str]:
    return [word for word in value.split(",") if word]


def bound(value: str, now: float) -> int:
    return UNLIMITED if value.lower() in ("infinite", "unlimited", "-1") else number(value, now)


JOB_KEYS = (
    #   name              least field                        reader
    Key("Account",           1, "account",                   text),
    Key("AccrueTime",        6, "accrue_time",               moment),
    Key("AdminComment",      6, "admin_comment",             text),
    Key("ArrayTaskThrottle", 5, "array_max_tasks",           number),
    Key("BurstBuffer",       6, "burst_buffer",              text,
        "burst buffers need storage this cluster does not have"),
    Key("Clusters",          2, "clusters",                  text, "there is one cluster; submit again to the other"),
    Key("ClusterFeatures",   8, "cluster_features",          text, "there is one cluster"),
    Key("Comment",           3, "comment",                   text),
    Key("Contiguous",        3, "contiguous",                yes),
    Key("CoreSpec",          4, "core_specification",        number),
    Key("CPUsPerTask",       5, "cpus_per_task",             number),
    Key("Deadline",          3, "deadline",                  moment),
    Key("DelayBoot",         5, "delay_boot",                number, "nodes are not rebooted for jobs here"),
    Key("Dependency",        3, "dependency",                text),
    Key("EligibleTime",      2, "begin_time",                moment),
    Key("EndTime",           2, "end_time",                  moment),
    Key("ExcNodeList",       3, "excluded_nodes",            text),
    Key("Extra",             3, "extra",                     text),
    Key("Features",          1, "constraints",               text),
    Key("Gres",              1, "gres",                      text),
    Key("JobName",           4, "name",                      text),
    Key("Licenses",          1, "licenses",                  text),
    Key("MailType",          5, "mail_type",                 names),
    Key("MailUser",          5, "mail_user",                 text),
    Key("MCSLabel",          3, "mcs_label",                 text, "MCS is not configured"),
    Key("MinCPUsNode",       4, "minimum_cpus_per_node",     number),
    Key("MinMemoryCPU",     10, "memory_per_cpu",            size),
    Key("MinMemoryNode",    10, "memory_per_node",           size),
    Key("MinTmpDiskNode",    4, "temporary_disk_per_node",   size),
    Key("Name",              2, "name",                      text),
    Key("Nice",              2, "nice",                      lambda value, now: number(value or "100", now)),
    Key("NodeList",          5, "nodes",                     text),
    Key("NumCPUs",           4, "minimum_cpus",              count_range),
    Key("NumNodes",          4, "nodes_range",               count_range),
    Key("NumTasks",          4, "tasks",                     number),
    Key("OverSubscribe",     5, "oversubscribe",             yes),
    Key("Partition",         2, "partition",                 text),
    Key("Prefer",            3, "prefer",                    text),
    Key("Priority",          2, "priority",                  number),
    Key("QOS",               3, "qos",                       text),
    Key("Reboot",            3, "reboot",                    yes, "nodes are not rebooted for jobs here"),
    Key("ReqCores",          4, "cores_per_socket",          number),
    Key("ReqNodeList",       4, "required_nodes",            text),
    Key("ReqNodes",          4, "nodes_range",               count_range),
    Key("ReqProcs",          4, "minimum_cpus",              count_range),
    Key("ReqSockets",        4, "sockets_per_node",          number),
    Key("ReqThreads",        4, "threads_per_core",          number),
    Key("Requeue",           4, "requeue",                   yes),
    Key("ReservationName",   3, "reservation",               text),
    Key("ResetAccrueTime",   4, "reset_accrue_time",         yes),
    Key("Shared",            2, "oversubscribe",             yes),
    Key("SiteFactor",        3, "site_factor",               number),
    Key("StartTime",         2, "begin_time",                moment),
    Key("StdErr",            4, "standard_error",            text),
    Key("StdIn",             4, "standard_input",            text),
    Key("StdOut",            4, "standard_output",           text),
    Key("Switches",          5, "required_switches",         number,
        "the network's shape is not known here"),
    Key("TasksPerNode",      3, "tasks_per_node",            number),
    Key("ThreadSpec",        4, "thread_specification",      number),
    Key("TimeLimit",         5, "time_limit",                limit),
    Key("TimeMin",           5, "time_minimum",              limit),
    Key("TresPerNode",       8, "gres",                      text),
    Key("UserID",            3, "user_id",                   text),
    Key("WaitAllNodes",      4, "wait_all_nodes",            number),
    Key("WCKey",             1, "wckey",                     text),
    Key("WorkDir",           2, "current_working_directory", text),
)  # fmt: skip

# state: letters that suffice; a state by its beginning, in any case
NODE_STATES = {
    "CANCEL_REBOOT": 3, "DOWN": 3, "DRAIN": 3, "FAIL": 3, "FUTURE": 3, "IDLE": 4, "NORESP": 3, "POWER_DOWN": 7,
    "POWER_DOWN_ASAP": 11, "POWER_DOWN_FORCE": 11, "POWER_UP": 7, "RESUME": 3, "UNDRAIN": 3,
}  # fmt: skip


def node_state(value: str, now: float) -> str:
    for state, least in NODE_STATES.items():
        if len(value) >= least and state.startswith(value.upper()):
            return state
    raise BadValue(value)


def seconds_from_now(value: str, now: float) -> int:
    """Seconds; -1 for never."""
    return max(number(value, now), 0)


NODE_KEYS = (
    Key("ActiveFeatures",    4, "active_features",           text),
    Key("AvailableFeatures", 4, "features",                  text),
    Key("CertToken",         4, "certificate",               text, "nodes need no certificates here"),
    Key("Comment",           3, "comment",                   text),
    Key("CPUBind",           4, "cpu_bind",                  text, "tasks are bound by srun --cpu-bind"),
    Key("Extra",             3, "extra",                     text),
    Key("Features",          1, "features",                  text),
    Key("Gres",              1, "gres",                      text),
    Key("NodeAddr",          5, "address",                   text, "addresses are the engine's"),
    Key("NodeHostname",      5, "hostname",                  text, "host names are the engine's"),
    Key("Reason",            1, "reason",                    text),
    Key("ResumeAfter",       7, "resume_after",              seconds_from_now),
    Key("State",             1, "state",                     node_state),
    Key("Weight",            1, "weight",                    number),
)  # fmt: skip


class Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def least(self) -> int: ...


Row = TypeVar("Row", bound=Named)


def key_named(word: str, keys: Iterable[Row]) -> Row | None:
    """The row whose name begins with `word`, if that is long enough; an exact name wins."""
    lower = word.lower()
    found = None
    for key in keys:
        name = key.name.lower()
        if lower == name:
            return key
        if found is None and len(lower) >= key.least and name.startswith(lower):
            found = key
    return found


def changes(
    words: Iterable[str], keys: Iterable[Key], now: float, bad: Callable[[Key, str], BadUpdate]
) -> dict[str, Any]:
    """Field and value of each Key=value word. Raises BadUpdate, in Slurm's words, before anything was sent.

    `bad(key, word)` words a value that can't be read.
    """
    result: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        sign = ""
        if not equals:
            raise BadUpdate(f"Invalid input: {word}", "Request aborted")
        if name[-1:] in ("+", "-"):
            name, sign = name[:-1], name[-1]
        key = key_named(name, keys)
        if key is None:
            raise BadUpdate(f"Update of this parameter is not supported: {word}", "Request aborted")
        if key.refused:
            raise BadUpdate(f"Update of this parameter is not supported: {word} ({key.refused})", "Request aborted")
        try:
            result[key.field] = key.read(sign + value, now)
        except BadValue:
            raise bad(key, word) from None
    return result


def bad_job_value(key: Key, word: str) -> BadUpdate:
    return BadUpdate(f"scontrol: error: Invalid {key.name} value")


def bad_node_value(key: Key, word: str) -> BadUpdate:
    if key.name in ("Weight", "ResumeAfter"):
        return BadUpdate(f"scontrol: error: Invalid value {word} for {key.name}")
    lines = [f"Invalid input: {word}", "Request aborted"]
    if key.name == "State":
        lines += [
            "Valid states are: NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN",
            "Not all states are valid given a node's prior state",
        ]
    return BadUpdate(*lines)
