"""sacctmgr delete account, user, coordinator, qos, resource, cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_changes import NO_CONDITIONS, Request, Verb, conditions, told
from slurm_compat.cli.sacctmgr_modifying import resource_where, show_resources
from slurm_compat.cli.sacctmgr_settings import Settings, caller_is_operator
from slurm_compat.cli.sacctmgr_values import pair
from slurm_compat.cli.wordtable import table
from slurm_compat.core.errors import CommandError, SlurmError

NOTHING = " Nothing deleted"
ROOT_STAYS = (" You are not allowed to remove the root account.", " Use remove cluster instead.")


def _where(entity: str, words: Sequence[str]) -> dict[str, list[str]]:
    try:
        where = conditions(entity, words)
    except CommandError as problem:
        if entity == "qos":
            raise CommandError(*problem.lines, NO_CONDITIONS) from None
        raise
    if not where:
        raise CommandError(NO_CONDITIONS)
    return where


def account(settings: Settings, words: Sequence[str]) -> int:
    where = _where("account", words)
    if "root" in where.get("names", ()):
        raise CommandError(*ROOT_STAYS)
    advice = (
        "  Please either remove the accounts listed above from list and resubmit,",
        "  or change these users' default accounts to remove the account(s).",
    )
    request, answer = _attempt(settings, "account", where, advice)
    return _show(settings, request, answer, "accounts", "account")


def user(settings: Settings, words: Sequence[str]) -> int:
    wckeys = [word for word in words if pair(word)[1] and pair(word)[0].lower().startswith("w") and "=" in word]
    keys = [word for word in wckeys if not "where".startswith(pair(word)[0].lower())]
    where = _where("user", [word for word in words if word not in keys])
    if keys:
        where["wckeys"] = [name for word in keys for name in pair(word)[2].lower().split(",") if name]
    advice = (
        "  You must change the default account of these users or remove the users completely from the affected "
        "clusters to allow these changes.",
    )
    request, answer = _attempt(settings, "user", where, advice)
    return _show(settings, request, answer, "users", "user")


def _attempt(
    settings: Settings, entity: str, where: dict[str, list[str]], advice: Sequence[str]
) -> tuple[Request, dict[str, Any]]:
    request = Request(settings, "delete", entity, where, {})
    try:
        return request, request.attempt()
    except SlurmError as problem:
        refusal = told(problem)
        if problem.number == 7009:
            # the advice stands one column further left than what it is about
            raise CommandError(*refusal.lines, *(line[1:] for line in advice), " Changes Discarded") from None
        raise refusal from None


def _show(settings: Settings, request: Request, answer: dict[str, Any], plural: str, entity: str) -> int:
    out = settings.ctx.out
    if not (answer.get("names") or answer.get("lines")):
        out(NOTHING)
        return 1
    if "names" in answer:
        out(f" Deleting {plural}...")
        for name in answer["names"]:
            out(f"  {name}")
    else:
        out(f" Deleting {entity} associations...")
        for line in answer["lines"]:
            out(f"  {line}")
    if answer.get("left"):
        out(" Deleting users (No Associations)...")
        for name in answer["left"]:
            out(f"  {name}")
    return request.settle()


def qos(settings: Settings, words: Sequence[str]) -> int:
    where = _where("qos", words)
    request = Request(settings, "delete", "qos", where, {})
    try:
        answer = request.attempt()
    except SlurmError as problem:
        if problem.number != 7011:
            raise told(problem, " ") from None
        raise CommandError(
            " Associations listed below have these as their Default QOS.", *(f"  {note}" for note in problem.notes),
            " Please either remove the qos' listed above from list and resubmit,",
            " or change the default qos to remove the qos.", " Changes Discarded",
        ) from None  # fmt: skip
    if not answer["names"]:
        settings.ctx.out(f" {NOTHING}")
        return 1
    settings.ctx.out(" Deleting QOS(s)...")
    for name in answer["names"]:
        settings.ctx.out(f"  {name}")
    return request.settle()


def coordinator(settings: Settings, words: Sequence[str]) -> int:
    where: dict[str, list[str]] = {}
    rows = table("n|ames:names u|sers:names ac|counts:accounts acct|s:accounts")
    for word in words:
        name, operator, text = pair(word)
        if not operator and word.lower() in ("where", "set"):
            continue
        goes = next((goes for least, whole, goes in rows if len(name) >= least and whole.startswith(name.lower())), "")
        if operator and not goes:
            raise CommandError(f" Unknown condition: {word}", " Use keyword 'set' to modify value")
        listed = [part.strip().lower() for part in (text if operator else word).split(",") if part.strip()]
        where.setdefault(goes if operator else "names", []).extend(listed)
    people, accounts = where.get("names", []), where.get("accounts", [])
    if not people and not accounts:
        raise CommandError(" You need to specify a user list or account list here.")
    request = Request(settings, "delete", "coordinator", where, {})
    out = settings.ctx.out
    if people:
        out(" Removing Coordinators with user name")
        for name in people:
            out(f"  {name}")
        out(" From Account(s)" if accounts else " From all accounts")
    else:
        out(" Removing all users from Accounts")
    for name in accounts:
        out(f"  {name}")
    try:
        answer = request.attempt()
    except SlurmError as problem:
        raise told(problem) from None
    if not answer["removed"]:
        out(" Nothing removed")
        return 1
    out(" Removed Coordinators (sub accounts not listed)...")
    for name, account_name in answer["removed"]:
        out(f"  U = {name:<9} A = {account_name:<10}")
    return request.settle()


def cluster(settings: Settings, words: Sequence[str]) -> int:
    where = _where("cluster", words)
    if own_cluster(settings.ctx) not in where.get("names", ()):
        settings.ctx.out(NOTHING)
        return 1
    if not caller_is_operator(settings):
        raise CommandError(
            "sacctmgr: error: Your user doesn't have privilege to perform this action",
            " Error with request: Access/permission denied",
        )
    raise CommandError(
        "sacctmgr: error: delete cluster is not supported here; the cluster is its controller and its state folder: "
        "stop the one and remove the other"
    )


def resource(settings: Settings, words: Sequence[str]) -> int:
    where = resource_where([word for word in words if word.lower() not in ("where", "set")])
    if not where:
        raise CommandError(NO_CONDITIONS)
    request = Request(settings, "delete", "resource", where, {})
    try:
        answer = request.attempt()
    except SlurmError as problem:
        raise told(problem) from None
    if not (answer["names"] or answer["clusters"]):
        settings.ctx.out(f" {NOTHING}")
        return 1
    settings.ctx.out(" Deleting resource(s)...")
    show_resources(settings, answer)
    return request.settle()


VERBS: dict[str, Verb] = {
    "account": account, "user": user, "coordinator": coordinator, "qos": qos, "cluster": cluster, "resource": resource,
}  # fmt: skip
