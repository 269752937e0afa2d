"""What sacctmgr asks to set: checked, and made into the values of the accounting book's entries.

Numbers and times that are None are taken away; of a TRES limit what isn't named stays; lists of QOS and flags may be
added to ("+=") and taken from ("-="). Everything that comes over the wire is checked here again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from slurm_compat.controller.associations import Association, allowed_qos, default_qos
from slurm_compat.controller.bookwork import Work, user_line
from slurm_compat.core import preemption, qosflags, treslimits
from slurm_compat.core.cluster import AccountConf, AssociationLimits, QosConf, UserConf
from slurm_compat.core.errors import BAD_ARGUMENT, BadValue, SlurmError
from slurm_compat.core.timefmt import minutes

NO_DEFAULT_ACCESS = 7011
IDENTITY = {"name", "number", "account", "partition", "default", "admin_level"}
LIMITS = frozenset(AssociationLimits.__struct_fields__) - IDENTITY
ACCOUNT_KEYS = frozenset(AccountConf.__struct_fields__) - IDENTITY - {"coordinators"}
QOS_KEYS = frozenset(QosConf.__struct_fields__) - IDENTITY
LISTS = {"qos", "preempt", "flags"}  # set as {"op": "=", "+=" or "-=", "names": […]}


def checked(
    work: Work, values: Mapping[str, Any], keys: frozenset[str], struct: type[msgspec.Struct]
) -> dict[str, Any]:
    """`values` without what an entry of this kind doesn't have. Raises SlurmError for what no key or value is."""
    found: dict[str, Any] = {}
    types = {field.name: field for field in msgspec.structs.fields(struct)}
    for name, value in values.items():
        if name not in keys:
            raise SlurmError(BAD_ARGUMENT, f"{name} can't be set")
        if name in LISTS:
            found[name] = _list(work, name, value)
            if name == "flags" and struct is QosConf:
                found[name]["names"] = [_flag(each) for each in found[name]["names"]]
        elif value is None:
            default = types[name].default
            found[name] = None if default is msgspec.NODEFAULT else default
        elif "tres" in name:
            found[name] = _tres(work, value)
        elif name == "preempt_mode":
            try:
                preemption.mode_of(str(value))
            except BadValue as problem:
                raise SlurmError(BAD_ARGUMENT, str(problem)) from None
            found[name] = str(value)
        elif name.endswith("_wall"):
            found[name] = _minutes(value)
        else:
            try:
                found[name] = msgspec.convert(value, types[name].type)
            except msgspec.ValidationError as problem:
                raise SlurmError(BAD_ARGUMENT, f"{name}: {problem}") from None
    return found


def _flag(word: str) -> str:
    """A QOS's flag, with the sign it may have."""
    sign = word[: len(word) - len(word.lstrip("+-"))]
    try:
        return sign + qosflags.spelled(word[len(sign) :])
    except BadValue as problem:
        raise SlurmError(BAD_ARGUMENT, str(problem)) from None


def _tres(work: Work, value: Any) -> str:
    try:
        return treslimits.show_raw(treslimits.parse(str(value), work.tres))
    except BadValue as problem:
        raise SlurmError(BAD_ARGUMENT, str(problem)) from None


def _minutes(value: Any) -> str:
    try:
        minutes(str(value))
    except BadValue as problem:
        raise SlurmError(BAD_ARGUMENT, str(problem)) from None
    return str(value)


def _list(work: Work, name: str, value: Any) -> dict[str, Any]:
    try:
        change = {"op": str(value["op"]), "names": [str(each) for each in value["names"]]}
    except (TypeError, KeyError):
        raise SlurmError(BAD_ARGUMENT, f"{name}: not a change of a list") from None
    known = work.qos()
    if name != "flags" and (unknown := [each for each in change["names"] if each.lstrip("+-") not in known]):
        raise SlurmError(BAD_ARGUMENT, f"You gave a bad qos '{unknown[0]}'.")
    return change


def listed(old: Sequence[str], change: Mapping[str, Any]) -> list[str]:
    """A list after a change; "+name" and "-name" among the names of a "=" change it too."""
    names = change["names"]
    if change["op"] == "=" and not any(name[:1] in "+-" for name in names):
        return list(dict.fromkeys(names))
    found = list(old)
    for name in names:
        sign, plain = (name[0], name[1:]) if name[:1] in "+-" else (change["op"][0], name)
        found = [each for each in found if each != plain]
        if sign == "+":
            found.append(plain)
    return found


def new_values(work: Work, values: Mapping[str, Any], old: AssociationLimits | QosConf, account: str) -> dict[str, Any]:
    """What an entry's attributes become. `account`: of an association, whose QOS those above are added to."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name == "qos" and isinstance(old, AssociationLimits):
            clears = value["op"] == "=" and not value["names"]
            found[name] = (
                [] if clears else sorted(listed(allowed_qos(work.book.without_users(), account, old.qos), value))
            )
        elif name == "preempt":
            found[name] = listed(getattr(old, name), value)
        elif name == "flags":
            flags = [flag for flag in str(getattr(old, "flags", "")).split(",") if flag]
            found[name] = ",".join(sorted(listed(flags, value), key=_flag_place))
        elif "tres" in name and value:
            found[name] = treslimits.merged(getattr(old, name), value)
        else:
            found[name] = value
    return found


def _flag_place(flag: str) -> int:
    return qosflags.ALL.index(flag) if flag in qosflags.ALL else len(qosflags.ALL)


def whole(struct: AccountConf | UserConf | QosConf) -> dict[str, Any]:
    """All of an entry but who it is: what a new one, or one that comes back, is."""
    values: dict[str, Any] = msgspec.to_builtins(struct)  # by the file's keys …
    named = {field.encode_name: field.name for field in msgspec.structs.fields(type(struct))}
    return {named[key]: value for key, value in values.items() if named[key] not in IDENTITY}


def need_default_access(work: Work, entries: Iterable[tuple[Association, AssociationLimits]]) -> None:
    """Raises SlurmError when an association of these would have a default QOS that it may not use."""
    conf = work.book.without_users()
    lines = []
    for entry, holder in entries:
        default = default_qos(conf, entry.account, holder.default_qos)
        if default and default not in entry.qos:
            lines.append(f"DefQOS = {default:<10} {user_line(work.cluster, entry)}")
    if lines:
        raise SlurmError(NO_DEFAULT_ACCESS, notes=lines)
