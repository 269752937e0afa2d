"""`python -m slurm_compat.engine [CLUSTER_FILE] --state DIR`: the engine as a process.

One engine a state folder: a second one finds the lock taken and says so. SIGTERM and SIGINT stop it in good order; pods
go on under the kubelet. SIGHUP reads the cluster file's nodes and what was set of them again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import pwd
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from slurm_compat.core.cluster import ClusterConf, cluster_conf
from slurm_compat.core.errors import BadValue
from slurm_compat.engine import service
from slurm_compat.engine.engine import Engine
from slurm_compat.engine.lock import Locked, take_lock
from slurm_compat.engine.machine import this_machine
from slurm_compat.engine.nodes import Node, as_set, nodes_of

# what the controller set of the nodes since the cluster file was written: {"serial": number, "nodes": {node: {"state",
# "features", "weight"}}}, or {node: state}
NODE_STATES = "node-states.json"
STATES_SEEN = os.path.join("run", "node-states.seen")  # the serial of what was read last

log = logging.getLogger(__name__)


class CannotStart(Exception):
    """Words for whoever started the engine."""


def read_conf(path: str | None) -> ClusterConf:
    if path is None:
        return ClusterConf()
    try:
        with open(path, encoding="utf-8") as file:
            return cluster_conf(yaml.safe_load(file))
    except OSError as problem:
        raise CannotStart(f"cluster file {path}: {problem.strerror}") from None
    except (BadValue, yaml.YAMLError, UnicodeDecodeError) as problem:
        raise CannotStart(f"cluster file {path}: {problem}") from None


def prepared_state(path: str) -> str:
    """The state folder with its parts, made where missing."""
    state = os.path.abspath(path)
    try:
        for part in ("", "run", "log", "pods"):
            # the agents' and commands' sockets are below: everybody may pass, nobody may look
            os.makedirs(os.path.join(state, part), mode=0o711 if part in ("", "run") else 0o700, exist_ok=True)
    except OSError as problem:
        raise CannotStart(f"state folder {problem.filename}: {problem.strerror}") from None
    return state


class States(NamedTuple):
    """What was set at run time."""

    serial: int = 0
    nodes: Mapping[str, Mapping[str, Any]] = {}


def node_states(state: str) -> States:
    """Nothing when nothing was set, or what is there makes no sense."""
    try:
        with open(os.path.join(state, NODE_STATES), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return States()
    except (OSError, ValueError) as problem:
        log.error("%s: %s", NODE_STATES, problem)
        return States()
    if not isinstance(found, dict):
        return States()
    nodes = found["nodes"] if isinstance(found.get("nodes"), dict) else found
    told = {str(name): value if isinstance(value, dict) else {"state": str(value)} for name, value in nodes.items()}
    return States(found["serial"] if isinstance(found.get("serial"), int) else 0, told)


def configured(conf: ClusterConf, state: str) -> list[Node]:
    try:
        return nodes_of(conf, this_machine(state))
    except BadValue as problem:
        raise CannotStart(f"cluster file: {problem}") from None


async def serve(read: Callable[[], list[Node]], state: str, owner: str) -> None:
    """`read`: the nodes of the cluster file as it is now. Raises CannotStart."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    known = read()
    engine = Engine(as_set(known, node_states(state).nodes), state, owner)

    def read_again() -> None:
        nonlocal known
        try:
            known = read()
        except CannotStart as problem:
            log.error("%s; the nodes stay as they were", problem)
        states = node_states(state)
        engine.renew(as_set(known, states.nodes))
        say_seen(states.serial)

    say_seen(node_states(state).serial)
    loop.add_signal_handler(signal.SIGHUP, read_again)
    server = listening(engine)
    await server.start()
    os.chmod("run/engine.sock", 0o600)
    engine.start()
    gc.freeze()
    log.info("engine serves %d nodes on %s/run/engine.sock", len(engine.nodes), state)
    await stopping.wait()
    await server.stop(grace=1)
    await engine.stop()
    with contextlib.suppress(FileNotFoundError):
        os.unlink("run/engine.pid")


def say_seen(serial: int) -> None:
    """For whoever waits until we go by what was set."""
    with open(f"{STATES_SEEN}.new", "w", encoding="ascii") as file:
        file.write(f"{serial}\n")
    os.replace(f"{STATES_SEEN}.new", STATES_SEEN)


def listening(engine: Engine) -> Any:
    """The server on the socket below the working directory, whose mode lets only our user in from its first moment."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink("run/engine.sock")
    mask = os.umask(0o177)
    try:
        return service.server(engine, "unix:run/engine.sock")
    finally:
        os.umask(mask)


def principal() -> str:
    """Who we act for: the socket lets in nobody but our own user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="slurm_compat.engine", description="The embedded engine.")
    parser.add_argument("cluster_file", nargs="?", metavar="CLUSTER_FILE")
    parser.add_argument("--state", metavar="DIR", help="state folder; default: StateSaveLocation of the cluster file")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    os.umask(0o077)  # job tokens stand in the log's specs
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    path = os.path.abspath(options.cluster_file) if options.cluster_file else None
    try:
        conf = read_conf(path)
        place = options.state or conf.state_save_location
        if not place:
            raise CannotStart("no state folder: give --state DIR, or StateSaveLocation in the cluster file")
        state = prepared_state(place)
        lock = take_lock(state, "engine")
        configured(conf, state)
    except (CannotStart, Locked) as problem:
        print(f"slurm_compat.engine: error: {problem}", file=sys.stderr)
        return 1
    os.chdir(state)  # so that the socket's path is short, however long the folder's is
    asyncio.run(serve(lambda: configured(read_conf(path), state), state, principal()))
    os.close(lock)
    return 0
