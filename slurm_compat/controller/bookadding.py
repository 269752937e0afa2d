"""sacctmgr add account, user, coordinator. Each answers what it added; what is there already is left as it is."""

from __future__ import annotations

from typing import Any

import msgspec

from slurm_compat.controller import book
from slurm_compat.controller.associations import ROOT, Association, allowed_qos
from slurm_compat.controller.bookvalues import (
    ACCOUNT_KEYS,
    LIMITS,
    checked,
    need_default_access,
    new_values,
    whole,
)
from slurm_compat.controller.bookwork import (
    NO_PRIVILEGE,
    Values,
    Where,
    Work,
    denied,
    info,
    names_of,
)
from slurm_compat.core.cluster import AccountConf, UserConf
from slurm_compat.core.errors import BAD_ARGUMENT, INVALID_ACCOUNT, SlurmError

ADDERS = "Only admins/operators/coordinators can add accounts"
LEVELS = ("None", "Operator", "Administrator")


def _may_add(work: Work, accounts: list[str]) -> None:
    if work.caller.operator:
        return
    own = work.coordinates()
    if not own:
        raise denied(text=ADDERS)
    if not own.issuperset(accounts):
        raise denied(text=f"{NO_PRIVILEGE}\n")


def account(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {added: [name], existing: [name]}"""
    names = names_of(where)
    known = work.accounts()
    values = dict(values)
    parent = str(values.pop("parent", "") or ROOT)
    if parent not in known:
        raise SlurmError(INVALID_ACCOUNT, f"No parent account '{parent}' on cluster '{work.cluster}'")
    _may_add(work, [parent])
    wanted = checked(work, values, ACCOUNT_KEYS, AccountConf)
    added = [name for name in names if name not in known]
    for name in added:
        blank = AccountConf(name=name, parent=parent)
        full = msgspec.structs.replace(blank, **new_values(work, wanted, blank, parent))
        if "description" not in wanted:
            full.description = name
        if "organization" not in wanted:
            full.organization = parent if parent != ROOT else name
        number = work.book.add(book.ACCOUNT, name, whole(full), work.now)
        told = info({"description": full.description, "organization": full.organization}, {})
        work.note("Add Accounts", name, f"{told}, flags='0'")
        own = {"acct": name, "parent_acct": parent, "shares": full.fairshare} | _logged(wanted)
        work.note("Add Associations", f"id_assoc={number}", f"mod_time={work.now}, " + info(own, {}))
    return {"added": added, "existing": [name for name in names if name in known]}


def _logged(values: Values) -> Values:
    return {
        name: value["names"] if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in ("fairshare", "description", "organization")
    }


def user(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {users: new ones, associations: [[account, user, partition]], unknown: [account], wckeys: [[wckey, user]]}"""
    names = names_of(where)
    values = dict(values)
    default, level = str(values.pop("default_account", "") or ""), str(values.pop("admin_level", "") or "None")
    default_wckey = str(values.pop("default_wckey", "") or "")
    asked = names_of(where, "accounts")
    if default and default not in asked:
        asked.append(default)
    wckeys = names_of(where, "wckeys")
    if default_wckey and default_wckey not in wckeys:
        wckeys.append(default_wckey)
    if level != "None" and not work.caller.operator:
        raise denied(text="Only admins/operators can add an admin/operator")
    if level not in LEVELS:
        raise SlurmError(BAD_ARGUMENT, f"unknown admin level {level}")
    _may_add(work, asked)
    known = work.accounts()
    accounts = [name for name in asked if name in known]
    wanted = checked(work, values, LIMITS, UserConf)
    partitions = names_of(where, "partitions") or [""]
    added = [
        (name, person, partition)
        for name in accounts
        for person in names
        for partition in partitions
        if not work.book.has(book.ASSOCIATION, book.association_key(name, person, partition))
    ]
    people = work.book.people()
    new = [person for person in names if not people.get(person) and any(person == one[1] for one in added)]
    for person in new:
        record: Values = {"default_account": default if default in accounts else accounts[0], "admin_level": level}
        if default_wckey:
            record["default_wckey"] = default_wckey
        work.book.add(book.USER, person, record, work.now)
        work.note("Add Users", person, info({"admin_level": LEVELS.index(level) + 1}, {}) if level != "None" else "")
    for name, person, partition in added:
        blank = UserConf(name=person, account=name, partition=partition)
        full = msgspec.structs.replace(blank, **new_values(work, wanted, blank, name))
        key = book.association_key(name, person, partition)
        number = work.book.add(book.ASSOCIATION, key, whole(full), work.now)
        own = {"acct": name, "user": person, "partition": partition, "shares": full.fairshare} | _logged(wanted)
        work.note("Add Associations", f"id_assoc={number}", f"mod_time={work.now}, " + info(own, {}))
        if wanted.keys() & {"qos", "default_qos"}:
            allowed = allowed_qos(work.book.without_users(), name, full.qos)
            need_default_access(
                work, [(Association(number, name, person, "", 0, "", 1, allowed, False, partition), full)]
            )
    return {
        "users": new,
        "associations": [list(one) for one in added],
        "unknown": [name for name in asked if name not in known],
        "wckeys": []
        if asked and not added
        else _wckeys(work, [one for one in names if work.book.people().get(one)], wckeys, default_wckey),
    }


def _wckeys(work: Work, people: list[str], wckeys: list[str], default: str) -> list[list[str]]:
    if not work.caller.operator:
        return []
    known = {key for key, _, _ in work.book.values(book.WCKEY)}
    added = []
    for person in people:
        for name in wckeys:
            key = f"{name}\t{person}"
            if key in known:
                continue
            number = work.book.add(book.WCKEY, key, {}, work.now)
            own = {"wckey_name": name, "user": person, "is_def": int(name == default)}
            work.note("Add WCKeys", f"id_wckey={number}", f"mod_time={work.now}, " + info(own, {}))
            added.append([name, person])
        if default or (wckeys and "default_wckey" not in work.book.user_record(person)):
            work.book.change(book.USER, person, {"default_wckey": default or wckeys[0]})
    return added


def coordinator(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """Users look after accounts. -> {users, accounts}"""
    people, accounts = names_of(where), names_of(where, "accounts")
    known = work.accounts()
    for name in accounts:
        if name not in known:
            raise SlurmError(INVALID_ACCOUNT, f"You specified a non-existent account '{name}'.")
    users = {one.name for one in work.users()}
    for person in people:
        if person not in users:
            raise SlurmError(INVALID_ACCOUNT, f"You specified a non-existent user '{person}'.")
    if not work.caller.operator and not work.coordinates().issuperset(accounts):
        raise denied()
    for name in accounts:
        old = known[name].coordinators
        more = [person for person in people if person not in old]
        if more:
            work.book.change(book.ACCOUNT, name, {"coordinators": [*old, *more]})
        for person in more:
            work.note("Add Account Coord", person, name)
    return {"users": people, "accounts": accounts}


def remove_coordinator(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {removed: [[user, account]]}; without users all of the accounts', without accounts all of the users'."""
    people, accounts = names_of(where), names_of(where, "accounts")
    removed = []
    for name, conf in sorted(work.accounts().items()):
        if accounts and name not in accounts:
            continue
        gone = [person for person in conf.coordinators if not people or person in people]
        if not gone:
            continue
        if not work.caller.operator and name not in work.coordinates():
            raise denied()
        left = [person for person in conf.coordinators if person not in gone]
        work.book.change(book.ACCOUNT, name, {"coordinators": left})
        for person in gone:
            work.note("Remove Account Coords", f"(user='{person}') && (acct='{name}')")
            removed.append([person, name])
    return {"removed": removed}
