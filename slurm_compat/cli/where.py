"""Where this caller's controller is: the cluster file's state folder, or the private cluster's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

SITE_FILE = "/etc/slurm-compat/cluster.yaml"


class Place(NamedTuple):
    path: str  # the controller's socket
    cluster_file: str  # "" for the private cluster
    state: str  # folder
    private: bool  # may be started on demand


class Remote(NamedTuple):
    """A controller on another machine."""

    address: str  # host:port
    authority: str  # the certificate that vouches for it: DER in base64, or a file's absolute path; "": the system's


def remote(env: Mapping[str, str]) -> Remote | None:
    """Where the controller is if it is elsewhere: as the job's agent has it, or as the cluster file says on a machine
    that has no state folder of it."""
    if address := env.get("SLURM_COMPAT_CONTROLLER"):
        return Remote(address, env.get("SLURM_COMPAT_AUTHORITY", ""))
    path = cluster_file(env)
    if not path:
        return None
    state = state_of(path)
    if state and os.path.isdir(os.path.join(state, "run")):
        return None
    if address := _value_of(path, "ControllerAddress"):
        authority = _value_of(path, "TLSAuthority")
        return Remote(address, os.path.join(os.path.dirname(os.path.abspath(path)), authority) if authority else "")
    return None


def cluster_file(env: Mapping[str, str]) -> str:
    """The cluster file that counts here, "" when there is none. Installed commands set SLURM_CONF themselves."""
    if named := env.get("SLURM_CONF"):
        return named
    return SITE_FILE if os.path.exists(SITE_FILE) else ""


def private_state(env: Mapping[str, str]) -> str:
    base = env.get("XDG_STATE_HOME") or os.path.join(env.get("HOME") or "/", ".local", "state")
    return os.path.join(base, "slurm-compat")


def controller_socket(env: Mapping[str, str]) -> Place:
    path = cluster_file(env)
    state = state_of(path) if path else ""
    private = not state
    state = state or private_state(env)
    return Place(os.path.join(state, "run", "controller.sock"), path, state, private)


def state_of(path: str) -> str:
    """StateSaveLocation of a cluster file, "" when it names none."""
    return _value_of(path, "StateSaveLocation")


def controller_host(env: Mapping[str, str]) -> str:
    """SlurmctldHost of the cluster file, "" when there is none or it does not say."""
    path = cluster_file(env)
    return _value_of(path, "SlurmctldHost") if path else ""


def _value_of(path: str, wanted: str) -> str:
    """A key's text. Read by line: a command waits for no YAML parser."""
    from slurm_compat.core.errors import CommandError

    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key == wanted:
                    return value.split("#")[0].strip().strip("'\"")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not a text file"
        raise CommandError(f"error: cluster file {path}: {reason}; set SLURM_CONF to a readable one") from None
    return ""


def start_private_cluster(place: Place, env: Mapping[str, str]) -> None:
    """Start the controller (which starts the engine) and wait until it answers. Raises CommandError if it can't be."""
    from slurm_compat import operator
    from slurm_compat.core.errors import CommandError

    try:
        operator.start(place.cluster_file, place.state)
    except operator.NotStarted as problem:
        raise CommandError(f"error: {problem.message}") from None
    except OSError as problem:
        raise CommandError(
            f"error: {place.state}: {problem.strerror}; the private cluster keeps its state there"
        ) from None
