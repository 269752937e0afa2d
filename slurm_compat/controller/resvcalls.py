"""The calls about reservations: their rows, and create, update and delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import reservation, reserved, reserving
from slurm_compat.controller.answering import chosen, require_fields
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.privacy import Privacy
from slurm_compat.core import callargs, clusterargs, errors, privatedata
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.fields import RESERVATION_FIELDS
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session


def rows(controller: Controller, session: Session, args: callargs.Fields) -> Iterator[list[list[Any]]]:
    require_fields(args.fields, RESERVATION_FIELDS)
    now = controller.now()
    private = Privacy(controller, session.caller).hides(privatedata.RESERVATIONS)
    shown = [
        reservation.row(one, now)
        for one in controller.calendar.all.values()
        if not private or (session.caller is not None and _is_for(controller, one, session.caller))
    ]
    return chosen([row for row in shown if not args.names or row["name"] in args.names], args.fields)


async def update(controller: Controller, session: Session, args: clusterargs.UpdateReservation) -> dict[str, Any]:
    if session.caller is None:
        raise SlurmError(errors.ACCESS_DENIED)
    change = Change()
    name = ACTIONS[args.action](controller, session.caller, args, change) if args.action in ACTIONS else ""
    if not name:
        raise SlurmError(errors.NOT_SUPPORTED)
    controller.calendar.settle(change)
    await controller.commit(change)
    return {"name": name}


def _view(controller: Controller) -> reserving.View:
    calendar = controller.calendar
    return reserving.View(controller.cluster, controller.now(), calendar.last_end, calendar.next_id)


def _create(controller: Controller, caller: Caller, args: clusterargs.UpdateReservation, change: Change) -> str:
    _operators(caller)
    if controller.conf.armada.address and not controller.cluster.labelled and controller.inventory is None:
        raise SlurmError(errors.NOT_SUPPORTED, "Reservations need the nodes by name: declare them in the cluster file")
    made = reserving.create(_view(controller), args.name, args.changes)
    controller.calendar.keep(made, change)
    return made.name


def _update(controller: Controller, caller: Caller, args: clusterargs.UpdateReservation, change: Change) -> str:
    _operators(caller)
    old = _named(controller, args.name)
    new = reserving.update(_view(controller), old, args.changes)
    controller.calendar.keep(new, change)
    controller.calendar.tell_ends(new, change)
    return new.name


def _delete(controller: Controller, caller: Caller, args: clusterargs.UpdateReservation, change: Change) -> str:
    there = controller.calendar.all.get(args.name)
    if not (there is not None and "USER_DELETE" in there.flags and _is_for(controller, there, caller)):
        _operators(caller)
    one = _named(controller, args.name)
    if controller.calendar.in_use(one):
        raise SlurmError(errors.RESERVATION_IN_USE)
    controller.calendar.remove(one, change, controller.now())
    return one.name


def _is_for(controller: Controller, one: reservation.Reservation, caller: Caller) -> bool:
    """Whether the caller, in any of his accounts, may run jobs in it."""
    cluster = controller.cluster
    accounts = {user.account for user in cluster.conf.users if user.name == caller.user_name} or {""}
    return any(
        one.is_for(reserved.who_of(cluster, caller.user_name, account, "", "")) for account in accounts
    )  # fmt: skip


def _named(controller: Controller, name: str) -> reservation.Reservation:
    found = controller.calendar.all.get(name)
    if found is None:
        raise SlurmError(errors.RESERVATION_INVALID)
    return found


def _operators(caller: Caller) -> None:
    if not caller.operator:
        raise SlurmError(errors.USER_ID_MISSING)


ACTIONS = {"create": _create, "update": _update, "delete": _delete}
