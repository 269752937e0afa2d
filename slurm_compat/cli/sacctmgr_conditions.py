"""The words behind an entity: conditions `key=value`, switches like `withassoc`, `format=`, and bare names.

An entity has a table of the words it knows, each with as many letters as suffice. Source: sacctmgr(1), SPECIFICATIONS;
lengths and refusals observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from slurm_compat.cli.sacctmgr_settings import Settings
from slurm_compat.cli.wordtable import table
from slurm_compat.core import moments
from slurm_compat.core.errors import BadValue

BARE = "names"  # where a word without "=" goes

# of every entity that has associations' conditions
_ASSOCIATION = "acc|ounts:accounts c|lusters:clusters defaultq|os:default_qos q|oslevel:qos par|titions:partitions"
_FORMAT = "f|ormat:format"


@dataclass(frozen=True)
class Grammar:
    keys: tuple[tuple[int, str, str], ...]
    switches: tuple[tuple[int, str, str], ...] = ()
    with_associations: frozenset[str] = frozenset()  # conditions that ask for `withassoc` beside them
    hint: str = " Use keyword 'set' to modify value"  # the second line of a refusal


def _grammar(keys: str, switches: str = "", needs: str = "", hint: str | None = None) -> Grammar:
    rest = {} if hint is None else {"hint": hint}
    return Grammar(table(f"{keys} {_FORMAT}"), table(switches), frozenset(needs.split()), **rest)


_WITH = "witha|ssoc:withassoc withc|oordinators:withcoord withd|eleted:withdeleted withr|awqos:withrawqos"

GRAMMARS: dict[str, Grammar] = {
    "account": _grammar(
        f"n|ames:names acct|s:names o|rganizations:organizations d|escriptions:descriptions pare|nts:parents "
        f"fl|ags:flags u|sers:users {_ASSOCIATION}",
        _WITH + " wopi|nfo:wopinfo wopl|imits:woplimits",
        "clusters qos default_qos parents users partitions",
    ),
    "user": _grammar(
        f"n|ames:names u|sers:names ad|minlevel:admin_levels defaulta|ccount:default_accounts "
        f"defaultw|ckeys:default_wckeys {_ASSOCIATION}".replace("acc|ounts", "ac|counts"),
        _WITH + " wopi|nfo:wopinfo wopl|imits:woplimits",
        "accounts clusters qos default_qos partitions",
    ),
    "association": _grammar(
        "i|ds:ids u|sers:users pare|nt:parents " + _ASSOCIATION.replace("acc|ounts", "ac|counts"),
        "onlyd|efaults:onlydefaults tree|:tree withs|ubaccounts:withsub withd|eleted:withdeleted "
        "withr|awqos:withrawqos wol|imits:wolimits wopi|nfo:wopinfo wopl|imits:wolimits",
        hint="",
    ),
    "cluster": _grammar(
        "n|ames:names cla|ssification:classification r|pcversions:rpc fl|ags:flags fe|deration:federations "
        "defaultq|os:default_qos",
        "withf|ed:withfed withd|eleted:withdeleted wol|imits:wolimits",
    ),
    "qos": _grammar(
        "n|ames:names i|ds:ids d|escriptions:descriptions preemptm|ode:preempt_modes",
        "withd|eleted:withdeleted",
        hint=" Use keyword 'set' to modify SLURM_PRINT_VALUE",
    ),
    "tres": _grammar("n|ames:names i|ds:ids ty|pe:types", "withd|eleted:withdeleted"),
    "wckey": _grammar(
        "n|ames:names c|lusters:clusters i|ds:ids u|sers:users s|tart:start e|nd:end", "withd|eleted:withdeleted"
    ),
    "event": _grammar(
        "ev|ents:events c|lusters:clusters n|odes:nodes condf|lags:flags en|d:end r|easons:reasons "
        "star|t:start stat|es:states u|sers:users maxc|pus:max_cpus minc|pus:min_cpus",
        "all_c|lusters:all_clusters all_t|ime:all_time",
        hint="",
    ),
    "transaction": _grammar(
        "ac|counts:accounts acti|on:actions acto|r:actors c|lusters:clusters i|ds:ids u|sers:users s|tart:start "
        "e|nd:end",
        "witha|ssoc:withassoc",
        hint="",
    ),
    "federation": _grammar("n|ames:names", "tree|:tree"),
    "resource": _grammar(
        "n|ames:names c|lusters:clusters d|escriptions:descriptions fl|ags:flags i|ds:ids a|llowed:allowed "
        "server|s:servers servert|ype:server_types",
        "withc|lusters:withclusters withd|eleted:withdeleted",
    ),
    "reservation": _grammar("na|mes:names c|lusters:clusters i|ds:ids no|des:nodes s|tart:start e|nd:end"),
    "instance": _grammar(
        "c|lusters:clusters n|odes:nodes instancei|d:ids instancet|ype:types ex|tra:extra s|tart:start en|d:end"
    ),
    "problem": _grammar("u|sers:users " + _ASSOCIATION, "", hint=""),
    "runaway": _grammar("c|lusters:clusters", ""),
}


@dataclass
class Conditions:
    values: dict[str, list[str]] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
    format: str | None = None
    texts: list[str] = field(default_factory=list)  # further lines that were refused nothing

    def passes(self, key: str, *values: str) -> bool:
        """Whether one of these is among what `key` asks for, whatever their case; all are when it asks for nothing."""
        wanted = self.values.get(key)
        return not wanted or any(value.lower() in wanted for value in values)


def read(words: Sequence[str], grammar: Grammar) -> Conditions:
    """The words of one command. Raises BadValue with the lines of a refusal."""
    conditions = Conditions()
    for word in words:
        if not word or _is(word, "where", 2) or _is(word, "set", 3):
            continue
        match = re.match(r"([^=+\-]*)([+-]?=)(.*)", word, re.DOTALL)
        if match is None:
            switch = _found(word, grammar.switches)
            if switch:
                conditions.switches.add(switch)
            elif any(key == BARE for _, _, key in grammar.keys) or grammar is GRAMMARS["association"]:
                key = "ids" if grammar is GRAMMARS["association"] else BARE
                if key == "ids" and not all(part.isdecimal() for part in _list(word)):
                    raise BadValue(f"sacctmgr: error: Invalid value for AssocId ({word})")
                conditions.values.setdefault(key, []).extend(_list(word))
            elif grammar is GRAMMARS["event"]:
                raise BadValue(f" Unknown event type: '{word}'  Valid events are Cluster and Node.")
            elif grammar is not GRAMMARS["problem"]:
                raise BadValue(_unknown(word, grammar))
            continue
        key = _found(match[1], grammar.keys)
        if not key:
            raise BadValue(_unknown(word, grammar))
        if match[2] != "=":
            raise BadValue(f" Invalid operator '{match[2]}' in {word}")
        if key == "format":
            conditions.format = _unquoted(match[3]) if conditions.format is None else f"{conditions.format},{match[3]}"
        else:
            values = _list(match[3])
            conditions.values.setdefault(key, []).extend(values)
            if key == "users" and not values and grammar is GRAMMARS["association"]:
                conditions.values["users"].append("")  # users= is: accounts alone
    return conditions


def _is(word: str, whole: str, least: int) -> bool:
    return len(word) >= least and whole.startswith(word.lower())


def _found(word: str, rows: Sequence[tuple[int, str, str]]) -> str:
    """Where the word goes, by the one that asks for most of its letters; "" when it is none."""
    best = (0, "")
    for least, whole, key in rows:
        if _is(word, whole, least) and least > best[0]:
            best = (least, key)
    return best[1]


def _unknown(word: str, grammar: Grammar) -> str:
    lines = [f" Unknown condition: {word}"]
    if grammar.hint:
        lines.append(grammar.hint)
    return "\n".join(lines)


def _unquoted(text: str) -> str:
    return text.strip("\"'")


def _list(text: str) -> list[str]:
    return [part.strip(" \"'").lower() for part in _unquoted(text).split(",") if part.strip(" \"'")]


def moment_of(settings: Settings, conditions: Conditions, key: str) -> int:
    """The moment of a condition, 0 without it; of one that is no time Slurm says so and goes on without."""
    texts = conditions.values.get(key)
    if not texts:
        return 0
    try:
        return moments.moment(texts[-1], settings.ctx.now())
    except BadValue:
        settings.ctx.err(f"Invalid time specification (pos=0): {texts[-1]}")
        return 0
