"""scontrol create and update reservation: from what was asked to the reservation, or the refusal in Slurm's words."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from slurm_compat.controller import licenses
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.partitions import Partition
from slurm_compat.controller.reservation import Reservation, skipped
from slurm_compat.controller.resvnodes import Place, Wanted, node_names, wanted_tres
from slurm_compat.core import errors, resvflags
from slurm_compat.core.clusterargs import ReservationChanges
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED

MAX_DELAY = 600  # seconds that a new reservation's start may lie back
YEAR_MINUTES = 365 * 24 * 60  # what "infinite" comes to
NAME_LENGTH = 200
SEVERAL_RECUR = "Please specify only one reoccurring flag"


class View(NamedTuple):
    """What a reservation is judged by. `ends`: when a node's last job is over, but for those of one reservation."""

    cluster: Cluster
    now: int
    ends: Callable[[str, int], int]
    next_id: int


def unknown_user(number: int) -> SlurmError:
    return SlurmError(number, "Unspecified error" if number < 0 else "")


def create(view: View, name: str, changes: ReservationChanges) -> Reservation:
    cluster, now = view.cluster, view.now
    flags = _flags(changes)
    if changes.start_time is None or (changes.end_time is None and changes.duration is None):
        raise SlurmError(errors.INVALID_TIME_VALUE)
    part = cluster.partition(changes.partition) if changes.partition else None
    if resvflags.several_recur(flags.added):
        raise SlurmError(errors.NOT_SUPPORTED, notes=[f"Reservation has multiple reoccurring flags. {SEVERAL_RECUR}"])
    if changes.start_time < now - MAX_DELAY:
        raise SlurmError(errors.INVALID_TIME_VALUE)
    draft = Reservation(
        reservation_id=view.next_id,
        name=name,
        start_time=changes.start_time,
        end_time=_end(changes, changes.start_time),
        made_at=now,
        partition=changes.partition or "",
        flags=list(dict.fromkeys(flags.added)),
        purge_after=flags.purge_after,
        features=changes.features or "",
        comment=changes.comment or "",
        max_start_delay=changes.max_start_delay or 0,
    )
    if draft.end_time < draft.start_time:
        raise SlurmError(errors.INVALID_TIME_VALUE)
    for kind in LISTS:
        _set_list(draft, kind, getattr(changes, kind), cluster)
    if draft.users and draft.groups:
        raise SlurmError(errors.RESERVATION_USERS_AND_GROUPS)
    if not any(getattr(draft, kind) for kind in LISTS):
        raise SlurmError(errors.RESERVATION_EMPTY)
    draft.licenses = _licenses(changes.licenses or "", cluster)
    if "TIME_FLOAT" in draft.flags:  # kept as a distance from whenever one looks
        draft.start_time, draft.end_time = draft.start_time - now, draft.end_time - now
    draft = _placed(view, draft, changes, part)
    draft.name = name or f"{_first_name(draft)}_{view.next_id}"
    if draft.name in cluster.reservations:
        raise SlurmError(errors.RESERVATION_NAME_DUP)
    if len(draft.name) > NAME_LENGTH:
        raise SlurmError(errors.RESERVATION_INVALID)
    return draft


def _placed(view: View, draft: Reservation, changes: ReservationChanges, part: Partition | None) -> Reservation:
    """A new reservation with its nodes."""
    cluster = view.cluster
    wanted = wanted_tres(changes.tres or "", cluster)
    wanted = wanted._replace(
        number=changes.node_count or wanted.number, cores=changes.core_count or wanted.cores
    )  # what is given by itself outranks TRES
    if changes.nodes:
        if {"REPLACE", "REPLACE_DOWN"} & set(draft.flags):
            note = "REPLACE or REPLACE_DOWN flags should be used with the NodeCnt reservation option"
            raise SlurmError(errors.INVALID_NODE_NAME, notes=[f"{note}; do not specify Nodes"])
        _name_nodes(draft, changes.nodes, part)
        wanted = wanted._replace(names=node_names(changes.nodes, part, cluster))
    if not wanted.names and not wanted.number and not wanted.cores and not wanted.gres:
        if draft.licenses and "ANY_NODES" in draft.flags:
            return Place(cluster, draft, view.now, view.ends).with_nodes([])
        raise SlurmError(errors.INVALID_NODE_NAME)
    if wanted.names is None or wanted.cores:
        part = part or _partition_for(draft, cluster)
        draft.partition = part.name
    return Place(cluster, draft, view.now, view.ends).settle(wanted, part)


def _partition_for(draft: Reservation, cluster: Cluster) -> Partition:
    """The first partition it is for, else the default one."""
    name = draft.partitions[0] if draft.partitions and "partitions" not in draft.denied else cluster.default_partition()
    if not name:
        raise SlurmError(errors.DEFAULT_PARTITION_NOT_SET)
    return cluster.partition(name)


def _name_nodes(draft: Reservation, text: str, part: Partition | None) -> None:
    """The flags that tell how its nodes were named."""
    flags = [flag for flag in draft.flags if flag not in ("SPEC_NODES", "ALL_NODES", "PART_NODES")]
    flags.append("SPEC_NODES")
    if text.upper() == "ALL":
        flags.append("PART_NODES" if part is not None else "ALL_NODES")
    draft.flags = flags


def update(view: View, old: Reservation, changes: ReservationChanges) -> Reservation:
    """The reservation after the changes; raises SlurmError with nothing changed."""
    cluster = view.cluster
    new = msgspec.structs.replace(
        old, flags=list(old.flags), denied=list(old.denied), **{kind: list(getattr(old, kind)) for kind in LISTS}
    )
    if changes.skip:
        if not old.recurs:
            raise SlurmError(errors.RESERVATION_NO_SKIP)
        return skipped(new)
    part = None
    if changes.partition is not None:
        if not changes.partition:
            raise SlurmError(errors.INVALID_PARTITION_NAME, notes=["Reservation partition cannot be removed"])
        part = cluster.partition(changes.partition)
        new.partition = part.name
    _update_flags(new, changes)
    for kind in LISTS:
        _change_list(new, kind, getattr(changes, kind), cluster)
    if new.users and new.groups:
        raise SlurmError(errors.RESERVATION_USERS_AND_GROUPS)
    if not any(getattr(new, kind) for kind in LISTS):
        raise SlurmError(errors.RESERVATION_EMPTY)
    if changes.features:
        raise SlurmError(errors.NOT_SUPPORTED)
    if changes.licenses is not None:
        new.licenses = _licenses(changes.licenses, cluster)
    if changes.comment is not None:
        new.comment = changes.comment
    if changes.max_start_delay is not None:
        new.max_start_delay = changes.max_start_delay
    _update_times(new, changes, view.now)
    return _moved(view, old, new, changes, part)


def _update_flags(new: Reservation, changes: ReservationChanges) -> None:
    flags = _flags(changes)
    if {"REPLACE", "REPLACE_DOWN"} & set(flags.added) and "SPEC_NODES" in new.flags:
        note = "Reservation can't be updated with REPLACE or REPLACE_DOWN flags"
        raise SlurmError(errors.NOT_SUPPORTED, notes=[f"{note}; they should be updated on a NodeCnt reservation"])
    new.flags = [flag for flag in new.flags if flag not in flags.removed]
    # what may only be said when it is made is passed over here, as slurmctld does
    new.flags += [flag for flag in flags.added if flag not in new.flags and flag not in ("TIME_FLOAT", "FORCE_START")]
    if resvflags.PURGE_COMP in flags.added:
        new.purge_after = flags.purge_after
    if resvflags.several_recur(new.flags):
        note = f"Cannot update reservation to have multiple reoccurring flags. {SEVERAL_RECUR}"
        raise SlurmError(errors.NOT_SUPPORTED, notes=[note])
    if "PART_NODES" in flags.added and not new.partition:
        raise SlurmError(errors.INVALID_PARTITION_NAME)


def _update_times(new: Reservation, changes: ReservationChanges, now: int) -> None:
    start, end = new.window(now)
    length = end - start
    if changes.start_time is not None:
        if start <= now:
            raise SlurmError(errors.RESERVATION_STARTED)
        if changes.start_time < now - MAX_DELAY:
            raise SlurmError(errors.INVALID_TIME_VALUE)
        start, end = changes.start_time, changes.start_time + length
    if changes.end_time is not None:
        end = changes.end_time
    if changes.duration is not None:
        seconds = min(changes.duration, YEAR_MINUTES) * 60
        if changes.duration_sign:
            seconds = length + (seconds if changes.duration_sign == "+" else -seconds)
        end = start + seconds
    if end <= start or end < now:
        raise SlurmError(errors.INVALID_TIME_VALUE)
    floats = now if "TIME_FLOAT" in new.flags else 0
    if (start, end) != new.window(now):
        new.start_time, new.end_time = start - floats, end - floats


def _moved(
    view: View, old: Reservation, new: Reservation, changes: ReservationChanges, part: Partition | None
) -> Reservation:
    """With other nodes where they were asked for, and still where it may be where its times are others."""
    cluster = view.cluster
    place = Place(cluster, new, view.now, view.ends)
    wanted = wanted_tres(changes.tres or "", cluster)
    if changes.core_count or wanted.cores or wanted.gres or (not old.whole and (changes.node_count or changes.nodes)):
        note = "Updating core/node TRES not supported for core-based reservations"
        raise SlurmError(errors.CORE_RESERVATION_UPDATE, notes=[note])
    names = list(old.nodes)
    if changes.nodes is not None:
        sign = changes.nodes[:2] if changes.nodes[:2] in ("+=", "-=") else ""
        text = changes.nodes[len(sign) :]
        own = part or (cluster.partitions.get(new.partition) if "PART_NODES" in new.flags else None)
        listed = node_names(text, own, cluster, errors.RESERVATION_INVALID) if text else []
        if sign == "+=":
            names += [name for name in listed if name not in names]
        elif sign == "-=":
            names = [name for name in names if name not in listed]
        elif text:
            names = listed
            _name_nodes(new, text, own)
        else:
            new.flags = [flag for flag in new.flags if flag not in ("SPEC_NODES", "ALL_NODES", "PART_NODES")]
            chosen = cluster.partitions.get(new.partition) or _partition_for(new, cluster)
            new.partition = chosen.name
            return place.settle(Wanted(number=len(old.nodes)), chosen)
        if not names:
            raise SlurmError(errors.INVALID_NODE_NAME)
    count = changes.node_count or wanted.number
    if count and count < len(names):
        names = names[-count:]
    elif count > len(names):
        chosen = cluster.partitions.get(new.partition) or _partition_for(new, cluster)
        new.partition = new.partition or chosen.name
        names += place.more(chosen, names, count - len(names))
    if not old.whole:
        if (new.start_time, new.end_time) != (old.start_time, old.end_time):
            place.settle(Wanted(names=names, cores=old.core_count), None)
            new.cores, new.whole, new.core_count, new.tres = old.cores, False, old.core_count, old.tres
        return new
    cores, amounts = new.cores, new.tres
    made = place.settle(Wanted(names=names), None) if names or old.nodes else place.with_nodes([])
    if names == old.nodes:
        made.cores, made.tres = cores, amounts
    return made


def _flags(changes: ReservationChanges) -> resvflags.Flags:
    try:
        return resvflags.parse(changes.flags)
    except BadValue:
        raise SlurmError(errors.RESERVATION_INVALID) from None


def _end(changes: ReservationChanges, start: int) -> int:
    if changes.end_time is not None:
        return changes.end_time
    assert changes.duration is not None
    minutes = changes.duration
    return start + (YEAR_MINUTES if minutes == UNLIMITED else minutes) * 60


def _licenses(text: str, cluster: Cluster) -> str:
    if text:
        licenses.asked(text, cluster.licenses)
    return text


def _first_name(draft: Reservation) -> str:
    """What a reservation without a name is called after."""
    return next((names[0] for names in (draft.accounts, draft.users, draft.groups) if names), "resv")


# who may use it: each kind of list, with how a name is checked

Check = Callable[[str, Cluster, bool], str]


def _user(name: str, cluster: Cluster, new: bool) -> str:
    try:
        return pwd.getpwuid(int(name)).pw_name if name.isdigit() else pwd.getpwnam(name).pw_name
    except (KeyError, OverflowError):
        raise unknown_user(-1 if new else errors.USER_ID_MISSING) from None


def _group(name: str, cluster: Cluster, new: bool) -> str:
    try:
        return grp.getgrgid(int(name)).gr_name if name.isdigit() else grp.getgrnam(name).gr_name
    except (KeyError, OverflowError):
        raise SlurmError(errors.INVALID_GROUP_ID) from None


def _account(name: str, cluster: Cluster, new: bool) -> str:
    if cluster.conf.accounts and name not in {account.name for account in cluster.conf.accounts} | {"root"}:
        raise SlurmError(errors.INVALID_ACCOUNT)
    return name


def _qos(name: str, cluster: Cluster, new: bool) -> str:
    if name not in {qos.name for qos in cluster.conf.qos}:
        raise SlurmError(errors.INVALID_QOS)
    return name


def _partition(name: str, cluster: Cluster, new: bool) -> str:
    return cluster.partition(name).name


# kind: how a name of it is checked, what a list of both "a" and "-b" is answered
LISTS: dict[str, tuple[Check, int]] = {
    "users": (_user, -1),
    "groups": (_group, errors.INVALID_GROUP_ID),
    "accounts": (_account, errors.INVALID_ACCOUNT),
    "qos": (_qos, errors.INVALID_QOS),
    "partitions": (_partition, errors.INVALID_PARTITION_NAME),
}
SORTED = ("qos",)  # shown by the alphabet


def _split(text: str) -> list[tuple[str, str]]:
    """(sign, name) of each entry."""
    return [
        (part[0], part[1:]) if part[0] in "+-" else ("", part)
        for part in (word.strip() for word in text.split(","))
        if part
    ]


def _set_list(draft: Reservation, kind: str, text: str | None, cluster: Cluster) -> None:
    """A list of a new reservation: names it is for, or with "-" before each, those it isn't."""
    check, mixed = LISTS[kind]
    entries = _split(text or "")
    signs = {"-" if sign == "-" else "" for sign, _ in entries}
    if len(signs) > 1:
        raise unknown_user(mixed)
    _keep(draft, kind, [check(name, cluster, True) for _, name in entries])
    if "-" in signs:
        draft.denied.append(kind)


def _change_list(new: Reservation, kind: str, text: str | None, cluster: Cluster) -> None:
    """Names instead of those there are, or added to and taken from them with "+" and "-"."""
    if text is None or (not text and kind in ("qos", "partitions")):
        return
    check, mixed = LISTS[kind]
    entries = _split(text)
    names: list[str] = list(getattr(new, kind))
    if not any(sign for sign, _ in entries):
        names = [check(name, cluster, False) for _, name in entries]
        new.denied = [other for other in new.denied if other != kind]
    elif not all(sign for sign, _ in entries):
        raise SlurmError(errors.USER_ID_MISSING if mixed < 0 else mixed)
    else:
        for sign, name in entries:
            name = check(name, cluster, False)
            if (sign == "+") == (name in names):
                if sign == "+":
                    continue
                raise SlurmError(errors.USER_ID_MISSING if mixed < 0 else mixed)
            names = [*names, name] if sign == "+" else [other for other in names if other != name]
    _keep(new, kind, names)


def _keep(reservation: Reservation, kind: str, names: Iterable[Any]) -> None:
    kept = list(dict.fromkeys(names))
    setattr(reservation, kind, sorted(kept) if kind in SORTED else kept)
