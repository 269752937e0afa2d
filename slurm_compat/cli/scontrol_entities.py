"""scontrol show: a row an entity."""

from __future__ import annotations

import os
from collections.abc import Callable

from slurm_compat.cli import scontrol_reservation
from slurm_compat.cli.scontrol_assoc import show_assoc_mgr
from slurm_compat.cli.scontrol_daemons import show_config, show_daemons
from slurm_compat.cli.scontrol_here import show_slurmd
from slurm_compat.cli.scontrol_hosts import show_hostlist, show_hostlistsorted, show_hostnames
from slurm_compat.cli.scontrol_records import (
    show_job,
    show_license,
    show_node,
    show_partition,
    show_step,
)
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import errors


def show_nothing(session: Session, words: list[str]) -> bool:
    """Burst buffers, federations: what Slurm prints where there is none, which is nothing."""
    return True


def show_aliases(session: Session, words: list[str]) -> bool:
    """The nodes that a host is, by its name."""
    host = words[0] if words else os.uname().nodename.partition(".")[0]
    names = [
        row["name"] for row in session.rows("nodes", ["name", "hostname"]) if host in (row["hostname"], row["name"])
    ]
    if names:
        session.ctx.out(" ".join(names))
    return True


def show_topology(session: Session, words: list[str]) -> bool:
    """A flat network has none to show; nor is there one of a node."""
    if words and "=" not in words[0]:
        session.fail(f"slurm_load_topo error: {errors.TEXT[2178]}")
    return True


def show_topoconf(session: Session, words: list[str]) -> bool:
    session.ctx.stdout.write(FLAT_TOPOLOGY)
    return True


FLAT_TOPOLOGY = """%YAML 1.1
---
- topology: default
  cluster_default: false
  block: {}
  flat: {}
  ring: {}
  torus3d: {}
  tree: {}
...
"""


ENTITIES: dict[str, tuple[int, Callable[[Session, list[str]], bool]]] = {
    "aliases": (1, show_aliases),
    "assoc_mgr": (2, show_assoc_mgr),
    "bbstat": (3, show_nothing),
    "burstbuffer": (2, show_nothing),
    "config": (1, show_config),
    "daemons": (1, show_daemons),
    "dwstat": (2, show_nothing),
    "federation": (1, show_nothing),
    "hostlist": (5, show_hostlist),
    "hostlistsorted": (9, show_hostlistsorted),
    "hostnames": (5, show_hostnames),
    "jobs": (1, show_job),
    "jobid": (4, show_job),
    "licenses": (2, show_license),
    "nodes": (1, show_node),
    "partitions": (2, show_partition),
    "reservations": (1, scontrol_reservation.show),
    "reservationname": (12, scontrol_reservation.show),
    "slurmd": (2, show_slurmd),
    "steps": (2, show_step),
    "topology": (1, show_topology),
    "topoconf": (5, show_topoconf),
}


def show_verb(session: Session, words: list[str]) -> bool:
    entity, equals, value = words[0].partition("=")
    rest = [value, *words[1:]] if equals else words[1:]
    for name, (least, do) in ENTITIES.items():
        if len(entity) >= least and name.startswith(entity.lower()):
            if len(rest) > 1 and name != "assoc_mgr":
                return session.fail("too many arguments for keyword:show")
            if session.document:
                from slurm_compat.cli.scontrol_json import shown

                done = shown(session, name, rest)
                if done is not None:
                    return done
            return do(session, rest)
    return session.fail(f"invalid entity:{entity} for keyword:show")
