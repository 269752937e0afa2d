"""Fair Tree: who of those that share an account has used least of what is theirs, level by level.

Source: the manual of the Fair Tree algorithm; observed on 26.05.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from slurm_compat.controller.associations import ROOT_ACCOUNT, Association
from slurm_compat.core.cluster import PARENT_SHARE

Amounts = dict[str, float]  # resource-seconds by TRES name

BILLING = "billing"  # what raw usage counts


class Share(NamedTuple):
    """An association's part, as sshare shows it."""

    norm: float  # its shares of its siblings'
    usage: float
    usage_norm: float  # of the cluster's
    effective: float  # of its siblings'
    level_fs: float  # may be infinite
    factor: float | None  # a user's; None of an account
    tres: Amounts
    tres_run: dict[str, int]  # what running jobs may still use


def fair_tree(entries: list[Association], used: dict[int, Amounts], promised: dict[int, Amounts]) -> dict[int, Share]:
    """Fair Tree: siblings are ordered by shares over use, level by level, and users get their rank as their factor.

    An account with Fairshare=parent is no level of its own: who is in it competes where it would. A user with
    Fairshare=parent has no share to compare, and goes before those who have.
    """
    known = {entry.number: entry for entry in entries}
    levels: dict[int, list[Association]] = {}  # who compete with each other, by the account above
    above: dict[int, int] = {}
    for entry in entries:
        if entry.number == ROOT_ACCOUNT:
            continue
        over = known.get(entry.parent_number)
        while over is not None and over.shares == PARENT_SHARE and over.number != ROOT_ACCOUNT:
            over = known.get(over.parent_number)
        above[entry.number] = over.number if over is not None else ROOT_ACCOUNT
        if entry.user or entry.shares != PARENT_SHARE:
            levels.setdefault(above[entry.number], []).append(entry)
    cluster = used.get(ROOT_ACCOUNT, {}).get(BILLING, 0.0)
    found: dict[int, Share] = {}
    for entry in entries:  # accounts come before what is in them
        usage = used.get(entry.number, {}).get(BILLING, 0.0)
        over_number = above.get(entry.number, 0)
        shares = sum(other.shares for other in levels.get(over_number, ()) if other.shares != PARENT_SHARE)
        level = used.get(over_number, {}).get(BILLING, 0.0)
        own = entry.shares != PARENT_SHARE
        norm = found[over_number].norm if not own else entry.shares / shares if shares and over_number else 0.0
        # the root has nobody to share with
        effective = 1.0 if entry.number == ROOT_ACCOUNT else usage / level if level else 0.0
        found[entry.number] = Share(
            norm=norm,
            usage=usage,
            usage_norm=usage / cluster if cluster else 0.0,
            effective=effective,
            level_fs=math.inf if not own else 0.0 if not norm else norm / effective if effective else math.inf,
            factor=None,
            tres=used.get(entry.number, {}),
            tres_run={name: int(amount) for name, amount in promised.get(entry.number, {}).items()},
        )
    users = sum(1 for entry in entries if entry.user)
    for number, rank in ranks(levels, {number: share.level_fs for number, share in found.items()}).items():
        found[number] = found[number]._replace(factor=rank / users)
    return found


def ranks(children: dict[int, list[Association]], level_fs: dict[int, float]) -> dict[int, int]:
    """Each user's rank, the highest first in line; those whose whole paths are tied have the same."""
    found: dict[int, int] = {}
    total = sum(1 for some in children.values() for entry in some if entry.user)
    given = 0  # ranks given so far, one a user
    current = total

    def walk(siblings: list[Association], tied: bool) -> None:
        nonlocal given, current
        siblings = sorted(siblings, key=lambda entry: (-level_fs[entry.number], not entry.user, entry.lineage))
        place = 0
        while place < len(siblings):
            entry = siblings[place]
            if place:
                tied = level_fs[siblings[place - 1].number] == level_fs[entry.number]
            place += 1
            if entry.user:
                if not tied:
                    current = total - given
                found[entry.number] = current
                given += 1
                continue
            # accounts that are tied are one: their children compete with each other
            merged = list(children.get(entry.number, ()))
            while place < len(siblings) and level_fs[siblings[place].number] == level_fs[entry.number]:
                merged += children.get(siblings[place].number, ())
                place += 1
            walk(merged, tied)

    walk(children.get(ROOT_ACCOUNT, []), False)
    return found
