"""sacctmgr add, modify and delete: which entity is meant, and how what the controller refuses is told.

A change is tried first (`dry`), shown, and made when it is confirmed; with -i it is made at once. Source: sacctmgr(1);
words and codes observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from slurm_compat.cli.sacctmgr_conditions import GRAMMARS, Conditions, read
from slurm_compat.cli.sacctmgr_confirm import committed
from slurm_compat.cli.sacctmgr_settings import Settings
from slurm_compat.cli.sacctmgr_values import BadSetting, Known
from slurm_compat.core.errors import ACCESS_DENIED, BadValue, CommandError, SlurmError

SET_HINT = " Use keyword 'where' to modify condition"
NOTHING_TO_SET = " You didn't give me anything to set"
NO_CONDITIONS = " No conditions given to remove, not executing."

Verb = Callable[[Settings, Sequence[str]], int]


class Entity(NamedTuple):
    name: str
    least: int  # letters that suffice


ENTITIES = (
    Entity("account", 3), Entity("cluster", 2), Entity("coordinator", 3), Entity("federation", 1), Entity("qos", 1),
    Entity("resource", 1), Entity("user", 1), Entity("job", 1),
)  # fmt: skip
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


def change(verb: str) -> Verb:
    """add, modify or delete."""

    def run(settings: Settings, words: Sequence[str]) -> int:
        from slurm_compat.cli import sacctmgr_adding, sacctmgr_deleting, sacctmgr_modifying

        entity = entity_named(verb, words[0] if words else "")
        if settings.readonly:
            raise CommandError("Can't run this command in readonly mode.")
        tables = {"add": sacctmgr_adding.VERBS, "modify": sacctmgr_modifying.VERBS, "delete": sacctmgr_deleting.VERBS}
        if entity in ("federation", "job"):
            return refused_entity(settings, verb, entity, words[1:])
        return tables[verb][entity](settings, words[1:])

    return run


def entity_named(verb: str, word: str) -> str:
    for entity in ENTITIES:
        fits = len(word) >= entity.least and (entity.name + "s").startswith(word.lower())
        if entity.name in _OF[verb] and fits:
            return entity.name
    raise CommandError(f"No valid entity in {verb} command", f"Input line must include {_MISSING[verb]}")


def refused_entity(settings: Settings, verb: str, entity: str, words: Sequence[str]) -> int:
    """What there is nothing of here."""
    if entity == "job":
        raise CommandError(
            "sacctmgr: error: modify job is not supported here; use scontrol update JobId=… while the job is remembered"
        )
    if verb == "add" and not words:
        raise CommandError(" Need name of federation to add.")
    if verb == "delete" and words:
        settings.ctx.out(" Nothing deleted")
        return 1
    if verb == "modify" and words:
        raise CommandError(f" The federation {words[0].partition('=')[2] or words[0]} doesn't exist.")
    raise CommandError(f"sacctmgr: error: {verb} federation is not supported here; a cluster stands alone here")


# asking the controller


class Request:
    """One change: tried, or with -i made, by `attempt`; made by `settle` when it is confirmed."""

    def __init__(
        self, settings: Settings, verb: str, entity: str, where: Mapping[str, list[str]], values: Mapping[str, Any]
    ) -> None:
        self._settings = settings
        self._args = {"verb": verb, "entity": entity, "where": dict(where), "values": dict(values)}

    def attempt(self) -> dict[str, Any]:
        return self._settings.ctx.controller.call("change_book", **self._args, dry=not self._settings.immediate)

    def settle(self) -> int:
        if not self._settings.immediate and committed(self._settings):
            self._settings.ctx.controller.call("change_book", **self._args)
        return 0


def told(problem: SlurmError, indent: str = "  ") -> CommandError:
    """How a refused modify or delete is said: jobs and associations are listed, other reasons stand before it."""
    known = {
        7001: lambda: [f" Error with request: {problem.text}", *(indent + note for note in problem.notes)],
        7009: lambda: [f" Error with request: {problem.text}", *(f"  {note}" for note in problem.notes)],
        7011: lambda: [
            "sacctmgr: error: ", " These associations don't have access to their default qos.",
            " Please give them access before they the default can be set to this.",
            *(f"  {note}" for note in problem.notes), "", f" Error with request: {problem.text}",
        ],
    }  # fmt: skip
    if problem.number in known:
        return CommandError(*known[problem.number]())
    return CommandError(*(f"sacctmgr: error: {note}" for note in problem.notes), f" Error with request: {problem.text}")


def known_names(settings: Settings) -> Known:
    return Known(
        lambda: [row["name"] for row in settings.rows("qos", ("name",))],
        lambda: [
            row["type"] + (f"/{row['name']}" if row["name"] else "") for row in settings.rows("tres", ("type", "name"))
        ],
    )


def settings_refused(problem: BadSetting, word: str, with_option: bool = True) -> CommandError:
    """The lines of a value that can't be one; a refusal that ends open is completed by the word."""
    said = [line + word if line.endswith((": ", " in ")) else line for line in problem.lines]
    if problem.unknown and with_option:
        said += [f" Unknown option: {word}", SET_HINT]
    return CommandError(*said)


# conditions


def conditions(entity: str, words: Sequence[str]) -> dict[str, list[str]]:
    """Whom a modify or delete is about. Raises CommandError."""
    try:
        found: Conditions = read(words, GRAMMARS[entity])
    except BadValue as problem:
        raise CommandError(*str(problem).split("\n")) from None
    values = {key: [name for name in names if name] for key, names in found.values.items()}
    if entity == "account" and "accounts" in values:
        values["names"] = values.get("names", []) + values.pop("accounts")
    if entity == "user" and "users" in values:
        values["names"] = values.get("names", []) + values.pop("users")
    return {key: names for key, names in values.items() if names}


def parts(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a modify: whom, and (behind "set") what."""
    whom: list[str] = []
    what: list[str] = []
    into = whom
    for word in words:
        lower = word.lower()
        if lower == "set":
            into = what
        elif len(lower) >= 5 and "where".startswith(lower):
            into = whom
        else:
            into.append(word)
    return whom, what


def is_denied(problem: SlurmError) -> bool:
    return problem.number == ACCESS_DENIED
