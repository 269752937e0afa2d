"""--constraint: which features the nodes must have, read into alternatives that a selector can say.

An expression becomes one or more choices. Within one choice every node must satisfy one of some sets of features
("skylake&ib|rome": {skylake, ib} or {rome}), and some number of nodes may have to satisfy further sets ("ib*2").
Several choices come from brackets: "[rack1|rack2]" wants all nodes in one rack. Source: sbatch(1), --constraint;
what is refused was observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from slurm_compat.core.errors import BadValue

Sets = tuple[frozenset[str], ...]  # any of these, all of its features
OF_ALL = ")"  # the "name" of a count behind a bracket
ANY: Sets = (frozenset(),)

_TOKEN = re.compile(r"(?P<name>[^&|()\[\]*,]+)(?:\*(?P<count>\d+))?|(?P<sign>[&|,()\[\]])(?:(?<=\))\*(?P<many>\d+))?")


class Choice(NamedTuple):
    every: Sets = ANY  # what each node satisfies
    counted: tuple[tuple[Sets, int], ...] = ()  # and so many of them this as well


class _Item(NamedTuple):
    sets: Sets
    number: int = 0


def choices(expression: str, known: Collection[str] | None = None) -> list[Choice]:
    """The choices of an expression, best first; one that allows every node for "".

    Raises BadValue for what is no expression, or names a feature not in `known`.
    """
    tokens = _tokens(expression)
    if known is not None:
        for name in names(expression):
            if name not in known:
                raise BadValue(f"no node has the feature {name}")
    found = [Choice()]
    counts = 0
    operator = "&"
    while tokens:
        if tokens[0] == "[":
            group = _until(tokens, "]")
            found = [_joined(left, right, operator) for right in _bracket(group) for left in found]
        else:
            grouped = tokens[0] == "("
            item = _item(tokens)
            if grouped and item.number:
                raise BadValue("counts of several features stand in brackets")
            counts += bool(item.number)
            found = [_joined(left, _choice(item), operator) for left in found]
        operator = _operator(tokens)
        if counts and (counts > 1 or tokens):
            raise BadValue("counts of several features stand in brackets")
    return found


def names(expression: str) -> list[str]:
    """Every feature an expression speaks of."""
    return [match["name"] for match in _TOKEN.finditer(expression) if match["name"]]


def satisfies(features: Collection[str], sets: Sets) -> bool:
    return any(one <= set(features) for one in sets)


def both(left: Sets, right: Sets) -> Sets:
    return tuple(dict.fromkeys(a | b for a in left for b in right))


def show(sets: Sets) -> str:
    """ "ib&skylake|rome"; "" when every node will do."""
    if any(not one for one in sets):
        return ""
    return "|".join("&".join(sorted(one)) for one in sets)


def read(text: str) -> Sets:
    """`show` backwards."""
    return tuple(frozenset(part.split("&")) for part in text.split("|")) if text else ANY


def _tokens(expression: str) -> list[str | tuple[str, int]]:
    """Signs as text, features as (name, count). A comma is an "and"."""
    tokens: list[str | tuple[str, int]] = []
    place = 0
    while place < len(expression):
        match = _TOKEN.match(expression, place)
        if match is None:
            raise BadValue(f"not a constraint: {expression}")
        place = match.end()
        if match["sign"]:
            tokens.append("&" if match["sign"] == "," else match["sign"])
            if match["many"] is not None:
                tokens.append((OF_ALL, int(match["many"])))
                if not int(match["many"]):
                    raise BadValue(f"no count: {match[0]}")
            continue
        if match["count"] is not None and int(match["count"]) == 0:
            raise BadValue(f"no count: {match[0]}")
        tokens.append((match["name"], int(match["count"] or 0)))
    return tokens


def _operator(tokens: list[str | tuple[str, int]]) -> str:
    """The sign before the next item; one at the very end is let pass, as Slurm does."""
    if not tokens:
        return "&"
    sign = tokens.pop(0)
    if sign not in ("&", "|"):
        raise BadValue("features are joined by & or |")
    return str(sign)


def _until(tokens: list[str | tuple[str, int]], end: str) -> list[str | tuple[str, int]]:
    """What stands between the bracket at the front and its end; both are taken away."""
    opening = tokens.pop(0)
    group: list[str | tuple[str, int]] = []
    while tokens:
        token = tokens.pop(0)
        if token == end:
            return group
        if token in (opening, "["):
            raise BadValue("brackets within brackets")
        group.append(token)
    raise BadValue("a bracket is left open")


def _item(tokens: list[str | tuple[str, int]]) -> _Item:
    if tokens[0] == "(":
        sets = _alternatives(_until(tokens, ")"))
        counted = tokens[0] if tokens else ""
        if isinstance(counted, tuple) and counted[0] == OF_ALL:
            return _Item(sets, int(tokens.pop(0)[1]))
        return _Item(sets)
    token = tokens.pop(0)
    if not isinstance(token, tuple):
        raise BadValue(f"a feature is missing before {token}")
    return _Item((frozenset({token[0]}),), token[1])


def _alternatives(tokens: list[str | tuple[str, int]]) -> Sets:
    """A chain of & and |, read from the left as Slurm reads it."""
    if not tokens:
        raise BadValue("empty brackets")
    sets, operator = ANY, "&"
    while tokens:
        item = _item(tokens)
        sets = both(sets, item.sets) if operator == "&" else sets + item.sets
        operator = _operator(tokens)
    return sets


def _bracket(tokens: list[str | tuple[str, int]]) -> list[Choice]:
    """[a|b]: all nodes a, or all b. [a*1&b*2]: so many of each."""
    if not tokens:
        raise BadValue("empty brackets")
    found: list[Choice] = []
    operator = "|"
    while tokens:
        item = _item(tokens)
        one = _choice(item)
        if operator == "|":
            found.append(one)
        elif not item.number or not found[-1].counted:
            raise BadValue("within [] counts are joined by &")
        else:
            found[-1] = _joined(found[-1], one, "&")
        operator = _operator(tokens)
    return found


def _choice(item: _Item) -> Choice:
    return Choice(counted=((item.sets, item.number),)) if item.number else Choice(item.sets)


def _joined(left: Choice, right: Choice, operator: str) -> Choice:
    if operator == "&":
        return Choice(both(left.every, right.every), left.counted + right.counted)
    return Choice(left.every + right.every, left.counted + right.counted)


def known_features(all_features: Iterable[Collection[str]]) -> set[str]:
    return {feature for features in all_features for feature in features}
