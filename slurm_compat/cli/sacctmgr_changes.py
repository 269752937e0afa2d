"""What sacctmgr would change: here the cluster file says it, so each such verb is refused with where to say it instead.

Those who may change nothing in Slurm either are told so first, in its words. Source: observed on 26.05.
"""

from __future__ import annotations

import pwd
import select
from collections.abc import Callable, Sequence
from typing import NamedTuple

from slurm_compat.cli.sacctmgr_conditions import table
from slurm_compat.cli.sacctmgr_show import Settings, caller_is_operator
from slurm_compat.core.errors import CommandError

PATIENCE = 30  # seconds for an answer
NO_PRIVILEGE = (
    "sacctmgr: error: Your user doesn't have privilege to perform this action",
    " Error with request: Access/permission denied",
)
ADD_REFUSED = "Only admins/operators/coordinators can add accounts"


class Entity(NamedTuple):
    name: str
    least: int  # letters that suffice
    part: str  # of the cluster file


ENTITIES = (
    Entity("account", 3, "Accounts"),
    Entity("cluster", 2, "ClusterName"),
    Entity("coordinator", 3, ""),
    Entity("federation", 1, ""),
    Entity("qos", 1, "QOS"),
    Entity("resource", 1, "Licenses"),
    Entity("user", 1, "Users"),
    Entity("job", 1, ""),
)
_OF = {
    "add": ("account", "cluster", "coordinator", "federation", "qos", "resource", "user"),
    "modify": ("account", "cluster", "federation", "job", "qos", "resource", "user"),
    "delete": ("account", "cluster", "coordinator", "federation", "qos", "resource", "user"),
}
_MISSING = {
    "add": '"Account", "Cluster", "Coordinator", "Federation", "QOS", "Resource", or "User"',
    "modify": '"Account", "Cluster", "Federation", "Job", "QOS", "Resource" or "User"',
    "delete": '"Account", "Cluster", "Coordinator", "Federation", "QOS", "Resource", or "User"',
}
_INSTEAD = {
    "coordinator": "accounts have no coordinators here; name Operators in the cluster file",
    "federation": "a cluster stands alone here",
    "job": "use scontrol update JobId=… while the job is remembered",
}


def sure(settings: Settings, question: str) -> bool:
    """Ask, unless -i was given; nobody there to answer is no."""
    if settings.immediate:
        return True
    ctx = settings.ctx
    ctx.out(question)
    ctx.out(f"Are you sure you want to continue? (You have {PATIENCE} seconds to decide)")
    ctx.stdout.write("(N/y): ")
    ctx.stdout.flush()
    answer = _answer(settings)
    ctx.out("")
    return answer.strip().lower().startswith("y")


def _answer(settings: Settings) -> str:
    stdin = settings.ctx.stdin
    try:
        ready = bool(select.select([stdin], [], [], PATIENCE)[0])
    except (OSError, ValueError):  # no file: what there is can be read at once
        ready = True
    return stdin.readline(1024) if ready else ""


def change(verb: str) -> Callable[[Settings, Sequence[str]], int]:
    """add, modify or delete."""

    def run(settings: Settings, words: Sequence[str]) -> int:
        entity = _entity(verb, words[0] if words else "")
        if settings.readonly:
            raise CommandError("Can't run this command in readonly mode.")
        rest = words[1:]
        if (verb, entity.name) == ("add", "user"):
            _new_user(settings, rest)
        elif verb == "delete" and not rest:
            raise CommandError(" No conditions given to remove, not executing.")
        if not caller_is_operator(settings):
            if (verb, entity.name) == ("add", "user"):
                reason = f"Access/permission denied ({ADD_REFUSED})"
                raise CommandError(f" error: Problem adding user associations: {reason}")
            if (verb, entity.name) == ("add", "account"):
                raise CommandError(f" error: {ADD_REFUSED}")
            raise CommandError(*NO_PRIVILEGE)
        instead = _INSTEAD.get(entity.name) or f"edit {entity.part} in {_file(settings)} and run scontrol reconfigure"
        raise CommandError(f"sacctmgr: error: {verb} {entity.name} is not supported here; {instead}")

    return run


def _entity(verb: str, word: str) -> Entity:
    for entity in ENTITIES:
        word_fits = len(word) >= entity.least and (entity.name + "s").startswith(word.lower())
        if entity.name in _OF[verb] and word_fits:
            return entity
    raise CommandError(f"No valid entity in {verb} command", f"Input line must include {_MISSING[verb]}")


_NEW_USER = table(
    "n|ames:names u|sers:names ac|counts:accounts ad|minlevel c|lusters com|ment defaulta|ccount defaultq|os "
    "defaultw|ckey f|airshare max|tres par|titions pri|ority q|oslevel w|ckeys:accounts"
)


def _new_user(settings: Settings, words: Sequence[str]) -> None:
    """What sacctmgr looks at before it asks anybody: names, accounts, and whether such users exist."""
    names: list[str] = []
    accounts = False
    for word in words:
        key, equals, value = word.partition("=")
        where = "names" if not equals else ""
        for least, whole, goes in _NEW_USER:
            if equals and len(key) >= least and whole.startswith(key.lower()):
                where = goes
        if where == "names":
            names += [name for name in (value if equals else key).lower().split(",") if name]
        accounts |= where in ("accounts", "defaultaccount")
    if not names:
        raise CommandError(" Need name of user to add.")
    if not accounts:
        raise CommandError(" Need name of account or wckey to add.")
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            if not sure(settings, f"There is no uid for user '{name}'"):
                raise CommandError(code=1) from None


def _file(settings: Settings) -> str:
    named = dict(settings.ctx.controller.call("config")["pairs"]).get("SLURM_CONF", "")
    return named if named and named != "(null)" else "a cluster file (see SLURM_CONF)"


def refused(verb: str, instead: str) -> Callable[[Settings, Sequence[str]], int]:
    """A verb that nothing here can do."""

    def run(settings: Settings, words: Sequence[str]) -> int:
        if settings.readonly:
            raise CommandError("Can't run this command in readonly mode.")
        if not caller_is_operator(settings):
            raise CommandError(*NO_PRIVILEGE)
        raise CommandError(f"sacctmgr: error: {verb} is not supported here; {instead}")

    return run
