"""What limits there are and what counts against them now, for scontrol show assoc_mgr.

A record's `limits` are those that count, inherited ones included; `counts` has jobs, submitted and accruing jobs, TRES
held, TRES-minutes promised and used, and wall minutes used. Times are minutes, memory MiB.
"""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import associations, shares
from slurm_compat.controller.associationrows import association_rows, user_rows
from slurm_compat.controller.consumption import WALL
from slurm_compat.controller.limitrules import amounts, wall
from slurm_compat.controller.privacy import Privacy
from slurm_compat.controller.tally import Bucket
from slurm_compat.core.bookargs import AssocMgr
from slurm_compat.core.cluster import QosConf

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

Record = dict[str, Any]

KINDS = ["users", "associations", "qos"]
UNKNOWN_UID = 0xFFFFFFFE  # NO_VAL: of a user this machine doesn't know


def show(controller: Controller, session: Session, args: AssocMgr) -> Record:
    private = Privacy(controller, session.caller)
    kinds = args.kinds or KINDS
    found: Record = {"tres": associations.tres_names(controller.cluster.conf)}
    if "users" in kinds:
        found["users"] = [
            row | {"uid": uid_of(row["name"])}
            for row in user_rows(controller.cluster.conf)
            if (not args.users or row["name"] in args.users) and private.shows_user(row["name"])
        ]
    if "associations" in kinds:
        found["associations"] = [
            record
            for record in _associations(controller, args)
            if private.shows_association(record["user"], record["account"])
        ]
    if "qos" in kinds:
        conf = controller.cluster.conf
        numbers = associations.qos_numbers(conf)
        found["qos"] = [
            _qos(controller, qos, numbers[qos.name]) for qos in conf.qos if not args.qos or qos.name in args.qos
        ]
    return found


def uid_of(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return UNKNOWN_UID


def _associations(controller: Controller, args: AssocMgr) -> list[Record]:
    """In the tree's order; accounts are shown whichever users were asked for."""
    now = controller.shares.now()
    rows = association_rows(controller.cluster.conf)
    levels: dict[int, int] = {}
    for row in rows:
        levels[row["parent_id"]] = levels.get(row["parent_id"], 0) + row["shares_raw"]
    found = []
    for row in rows:
        if (args.accounts and row["account"] not in args.accounts) or (
            args.users and row["user"] and row["user"] not in args.users
        ):
            continue
        user, account = row["user"], row["account"]
        bucket: Bucket = ("user", account, user) if user else ("account", account)
        found.append(
            {
                "id": row["id"],
                "cluster": row["cluster"],
                "account": account,
                "user": user,
                "uid": uid_of(user) if user else None,
                "partition": row["partition"],
                "parent_account": "" if user else row["parent_account"],
                "parent_id": row["parent_id"],
                "lineage": row["lineage"],
                "is_default": row["is_default"],
                "shares_raw": row["shares_raw"],
                "level": levels[row["parent_id"]],
                **shares.values(now[row["id"]]),
                "limits": _readable(row["limits"]) | _readable(_group(row["own_limits"])),
                "comment": "",
                "counts": counts(controller, bucket),
            }
        )
    return found


def _group(limits: Record) -> Record:
    return {name: value for name, value in limits.items() if name.startswith("grp_")}


def _qos(controller: Controller, qos: QosConf, number: int) -> Record:
    tally = controller.limiter.tally
    values = {name: getattr(qos, name) for name in QosConf.__struct_fields__}
    billing = controller.limiter.used(("qos", qos.name)).get("billing", 0.0)
    return {
        "id": number,
        "name": qos.name,
        "usage_raw": billing,
        "priority": qos.priority,
        "preempt_mode": qos.preempt_mode.upper() or "OFF",
        "limits": _readable(
            {name: value for name, value in values.items() if name.startswith(("grp_", "max_", "min_"))}
        ),
        "counts": counts(controller, ("qos", qos.name)),
        "accounts": [
            {"name": str(bucket[2]), "counts": counts(controller, bucket)}
            for bucket, _ in sorted(tally.kind("qos account", qos.name), key=lambda item: str(item[0][2]))
        ],
        "users": [
            {
                "uid": bucket[2],
                "name": controller.people.person(int(bucket[2])).name,
                "counts": counts(controller, bucket),
            }
            for bucket, _ in sorted(tally.kind("qos user", qos.name), key=lambda item: int(item[0][2]))
        ],
    }


def _readable(values: Record) -> Record:
    """TRES as amounts and times as minutes; nothing of what isn't set."""
    found: Record = {}
    for name, value in values.items():
        if value is None or value == "":
            continue
        if "tres" in name:
            found[name] = amounts(str(value))
        elif name in ("max_wall", "grp_wall"):
            if (minutes := wall(str(value))) is not None:
                found[name] = minutes
        else:
            found[name] = value
    return found


def counts(controller: Controller, bucket: Bucket) -> Record:
    limiter = controller.limiter
    now = controller.now()
    held = limiter.tally.of(bucket)
    used = limiter.used(bucket) if bucket[0] in ("qos", "user", "account") else {}
    names = {*held.tres, *held.waiting, "node"}
    factor = limiter.usage_factor(str(bucket[1])) if str(bucket[0]).startswith("qos") else 1.0
    return {
        "jobs": held.jobs,
        "accruing": held.accruing,
        "submitted": held.submitted,
        "wall": used.get(WALL, 0.0) / 60,
        "tres": {name: held.used(name) for name in names},
        "run_mins": {name: -(-int(held.promised(name, now) * factor) // 60) for name in names},
        "used_mins": {name: int(amount / 60) for name, amount in used.items() if name != WALL},
    }
