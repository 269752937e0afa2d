"""The columns of sacctmgr's lists: one table for most entities, small ones for those that have their own names.

A record is a dict by the columns' titles; what it has no entry for is left empty. A name is found by any beginning of
one of its words that is long enough. Source: sacctmgr(1), LIST/SHOW … FORMAT OPTIONS; lengths and widths observed on
26.05.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from slurm_compat.core.errors import BadValue
from slurm_compat.core.fieldprint import DATE, TEXT, WHOLE, Field, Placed

UNKNOWN_TIME = "Unknown"


class Column(NamedTuple):
    """`words`: names in lower case, "|" behind the letters that are needed. `width`: to the left when negative."""

    title: str
    width: int
    words: str
    kind: str = TEXT


COLUMNS = (
    Column("Account", 10, "acc|ount acc|t"),
    Column("Action", 20, "acti|on"),
    Column("ActionRaw", 10, "actionr|aw", WHOLE),
    Column("Actor", 10, "acto|r"),
    Column("Admin", 9, "ad|minlevel"),
    Column("Allocated", 9, "allocat|ed", WHOLE),
    Column("Allowed", 8, "al|lowed", WHOLE),
    Column("Assocs", 10, "as|sociations"),
    Column("Class", 9, "cla|ssification"),
    Column("Cluster", 10, "cl|usters"),
    Column("Cluster Nodes", 20, "clustern|odes"),
    Column("Comment", 20, "com|ment"),
    Column("ControlHost", 15, "controlh|ost"),
    Column("ControlPort", 12, "controlp|ort", WHOLE),
    Column("Coord Accounts", 20, "coo|rdinators"),
    Column("Count", 6, "cou|nt", WHOLE),
    Column("# Allowed", 10, "counta|llowed", WHOLE),
    Column("# Used", 10, "countu|sed", WHOLE),
    Column("CPU Cnt", 7, "cp|ucount"),
    Column("Def Acct", 10, "defaulta|ccount"),
    Column("Def QOS", 9, "defaultq|os"),
    Column("Def WCKey", 10, "defaultw|ckey"),
    Column("Descr", 20, "des|cription"),
    Column("Duration", 13, "du|ration", WHOLE),
    Column("TimeEligible", 19, "el|igible timeel|igible", DATE),
    Column("TimeEnd", 19, "en|d timeen|d", DATE),
    Column("Event", 7, "ev|ent"),
    Column("EventRaw", 8, "eventr|aw", WHOLE),
    Column("Share", 9, "fa|irshare s|hare", WHOLE),
    Column("Features", 20, "fea|tures"),
    Column("Federation", 10, "fed|eration"),
    Column("FedState", 12, "feds|tate"),
    Column("FedStateRaw", 11, "fedstater|aw", WHOLE),
    Column("Flags", 20, "fl|ags"),
    Column("GraceTime", 10, "gra|cetime", WHOLE),
    Column("GrpCPUs", 8, "grpcpu|s", WHOLE),
    Column("GrpCPUMins", 11, "grpcpum|ins", WHOLE),
    Column("GrpCPURunMins", 13, "grpcpur|unmins", WHOLE),
    Column("GrpJobs", 7, "grpj|obs", WHOLE),
    Column("GrpJobsAccrue", 13, "grpjobsa|ccrue", WHOLE),
    Column("GrpMem", 7, "grpm|emory", WHOLE),
    Column("GrpNodes", 8, "grpn|odes", WHOLE),
    Column("GrpSubmit", 9, "grps|ubmitjobs", WHOLE),
    Column("GrpTRES", 13, "grptres|"),
    Column("GrpTRESMins", 13, "grptresm|ins"),
    Column("GrpTRESRunMins", 13, "grptresr|unmins"),
    Column("GrpWall", 11, "grpw|all", WHOLE),
    Column("ID", 6, "id|", WHOLE),
    Column("Info", 20, "inf|o"),
    Column("Lineage", -20, "l|ineage"),
    Column("LastConsumed", 12, "lastcons|umed", WHOLE),
    Column("LimitFactor", 11, "limitf|actor", WHOLE),
    Column("MaxCPUMins", 11, "maxcpum|insperjob", WHOLE),
    Column("MaxCPURunMinsPU", 15, "maxcpur|unmins", WHOLE),
    Column("MaxCPUs", 8, "maxcpus|perjob", WHOLE),
    Column("MaxCPUsPU", 9, "maxcpusperu|ser", WHOLE),
    Column("MaxJobs", 7, "maxj|obs", WHOLE),
    Column("MaxJobsAccrue", 13, "maxjobsa|ccrue", WHOLE),
    Column("MaxJobsAccruePA", 15, "maxjobsaccruepa| maxjobsaccruepera|ccount", WHOLE),
    Column("MaxJobsAccruePU", 15, "maxjobsaccruepu| maxjobsaccrueperu|ser", WHOLE),
    Column("MaxJobsPA", 9, "maxjobspa| maxjobspera|ccount", WHOLE),
    Column("MaxJobsPU", 9, "maxjobspu| maxjobsperu|ser", WHOLE),
    Column("MaxNodes", 8, "maxn|odesperjob", WHOLE),
    Column("MaxNodesPU", 10, "maxnodesperu|ser", WHOLE),
    Column("MaxSubmit", 9, "maxs|ubmitjobs", WHOLE),
    Column("MaxSubmitPA", 11, "maxsubmitpa| maxsubmitjobspera|ccount", WHOLE),
    Column("MaxSubmitPU", 11, "maxsubmitp|u maxsubmitjobsp|eruser", WHOLE),
    Column("MaxTRES", 13, "maxtres| maxtresperj|ob maxtrespj|"),
    Column("MaxTRESMins", 13, "maxtresm|insperjob maxtresm|inspj"),
    Column("MaxTRESPA", 13, "maxtrespa| maxtrespera|ccount"),
    Column("MaxTRESPerNode", 14, "maxtrespern|ode"),
    Column("MaxTRESPU", 13, "maxtrespu| maxtresperu|ser"),
    Column("MaxTRESRunMinsPA", 16, "maxtresrunminsp|a maxtresrunminspera|ccount"),
    Column("MaxTRESRunMinsPU", 16, "maxtresr|unmins maxtresrunminspu| maxtresrunminspe|ruser"),
    Column("MaxWall", 11, "maxw|alldurationperjob", WHOLE),
    Column("MinCPUs", 8, "mincpus|", WHOLE),
    Column("MinPrioThres", 12, "minp|riothreshold", WHOLE),
    Column("MinTRES", 13, "mintres|perjob"),
    Column("Name", 10, "na|me"),
    Column("NodeCount", 9, "nodec|ount", WHOLE),
    Column("NodeInx", 9, "nodei|nx"),
    Column("NodeName", -15, "noden|ames"),
    Column("Org", 20, "o|rganization"),
    Column("ParentID", 8, "parenti|d", WHOLE),
    Column("ParentName", 10, "parentn|ame"),
    Column("Partition", 10, "part|ition"),
    Column("Preempt", 10, "preempt|"),
    Column("PreemptExemptTime", 19, "preempte|xempttime", WHOLE),
    Column("PreemptMode", 11, "preemptm|ode"),
    Column("Priority", 10, "pri|ority", WHOLE),
    Column("Problem", 40, "p|roblem"),
    Column("QOS", 20, "qos|level"),
    Column("QOS_RAW", 10, "qosr|awlevel"),
    Column("Reason", 30, "r|eason"),
    Column("RPC", 5, "rp|c", WHOLE),
    Column("Server", 10, "ser|ver"),
    Column("ServerType", 10, "servertype|"),
    Column("State", 6, "st|ate"),
    Column("TimeStart", 19, "star|t timestar|t", DATE),
    Column("StateRaw", 8, "stater|aw", WHOLE),
    Column("TimeSubmit", 19, "su|bmit timesu|bmit", DATE),
    Column("Time", 19, "ti|mestamp", DATE),
    Column("TRES", 20, "tr|es"),
    Column("Type", 8, "ty|pe"),
    Column("UnusedWall", 10, "un|usedwall", WHOLE),
    Column("UsageFactor", 11, "usagef|actor", WHOLE),
    Column("UsageThres", 10, "usaget|hreshold", WHOLE),
    Column("User", 10, "u|ser"),
    Column("WCKeys", 20, "wc|keys"),
    Column("Where", 20, "wh|ere"),
)  # fmt: skip

_TIMES = frozenset(("TimeEligible", "TimeEnd", "TimeStart", "TimeSubmit"))

Record = Mapping[str, Any]


def field(column: Column) -> Field:
    absent = UNKNOWN_TIME if column.title in _TIMES else ""

    def text(record: Record, settings: Any) -> str:
        value = record.get(column.title)
        return absent if value is None else str(value)

    return Field(column.title, column.width, (), text, column.kind)


def column_named(name: str, table: Sequence[Column] = COLUMNS) -> Column | None:
    """The column whose word begins so; where one word is the beginning of another the longest that fits counts."""
    word = name.lower()
    best: tuple[int, Column] | None = None
    for column in table:
        for each in column.words.split():
            least, whole = each.index("|"), each.replace("|", "")
            if len(word) >= least and whole.startswith(word) and (best is None or least > best[0]):
                best = (least, column)
    return best[1] if best else None


def titled(title: str, table: Sequence[Column] = COLUMNS) -> Column:
    return next(column for column in table if column.title == title)


def placed(titles: Sequence[str], table: Sequence[Column] = COLUMNS) -> list[Placed]:
    """The columns of a list that names none, "Flags%40" with their widths."""
    cells = []
    for text in titles:
        title, _, width = text.partition("%")
        column = titled(title, table)
        cells.append(Placed(field(column), int(width) if width else column.width))
    return cells


def chosen(
    text: str, table: Sequence[Column] = COLUMNS, wider: Callable[[Column], Column] = lambda column: column
) -> list[Placed]:
    """The columns of format=. Raises BadValue with the names that no column has: of a small table all of them."""
    cells: list[Placed] = []
    unknown: list[str] = []
    for token in text.split(",") if text.strip(",") else [text.strip(",")]:
        name, percent, width = token.partition("%")
        column = column_named(name, table) if name else None
        if column is None:
            unknown.append(name.lower())
            if table is COLUMNS:
                break
            continue
        column = wider(column)
        number = re.match(r"\s*[+-]?\d+", width)  # as atoi reads it
        cells.append(Placed(field(column), (int(number[0]) if number else 0) if percent else column.width))
    if unknown:
        raise BadValue("\n".join(unknown))
    return cells
