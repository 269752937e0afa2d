"""`scontrol create partition` and `update partition`: a row a key, with how its value is read and refused.

Words as 26.05 has them; a refusal drops the request as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from slurm_compat.cli.scontrol_update import BadUpdate, key_named
from slurm_compat.core import timefmt
from slurm_compat.core.errors import BadValue
from slurm_compat.core.model import UNLIMITED

STATES = ("UP", "DOWN", "DRAIN", "INACTIVE")
SHARES = 4  # jobs of OverSubscribe=YES and FORCE without a number
ERROR = "scontrol: error: "

Read = Callable[[str, str, str], dict[str, Any]]  # the field, the value, the whole word: what is changed


class PartitionKey(NamedTuple):
    name: str
    least: int
    field: str
    read: Read
    refused: str = ""


def _text(field: str, value: str, word: str) -> dict[str, Any]:
    return {field: value}


def _yes(name: str) -> Read:
    def read(field: str, value: str, word: str) -> dict[str, Any]:
        lower = value.lower()
        if lower and "yes".startswith(lower):
            return {field: True}
        if lower and "no".startswith(lower):
            return {field: False}
        raise BadUpdate(f"{ERROR}Invalid input: {word}", f"{ERROR}Acceptable {name} values are YES and NO")

    return read


def _number(name: str) -> Read:
    """A count; "unlimited" and "infinite" for none."""

    def read(field: str, value: str, word: str) -> dict[str, Any]:
        if value.lower() in ("unlimited", "infinite", "-1"):
            return {field: UNLIMITED}
        if not (value.isascii() and value.isdigit()):
            raise BadUpdate(f'{ERROR}Invalid numeric value "{value}" for {name}.')
        return {field: int(value)}

    return read


def _memory(name: str) -> Read:
    """MiB; 0 is no bound."""

    def read(field: str, value: str, word: str) -> dict[str, Any]:
        number = _number(name)(field, value, word)[field]
        return {field: number or UNLIMITED}

    return read


def _minutes(field: str, value: str, word: str) -> dict[str, Any]:
    try:
        return {field: timefmt.minutes(value)}
    except BadValue:
        raise BadUpdate(f"{ERROR}Invalid input {word}") from None


def _priority(name: str, *fields: str) -> Read:
    def read(field: str, value: str, word: str) -> dict[str, Any]:
        if not (value.isascii() and value.isdigit()):
            raise BadUpdate(f"{ERROR}Invalid {name} value: {value}")
        return dict.fromkeys(fields or (field,), int(value))

    return read


def _state(field: str, value: str, word: str) -> dict[str, Any]:
    for state in STATES:
        if value and state.startswith(value.upper()):
            return {field: state}
    raise BadUpdate(f"{ERROR}Invalid input: {word}", f"{ERROR}Acceptable State values are UP, DOWN, DRAIN and INACTIVE")


def _oversubscribe(field: str, value: str, word: str) -> dict[str, Any]:
    """NO, YES:4, FORCE:2; EXCLUSIVE gives jobs their nodes whole."""
    name, _, number = value.upper().partition(":")
    if name and "NO".startswith(name) and not number:
        return {field: "NO", "exclusive": "NO"}
    if name and "EXCLUSIVE".startswith(name) and not number:
        return {field: "NO", "exclusive": "NODE"}
    for kind in ("YES", "FORCE"):
        if name and kind.startswith(name) and (number.isdigit() or not number):
            return {field: f"{kind}:{number or SHARES}", "exclusive": "NO"}
    raise BadUpdate(
        f"{ERROR}Invalid input: {word}",
        f"{ERROR}Acceptable OverSubscribe values are NO, EXCLUSIVE, YES:#, and FORCE:#",
    )


def _exclusive(kind: str) -> Read:
    def read(field: str, value: str, word: str) -> dict[str, Any]:
        return {field: kind if _yes(f"Exclusive{kind.capitalize()}")(field, value, word)[field] else "NO"}

    return read


def _whole(field: str, value: str, word: str) -> dict[str, Any]:
    kind = {"YES": "NODE"}.get(value.upper(), value.upper())
    if kind not in ("NO", "NODE", "USER", "TOPO"):
        raise BadUpdate(f"{ERROR}Invalid input: {word}")
    return {field: kind}


def _preempt(field: str, value: str, word: str) -> dict[str, Any]:
    modes = value.upper().split(",")
    if not value or not set(modes) <= {"OFF", "CANCEL", "REQUEUE", "SUSPEND", "GANG", "WITHIN", "PRIORITY"}:
        raise BadUpdate(f"{ERROR}Invalid input: {word}")
    return {field: value.upper()}


KEYS = (
    PartitionKey("AllocNodes",         6, "allow_alloc_nodes",       _text),
    PartitionKey("AllowAccounts",      6, "allow_accounts",          _text),
    PartitionKey("AllowGroups",        6, "allow_groups",            _text),
    PartitionKey("AllowQOS",           6, "allow_qos",               _text),
    PartitionKey("Alternate",          3, "alternate",               _text),
    PartitionKey("CpuBind",            3, "cpu_bind",                _text, "tasks are bound by srun --cpu-bind"),
    PartitionKey("Default",            7, "default",                 _yes("Default")),
    PartitionKey("DefaultTime",        8, "default_time",            _minutes),
    PartitionKey("DefMemPerCPU",      10, "default_memory_per_cpu",  _memory("DefMemPerCPU")),
    PartitionKey("DefMemPerNode",     10, "default_memory_per_node", _memory("DefMemPerNode")),
    PartitionKey("DenyAccounts",       5, "deny_accounts",           _text),
    PartitionKey("DenyQOS",            5, "deny_qos",                _text),
    PartitionKey("DisableRootJobs",    3, "disable_root_jobs",       _yes("DisableRootJobs")),
    PartitionKey("ExclusiveTopo",     10, "exclusive",               _exclusive("TOPO")),
    PartitionKey("ExclusiveUser",     10, "exclusive",               _exclusive("USER")),
    PartitionKey("Exclusive",          3, "exclusive",               _whole),
    PartitionKey("GraceTime",          2, "grace_time",              _number("GraceTime")),
    PartitionKey("Hidden",             3, "hidden",                  _yes("Hidden")),
    PartitionKey("JobDefaults",        4, "job_defaults",            _text, "say it with the job: --cpus-per-gpu"),
    PartitionKey("LLN",                2, "lln",                     _yes("LLN")),
    PartitionKey("MaxCPUsPerNode",    11, "max_cpus_per_node",       _number("MaxCPUsPerNode")),
    PartitionKey("MaxCPUsPerSocket",  11, "max_cpus_per_socket",     _number("MaxCPUsPerSocket"),
                 "pods know no sockets; MaxCPUsPerNode bounds a node"),
    PartitionKey("MaxMemPerCPU",      10, "max_memory_per_cpu",      _memory("MaxMemPerCPU")),
    PartitionKey("MaxMemPerNode",     10, "max_memory_per_node",     _memory("MaxMemPerNode")),
    PartitionKey("MaxNodes",           4, "max_nodes",               _number("MaxNodes")),
    PartitionKey("MaxTime",            4, "max_time",                _minutes),
    PartitionKey("MinNodes",           2, "min_nodes",               _number("MinNodes")),
    PartitionKey("Nodes",              1, "nodes",                   _text),
    PartitionKey("OverSubscribe",      5, "oversubscribe",           _oversubscribe),
    PartitionKey("OverTimeLimit",      5, "over_time_limit",         _number("OverTimeLimit")),
    PartitionKey("PowerDownOnIdle",    3, "power_down",              _text, "nodes' power is not managed here"),
    PartitionKey("PreemptMode",        3, "preempt_mode",            _preempt),
    PartitionKey("Priority",           8, "priority",                _priority("Priority", "priority_job_factor",
                                                                               "priority_tier")),
    PartitionKey("PriorityJobFactor",  9, "priority_job_factor",     _priority("PriorityJobFactor")),
    PartitionKey("PriorityTier",       9, "priority_tier",           _priority("PriorityTier")),
    PartitionKey("QOS",                1, "qos",                     _text),
    PartitionKey("ReqResv",            3, "require_reservation",     _yes("ReqResv")),
    PartitionKey("RootOnly",           2, "root_only",               _yes("RootOnly")),
    PartitionKey("Shared",             2, "oversubscribe",           _oversubscribe),
    PartitionKey("State",              2, "state",                   _state),
    PartitionKey("Topology",           3, "topology",                _text, "the network's shape is not known here"),
    PartitionKey("TRESBillingWeights", 3, "tres_billing_weights",    _text),
)  # fmt: skip


def changes(words: Iterable[str]) -> dict[str, Any]:
    """Field and value of each Key=value word. Raises BadUpdate, in Slurm's words, before anything was sent."""
    result: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise BadUpdate(f"{ERROR}Invalid input: {word}  Request aborted")
        sign = name[-1] if name[-1:] in ("+", "-") else ""
        key = key_named(name.removesuffix(sign), KEYS)
        if key is None or (sign and key.field != "nodes"):
            raise BadUpdate(f"{ERROR}Update of this parameter is not supported: {word}", "", f"{ERROR}Request aborted")
        if key.refused:
            raise BadUpdate(
                f"{ERROR}Update of this parameter is not supported: {word} ({key.refused})",
                "",
                f"{ERROR}Request aborted",
            )
        result |= key.read(key.field, f"{sign}={value}" if sign else value, word)
    return result
