"""The calls of strigger. Only SlurmUser may set a trigger; whoever set it, and administrators, may clear it."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller.triggers import Trigger
from slurm_compat.core import errors, hostlist
from slurm_compat.core.callargs import Nothing
from slurm_compat.core.clusterargs import ClearTriggers, SetTrigger
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

MOST = 1000  # triggers at once
DUPLICATE = 2089
NO_SUCH, NO_SUCH_TEXT = 3, "No such process"  # ESRCH, which slurmctld answers


def slurm_user(controller: Controller) -> int:
    """The uid of SlurmUser; of whoever runs the controller where none is named; -1 of one this machine doesn't know."""
    if not controller.conf.slurm_user:
        return os.getuid()
    try:
        return pwd.getpwnam(controller.conf.slurm_user).pw_uid
    except KeyError:
        return -1


async def put(controller: Controller, session: Session, args: SetTrigger) -> dict[str, Any]:
    assert session.caller is not None
    if session.caller.uid != slurm_user(controller):
        raise SlurmError(errors.ACCESS_DENIED)
    _check(controller, args)
    trigger = Trigger(trigger_id=0, user_id=session.caller.uid, **msgspec.structs.asdict(args))
    triggers = controller.triggers
    if any(trigger.same(other) for other in triggers.kept.values()):
        raise SlurmError(DUPLICATE)
    if len(triggers.kept) >= MOST:
        raise SlurmError(BAD_ARGUMENT, f"There are {MOST} triggers already")
    change = Change()
    triggers.add(trigger, change)
    await controller.commit(change)
    return {"trigger_id": trigger.trigger_id}


def _check(controller: Controller, args: SetTrigger) -> None:
    if args.kind == "job":
        job = controller.table.jobs.get(int(args.target)) if args.target.isdecimal() else None
        if job is None:
            raise SlurmError(errors.INVALID_JOB_ID)
        if job.is_final:
            raise SlurmError(errors.ALREADY_DONE)
    if args.kind == "node" and args.target != "*":
        names = hostlist.named(args.target)
        if not names or any(name not in controller.cluster.nodes for name in names):
            raise SlurmError(errors.INVALID_NODE_NAME)
    try:
        words = shlex.split(args.program)
    except ValueError:
        words = []
    if not words or not words[0].startswith("/") or len(args.program) > 4096:
        raise SlurmError(BAD_ARGUMENT, "The program must be a path that starts with /")


def show(controller: Controller, session: Session, args: Nothing) -> dict[str, Any]:
    """{triggers: [a Trigger's fields and user_name…]}, in the order of their numbers."""
    return {
        "triggers": [
            msgspec.structs.asdict(trigger) | {"user_name": controller.people.person(trigger.user_id).name}
            for _, trigger in sorted(controller.triggers.kept.items())
        ]
    }


async def clear(controller: Controller, session: Session, args: ClearTriggers) -> dict[str, Any]:
    """Those that fit all that is asked; refused when there are none, or one is another's."""
    caller = session.caller
    assert caller is not None
    found = [
        trigger
        for trigger in controller.triggers.kept.values()
        if args.trigger_id in (0, trigger.trigger_id)
        and (not args.job_id or (trigger.kind, trigger.target) == ("job", str(args.job_id)))
        and args.user_id in (None, trigger.user_id)
    ]
    if not found:
        raise SlurmError(NO_SUCH, NO_SUCH_TEXT)
    if any(trigger.user_id != caller.uid for trigger in found) and not caller.admin:
        raise SlurmError(errors.ACCESS_DENIED)
    change = Change()
    for trigger in found:
        controller.triggers.drop(trigger, change)
    await controller.commit(change)
    return {}
