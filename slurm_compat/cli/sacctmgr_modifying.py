"""sacctmgr modify: records and limits. What is of both kinds is asked for, shown and confirmed one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_adding import LEVELS, RESOURCE_VALUES, RESOURCE_WHERE, qos_refused, resource_values
from slurm_compat.cli.sacctmgr_changes import (
    NOTHING_TO_SET,
    SET_HINT,
    Request,
    Verb,
    conditions,
    is_denied,
    known_names,
    parts,
    settings_refused,
    told,
)
from slurm_compat.cli.sacctmgr_confirm import DISCARDED, confirmed, sure
from slurm_compat.cli.sacctmgr_settings import Settings
from slurm_compat.cli.sacctmgr_values import (
    ACCOUNT_RECORD,
    ASSOCIATION,
    QOS_KEYS,
    BadSetting,
    Key,
    Set,
    UnknownFlag,
    key_named,
    lines,
    pair,
    take,
)
from slurm_compat.cli.wordtable import table
from slurm_compat.core.errors import CommandError, SlurmError

NOTHING = "  Nothing modified"
BAD_WHERE = " There was a problem with your 'where' options."
USER_RECORD = table("ad|minlevel:admin_level defaulta|ccount:default_account defaultw|ckey:default_wckey newn|ame:name")
RAW_USAGE = table("raw|usage:raw_usage")


def _set(settings: Settings, words: Sequence[str], keys: Sequence[Key]) -> Set:
    chosen, known = Set(), known_names(settings)
    unknown: list[str] = []
    for word in words:
        name, operator, text = pair(word)
        key = key_named(name, keys) if operator else None
        if key is None:
            unknown += [f" Unknown option: {word}", SET_HINT]
            continue
        try:
            take(chosen, key, operator, text, known)
        except BadSetting as problem:
            raise settings_refused(problem, word) from None
    if unknown:
        raise CommandError(*unknown)
    return chosen


def _attempt(request: Request) -> dict[str, Any]:
    try:
        return request.attempt()
    except SlurmError as problem:
        raise told(problem) from None


def _records(settings: Settings, entity: str, where: dict[str, list[str]], values: dict[str, Any]) -> int:
    """ "Modified accounts...": those whose own keys change."""
    out = settings.ctx.out
    out(f" Modified {entity}s...")
    request = Request(settings, "modify", entity, where, values)
    answer = _attempt(request)
    if answer.get("missing"):
        what = "account" if "default_account" in values else "wckey"
        name = values.get("default_account") or values.get("default_wckey")
        out(f" Can't modify because these users aren't associated with new default {what} '{name}'...")
        for user in answer["missing"]:
            out(f"  U = {user} C = {own_cluster(settings.ctx)}")
        return 1
    if not answer["names"]:
        out(NOTHING)
        return 1
    for name in answer["names"]:
        out(f"  {name}")
    return request.settle()


def _associations(settings: Settings, entity: str, where: dict[str, list[str]], values: dict[str, Any]) -> int:
    out = settings.ctx.out
    out(f" Modified {entity} associations...")
    request = Request(settings, "modify", f"{entity} association", where, values)
    answer = _attempt(request)
    if answer.get("problem"):
        out(f"  {answer['problem']}")
        return 0
    if not answer["lines"]:
        out(NOTHING)
        return 1
    for line in answer["lines"]:
        out(f"  {line}")
    return request.settle()


def _aborted(settings: Settings, where: dict[str, list[str]]) -> bool:
    """Whether one who names nobody, and so means all, thinks better of it."""
    if where or sure(settings, "You didn't set any conditions with 'WHERE'."):
        return False
    settings.ctx.out("Aborted")
    return True


def _of(word: str, rows: Sequence[tuple[int, str, str]]) -> str:
    name = pair(word)[0].lower()
    return next((goes for least, whole, goes in rows if len(name) >= least and whole.startswith(name)), "")


def _raw_usage(settings: Settings, words: Sequence[str], where: dict[str, list[str]], entity: str) -> int:
    """What was used until now is to count no more."""
    for word in words:
        if pair(word)[2] != "0":
            raise CommandError("sacctmgr: error: Raw usage can only be set to 0 (zero)")
    if entity == "user" and not where.get("accounts"):
        raise CommandError("sacctmgr: error: An account must be specified")
    if not where.get("names"):
        raise CommandError("sacctmgr: error: An association name is required to remove usage")
    if not where.get("clusters"):
        settings.ctx.out(f"No cluster specified, resetting on local cluster {own_cluster(settings.ctx)}")
    if entity == "qos":
        whose = {"qos": where["names"]}
    else:
        users = where["names"] if entity == "user" else []
        whose = {"accounts": where["accounts"] if users else where["names"], "names": users}
    if not confirmed(settings, f"Would you like to {'update' if entity == 'qos' else 'reset'} usage?"):
        settings.ctx.out(DISCARDED)
        return 0
    try:
        settings.ctx.controller.call("change_book", verb="modify", entity="usage", where=whose)
    except SlurmError as problem:
        if is_denied(problem):
            return 1  # the real one says no more either
        raise CommandError(f"sacctmgr: error: {problem.text}") from None
    return 0


def account(settings: Settings, words: Sequence[str]) -> int:
    whom, what = parts(words)
    where = conditions("account", whom)
    if not what:
        raise CommandError(NOTHING_TO_SET)
    if any(pair(word)[0].lower() in ("name", "names") for word in what):
        raise CommandError(" Can't modify the name of an account")
    if raw := [word for word in what if _of(word, RAW_USAGE)]:
        code = _raw_usage(settings, raw, where, "account")
        what = [word for word in what if word not in raw]
        if code or not what:
            return code
    chosen = _set(settings, what, (*ACCOUNT_RECORD, *ASSOCIATION))
    record = {name: value for name, value in chosen.values.items() if name in ("description", "organization", "flags")}
    limits = {name: value for name, value in chosen.values.items() if name not in record}
    by_record = {"descriptions", "organizations"} & where.keys()
    if _aborted(settings, where):
        return 0
    code = _records(settings, "account", where, record) if record else 0
    if limits:
        if by_record:
            raise CommandError(BAD_WHERE)
        code = _associations(settings, "account", where, limits) or code
    return code


def user(settings: Settings, words: Sequence[str]) -> int:
    whom, what = parts(words)
    where = conditions("user", whom)
    if not what:
        raise CommandError(NOTHING_TO_SET)
    if raw := [word for word in what if _of(word, RAW_USAGE)]:
        code = _raw_usage(settings, raw, where, "user")
        what = [word for word in what if word not in raw]
        if code or not what:
            return code
    record: dict[str, Any] = {}
    rest = []
    for word in what:
        goes = _of(word, USER_RECORD)
        if not goes:
            rest.append(word)
            continue
        text = pair(word)[2]
        if goes == "name":
            raise CommandError(
                "sacctmgr: error: NewName is not supported here; add the new user and delete the old one"
            )
        record[goes] = text.lower()
        if goes == "admin_level":
            record[goes] = next((level for level in LEVELS if text and level.lower().startswith(text.lower())), "None")
    chosen = _set(settings, rest, [key for key in ASSOCIATION if key.attribute != "parent"])
    if _aborted(settings, where):
        return 0
    code = _records(settings, "user", where, record) if record else 0
    if chosen.values:
        if {"default_accounts", "admin_levels", "default_wckeys"} & where.keys():
            raise CommandError(BAD_WHERE)
        code = _associations(settings, "user", where, chosen.values) or code
    return code


def qos(settings: Settings, words: Sequence[str]) -> int:
    whom, what = parts(words)
    where = conditions("qos", whom)
    if raw := [word for word in what if _of(word, RAW_USAGE)]:
        code = _raw_usage(settings, raw, where, "qos")
        what = [word for word in what if word not in raw]
        if code or not what:
            return code
    try:
        chosen = _set(settings, [word for word in what if pair(word)[0].lower() not in ("name", "names")], QOS_KEYS)
    except UnknownFlag as problem:
        for line in problem.told:
            settings.ctx.out(line)
        return 1
    except CommandError as problem:
        return qos_refused(settings, problem, modify=True)
    if not chosen.values:
        raise CommandError(NOTHING_TO_SET)
    if _aborted(settings, where):
        return 0
    request = Request(settings, "modify", "qos", where, chosen.values)
    answer = _attempt(request)
    if not answer["names"]:
        settings.ctx.out(NOTHING)
        return 1
    settings.ctx.out(" Modified qos...")
    for name in answer["names"]:
        settings.ctx.out(f"  {name}")
    return request.settle()


def cluster(settings: Settings, words: Sequence[str]) -> int:
    whom, what = parts(words)
    where = conditions("cluster", whom)
    if not what:
        raise CommandError(NOTHING_TO_SET)
    chosen = _set(settings, what, [key for key in ASSOCIATION if key.attribute != "parent"])
    if _aborted(settings, where):
        return 0
    request = Request(settings, "modify", "cluster", where, chosen.values)
    answer = _attempt(request)
    out = settings.ctx.out
    if not answer["lines"]:
        out(NOTHING)
        return 1
    out(" Setting")
    out("  Default Limits:")
    for line in lines(chosen, ASSOCIATION, 14):
        out(line)
    out(" Modified cluster defaults for associations...")
    for line in answer["lines"]:
        out(f"  {line}")
    return request.settle()


def resource_where(words: Sequence[str]) -> dict[str, list[str]]:
    where: dict[str, list[str]] = {}
    rows = table(RESOURCE_WHERE + " d|escriptions:descriptions servert|ypes:server_types")
    for word in words:
        name, operator, text = pair(word)
        goes = next(
            (goes for least, whole, goes in rows if operator and len(name) >= least and whole.startswith(name.lower())),
            "",
        )
        if operator and not goes:
            raise CommandError(f" Unknown condition: {word}", " Use keyword 'set' to modify value")
        listed = [part.strip().lower() for part in (text if operator else word).split(",") if part.strip()]
        where.setdefault(goes or "names", []).extend(listed)
    return where


def resource(settings: Settings, words: Sequence[str]) -> int:
    whom, what = parts(words)
    where = resource_where(whom)
    rows = table(RESOURCE_VALUES)
    others: dict[str, str] = {}
    for word in what:
        goes = _of(word, rows)
        if not goes:
            settings.ctx.out(f" Unknown option: {word}")
            settings.ctx.out(SET_HINT)
            return 1
        others[goes] = pair(word)[2]
    if not others:
        raise CommandError(NOTHING_TO_SET)
    request = Request(settings, "modify", "resource", where, resource_values(others))
    try:
        answer = request.attempt()
    except SlurmError as problem:
        if problem.number != 7005:
            raise told(problem) from None
        key, amount = problem.notes
        raise CommandError(
            f"sacctmgr: error: {problem.text}", " If change was accepted it would look like this...", f"  {key}",
            f"   Cluster - {own_cluster(settings.ctx)}\t {amount}", f"   total\t\t{amount}",
        ) from None  # fmt: skip
    if not (answer["names"] or answer["clusters"]):
        settings.ctx.out(NOTHING)
        return 1
    settings.ctx.out(" Modified server resource ...")
    show_resources(settings, answer)
    return request.settle()


def show_resources(settings: Settings, answer: dict[str, Any]) -> None:
    for name in answer["names"]:
        settings.ctx.out(f"  {name}")
    for name in answer["clusters"]:
        settings.ctx.out(f"  Cluster - {own_cluster(settings.ctx)}\t- {name}")


VERBS: dict[str, Verb] = {"account": account, "user": user, "qos": qos, "cluster": cluster, "resource": resource}
