"""scontrol show: a row an entity."""

from __future__ import annotations

from collections.abc import Callable

from slurm_compat.cli.scontrol_daemons import show_config, show_daemons
from slurm_compat.cli.scontrol_hosts import show_hostlist, show_hostlistsorted, show_hostnames
from slurm_compat.cli.scontrol_records import (
    show_job,
    show_license,
    show_node,
    show_partition,
    show_reservation,
    show_step,
)
from slurm_compat.cli.scontrol_session import Session


def show_nothing(session: Session, words: list[str]) -> bool:
    """Aliases, topology: what Slurm prints where there is none, which is nothing."""
    return True


def not_kept(what: str) -> Callable[[Session, list[str]], bool]:
    def refuse(session: Session, words: list[str]) -> bool:
        session.ctx.error(f"show {what}: not kept by this cluster yet; see the table of scontrol in the documentation")
        return False

    return refuse


ENTITIES: dict[str, tuple[int, Callable[[Session, list[str]], bool]]] = {
    "aliases": (2, show_nothing),
    "assoc_mgr": (2, not_kept("assoc_mgr")),
    "bbstat": (3, not_kept("bbstat")),
    "burstbuffer": (2, not_kept("burstbuffer")),
    "config": (1, show_config),
    "daemons": (1, show_daemons),
    "dwstat": (2, not_kept("dwstat")),
    "federation": (1, not_kept("federation")),
    "hostlist": (5, show_hostlist),
    "hostlistsorted": (9, show_hostlistsorted),
    "hostnames": (5, show_hostnames),
    "jobs": (1, show_job),
    "licenses": (1, show_license),
    "nodes": (1, show_node),
    "partitions": (1, show_partition),
    "reservations": (1, show_reservation),
    "slurmd": (2, not_kept("slurmd")),
    "steps": (2, show_step),
    "topology": (1, show_nothing),
}


def show_verb(session: Session, words: list[str]) -> bool:
    entity, equals, value = words[0].partition("=")
    rest = [value, *words[1:]] if equals else words[1:]
    for name, (least, do) in ENTITIES.items():
        if len(entity) >= least and name.startswith(entity.lower()):
            if len(rest) > 1 and name != "assoc_mgr":
                return session.fail("too many arguments for keyword:show")
            return do(session, rest)
    return session.fail(f"invalid entity:{entity} for keyword:show")
