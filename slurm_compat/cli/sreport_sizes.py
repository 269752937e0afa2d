"""Jobs by their size: resource-time, or their number, of groups of CPU counts, by account or workload key.

An account that is asked for counts with all below it; without any it is the whole tree as one row. Source: sreport(1);
observed on 26.05.
"""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Iterable
from typing import Any

from slurm_compat.cli import sreport_columns as columns
from slurm_compat.cli.sreport_amounts import Unit, amount_field
from slurm_compat.cli.sreport_reports import NO_PRIVILEGE, Account, Inquiry, Report, Row, accounts, use_of_wckeys
from slurm_compat.core import hostlist
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.fieldprint import Field

GROUPS = (50, 250, 500, 1000)
ALL = 0xFFFFFFFF
Found = tuple[str, str, int, int, int]  # account, wckey, CPUs of each job, resource-seconds, jobs
Range = tuple[int, int]  # of CPUs, both included
COUNTED = Unit("", 1)


def by_account(inquiry: Inquiry) -> Report:
    return _report(inquiry, "Job Sizes", False, False)


def by_account_and_wckey(inquiry: Inquiry) -> Report:
    return _report(inquiry, "Job Sizes", False, True)


def by_wckey(inquiry: Inquiry) -> Report:
    return _report(inquiry, "Job Sizes by Wckey", True, False)


def _report(inquiry: Inquiry, title: str, wckeys: bool, with_wckey: bool) -> Report:
    asked = inquiry.asked
    if len(inquiry.tres) > 1:
        raise CommandError(
            " Job report only supports a single --tres type.", " Generate a separate report for each TRES type."
        )
    if wckeys or with_wckey:
        try:
            use_of_wckeys(inquiry, "")
        except CommandError:  # told, and the jobs one may see are counted all the same
            asked.remarks.append(NO_PRIVILEGE)
    numbers = "printjobcount" in asked.switches
    found = _found(inquiry) if inquiry.here() else []
    ranges = _ranges(asked.grouping, {row[2] for row in found})
    lines = [f"{title} {inquiry.window} ({inquiry.window.seconds} secs)"]
    if inquiry.tres and inquiry.tres != ["cpu"]:
        lines.append(f"TRES type is {inquiry.tres[0]}")
    lines.append("Units are in number of jobs ran" if numbers else f"Time reported in {inquiry.unit.label}")
    table = list(columns.sizes(wckeys, with_wckey))
    what = "CPUs" if inquiry.shown == ["cpu"] else "TRES"
    fields = _fields(ranges, COUNTED if numbers else inquiry.unit, what, asked.grouping == "individual")
    # what stands behind the chosen columns is always there
    table += [(len(field.needs[0]), field.needs[0], field) for field in fields]
    asked.format = (asked.format or "cl,account") + "," + ",".join(field.needs[0] for field in fields)

    def rows() -> list[Row]:
        values = [row[:3] + ((row[4], row[4]) if numbers else row[3:]) for row in found]
        return _rows(inquiry, _grouped(inquiry, values, wckeys, with_wckey), ranges)

    return Report(lines, "", table, rows)


def _found(inquiry: Inquiry) -> list[Found]:
    asked = inquiry.asked
    try:
        nodes = [name for text in asked.names("nodes") for name in hostlist.expand(text)]
    except BadValue:
        raise CommandError("sreport: error: Invalid argument", " Problem with job query.") from None
    answer = inquiry.ctx.controller.call(
        "job_sizes",
        start=inquiry.window.start,
        end=inquiry.window.end,
        tres=inquiry.shown[0],
        user_ids=_users(inquiry),
        group_ids=_groups(asked.names("gid")),
        partitions=asked.names("partitions"),
        wckeys=asked.names("wckeys"),
        job_ids=[int(found[0]) for text in asked.names("jobs") if (found := re.match(r"\d+", text))],
        nodes=nodes,
    )
    return [tuple(row) for row in answer["rows"]]


def _users(inquiry: Inquiry) -> list[int]:
    found = []
    for name in inquiry.asked.names("users"):
        try:
            found.append(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
        except KeyError:
            inquiry.asked.remarks.append(f"sreport: error: Invalid user id: {name}")
    return found


def _groups(names: Iterable[str]) -> list[int]:
    try:
        return [int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid for name in names]
    except KeyError:
        raise CommandError(
            "sreport: error: Failed to unpack DBD_GET_JOBS_COND message", " Problem with job query."
        ) from None


def _ranges(grouping: str | None, sizes: Iterable[int]) -> list[Range]:
    if grouping == "individual":
        return [(size, size) for size in sorted(sizes)]
    if grouping is None:
        limits = list(GROUPS)
    else:  # as atoi reads them: what is no number is 0, and ends the list
        limits = [int(found[0]) if (found := re.match(r"\d+", part)) else 0 for part in grouping.split(",")]
    ranges: list[Range] = []
    least = 0
    for limit in limits:
        if not limit:
            return [*ranges, (least, ALL)]
        ranges.append((least, limit - 1))
        least = limit
    return [*ranges, (least, 0)]  # 0: and all above


def _fields(ranges: list[Range], unit: Unit, what: str, individual: bool) -> list[Field]:
    found = []
    for place, (least, most) in enumerate(ranges):
        name = f"{least}" if individual else f"{least}-{most}" if most or not place else f">= {least}"
        found.append(amount_field(f"{name} {what}", f"size{place}", unit, 13, 20))
    total = Field("Total Count", 11, ("all",), lambda record, _: unit.text(record["all"], 1))
    return [*found, total, Field("% of cluster", 12, ("part",), lambda record, _: str(record["part"]))]


def _grouped(inquiry: Inquiry, found: Iterable[Found], wckeys: bool, with_wckey: bool) -> dict[str, list[Found]]:
    """The jobs of each row of the report, by its name, in order."""
    groups: dict[str, list[Found]] = {}
    found = list(found)
    if wckeys:
        for row in found:
            if row[1]:
                groups.setdefault(row[1], []).append(row)
        return dict(sorted(groups.items()))
    flat = "flatview" in inquiry.asked.switches
    names = [name.lower() for name in inquiry.asked.names("accounts")]
    tree = {} if flat else accounts(inquiry.ctx, (row[0] for row in found))
    tops = [] if flat else _tops(tree, names or ["root"], bool("acctasparent" in inquiry.asked.switches))
    for row in found:
        top = row[0] if flat else _top_of(tree, tops, row[0])
        if not top or (flat and names and row[0] not in names) or (with_wckey and not flat and not row[1]):
            continue
        groups.setdefault(f"{top}:{row[1]}" if with_wckey else top, []).append(row)
    return dict(sorted(groups.items()))


def _tops(tree: dict[str, Account], names: list[str], below: bool) -> list[str]:
    """The accounts that have a row: those named, or those right below them."""
    if not below:
        return names
    return [account.name for account in tree.values() if account.parent in names]


def _top_of(tree: dict[str, Account], tops: list[str], name: str) -> str:
    while name and name not in tops:
        name = tree[name].parent
    return name


def _rows(inquiry: Inquiry, groups: dict[str, list[Found]], ranges: list[Range]) -> list[Row]:
    rows: list[dict[str, Any]] = []
    for name, found in groups.items():
        row: Row = {"cluster": inquiry.cluster, "account": name, "all": 0}
        for place, (least, most) in enumerate(ranges):
            row[f"size{place}"] = sum(one[3] for one in found if least <= one[2] and (not most or one[2] <= most))
            row["all"] += row[f"size{place}"]
        row["total"] = row["all"]
        rows.append(row)
    whole = sum(row["all"] for row in rows)
    return [row | {"part": f"{100 * row['all'] / (whole or 1):.2f}%"} for row in rows]
