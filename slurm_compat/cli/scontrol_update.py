"""`scontrol update …`: keys a job or node takes, and how their values are read.

A row a key: the shortest spelling that Slurm takes (any longer beginning of the full one will do, in any case), the
name the controller knows it by, and its reader. A key with `refused` is known to Slurm and not to us; the text says
why.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from slurm_compat.core import moments, timefmt
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.model import UNLIMITED

Reader = Callable[[str, float], Any]


class Key(NamedTuple):
    name: str  # as documented
    least: int  # letters that suffice
    field: str
    read: Reader
    refused: str = ""
    optional: bool = False  # may stand without "=VALUE"


class BadUpdate(CommandError):
    """The request is dropped as a whole: nothing of it was sent."""


def text(value: str, now: float) -> str:
    return value


def number(value: str, now: float) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadValue(value) from None


def count(value: str, now: float) -> int:
    """A number that is not below 0."""
    if number(value, now) < 0:
        raise BadValue(value)
    return number(value, now)


def lenient(value: str, now: float) -> int:
    """What leads the text as a number, as atoi reads it: 0 for none."""
    found = re.match(r"\s*[+-]?\d+", value)
    return int(found[0]) if found else 0


def memory(value: str, now: float) -> int:
    """MiB, as a number without a unit; empty is 0, which stands for all there is."""
    return count(value or "0", now)


def nice(value: str, now: float) -> int:
    """Without a value 100; anything that is no number is 0."""
    found = lenient(value, now) if value else 100
    if abs(found) > MOST_NICE:
        raise BadUpdate(f"scontrol: error: Nice value out of range (+/- {MOST_NICE}). Value ignored")
    return found


MOST_NICE = 0x7FFFFFFD


def moment(value: str, now: float) -> int:
    if not value:
        raise BadUpdate("No changes specified")
    try:
        return moments.moment(value, now)
    except BadValue:
        raise BadUpdate(f"Invalid time specification (pos=0): {value}", "No changes specified") from None


def mail_types(value: str, now: float) -> list[str]:
    found = [word.upper() for word in value.split(",") if word]
    if not set(found) <= MAIL_TYPES:
        raise BadUpdate(f"Invalid MailType: {value}")
    return found


MAIL_TYPES = frozenset(
    {
        "NONE", "BEGIN", "END", "FAIL", "REQUEUE", "ALL", "INVALID_DEPEND", "STAGE_OUT", "TIME_LIMIT",
        "TIME_LIMIT_90", "TIME_LIMIT_80", "TIME_LIMIT_50", "ARRAY_TASKS",
    }
)  # fmt: skip


def user_id(value: str, now: float) -> int:
    try:
        return pwd.getpwnam(value).pw_uid
    except (KeyError, ValueError):
        if value.isascii() and value.isdigit():
            return int(value)
    raise BadUpdate(f"Invalid UserID: {value}", "Request aborted")


def switches(value: str, now: float) -> list[int]:
    """[switches, seconds to wait for so few] of "1" or "1@5:00"."""
    least, at, wait = value.partition("@")
    return [lenient(least, now), timefmt.seconds_of(wait) if at else 0]


def minutes_as_seconds(value: str, now: float) -> int:
    return timefmt.seconds_of(value)


def yes(value: str, now: float) -> bool:
    """1, yes and true; 0, no and false."""
    word = value.lower()
    if word in ("yes", "true", "y"):
        return True
    if word in ("no", "false", "n"):
        return False
    if word.isascii() and word.isdigit():  # any number but 0 will do
        return int(word) != 0
    raise BadValue(value)


def limit(value: str, now: float) -> str | int:
    """Minutes; with a sign ("+5", "-10") the text stays, for only the controller knows what it is added to."""
    if value[:1] in ("+", "-") and value != "-1":
        return value[0] + str(timefmt.minutes(value[1:]))
    return timefmt.minutes(value)


def new_limit(value: str, now: float) -> str | int:
    """Of a job: as `limit`, but 0 is a limit of no time, and "-1" a minute less."""
    if value[:1] in ("+", "-"):
        return value[0] + str(_counted(value[1:]))
    return _counted(value)


def _counted(text: str) -> int:
    return timefmt.minutes(text) if timefmt.seconds_of(text) else 0


def count_range(value: str, now: float) -> list[int]:
    """[least, most] of "2" or "2-4"; least alone stands for both."""
    low, dash, high = value.partition("-")
    return [number(low, now), number(high if dash else low, now)]


def cpu_range(value: str, now: float) -> list[int]:
    try:
        least, most = count_range(value, now)
    except BadValue:
        unreadable = f'scontrol: error: Invalid numeric value "{value}" for NumCPUs.'
        raise BadUpdate(unreadable, f"scontrol: error: Invalid NumCPUs value: {value}") from None
    if not 1 <= least <= most:
        raise BadValue(value)
    return [least, most]


def node_range(value: str, now: float) -> list[int]:
    """A range that can't be read ends scontrol as if nothing were wrong."""
    try:
        least, most = count_range(value, now)
    except BadValue:
        raise BadUpdate(f'scontrol: error: "{value}" is not a valid node count', code=0) from None
    if most < least:
        too_few = f"scontrol: error: Maximum node count {most} is less than minimum node count {least}"
        raise BadUpdate(too_few, code=0)
    return [least, most]


def flag(value: str, now: float) -> bool:
    """A word alone; a value makes it one that Slurm does not know."""
    if value:
        raise BadUpdate(f"Update of this parameter is not supported: resetaccruetime={value}", "Request aborted")
    return True


def bound(value: str, now: float) -> int:
    return UNLIMITED if value.lower() in ("infinite", "unlimited", "-1") else number(value, now)


JOB_KEYS = (
    #   name              least field                        reader
    Key("Account",           1, "account",                   text),
    Key("AccrueTime",        6, "accrue_time",               moment),
    Key("AdminComment",      6, "admin_comment",             text),
    Key("ArrayTaskThrottle", 5, "array_max_tasks",           lenient),
    Key("BurstBuffer",       6, "burst_buffer",              text),
    Key("Clusters",          2, "clusters",                  text),
    Key("ClusterFeatures",   8, "cluster_features",          text),
    Key("Comment",           3, "comment",                   text),
    Key("Contiguous",        3, "contiguous",                yes),
    Key("CoreSpec",          4, "core_specification",        lenient),
    Key("CPUsPerTask",       5, "cpus_per_task",             count),
    Key("Deadline",          3, "deadline",                  moment),
    Key("DelayBoot",         5, "delay_boot",                minutes_as_seconds),
    Key("Dependency",        3, "dependency",                text),
    Key("EligibleTime",      2, "begin_time",                moment),
    Key("EndTime",           2, "end_time",                  moment),
    Key("ExcNodeList",       3, "excluded_nodes",            text),
    Key("Extra",             3, "extra",                     text),
    Key("Features",          1, "constraints",               text),
    Key("Gres",              1, "gres",                      text),
    Key("JobName",           4, "name",                      text),
    Key("Licenses",          1, "licenses",                  text),
    Key("MailType",          5, "mail_type",                 mail_types),
    Key("MailUser",          5, "mail_user",                 text),
    Key("MCSLabel",          3, "mcs_label",                 text),
    Key("MinCPUsNode",       4, "minimum_cpus_per_node",     count),
    Key("MinMemoryCPU",     10, "memory_per_cpu",            memory),
    Key("MinMemoryNode",    10, "memory_per_node",           memory),
    Key("MinTmpDiskNode",    4, "temporary_disk_per_node",   memory),
    Key("Name",              2, "name",                      text),
    Key("Nice",              2, "nice",                      nice, optional=True),
    Key("NodeList",          5, "required_nodes",            text),
    Key("NumCPUs",           4, "minimum_cpus",              cpu_range),
    Key("NumNodes",          4, "nodes_range",               node_range),
    Key("NumTasks",          4, "tasks",                     count),
    Key("OverSubscribe",     5, "oversubscribe",             yes),
    Key("Partition",         2, "partition",                 text),
    Key("Prefer",            3, "prefer",                    text),
    Key("Priority",          2, "priority",                  count),
    Key("QOS",               3, "qos",                       text),
    Key("Reboot",            3, "reboot",                    yes),
    Key("ReqCores",          4, "cores_per_socket",          number),
    Key("ReqNodeList",       4, "required_nodes",            text),
    Key("ReqNodes",          4, "nodes_range",               node_range),
    Key("ReqProcs",          4, "minimum_cpus",              cpu_range),
    Key("ReqSockets",        4, "sockets_per_node",          number),
    Key("ReqThreads",        4, "threads_per_core",          number),
    Key("Requeue",           4, "requeue",                   yes),
    Key("ReservationName",   3, "reservation",               text),
    Key("ResetAccrueTime",   4, "reset_accrue_time",         flag, optional=True),
    Key("Shared",            2, "oversubscribe",             yes),
    Key("SiteFactor",        3, "site_factor",               lenient),
    Key("StartTime",         2, "begin_time",                moment),
    Key("StdErr",            4, "standard_error",            text),
    Key("StdIn",             4, "standard_input",            text),
    Key("StdOut",            4, "standard_output",           text),
    Key("Switches",          5, "switches",                  switches),
    Key("TasksPerNode",      3, "tasks_per_node",            number),
    Key("ThreadSpec",        4, "thread_specification",      lenient),
    Key("TimeLimit",         5, "time_limit",                new_limit),
    Key("TimeMin",           5, "time_minimum",              limit),
    Key("TresBind",          5, "tres_bind",                 text),
    Key("TresPerJob",        8, "gpus",                      text),
    Key("TresPerNode",       8, "gres",                      text),
    Key("UserID",            3, "user_id",                   user_id),
    Key("WaitAllNodes",      4, "wait_all_nodes",            number),
    Key("Wait-for-Switch",   5, "switch_wait",               lenient),
    Key("WCKey",             1, "wckey",                     text),
    Key("WorkDir",           2, "current_working_directory", text),
)  # fmt: skip

# state: letters that suffice; a state by its beginning, in any case
NODE_STATES = {
    "CANCEL_REBOOT": 3, "DOWN": 3, "DRAIN": 3, "FAIL": 3, "FUTURE": 3, "IDLE": 4, "NORESP": 3, "POWER_DOWN": 7,
    "POWER_DOWN_ASAP": 11, "POWER_DOWN_FORCE": 11, "POWER_UP": 7, "RESUME": 3, "UNDRAIN": 3,
}  # fmt: skip


def node_state(value: str, now: float) -> str:
    if len(value) >= 5 and "ALLOCATED".startswith(value.upper()):  # jobs do that
        raise BadUpdate("slurm_update error: Invalid node state transition")
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
        if name[-1:] in ("+", "-"):
            name, sign = name[:-1], name[-1]
        key = key_named(name, keys)
        if not equals and not (key is not None and key.optional):
            raise BadUpdate(f"Invalid input: {word}", "Request aborted")
        if key is None:
            raise BadUpdate(f"Update of this parameter is not supported: {word}", "Request aborted")
        if key.refused:
            raise BadUpdate(f"Update of this parameter is not supported: {word} ({key.refused})", "Request aborted")
        if sign and key.field != "time_limit":
            raise BadUpdate(f"scontrol: error: Option {word} does not accept [+|-]= syntax")
        try:
            result[key.field] = sign + str(_counted(value)) if sign else key.read(value, now)
        except BadValue:
            raise bad(key, word) from None
    return result


def bad_job_value(key: Key, word: str) -> BadUpdate:
    """The text itself is told but of times."""
    if key.field in ("time_limit", "time_minimum"):
        return BadUpdate(f"scontrol: error: Invalid {key.name} value")
    name = "reboot" if key.name == "Reboot" else key.name
    return BadUpdate(f"scontrol: error: Invalid {name} value: {word.partition('=')[2]}")


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
