"""sacctmgr add account, user, coordinator, qos, resource, cluster: what is asked, shown and said."""

from __future__ import annotations

from collections.abc import Sequence

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_changes import (
    NOTHING_TO_SET,
    SET_HINT,
    Request,
    Verb,
    is_denied,
    known_names,
    settings_refused,
)
from slurm_compat.cli.sacctmgr_confirm import sure
from slurm_compat.cli.sacctmgr_settings import Settings, caller_is_operator, has_uid
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

Where = dict[str, list[str]]

MAKE_SURE = "Make sure the accounts requested here have been added to the system/cluster. (sacctmgr add account...)"
LEVELS = ("None", "Operator", "Administrator")
NO_CLUSTER = " error: Cluster '{}' has not been added yet, please contact your admin before adding accounts to it"


def _words(
    settings: Settings,
    words: Sequence[str],
    where_keys: str,
    keys: Sequence[Key],
    extra: str = "",
    unknown: tuple[str, str] = (" Unknown option: ", SET_HINT),
) -> tuple[Where, Set, dict[str, str]]:
    """(whom, what is set, further values) of an add. Raises CommandError.

    `unknown`: what a word is called that means nothing, and the advice behind it; without one all such are told.
    """
    said, advice = unknown
    strange: list[str] = []
    where: Where = {}
    chosen, known, others = Set(), known_names(settings), dict[str, str]()
    rows = table(where_keys)
    more = table(extra) if extra else ()
    for word in words:
        name, operator, text = pair(word)
        place = _found(name, rows) if operator else "names"
        if place:
            where.setdefault(place, []).extend(_list(text if operator else word))
            continue
        if further := _found(name, more):
            others[further] = text
            continue
        key = key_named(name, keys)
        if key is None:
            if advice:
                raise CommandError(said + word, advice)
            strange.append(said + word)
            continue
        try:
            take(chosen, key, operator, text, known)
        except BadSetting as problem:
            refusal = settings_refused(problem, word)
            if not advice:
                refusal = CommandError(*(line for line in refusal.lines if line != SET_HINT))
            raise refusal from None
    if strange:
        raise CommandError(*strange)
    return where, chosen, others


def _found(name: str, rows: Sequence[tuple[int, str, str]]) -> str:
    best = (0, "")
    for least, whole, goes in rows:
        if len(name) >= least and whole.startswith(name.lower()) and least > best[0]:
            best = (least, goes)
    return best[1]


def _list(text: str) -> list[str]:
    return [part.strip(" \"'").lower() for part in text.split(",") if part.strip(" \"'")]


def _need_cluster(settings: Settings, where: Where, refusal: str) -> None:
    own = own_cluster(settings.ctx)
    for name in where.pop("clusters", []):
        if name != own:
            raise CommandError(refusal.format(name))


def account(settings: Settings, words: Sequence[str]) -> int:
    keys = (*ACCOUNT_RECORD, *ASSOCIATION)
    where, chosen, _ = _words(settings, words, "n|ames:names acct|s:names acc|ounts:names c|lusters:clusters", keys)
    if not where.get("names") and not any(not word.strip() for word in words):
        raise CommandError(" Need name of account to add.")
    _need_cluster(settings, where, NO_CLUSTER)
    request = Request(settings, "add", "account", {"names": where.get("names") or [""]}, chosen.values)
    try:
        answer = request.attempt()
    except SlurmError as problem:
        lines_ = f" error: {problem.text}".split("\n")
        raise CommandError(*lines_, *([""] if not where.get("names") else ())) from None
    out, cluster = settings.ctx.out, own_cluster(settings.ctx)
    there = [f"Already existing account {name} on cluster {cluster}" for name in answer["existing"]]
    if not answer["added"]:
        out(" " + "\n".join(there))
        return 1
    out(" Adding Account(s)")
    for name in answer["added"]:
        out(f"  {name}")
    out(" Settings")
    out(f"  Description     = {chosen.values.get('description', 'Account Name')}")
    out(f"  Organization    = {chosen.values.get('organization', 'Parent/Account Name')}")
    out("\n".join(there) or " Associations =")
    for name in answer["added"]:
        out(f"  C = {cluster:<10} A = {name:<20}")
    if chosen.values:
        out(" Settings")
        for line in lines(chosen, ASSOCIATION, 14):
            out(line)
    return request.settle()


def user(settings: Settings, words: Sequence[str]) -> int:
    where, chosen, others = _words(
        settings, words,
        "n|ames:names u|sers:names ac|counts:accounts c|lusters:clusters par|titions:partitions w|ckeys:wckeys",
        [key for key in ASSOCIATION if key.attribute != "parent"],
        "ad|minlevel:admin_level defaulta|ccount:default_account defaultw|ckey:default_wckey",
        (" Unknown option: ", ""),
    )  # fmt: skip
    names = where.get("names", [])
    if not names:
        raise CommandError(" Need name of user to add.")
    default, wckey = (others.get(key, "").lower() for key in ("default_account", "default_wckey"))
    if not (where.get("accounts") or default or where.get("wckeys") or wckey):
        raise CommandError(" Need name of account or wckey to add.")
    if not settings.immediate:
        for name in names:
            if not has_uid(name) and not sure(settings, f"There is no uid for user '{name}'"):
                raise CommandError(code=1)
    _need_cluster(settings, where, " error: Cluster '{}' has not been added yet")
    values = chosen.values | {
        key: text for key, text in (("default_account", default), ("default_wckey", wckey)) if text
    }
    level = next((level for level in LEVELS if level.lower().startswith(others.get("admin_level", "none").lower())), "")
    if level and level != "None":
        values["admin_level"] = level
    request = Request(settings, "add", "user", where, values)
    try:
        answer = request.attempt()
    except SlurmError as problem:
        text = problem.text if is_denied(problem) else f"{problem.text} ({problem.text})"
        if is_denied(problem) and problem.text != "Access/permission denied":
            text = f"Access/permission denied ({problem.text})"
        raise CommandError(*f" error: Problem adding user associations: {text}".split("\n")) from None
    skipped = [f"No account {name} on cluster {own_cluster(settings.ctx)}, skipping." for name in answer["unknown"]]
    if not (answer["associations"] or answer["wckeys"]):
        for line in (*(skipped or ["Request didn't affect anything"]), "Nothing added.", MAKE_SURE):
            settings.ctx.out(line)
        return 1
    _show_user(settings, answer, chosen, default, level, skipped)
    return request.settle()


def _show_user(
    settings: Settings, answer: dict[str, list[list[str]]], chosen: Set, default: str, level: str, skipped: list[str]
) -> None:
    out, cluster = settings.ctx.out, own_cluster(settings.ctx)
    if answer["users"]:
        out(" Adding User(s)")
        for name in answer["users"]:
            out(f"  {name}")
        out(" Settings")
        if default:
            out(f"  Default Account = {default}")
        if level and level != "None":
            out(f"  Admin Level     = {level}")
    if answer["associations"]:
        out(" Associations =")
    for account, user, partition in answer["associations"]:
        line = f"  C = {cluster:<10} A = {account:<20} U = {user:<9}"
        out(f"{line} P = {partition}" if partition else line)
    for line in skipped:
        out(line)
    limits = lines(chosen, ASSOCIATION, 14)
    if limits:
        out(" Non Default Settings")
        for line in limits:
            out(line)
    if answer["wckeys"]:
        out(" Wckey(s)")
    for wckey, user in answer["wckeys"]:
        out(f"  C = {cluster:<10} W = {wckey:<10} U = {user:<9}")


def coordinator(settings: Settings, words: Sequence[str]) -> int:
    where, _, _ = _words(
        settings, words, "n|ames:names u|sers:names ac|counts:accounts acct|s:accounts", (),
        unknown=(" Unknown condition: ", " Use keyword 'set' to modify value"),
    )  # fmt: skip
    if not where:
        raise CommandError(" You need to specify conditions to to add the coordinator.")
    if not where.get("accounts"):
        raise CommandError(" You need to specify an account list here.")
    if not where.get("names"):
        raise CommandError(" You need to specify a user list here.")
    request = Request(settings, "add", "coordinator", where, {})
    shown = (
        " Adding Coordinator User(s)", *(f"  {name}" for name in where["names"]), " To Account(s) and all sub-accounts",
        *(f"  {name}" for name in where["accounts"]),
    )  # fmt: skip
    try:
        request.attempt()
    except SlurmError as problem:
        if not is_denied(problem):
            raise CommandError(f" {problem.text}") from None
        for line in shown:
            settings.ctx.out(line)
        raise CommandError(f" Problem adding coordinator: {problem.text}") from None
    for line in shown:
        settings.ctx.out(line)
    return request.settle()


def qos(settings: Settings, words: Sequence[str]) -> int:
    try:
        where, chosen, _ = _words(settings, words, "n|ames:names q|oslevel:names", QOS_KEYS)
    except UnknownFlag as problem:
        for line in problem.told:
            settings.ctx.out(line)
        return 1
    except CommandError as problem:
        return qos_refused(settings, problem)
    if not where.get("names"):
        raise CommandError(" Need name of qos to add.")
    request = Request(settings, "add", "qos", where, chosen.values)
    try:
        answer = request.attempt()
        added = answer["added"]
    except SlurmError as problem:
        if not is_denied(problem):
            raise CommandError(*(f"sacctmgr: error: {note}" for note in problem.notes), f" {problem.text}") from None
        _show_qos(settings, where["names"], chosen)
        raise CommandError(f" Problem adding QOS: {problem.text}") from None
    if not added:
        settings.ctx.out(" Nothing new added.")
        return 1
    _show_qos(settings, added, chosen)
    return request.settle()


def qos_refused(settings: Settings, problem: CommandError, modify: bool = False) -> int:
    """Options nobody knows are told on stdout here, and bad values without calling them unknown."""
    unknown = [line for line in problem.lines if line.startswith(" Unknown option: ")]
    if unknown and len(problem.lines) == 2 * len(unknown):
        for line in problem.lines:
            settings.ctx.out(line)
        return 1
    said = problem.lines[: problem.lines.index(unknown[0])] if unknown else problem.lines
    number = any("Invalid value for" in line or "is not a valid number" in line for line in said)
    raise CommandError(*said, *((NOTHING_TO_SET,) if number and modify else ()))


def _show_qos(settings: Settings, added: Sequence[str], chosen: Set) -> None:
    out = settings.ctx.out
    out(" Adding QOS(s)")
    for name in added:
        out(f"  {name}")
    out(" Settings")
    out(f"  Description    = {chosen.values.get('description', added[-1])}")
    for line in lines(chosen, QOS_KEYS, 25):
        out(line)


def cluster(settings: Settings, words: Sequence[str]) -> int:
    """There is one cluster, and it is there."""
    where = _words(settings, words, "n|ames:names c|lusters:names", ASSOCIATION)[0]
    names = where.get("names", [])
    if not names:
        raise CommandError(" Need name of cluster to add.")
    own = own_cluster(settings.ctx)
    others = [name for name in names if name != own]
    if not others:
        settings.ctx.out(f" This cluster {own} already exists.  Not adding.")
        return 1
    if not caller_is_operator(settings):
        raise CommandError(" Problem adding clusters: Access/permission denied")
    raise CommandError(
        f"sacctmgr: error: add cluster {others[0]} is not supported here; a controller keeps one cluster, "
        "start another one with a cluster file of its own"
    )


RESOURCE_WHERE = "n|ames:names c|lusters:clusters server|s:servers"
RESOURCE_VALUES = (
    "cou|nt:count d|escription:description fl|ags:flags a|llowed:allowed percent|allowed:allowed "
    "servert|ype:server_type t|ype:type l|astconsumed:last_consumed"
)


def resource_values(others: dict[str, str]) -> dict[str, object]:
    """Numbers as numbers. Raises CommandError."""
    values: dict[str, object] = {}
    for name, text in others.items():
        if name in ("count", "allowed", "last_consumed"):
            if not text.isdecimal():
                title = {"count": "Count", "allowed": "Allowed", "last_consumed": "LastConsumed"}[name]
                raise CommandError(f"sacctmgr: error: Invalid value for {title} ({text})")
            values[name] = int(text)
        elif name == "type":
            values[name] = "License"
        elif name == "flags":
            if text.lower() not in ("absolute", "none", "-1", ""):
                raise CommandError(f" Unknown Flag(s)={text}")
            values[name] = "Absolute" if text.lower() == "absolute" else ""
        else:
            values[name] = text.lower()
    return values


def resource(settings: Settings, words: Sequence[str]) -> int:
    where, _, others = _words(settings, words, RESOURCE_WHERE, (), RESOURCE_VALUES)
    if not where.get("names"):
        raise CommandError(" Need name of resource to add.")
    own = own_cluster(settings.ctx)
    clusters = where.pop("clusters", [])
    for name in clusters:
        if name != own:
            raise CommandError(
                f" This cluster '{name}' doesn't exist.", "        Contact your admin to add it to accounting.",
                " Need a valid cluster name to add a cluster resource.",
            )  # fmt: skip
    values = resource_values(others)
    allowed = values.get("allowed")
    if clusters:
        values["allowed"] = allowed if allowed is not None else 0
    else:
        values.pop("allowed", None)
    request = Request(settings, "add", "resource", where, values)
    shown = _resource_lines(where, others, own if clusters else "", allowed)
    try:
        answer = request.attempt()
    except SlurmError as problem:
        if not is_denied(problem):
            raise CommandError(f" {problem.text}") from None
        for line in shown:
            settings.ctx.out(line)
        raise CommandError(f" Problem adding system resource: {problem.text}") from None
    if not answer["added"]:
        settings.ctx.out(" Nothing new added.")
        return 1
    for line in shown:
        settings.ctx.out(line)
    return request.settle()


def _resource_lines(where: Where, others: dict[str, str], cluster: str, allowed: object) -> list[str]:
    server = where.get("servers", ["slurmdb"])[0]
    found = [" Adding Resource(s)"]
    for name in where["names"]:
        found.append(f"  {name}@{server}")
        if cluster:
            found.append(f"   Cluster - {cluster}\t{allowed if allowed is not None else 0}")
    found += [" Settings", f"  Name           = {where['names'][-1]}", f"  Server         = {server}"]
    found.append(f"  Description    = {others.get('description', where['names'][-1]).lower()}")
    if "server_type" in others:
        found.append(f"  ServerType     = {others['server_type'].lower()}")
    if "count" in others:
        found.append(f"  Count          = {others['count']}")
    found.append(f"  Type           = {'License' if 'type' in others else 'Unknown'}")
    return found


VERBS: dict[str, Verb] = {
    "account": account, "user": user, "coordinator": coordinator, "qos": qos, "cluster": cluster, "resource": resource,
}  # fmt: skip
