"""scontrol setdebug, setdebugflags and fsdampeningfactor: what the controller logs, until it starts again.

As in Slurm these are not kept: the cluster file's say at the next start. A level is one of LEVELS; Python's logging has
fewer, and everything from verbose on is its DEBUG. A flag makes the modules it is about tell all they can.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from slurm_compat.core import callargs, clusterargs, errors
from slurm_compat.core.debugflags import FLAGS, LEVELS
from slurm_compat.core.errors import SlurmError

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

LOUDNESS = {
    "quiet": logging.CRITICAL + 1, "fatal": logging.CRITICAL, "error": logging.ERROR, "info": logging.INFO,
}  # fmt: skip
# flag: the modules of the controller it is about
ABOUT = {
    "Agent": ("agents", "launching"),
    "Backfill": ("staging", "placing"),
    "Dependency": ("dependencies", "pending"),
    "Federation": (),
    "Network": ("server", "watch"),
    "Priority": ("priorities", "shares"),
    "Protocol": ("server",),
    "Reservation": ("calendar", "reserved", "reserving"),
    "Steps": ("steps", "stepcalls", "stepkeeping"),
    "TraceJobs": ("machine", "effects"),
    "Triggers": ("triggers",),
}


class Debugging:
    """What is set now; one a controller."""

    def __init__(self) -> None:
        self.level = "info"
        self.flags: frozenset[str] = frozenset()
        self.dampening = 1

    def shown(self) -> dict[str, str]:
        """Rows of scontrol show config."""
        return {
            "DebugFlags": ",".join(flag for flag in FLAGS if flag in self.flags) or "(null)",
            "FairShareDampeningFactor": str(self.dampening),
            "SlurmctldDebug": self.level,
        }

    def set_level(self, level: str) -> None:
        self.level = level
        logging.getLogger().setLevel(LOUDNESS.get(level, logging.DEBUG))

    def set_flags(self, on: frozenset[str], off: frozenset[str]) -> None:
        self.flags = (self.flags | on) - off
        for flag, modules in ABOUT.items():
            for module in modules:
                if flag in on | off:
                    level = logging.DEBUG if flag in self.flags else logging.NOTSET
                    logging.getLogger(f"slurm_compat.controller.{module}").setLevel(level)


def change(controller: Controller, session: Session, args: clusterargs.SetDebug) -> dict[str, Any]:
    """Administrators alone; a scheduler's log of its own there is not, which is told as Slurm tells it."""
    if session.caller is None or not session.caller.admin:
        raise SlurmError(errors.PERMISSION_DENIED, "Permission denied")
    unknown = {*args.flags_on, *args.flags_off} - set(FLAGS)
    if unknown or (args.level is not None and args.level not in LEVELS):
        raise SlurmError(errors.DISABLED)
    if args.scheduler is not None:
        raise SlurmError(errors.DISABLED)
    if args.level is not None:
        controller.debugging.set_level(args.level)
    controller.debugging.set_flags(frozenset(args.flags_on), frozenset(args.flags_off))
    if args.dampening is not None:
        controller.debugging.dampening = args.dampening
    return {}


def power(controller: Controller, session: Session, args: callargs.Nothing) -> dict[str, Any]:
    """Nodes' power is not managed: what Slurm says where no programs for it are set."""
    raise SlurmError(errors.INVALID_POWER_ACTION)
