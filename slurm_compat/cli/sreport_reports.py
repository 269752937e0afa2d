"""The reports of clusters, users and reservations: each a title, a table of columns, and rows of resource-seconds.

Accounts count with all that is below them. Use is shown of associations that have any. Source: sreport(1); orders and
layouts observed on 26.05.
"""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.cli import sreport_columns as columns
from slurm_compat.cli.context import Context
from slurm_compat.cli.sreport_amounts import MINUTES, Unit, Window
from slurm_compat.cli.sreport_words import Asked
from slurm_compat.core import timefmt
from slurm_compat.core.errors import ACCESS_DENIED, CommandError, SlurmError

Row = dict[str, Any]
Sums = dict[str, int]  # by TRES
CPU = ["cpu"]
TOP = 10


@dataclass
class Inquiry:
    """One report: what was asked, and what all reports go by."""

    ctx: Context
    asked: Asked
    window: Window
    unit: Unit = MINUTES
    tres: list[str] = field(default_factory=list)  # as -T has them; [] without it
    names: list[str] = field(default_factory=list)  # of all resources
    cluster: str = ""

    @property
    def shown(self) -> list[str]:
        return self.tres or CPU

    def what(self) -> str:
        """ "CPU Minutes", "TRES Hours"; a part has no name."""
        if not self.unit.seconds:
            return self.unit.label
        return f"{'TRES' if self.tres else 'CPU'} {self.unit.label}"

    def here(self) -> bool:
        """Whether this cluster is one of those asked for."""
        return self.asked.passes("clusters", self.cluster)


@dataclass
class Report:
    title: list[str]
    default: str
    table: columns.Columns
    rows: Callable[[], list[Row]]


def proper_name(user: str) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(user).pw_gecos.partition(",")[0]
    return ""


# the cluster


def cluster_utilization(inquiry: Inquiry) -> Report:
    default = "cl,tresname" if inquiry.tres else "cl"
    return Report(
        [f"Cluster Utilization {inquiry.window}", f"Usage reported in {inquiry.what()}"],
        default + ",allocated,down,plannedd,idle,planned,reported",
        columns.cluster(inquiry.unit),
        lambda: list(_cluster_rows(inquiry)) if inquiry.here() else [],
    )


def _cluster_rows(inquiry: Inquiry) -> Iterator[Row]:
    found = inquiry.ctx.controller.call("cluster_usage", start=inquiry.window.start, end=inquiry.window.end)["tres"]
    if not found:
        return
    for name in inquiry.shown:
        if name == "node":
            continue
        sums = found.get(name) or dict.fromkeys(("count", "total", "alloc", "down", "pdown", "idle", "plan", "over"), 0)
        yield sums | {"cluster": inquiry.cluster, "tres": name, "reported": sums["total"]}


# accounts and users


@dataclass
class Use:
    """Use of associations, with the tree they are in."""

    inquiry: Inquiry
    total: Sums = field(default_factory=dict)
    own: dict[tuple[str, str], Sums] = field(default_factory=dict)  # by the two names of the kind

    @classmethod
    def of(cls, inquiry: Inquiry, kind: str) -> Use:
        window = inquiry.window
        answer = inquiry.ctx.controller.call("usage", kind=kind, start=window.start, end=window.end)
        use = cls(inquiry, answer["total"])
        for first, second, tres, seconds in answer["rows"]:
            sums = use.own.setdefault((first, second), {})
            sums[tres] = sums.get(tres, 0) + seconds
        return use

    def rows(self, sums: Sums, **values: Any) -> Iterator[Row]:
        """A row a resource, in the order of -T."""
        for tres in self.inquiry.shown:
            amounts = {"used": sums.get(tres, 0), "energy": sums.get("energy", 0), "total": self.total.get(tres, 0)}
            yield {"cluster": self.inquiry.cluster, "tres": tres, **values, **amounts}


NO_PRIVILEGE = "sreport: error: Your user doesn't have privilege to perform this action"


def use_of_wckeys(inquiry: Inquiry, what: str) -> Use:
    """What workload keys used, which operators alone are told. Raises CommandError."""
    try:
        return Use.of(inquiry, "wckey")
    except SlurmError as problem:
        if problem.number != ACCESS_DENIED:
            raise
        raise CommandError(NO_PRIVILEGE, f"{what}: Problem with get query.") from None


def _default(inquiry: Inquiry, names: str, energy: bool = True) -> str:
    if inquiry.tres:
        return names + ",tresname,used"
    return names + ",used" + (",energy" if energy else "")


def _title(inquiry: Inquiry, what: str) -> list[str]:
    return [f"{what} {inquiry.window} ({inquiry.window.seconds} secs)", f"Usage reported in {inquiry.what()}"]


@dataclass
class Account:
    name: str
    parent: str
    depth: int
    users: list[str] = field(default_factory=list)


def accounts(ctx: Context, further: Iterable[str] = ()) -> dict[str, Account]:
    """All accounts in the order of the tree: each, its users, the accounts below it. `further`: those that are gone."""
    found: dict[str, Account] = {"root": Account("root", "", 0)}
    wanted = ["lineage", "account", "user", "parent_account"]
    for _, account, user, parent in sorted(ctx.controller.rows("associations", wanted)):
        if not user and account not in found:
            above = found.get(parent, found["root"])
            found[account] = Account(account, above.name, above.depth + 1)
        if user and account in found and user not in found[account].users:
            found[account].users.append(user)
    for name in sorted(set(further) - set(found)):
        found[name] = Account(name, "root", 1)
    return found


def _below(tree: dict[str, Account], top: str) -> set[str]:
    below = {top}
    for account in tree.values():  # parents come first
        if account.parent in below:
            below.add(account.name)
    return below


def _summed(tree: dict[str, Account], own: dict[str, Sums]) -> dict[str, Sums]:
    """Each account's, with all that is below it."""
    total = {name: dict(own.get(name, {})) for name in tree}
    for account in reversed(list(tree.values())):
        if account.parent:
            for tres, seconds in total[account.name].items():
                above = total[account.parent]
                above[tres] = above.get(tres, 0) + seconds
    return total


def _wanted(tree: dict[str, Account], asked: Asked) -> set[str]:
    """The accounts asked for, with those below them."""
    names = asked.names("accounts")
    if not names:
        return set(tree)
    return {below for name in names if name.lower() in tree for below in _below(tree, name.lower())}


def account_by_user(inquiry: Inquiry) -> Report:
    tree = "tree" in inquiry.asked.switches
    return Report(
        _title(inquiry, "Cluster/Account/User Utilization"),
        _default(inquiry, "cl,accounts,login,proper"),
        columns.cluster(inquiry.unit, tree),
        lambda: list(_account_rows(inquiry, tree)) if inquiry.here() else [],
    )


def _account_rows(inquiry: Inquiry, indent: bool) -> Iterator[Row]:
    use = Use.of(inquiry, "association")
    tree = accounts(inquiry.ctx, (account for account, _ in use.own))
    own: dict[str, Sums] = {}
    for (name, user), sums in use.own.items():
        if user and user not in tree[name].users:
            tree[name].users.append(user)
        for tres, seconds in sums.items():
            totals = own.setdefault(name, {})
            totals[tres] = totals.get(tres, 0) + seconds
    summed = _summed(tree, own)
    chosen = _wanted(tree, inquiry.asked)
    top = min((tree[name].depth for name in chosen), default=0)
    for account in tree.values():
        if account.name not in chosen or not any(summed[account.name].values()):
            continue
        blanks = " " * (account.depth - top) if indent else ""
        if not inquiry.asked.names("users"):
            yield from use.rows(summed[account.name], account=blanks + account.name)
        for user in sorted(account.users):
            sums = use.own.get((account.name, user), {})
            if any(sums.values()) and inquiry.asked.passes("users", user):
                shown = (blanks + " " if indent else "") + account.name
                yield from use.rows(sums, account=shown, user=user, proper=proper_name(user))


def account_by_qos(inquiry: Inquiry) -> Report:
    tree = "tree" in inquiry.asked.switches
    return Report(
        _title(inquiry, "Cluster/Account/QOS Utilization"),
        _default(inquiry, "cl,accounts,qos"),
        columns.cluster(inquiry.unit, tree),
        lambda: list(_qos_rows(inquiry, tree)) if inquiry.here() else [],
    )


def _qos_rows(inquiry: Inquiry, indent: bool) -> Iterator[Row]:
    use = Use.of(inquiry, "qos")
    tree = accounts(inquiry.ctx, (account for account, _ in use.own))
    names = sorted({qos for _, qos in use.own})
    summed = {
        qos: _summed(tree, {account: sums for (account, of), sums in use.own.items() if of == qos}) for qos in names
    }
    chosen = _wanted(tree, inquiry.asked)
    top = min((tree[name].depth for name in chosen), default=0)
    for account in tree.values():
        for qos in names:
            sums = summed[qos][account.name]
            if account.name in chosen and any(sums.values()) and inquiry.asked.passes("qos", qos):
                blanks = " " * (account.depth - top) if indent else ""
                yield from use.rows(sums, account=blanks + account.name, qos=qos)


def user_by_account(inquiry: Inquiry) -> Report:
    return Report(
        _title(inquiry, "Cluster/User/Account Utilization"),
        _default(inquiry, "cl,login,proper,accounts"),
        columns.cluster(inquiry.unit),
        lambda: _user_rows(inquiry) if inquiry.here() else [],
    )


def _user_rows(inquiry: Inquiry) -> list[Row]:
    use = Use.of(inquiry, "association")
    mine = [
        (account, user, sums)
        for (account, user), sums in use.own.items()
        if user and inquiry.asked.passes("users", user) and inquiry.asked.passes("accounts", account)
    ]
    return _by_use(use, [({"user": user, "account": account}, sums) for account, user, sums in mine])


def _by_use(use: Use, found: list[tuple[Row, Sums]]) -> list[Row]:
    """The most used first, by the first resource that is shown."""
    first = use.inquiry.shown[0]
    found.sort(key=lambda one: -one[1].get(first, 0))
    rows: list[Row] = []
    for values, sums in found:
        if any(sums.values()):
            rows += use.rows(sums, **values, proper=proper_name(values["user"]))
    return rows


def user_by_wckey(inquiry: Inquiry) -> Report:
    use = use_of_wckeys(inquiry, "slurmdb_report_cluster_user_by_wckey")

    def rows() -> list[Row]:
        found: list[tuple[Row, Sums]] = [
            ({"user": user, "wckey": key}, sums)
            for (key, user), sums in use.own.items()
            if inquiry.asked.passes("wckeys", key)
        ]
        return _by_use(use, found)

    return Report(
        _title(inquiry, "Cluster/User/WCKey Utilization"),
        _default(inquiry, "cl,login,proper,wckey", energy=False),
        columns.cluster(inquiry.unit),
        lambda: rows() if inquiry.here() else [],
    )


def wckey_by_user(inquiry: Inquiry) -> Report:
    use = use_of_wckeys(inquiry, "slurmdb_report_cluster_wckey_by_user")

    def rows() -> Iterator[Row]:
        for key in sorted({key for key, _ in use.own}):
            if not inquiry.asked.passes("wckeys", key):
                continue
            users = sorted((user, sums) for (of, user), sums in use.own.items() if of == key)
            whole: Sums = {}
            for _, sums in users:
                for tres, seconds in sums.items():
                    whole[tres] = whole.get(tres, 0) + seconds
            yield from use.rows(whole, wckey=key)
            for user, sums in users:
                yield from use.rows(sums, wckey=key, user=user, proper=proper_name(user))

    return Report(
        _title(inquiry, "Cluster/WCKey/User Utilization"),
        _default(inquiry, "cl,wckey,login,proper", energy=False),
        columns.cluster(inquiry.unit),
        lambda: list(rows()) if inquiry.here() else [],
    )


def top_users(inquiry: Inquiry) -> Report:
    asked = inquiry.asked
    count = TOP
    if words := asked.names("topcount"):
        try:
            count = int(words[-1])
        except ValueError:
            asked.problems.append(f"sreport: error: Invalid value for TopCount ({words[-1]})")

    def rows() -> list[Row]:
        use = Use.of(inquiry, "association")
        order = {name: place for place, name in enumerate(accounts(inquiry.ctx, (account for account, _ in use.own)))}
        found: dict[tuple[str, ...], tuple[list[str], Sums]] = {}
        for account, user in sorted(use.own, key=lambda owner: (order[owner[0]], owner[1])):
            sums = use.own[account, user]
            if not (user and any(sums.values()) and asked.passes("users", user) and asked.passes("accounts", account)):
                continue
            names, total = found.setdefault((user,) if "group" in asked.switches else (user, account), ([], {}))
            names.append(account)
            for tres, seconds in sums.items():
                total[tres] = total.get(tres, 0) + seconds
        listed: list[tuple[Row, Sums]] = [
            ({"user": key[0], "account": ", ".join(names)}, total) for key, (names, total) in found.items()
        ]
        shown = _by_use(use, listed)
        return shown if count < 0 else shown[: max(count, 1) * len(inquiry.shown)]

    return Report(
        _title(inquiry, f"Top {'ALL' if count < 0 else count} Users"),
        _default(inquiry, "cl,login,proper,accounts"),
        columns.user(inquiry.unit),
        lambda: rows() if inquiry.here() else [],
    )


# reservations


def reservation_utilization(inquiry: Inquiry) -> Report:
    what = f"TRES {inquiry.unit.label}" if inquiry.unit.seconds else inquiry.unit.label
    return Report(
        [f"Reservation Utilization {inquiry.window}", f"Usage reported in {what}"],
        "cl,name,start,end,tresname,allocated,idle",
        columns.reservation(inquiry.unit),
        lambda: list(_reservation_rows(inquiry)) if inquiry.here() else [],
    )


def _reservation_rows(inquiry: Inquiry) -> Iterator[Row]:
    from slurm_compat.core import hostlist

    ctx, asked = inquiry.ctx, inquiry.asked
    found = ctx.controller.call("reservation_usage", start=inquiry.window.start, end=inquiry.window.end)["rows"]
    numbers = {
        (account, user): number
        for number, account, user in (ctx.controller.rows("associations", ["id", "account", "user"]) if found else ())
    }
    nodes = {node for text in asked.names("nodes") for node in hostlist.expand(text)}
    for one in found:
        if not asked.passes("names", one["name"]) or (nodes and not nodes & set(hostlist.expand(one["nodes"]))):
            continue
        seconds = one["end"] - one["start"]
        ids = [numbers.get((account, user), 0) for account, user in one["associations"]]
        for tres in inquiry.tres or CPU:
            if (count := one["tres"].get(tres)) is None:
                continue
            used = one["used"].get(tres, 0)
            yield {
                "cluster": inquiry.cluster, "name": one["name"], "id": one["id"], "nodes": one["nodes"],
                "start": timefmt.clock(one["start"]), "end": timefmt.clock(one["end"]), "flags": ",".join(one["flags"]),
                "associations": f",{','.join(map(str, ids))}," if ids else "", "count": count, "tres": tres,
                "total_time": timefmt.duration(seconds), "tres_time": timefmt.duration(count * seconds),
                "total": count * seconds, "alloc": used, "idle": max(count * seconds - used, 0),
            }  # fmt: skip
