"""What sacctmgr's add and modify set: `key=value` as the controller takes it, and how a command shows it back.

Each key is a row: its words (with "|" behind the letters that are needed), the attribute of core/cluster's *Conf, how
it is read, and its title. Source: sacctmgr(1), SPECIFICATIONS; words, titles and refusals observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slurm_compat.core import qosflags, treslimits
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import duration, minutes, seconds_of

# kinds
NUMBER, SHARE, WALL, TRES, FACTOR, QOS, ONE_QOS, TEXT, FLAGS, SECONDS, MODE = (
    "number", "share", "wall", "tres", "factor", "qos", "one qos", "text", "flags", "seconds", "mode",
)  # fmt: skip
PARENT_SHARE = 0x7FFFFFFF
ACCOUNT_FLAGS = ("NoUsersAreCoords", "UsersAreCoords")
PREEMPT_MODES = ("off", "cluster", "suspend", "requeue", "cancel", "gang", "within", "priority")


class Key(NamedTuple):
    words: str
    attribute: str
    kind: str
    title: str = ""  # of Settings, in the order of the rows; "": not shown there
    name: str = ""  # in a refusal
    tres: str = ""  # the one resource of an older key: grpcpus=4 is grptres=cpu=4


ASSOCIATION: tuple[Key, ...] = (
    Key("fa|irshare s|hares", "fairshare", SHARE, "Fairshare", "FairShare"),
    Key("grpj|obs", "grp_jobs", NUMBER, "GrpJobs", "GrpJobs"),
    Key("grpjobsa|ccrue", "grp_jobs_accrue", NUMBER, "GrpJobsAccrue            ", "GrpJobsAccrue"),
    Key("grps|ubmitjobs", "grp_submit_jobs", NUMBER, "GrpSubmitJobs", "GrpSubmitJobs"),
    Key("grptres|", "grp_tres", TRES, "GrpTRES"),
    Key("grptresm|ins", "grp_tres_mins", TRES, "GrpTRESMins"),
    Key("grptresr|unmins", "grp_tres_run_mins", TRES, "GrpTRESRunMins"),
    Key("grpw|all", "grp_wall", WALL, "GrpWall", "GrpWall"),
    Key("maxj|obs", "max_jobs", NUMBER, "MaxJobs", "MaxJobs"),
    Key("maxjobsa|ccrue", "max_jobs_accrue", NUMBER, "MaxJobsPrioAcc", "MaxJobsAccrue"),
    Key("maxs|ubmitjobs", "max_submit_jobs", NUMBER, "MaxSubmitJobs", "MaxSubmitJobs"),
    Key("maxtres|perjob maxtrespj|", "max_tres", TRES, "MaxTRES"),
    Key("maxtrespern|ode maxtrespn|", "max_tres_per_node", TRES, "MaxTRESPerNode"),
    Key("maxtresm|insperjob maxtresminspj|", "max_tres_mins", TRES, "MaxTRESMins"),
    Key("maxw|alldurationperjob", "max_wall", WALL, "MaxWall", "MaxWall"),
    Key("minp|riothresh", "min_prio_threshold", NUMBER, "MinPrioThresh", "MinPrioThreshold"),
    Key("pare|nt", "parent", TEXT, "Parent"),
    Key("pri|ority", "priority", NUMBER, "Priority", "Priority"),
    Key("q|oslevel", "qos", QOS, "QOS"),
    Key("defaultq|os", "default_qos", ONE_QOS, "DefQOS"),
    Key("grpcpu|s", "grp_tres", NUMBER, "", "GrpCPUs", "cpu"),
    Key("grpcpum|ins", "grp_tres_mins", NUMBER, "", "GrpCPUMins", "cpu"),
    Key("grpcpur|unmins", "grp_tres_run_mins", NUMBER, "", "GrpCPURunMins", "cpu"),
    Key("grpm|emory", "grp_tres", NUMBER, "", "GrpMemory", "mem"),
    Key("grpn|odes", "grp_tres", NUMBER, "", "GrpNodes", "node"),
    Key("maxcpu|sperjob", "max_tres", NUMBER, "", "MaxCPUs", "cpu"),
    Key("maxcpum|insperjob", "max_tres_mins", NUMBER, "", "MaxCPUMins", "cpu"),
    Key("maxn|odesperjob", "max_tres", NUMBER, "", "MaxNodes", "node"),
)
ACCOUNT_RECORD: tuple[Key, ...] = (
    Key("d|escription", "description", TEXT, "Description"),
    Key("o|rganization", "organization", TEXT, "Organization"),
    Key("fl|ags", "flags", FLAGS),
)
QOS_KEYS: tuple[Key, ...] = (
    Key("d|escription", "description", TEXT),
    Key("fl|ags", "flags", FLAGS, "Flags"),
    Key("gra|cetime", "grace_time", SECONDS, "GraceTime", "GraceTime"),
    Key("grpj|obs", "grp_jobs", NUMBER, "GrpJobs", "GrpJobs"),
    Key("grpjobsa|ccrue", "grp_jobs_accrue", NUMBER, "GrpJobsAccrue", "GrpJobsAccrue"),
    Key("grps|ubmitjobs", "grp_submit_jobs", NUMBER, "GrpSubmitJobs", "GrpSubmitJobs"),
    Key("grptres|", "grp_tres", TRES, "GrpTRES"),
    Key("grptresm|ins", "grp_tres_mins", TRES, "GrpTRESMins"),
    Key("grptresr|unmins", "grp_tres_run_mins", TRES, "GrpTRESRunMins"),
    Key("grpw|all", "grp_wall", WALL, "GrpWall", "GrpWall"),
    Key("maxjobsaccruepa| maxjobsaccruepera|ccount", "max_jobs_accrue_per_account", NUMBER,
        "MaxJobsAccruePerAccount", "MaxJobsAccruePA"),
    Key("maxjobsaccruepu| maxjobsaccrueperu|ser", "max_jobs_accrue_per_user", NUMBER,
        "MaxJobsAccruePerUser", "MaxJobsAccruePU"),
    Key("maxjobspa| maxjobspera|ccount", "max_jobs_per_account", NUMBER, "MaxJobsPerAccount", "MaxJobsPA"),
    Key("maxj|obsperuser maxjobspu|", "max_jobs_per_user", NUMBER, "MaxJobsPerUser ", "MaxJobsPU"),
    Key("maxsubmitjobspa| maxsubmitjobspera|ccount", "max_submit_jobs_per_account", NUMBER,
        "MaxSubmitJobsPerAccount", "MaxSubmitJobsPA"),
    Key("maxs|ubmitjobsperuser maxsubmitjobspu|", "max_submit_jobs_per_user", NUMBER,
        "MaxSubmitJobsPerUser", "MaxSubmitJobsPU"),
    Key("maxtrespa| maxtrespera|ccount", "max_tres_per_account", TRES, "MaxTRESPerAccount"),
    Key("maxtres|perjob maxtrespj|", "max_tres_per_job", TRES, "MaxTRESPerJob"),
    Key("maxtrespern|ode maxtrespn|", "max_tres_per_node", TRES, "MaxTRESPerNode"),
    Key("maxtrespu| maxtresperu|ser", "max_tres_per_user", TRES, "MaxTRESPerUser"),
    Key("minp|riothreshold", "min_prio_threshold", NUMBER, "MinPrioThresh", "MinPrioThreshold"),
    Key("mintres|perjob", "min_tres_per_job", TRES, "MinTRESPerJob"),
    Key("maxtresm|insperjob maxtresminspj|", "max_tres_mins_per_job", TRES, "MaxTRESMins"),
    Key("maxtresrunminspa| maxtresrunminspera|ccount", "max_tres_run_mins_per_account", TRES,
        "MaxTRESRUNMinsPerAccount"),
    Key("maxtresr|unminsperuser maxtresrunminspu|", "max_tres_run_mins_per_user", TRES, "MaxTRESRUNMinsPerUser"),
    Key("maxw|alldurationperjob", "max_wall", WALL, "MaxWall", "MaxWall"),
    Key("preempt|", "preempt", QOS, "Preempt"),
    Key("preemptm|ode", "preempt_mode", MODE, "PreemptMode"),
    Key("preempte|xempttime", "preempt_exempt_time", WALL, "PreemptExemptTime", "PreemptExemptTime"),
    Key("pri|ority", "priority", NUMBER, "Priority", "Priority"),
    Key("usagef|actor", "usage_factor", FACTOR, "UsageFactor", "UsageFactor"),
    Key("usaget|hreshold", "usage_threshold", FACTOR, "UsageThreshold", "UsageThreshold"),
    Key("limitf|actor", "limit_factor", FACTOR, "LimitFactor", "LimitFactor"),
    Key("grpcpu|s", "grp_tres", NUMBER, "", "GrpCPUs", "cpu"),
    Key("grpcpum|ins", "grp_tres_mins", NUMBER, "", "GrpCPUMins", "cpu"),
    Key("grpcpur|unmins", "grp_tres_run_mins", NUMBER, "", "GrpCPURunMins", "cpu"),
    Key("grpm|emory", "grp_tres", NUMBER, "", "GrpMemory", "mem"),
    Key("grpn|odes", "grp_tres", NUMBER, "", "GrpNodes", "node"),
    Key("maxcpu|sperjob", "max_tres_per_job", NUMBER, "", "MaxCPUs", "cpu"),
    Key("maxcpusperu|ser", "max_tres_per_user", NUMBER, "", "MaxCPUsPerUser", "cpu"),
    Key("maxcpum|insperjob", "max_tres_mins_per_job", NUMBER, "", "MaxCPUMins", "cpu"),
    Key("maxn|odesperjob", "max_tres_per_job", NUMBER, "", "MaxNodes", "node"),
    Key("maxnodesperu|ser", "max_tres_per_user", NUMBER, "", "MaxNodesPerUser", "node"),
    Key("mincpu|sperjob", "min_tres_per_job", NUMBER, "", "MinCPUs", "cpu"),
)  # fmt: skip
WITH_OPERATOR = {QOS, FLAGS}  # += and -= are for lists
_PAIR = re.compile(r"([^=+\-]*)([+-]?=)(.*)", re.DOTALL)


class BadSetting(Exception):
    """`lines`: what sacctmgr says of it; `unknown`: whether it goes on to call the option unknown."""

    def __init__(self, *lines: str, unknown: bool = True) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.unknown = unknown


@dataclass
class Known:
    """What a controller has of names that a value may refer to; asked for when one does."""

    qos: Callable[[], Sequence[str]]
    tres: Callable[[], Iterable[str]]


@dataclass
class Set:
    """What was set so far: for the controller, and as it was said."""

    values: dict[str, Any] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)


def pair(word: str) -> tuple[str, str, str]:
    """ "qos+=high" -> ("qos", "+=", "high"); without "=": (word, "", "")."""
    found = _PAIR.fullmatch(word)
    return (found[1], found[2], found[3].strip("\"'")) if found else (word, "", "")


def key_named(name: str, table: Sequence[Key]) -> Key | None:
    """The key whose word begins so; of several the one that asks for most letters."""
    word = name.lower()
    best: tuple[int, Key] | None = None
    for key in table:
        for each in key.words.split():
            least, whole = each.index("|"), each.replace("|", "")
            if len(word) >= least and whole.startswith(word) and (best is None or least > best[0]):
                best = (least, key)
    return best[1] if best else None


def take(chosen: Set, key: Key, operator: str, text: str, known: Known) -> None:
    """Read one value into `chosen`. Raises BadSetting."""
    if operator != "=" and key.kind not in WITH_OPERATOR:
        raise BadSetting(f" Invalid operator '{operator}' in ", unknown=False)
    value = READERS[key.kind](key, operator, text.strip(), known)
    if key.tres:
        more = f"{key.tres}={treslimits.NONE if value is None else value}"
        value = ",".join(filter(None, (chosen.values.get(key.attribute), more)))
        key = next(row for row in (*ASSOCIATION, *QOS_KEYS) if row.attribute == key.attribute and row.title)
    chosen.values[key.attribute] = value
    if key not in chosen.keys:
        chosen.keys.append(key)


def _number(key: Key, operator: str, text: str, known: Known) -> int | None:
    try:
        number = int(text or "0")
    except ValueError:
        raise BadSetting(f"sacctmgr: error: Invalid value for {key.name} ({text.lower()})") from None
    return None if number < 0 else min(number, UNLIMITED - 1)


def _share(key: Key, operator: str, text: str, known: Known) -> int | None:
    if text and "parent".startswith(text.lower()):
        return PARENT_SHARE
    return _number(key, operator, text, known)


def _wall(key: Key, operator: str, text: str, known: Known) -> str | None:
    try:
        number = minutes(text) if text != "0" else 0
    except BadValue:
        raise BadSetting(f" Bad {key.name} time format: ") from None
    return None if number == UNLIMITED or text.startswith("-") else str(number)


def _tres(key: Key, operator: str, text: str, known: Known) -> str:
    if not text:
        raise BadSetting()
    try:
        return treslimits.show_raw(treslimits.parse(text, known.tres()))
    except BadValue as problem:
        raise BadSetting(f"sacctmgr: error: {problem}") from None


def _factor(key: Key, operator: str, text: str, known: Known) -> float | None:
    try:
        number = float(text)
    except ValueError:
        raise BadSetting(f"sacctmgr: error: {key.name} value ({text}) is not a valid number") from None
    return None if number < 0 or number != number else number


def _seconds(key: Key, operator: str, text: str, known: Known) -> int | None:
    try:
        number = int(text) if text.lstrip("+-").isdecimal() else seconds_of(text)
    except BadValue:
        raise BadSetting(f"sacctmgr: error: Invalid value for {key.name} ({text})") from None
    return None if number < 0 or number == UNLIMITED else number


def _qos(key: Key, operator: str, text: str, known: Known) -> dict[str, Any]:
    names = [name.strip(" \"'").lower() for name in text.split(",") if name.strip(" \"'")]
    there = known.qos() if names else ()
    for name in names:
        if name.lstrip("+-") not in there:
            lines = (f"sacctmgr: error: You gave a bad qos '{name.lstrip('+-')}'. Valid QOS's are {','.join(there)}",)
            raise BadSetting(*lines)
    return {"op": operator, "names": names}


def _one_qos(key: Key, operator: str, text: str, known: Known) -> str | None:
    name = text.lower()
    if name in ("", "-1"):
        return None
    if name not in known.qos():
        raise BadSetting(f"You gave a bad default qos '{text}'.  Use 'list qos' to get complete list.", unknown=False)
    return name


def _text(key: Key, operator: str, text: str, known: Known) -> str:
    return text.replace("'", "`").lower()


def _flags(key: Key, operator: str, text: str, known: Known) -> dict[str, Any]:
    table = ACCOUNT_FLAGS if key in ACCOUNT_RECORD else qosflags.ALL
    if text == "-1":
        return {"op": "=", "names": []}
    found = []
    for word in filter(None, text.split(",")):
        flag = next((flag for flag in table if flag.lower() == word.lower()), None)
        if flag is None and table is ACCOUNT_FLAGS:
            raise BadSetting(f" Unknown Flag(s)={text}", unknown=False)
        if flag is None:
            raise UnknownFlag(text)
        if flag == "NoUsersAreCoords":
            return {"op": "=", "names": []}
        if flag not in found:
            found.append(flag)
    return {"op": operator, "names": sorted(found, key=table.index)}


class UnknownFlag(CommandError):
    """Told on stdout."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.told = (
            " Unknown QOS flag used in:", f"  '{text}'", " Valid QOS flags are", f"  '{','.join(qosflags.ALL)}'",
        )  # fmt: skip


def _mode(key: Key, operator: str, text: str, known: Known) -> str | None:
    words = [next((mode for mode in PREEMPT_MODES if mode == word.lower()), "") for word in text.split(",")]
    if not all(words):
        raise BadSetting(" Bad Preempt Mode given: ")
    kept = [word.upper() for word in words if word not in ("off", "cluster")]
    return ",".join(kept) or None


READERS: dict[str, Callable[[Key, str, str, Known], Any]] = {
    NUMBER: _number, SHARE: _share, WALL: _wall, TRES: _tres, FACTOR: _factor, QOS: _qos, ONE_QOS: _one_qos,
    TEXT: _text, FLAGS: _flags, SECONDS: _seconds, MODE: _mode,
}  # fmt: skip


# how it is shown back


def shown(key: Key, value: Any) -> str:
    if key.kind == TRES:
        return treslimits.show(treslimits.parse(value))
    if isinstance(value, dict):
        sign = value["op"][0] if value["op"] != "=" else ""
        return ",".join(sign + name for name in (sorted(value["names"]) if key.kind == QOS else value["names"]))
    if value is None:
        return "(null)" if key.kind == ONE_QOS else "NONE"
    if key.kind == SHARE and value == PARENT_SHARE:
        return "parent"
    if key.kind == WALL:
        return duration(int(value) * 60)
    return f"{value:.4f}" if key.kind == FACTOR else str(value)


def lines(chosen: Set, table: Sequence[Key], width: int) -> list[str]:
    """ "  GrpTRES       = cpu=4", in the table's order."""
    found = []
    for key in table:
        if not key.title or key.attribute not in chosen.values:
            continue
        value = chosen.values[key.attribute]
        if key.kind == FLAGS and not value["names"]:
            continue
        if key.kind == MODE and value is None:
            continue
        title = key.title if key.title.endswith(" ") else f"{key.title:<{width}}"
        found.append(f"  {title}= {shown(key, value)}")
    return found
