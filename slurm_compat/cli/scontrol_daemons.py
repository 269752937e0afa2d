"""scontrol's verbs on the controller itself, and what it says of itself."""

from __future__ import annotations

import os

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.cli.where import controller_host
from slurm_compat.core import errors, timefmt
from slurm_compat.core.errors import SlurmError


def ping(session: Session, words: list[str]) -> bool:
    try:
        answer = session.ctx.controller.call("ping")
    except ControllerDown:
        host = controller_host(session.ctx.env) or os.uname().nodename.partition(".")[0]
        session.ctx.out(f"Slurmctld(primary) at {host} is DOWN")
        stars = "*" * 41
        session.ctx.out(f"{stars}\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n{stars}")
        return False
    session.ctx.out(f"Slurmctld(primary) at {answer['hostname']} is UP")
    return True


def version(session: Session, words: list[str]) -> bool:
    session.ctx.out(f"slurm-wlm {SLURM_VERSION}")
    return True


def show_config(session: Session, words: list[str]) -> bool:
    try:
        pairs = session.ctx.controller.call("config")["pairs"]
    except SlurmError as problem:
        return session.fail(f"slurm_load_ctl_conf error:{problem.text}")
    session.ctx.out(f"Configuration data as of {timefmt.clock(int(session.ctx.now()), session.time_format)}")
    for key, value in pairs:
        session.ctx.out(f"{key:<23} = {value}")
    session.ctx.out("")
    return ping(session, [])


def show_daemons(session: Session, words: list[str]) -> bool:
    """The daemons of this node: slurmctld where the controller runs; slurmd's part is each job's agent."""
    here = session.ctx.controller.call("ping")["hostname"] == os.uname().nodename
    session.ctx.out("slurmctld " if here else "(null)")
    return True


def setdebug(session: Session, words: list[str]) -> bool:
    return session.fail("slurm_set_debug_level error:Permission denied")


def reconfigure(session: Session, words: list[str]) -> bool:
    try:
        session.ctx.controller.call("reconfigure")
    except SlurmError as problem:
        return session.fail(f"slurm_reconfigure error:{problem.text}")
    return True


def shutdown(session: Session, words: list[str]) -> bool:
    try:
        session.ctx.controller.call("shutdown")
    except SlurmError as problem:
        return session.fail(f"slurm_shutdown error:{problem.text}")
    return True


def token(session: Session, words: list[str]) -> bool:
    session.ctx.error(f"slurm_fetch_token: error with request: {errors.TEXT[8004]}")
    return False
