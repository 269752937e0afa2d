"""sacctmgr modify … set rawusage=0: what was used until now counts no more.

What runs at that moment goes on to add up from its start; its part until now is taken away beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurm_compat.controller.associations import below
from slurm_compat.controller.bookwork import Values, Where, Work, need_operator
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller


def reset(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """Of `qos`, or of the users `names` in `accounts`, or of all that are in and below them. -> {}"""
    need_operator(work)
    for name in where.get("qos", []):
        if name not in work.qos():
            raise SlurmError(BAD_ARGUMENT, f"Failed to find QOS {name}")
        work.resets.append(("qos", name))
    users = where.get("names", [])
    places = {(entry.account, entry.user) for entry in work.tree()}
    for account in where.get("accounts", []):
        for user in users or [""]:
            if (account, user) not in places:
                whom = f"account {account}" + (f" user {user}" if user else "")
                text = f"Failed to find cluster {work.cluster} {whom} association in database"
                raise SlurmError(BAD_ARGUMENT, text)
        wanted = {account} if users else below(work.conf, account)
        work.resets += [
            ("user", one, user)
            for one, user in sorted(places)
            if one in wanted and user and (not users or user in users)
        ]
    return {}


def apply(controller: Controller, work: Work, change: Change) -> None:
    """Do what `reset` has noted."""
    for bucket in work.resets:
        controller.limiter.consumption.reset(bucket, float(work.now), change)
        if bucket[0] == "user":
            controller.shares.reset(bucket[2], bucket[1], change)
