"""scontrol's verbs on the controller itself, and what it says of itself."""

from __future__ import annotations

import os
import time

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.clusters import own_cluster, require_own_cluster
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.cli.where import controller_host
from slurm_compat.core import timefmt
from slurm_compat.core.errors import CommandError, SlurmError


def pinged(session: Session) -> tuple[str, bool, int]:
    """The controller's host, whether it answers, and within how many microseconds it did."""
    began = time.monotonic()
    try:
        host = session.ctx.controller.call("ping")["hostname"]
    except SlurmError:  # nobody there, or nobody who would have us: the real one does not tell the two apart
        host = controller_host(session.ctx.env) or os.uname().nodename.partition(".")[0]
        return host, False, 0
    return host, True, round((time.monotonic() - began) * 1_000_000)


def ping(session: Session, words: list[str]) -> bool:
    host, up, _ = pinged(session)
    host = session.cluster or host  # with -M the cluster stands where its controller's host does
    session.ctx.out(f"Slurmctld(primary) at {host} is {'UP' if up else 'DOWN'}")
    if not up:
        stars = "*" * 41
        session.ctx.out(f"{stars}\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n{stars}")
    return up


API_VERSION = "slurm_api_version: 2949120, 45.0.0"  # of 26.05


def version(session: Session, words: list[str]) -> bool:
    session.ctx.out(f"slurm-wlm {SLURM_VERSION}")
    if words:
        return session.fail("too many arguments for version keyword")
    if session.verbose:
        session.ctx.out(API_VERSION)
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
    here = os.uname().nodename.partition(".")[0]
    controller = "slurmctld " if session.ctx.controller.call("ping")["hostname"] == here else ""
    node = "slurmd" if here in (row["name"] for row in session.rows("nodes", ["name"])) else ""
    session.ctx.out(controller + node or "(null)")
    return True


def cluster(session: Session, words: list[str]) -> bool:
    """Another cluster there is not; none named means this one."""
    if words:
        choose_cluster(session, words[0])
    return True


def choose_cluster(session: Session, names: str) -> None:
    """-M: this cluster among the names will do. Raises CommandError when it is not."""
    own = own_cluster(session.ctx)
    wanted = names.split(",")
    if own not in wanted and "all" not in wanted:
        require_own_cluster(session.ctx, names)
    for name in wanted:
        if name not in (own, "all"):
            session.ctx.error(f"No cluster '{name}' known by database.")
    session.cluster = own


def reconfigure(session: Session, words: list[str]) -> bool:
    return session.ordered("slurm_reconfigure", "reconfigure")


def shutdown(session: Session, words: list[str]) -> bool:
    """With "slurmctld" or without: there are no other daemons to stop."""
    if words and not any(name.startswith(words[0].lower()) for name in ("slurmctld", "controller")):
        return session.fail(f"invalid shutdown argument:{words[0]}")
    return session.ordered("slurm_shutdown", "shutdown")


def token(session: Session, words: list[str]) -> bool:
    asked: dict[str, str | int] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key.lower() not in ("lifespan", "username"):
            session.ctx.err(f"Invalid option: `{word}`")
            return False
        if key.lower() == "username":
            asked["user_name"] = value
        else:
            asked["lifespan"] = _lifespan(value)
    try:
        answer = session.ctx.controller.call("token", **asked)
    except SlurmError as problem:
        session.ctx.error(f"slurm_fetch_token: error with request: {problem.text}")
        return False
    session.ctx.out(f"SLURM_JWT={answer['token']}")
    return True


LONGEST = 0x7FFFFFFF  # seconds; what a C int holds


def _lifespan(text: str) -> int:
    if text.lower() in ("infinite", "unlimited"):
        return LONGEST
    if not text.isdecimal() or int(text) == 0:
        raise CommandError(f'scontrol: error: Invalid numeric value "{text}" for lifespan.')
    if int(text) > LONGEST:
        raise CommandError(f"scontrol: error: Numeric argument ({text}) too large for lifespan.")
    return int(text)
