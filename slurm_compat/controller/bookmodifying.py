"""sacctmgr modify account, user, cluster: records, and the limits of associations with what inherits them.

A coordinator changes what is below his accounts, within what they have; a user his own default account and default QOS.
"""

from __future__ import annotations

from typing import Any

from slurm_compat.controller import book
from slurm_compat.controller.associationrows import INHERITED, is_set, own_limits, with_inherited
from slurm_compat.controller.associations import ROOT, Association, below
from slurm_compat.controller.bookvalues import (
    ACCOUNT_KEYS,
    LIMITS,
    checked,
    need_default_access,
    new_values,
)
from slurm_compat.controller.bookwork import (
    Values,
    Where,
    Work,
    denied,
    info,
    matches,
    modified_line,
    names_of,
    need_operator,
    plain,
    user_associations,
    user_line,
)
from slurm_compat.core import treslimits
from slurm_compat.core.cluster import AccountConf, AssociationLimits, UserConf
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError
from slurm_compat.core.timefmt import minutes

NOT_ABOVE_PARENT = 7012
RECORD = frozenset(("description", "organization", "flags"))
OWN_ALONE = "You can only change your own default account, default wckey nothing else"
SUPER_USER = "You must be a super user to modify a users admin level"
COLUMNS = {"fairshare": "shares", "default_qos": "def_qos", "max_wall": "max_wall_pj", "max_tres": "max_tres_pj"}


# records


def account(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """Description, organization and flags of accounts. -> {names}"""
    need_operator(work)
    wanted = checked(work, values, RECORD, AccountConf)
    taken = [
        conf
        for name, conf in sorted(work.accounts().items())
        if matches(where, "names", name)
        and matches(where, "descriptions", conf.description or name)
        and matches(where, "organizations", conf.organization or name)
    ]
    for conf in taken:
        work.book.change(book.ACCOUNT, conf.name, new_values(work, wanted, conf, conf.name))
        work.note("Modify Accounts", f"(name='{conf.name}')", info(plain(wanted), {}))
    return {"names": [conf.name for conf in taken]}


def user(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """Default account and wckey, admin level. -> {names, missing: users that are not in that account}"""
    names = {one.name for one in work.users()}
    taken = [name for name in sorted(names) if matches(where, "names", name) and _of_record(work, where, name)]
    _may_change_record(work, taken, values)
    if unknown := values.keys() - {"default_account", "default_wckey", "admin_level"}:
        raise SlurmError(BAD_ARGUMENT, f"{sorted(unknown)[0]} can't be set")
    default = values.get("default_account")
    if default is not None:
        own = {one.name for one in work.users() if one.account == default}
        if missing := [name for name in taken if name not in own]:
            return {"names": taken, "missing": missing}
    wckey = values.get("default_wckey")
    if wckey is not None:
        keys = {key for key, _, _ in work.book.values(book.WCKEY)}
        if missing := [name for name in taken if f"{wckey}\t{name}" not in keys]:
            return {"names": taken, "missing": missing}
    for name in taken:
        work.book.change(book.USER, name, dict(values))
        work.note("Modify Users", f"(name='{name}')", info(values, {}))
    return {"names": taken, "missing": []}


def _of_record(work: Work, where: Where, name: str) -> bool:
    own = [one for one in work.users() if one.name == name]
    default = next((one.account for one in own if one.default), own[0].account)
    level = next((one.admin_level for one in own if one.admin_level.lower() != "none"), "None")
    return matches(where, "default_accounts", default) and matches(where, "admin_levels", level)


def _may_change_record(work: Work, taken: list[str], values: Values) -> None:
    if "admin_level" in values:
        if str(values["admin_level"]) not in ("None", "Operator", "Administrator"):
            raise SlurmError(BAD_ARGUMENT, "unknown admin level")
        if not work.caller.admin:
            if work.caller.operator:
                raise denied(SUPER_USER)
            raise denied(OWN_ALONE) if taken == [work.caller.user_name] else denied()
    if not work.caller.operator and taken != [work.caller.user_name]:
        raise denied()


# associations


def account_association(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {lines}, or {problem: text, about: account} for a parent that can't be one."""
    taken = [
        entry
        for entry in work.tree()
        if not entry.user
        and matches(where, "names", entry.account)
        and matches(where, "parents", entry.parent)
        and matches(where, "clusters", work.cluster)
        and matches(where, "qos", *entry.qos)
    ]
    if not work.caller.operator:
        own = work.coordinates()
        if "parent" in values or not all(entry.account in own and entry.parent in own for entry in taken):
            raise denied()
    if "parent" in values:
        problem = _bad_parent(work, taken, str(values["parent"]))
        if problem:
            return {"lines": [], "problem": problem}
    return {"lines": _set_limits(work, taken, values, user_lines=False)}


def _bad_parent(work: Work, taken: list[Association], parent: str) -> str:
    if parent not in work.accounts():
        return f"Parent account {parent} doesn't exist on cluster {work.cluster}"
    for entry in taken:
        if entry.account == ROOT or parent in below(work.conf, entry.account):
            return (
                f"Requested parent account {parent} is a child of {entry.account} on cluster {work.cluster}. "
                f"Please re-parent {parent} before using it as a parent."
            )
    return ""


def user_association(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {lines}"""
    taken = user_associations(work, where)
    if not work.caller.operator:
        own = work.coordinates()
        if own:
            if not all(entry.account in own for entry in taken):
                raise denied()
        elif names_of(where) == [work.caller.user_name]:
            values = {name: value for name, value in values.items() if name == "default_qos"}
            if not values:
                return {"lines": []}
        else:
            raise denied()
    return {"lines": _set_limits(work, taken, values, user_lines=True)}


def cluster(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """Limits of the whole cluster are root's. -> {lines}"""
    need_operator(work)
    if not matches(where, "names", work.cluster):
        return {"lines": []}
    root = [entry for entry in work.tree() if entry.account == ROOT and not entry.user]
    return {"lines": _set_limits(work, root, values, user_lines=False)}


def _set_limits(work: Work, taken: list[Association], values: Values, user_lines: bool) -> list[str]:
    """Set them at each; the lines of those, and of what is below them and has one of these values from above."""
    wanted = checked(
        work, values, LIMITS if user_lines else ACCOUNT_KEYS - RECORD, AccountConf if not user_lines else UserConf
    )
    holders = _holders(work)
    following = _following(work, taken, wanted, holders)
    before = {entry.number: holders[entry.number] for entry in taken}
    if not work.caller.operator:
        _within_parents(work, taken, wanted, holders)
    for entry in taken:
        new = new_values(
            work, wanted, before[entry.number], entry.account if entry.user else entry.parent or entry.account
        )
        if entry.user:
            key = book.association_key(entry.account, entry.user, entry.partition)
            work.book.change(book.ASSOCIATION, key, new)
        else:
            work.book.change(book.ACCOUNT, entry.account, new)
    if wanted.keys() & {"qos", "default_qos", "parent"}:
        numbers = {entry.number for entry in taken}
        touched = [
            entry
            for entry in work.tree()
            if entry.number in numbers or (not user_lines and entry.user and entry.parent_number in numbers)
        ]
        after = _holders(work)
        need_default_access(work, [(entry, after[entry.number]) for entry in touched])
    if taken:
        name = " || ".join(f"id_assoc={entry.number}" for entry in taken)
        work.note("Modify Associations", f"({name})", info(plain(wanted), COLUMNS))
    lines = []
    numbers = {entry.number for entry in taken}
    for entry in following:
        line = modified_line(work.cluster, entry) if entry.number in numbers else user_line(work.cluster, entry)
        lines.append(line)
    return lines


def _holders(work: Work) -> dict[int, AssociationLimits]:
    """Each association's own settings, by its number."""
    found: dict[int, AssociationLimits] = {}
    accounts = work.accounts()
    users = {(one.account, one.name, one.partition): one for one in work.users()}
    for entry in work.tree():
        found[entry.number] = (
            users[entry.account, entry.user, entry.partition] if entry.user else accounts[entry.account]
        )
    return found


def _following(
    work: Work, taken: list[Association], wanted: Values, holders: dict[int, AssociationLimits]
) -> list[Association]:
    """Those taken and, in the tree's order, those below that have one of these values from them."""
    fields = {name for name in wanted if name in INHERITED or name == "qos"}
    everything = "parent" in wanted
    entries = work.tree()
    children: dict[int, list[Association]] = {}
    for entry in entries:
        children.setdefault(entry.parent_number, []).append(entry)
    found = {entry.number for entry in taken}

    def walk(number: int, left: set[str]) -> None:
        for child in children.get(number, ()):
            holder = holders[child.number]
            open_ = {name for name in left if not is_set(getattr(holder, name)) or getattr(holder, name) == []}
            if open_ or everything:
                found.add(child.number)
                walk(child.number, open_)

    for entry in taken:
        if not entry.user and (fields or everything):
            walk(entry.number, fields)
    return [entry for entry in entries if entry.number in found]


def _within_parents(
    work: Work, taken: list[Association], wanted: Values, holders: dict[int, AssociationLimits]
) -> None:
    """A coordinator gives no more than the account above has."""
    effective: dict[int, Values] = {}
    for entry in work.tree():
        effective[entry.number] = with_inherited(
            own_limits(holders[entry.number]), effective.get(entry.parent_number, {})
        )
    for entry in taken:
        above = effective.get(entry.parent_number, {})
        for name in wanted.keys() & set(INHERITED) & above.keys():
            if name not in ("default_qos", "priority") and _more(name, wanted[name], above[name]):
                raise SlurmError(
                    NOT_ABOVE_PARENT, notes=["Coordinators can not increase job limits beyond the parent ones"]
                )


def _more(name: str, value: Any, above: Any) -> bool:
    if not is_set(value):
        return False  # the one above counts then
    if "tres" in name:
        most = treslimits.parse(above)
        return any(amount > most.get(kind, amount) for kind, amount in treslimits.parse(value).items())
    if name.endswith("_wall"):
        return minutes(str(value)) > minutes(str(above))
    return bool(value > above)
