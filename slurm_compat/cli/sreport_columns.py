"""sreport's columns: the names each report's format= knows, their headings and widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from slurm_compat.cli.sreport_amounts import Unit, amount_field
from slurm_compat.core.fieldprint import Field, Placed

Columns = Sequence[tuple[int, str, Field]]  # letters that suffice, the name, the column

AMOUNTS = ("used", "energy", "alloc", "down", "pdown", "idle", "plan", "over", "reported")


def _text(name: str, width: int, key: str) -> Field:
    return Field(name, width, (key,), lambda record, _: str(record.get(key, "")))


def _rows(text: str, fields: dict[str, Field]) -> Columns:
    rows = []
    for entry in text.split():
        word, _, key = entry.partition(":")
        rows.append((word.index("|"), word.replace("|", ""), fields[key]))
    return rows


def cluster(unit: Unit, tree: bool = False) -> Columns:
    account = _text("Account", -20 if tree else 15, "account")
    fields = {
        "account": account, "cluster": _text("Cluster", 9, "cluster"), "count": _text("TRES Count", 10, "count"),
        "login": _text("Login", 9, "user"), "proper": _text("Proper Name", 15, "proper"),
        "qos": _text("QOS", 12, "qos"),
        "tres": _text("TRES Name", 14, "tres"), "wckey": _text("WCKey", 15, "wckey"),
        "used": amount_field("Used", "used", unit), "energy": amount_field("Energy", "energy", unit),
        "alloc": amount_field("Allocated", "alloc", unit), "down": amount_field("Down", "down", unit),
        "pdown": amount_field("PLND Down", "pdown", unit), "idle": amount_field("Idle", "idle", unit),
        "plan": amount_field("Planned", "plan", unit), "over": amount_field("Over Comm", "over", unit),
        "reported": amount_field("Reported", "reported", unit),
    }  # fmt: skip
    return _rows(
        "acc|ounts:account al|located:alloc cl|uster:cluster co|unt:count d|own:down e|nergy:energy i|dle:idle "
        "l|ogin:login o|vercommitted:over plannedd|own:pdown pln|ddown:pdown pl|anned:plan pr|oper:proper q|os:qos "
        "rep|orted:reported res|erved:plan tresc|ount:count tresn|ame:tres u|sed:used w|ckey:wckey",
        fields,
    )


def user(unit: Unit) -> Columns:
    fields = {
        "account": _text("Account", 15, "account"), "cluster": _text("Cluster", 9, "cluster"),
        "login": _text("Login", 9, "user"), "proper": _text("Proper Name", 15, "proper"),
        "tres": _text("TRES Name", 14, "tres"), "used": amount_field("Used", "used", unit),
        "energy": amount_field("Energy", "energy", unit),
    }  # fmt: skip
    return _rows(
        "acc|ounts:account cl|uster:cluster e|nergy:energy l|ogin:login p|roper:proper tresn|ame:tres u|sed:used",
        fields,
    )


def reservation(unit: Unit) -> Columns:
    fields = {
        "alloc": amount_field("Allocated", "alloc", unit, 20, 29),
        "idle": amount_field("Idle", "idle", unit, 20, 29),
        "assoc": _text("Associations", 15, "associations"), "cluster": _text("Cluster", 9, "cluster"),
        "count": _text("TRES count", 10, "count"), "time": _text("TRES Time", 9, "tres_time"),
        "end": _text("End", 19, "end"), "flags": _text("Flags", 20, "flags"), "name": _text("Name", 9, "name"),
        "nodes": _text("Nodes", 15, "nodes"), "id": _text("Id", 8, "id"), "start": _text("Start", 19, "start"),
        "total": _text("TotalTime", 9, "total_time"), "tres": _text("TRES Name", 14, "tres"),
    }  # fmt: skip
    return _rows(
        "al|located:alloc as|sociations:assoc cl|uster:cluster co|unt:count cpuc|ount:count cput|ime:time e|nd:end "
        "f|lags:flags i|dle:idle na|me:name no|des:nodes r|eservationid:id s|tart:start to|taltime:total "
        "tresc|ount:count tresn|ame:tres trest|ime:time",
        fields,
    )


def sizes(by_wckey: bool, with_wckey: bool) -> Columns:
    account = _text("Wckey" if by_wckey else "Account", -20 if with_wckey else 9, "account")
    return _rows(
        "a|ccount:account cl|uster:cluster w|ckey:account",
        {"account": account, "cluster": _text("Cluster", 9, "cluster")},
    )


def placed(text: str, table: Columns, problem: Callable[[str], None]) -> list[Placed]:
    """The columns of "cluster,used%20"; `problem` is told of each that is not known."""
    found = []
    for token in filter(None, text.split(",")):
        name, percent, width = token.partition("%")
        low = name.strip().lower()
        match = next((one for least, word, one in table if len(low) >= least and word.startswith(low)), None)
        if match is None:
            problem(f" Unknown field '{name}'")
            continue
        number = re.match(r"\s*[+-]?\d+", width)
        found.append(Placed(match, int(number[0]) if percent and number else match.width))
    return found
