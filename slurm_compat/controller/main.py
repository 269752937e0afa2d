"""The controller as a process: reads its state, opens its socket, talks to Armada, and stops in good order.

A clean stop, or none at all, leaves jobs running: agents dial until somebody answers again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import msgspec
import yaml

from slurm_compat.armada.client import Armada
from slurm_compat.controller import reprioritizing, restoring, rolling
from slurm_compat.controller.authorization import Roles
from slurm_compat.controller.calls import Calls
from slurm_compat.controller.controller import Controller
from slurm_compat.controller.crowd import connections_each, raise_file_limit
from slurm_compat.controller.host import this_machine
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.outward import Outward, prepare
from slurm_compat.controller.pidfile import running_pid, start_time_of
from slurm_compat.controller.placing import live
from slurm_compat.controller.reconfiguring import reconfigure
from slurm_compat.controller.server import Server
from slurm_compat.controller.siteinventory import Sources, first_look
from slurm_compat.controller.watch import Watch
from slurm_compat.core.cluster import ClusterConf, cluster_conf
from slurm_compat.core.errors import BadValue
from slurm_compat.store.schema import WrongVersion
from slurm_compat.store.store import Store

log = logging.getLogger("slurm_compat.controller")

ENGINE_WAIT = 20.0  # seconds for a started engine to answer
ENGINE_LOOK = 0.5  # seconds between looks whether the embedded engine still runs


def private_state() -> str:
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.environ.get("HOME") or "/", ".local", "state")
    return os.path.join(base, "slurm-compat")


def read_conf(path: str) -> ClusterConf:
    """The cluster file, or the private cluster's defaults for "". Raises BadValue and OSError."""
    if not path:
        return ClusterConf()
    with open(path, encoding="utf-8") as file:
        try:
            document = yaml.safe_load(file)
        except yaml.YAMLError as problem:
            raise BadValue(str(problem)) from None
    return cluster_conf(document)


def make_folders(state: str) -> None:
    """The state folder: entered by all, for the socket, and read by its owner alone."""
    for name, mode in (("", 0o711), ("run", 0o711), ("log", 0o700)):
        path = os.path.join(state, name) if name else state
        os.makedirs(path, exist_ok=True)
        with contextlib.suppress(PermissionError):
            os.chmod(path, mode)


def keep_to_ourselves(path: str) -> None:
    """A store that an earlier version left readable: scripts, environments and jobs' tokens are in it."""
    for part in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):  # none yet, or a database elsewhere
            os.chmod(path + part, 0o600)


def write_pid(state: str, name: str) -> str:
    path = os.path.join(state, "run", f"{name}.pid")
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(f"{os.getpid()} {start_time_of(os.getpid())}\n")
    os.replace(temporary, path)
    return path


async def ensure_engine(
    armada: Armada, state: str, cluster_file: str, as_before: Callable[[int], None] = lambda pid: None
) -> None:
    """The embedded engine answers on its socket; start it, in a session of its own, if it doesn't.

    `as_before` gives its process the limits that we were started with.
    """
    if await armada.health():
        return
    log.info("starting the engine")
    command = [sys.executable, "-m", "slurm_compat.engine"]
    if cluster_file:
        command.append(cluster_file)
    command += ["--state", state]
    path = os.path.join(state, "log", "engine.log")
    with open(path, "ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
)  # fmt: skip
    as_before(process.pid)
    deadline = time.monotonic() + ENGINE_WAIT
    try:
        while time.monotonic() < deadline:
            if await armada.health(0.5):
                return
            if process.poll() not in (None, 0):
                raise BadValue(f"the engine ended with {process.returncode}; see {path}")
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        process.terminate()  # we are stopping, and nobody knows of it yet who could stop it
        raise
    log.warning("the engine does not answer yet; jobs wait for it")


async def keep_engine(armada: Armada, state: str, cluster_file: str, as_before: Callable[[int], None]) -> None:
    """Have the embedded engine running: now, and again whenever it is found dead. Its jobs go on meanwhile."""
    pid_file = os.path.join(state, "run", "engine.pid")
    pause = ENGINE_LOOK
    while True:
        if not running_pid(pid_file):
            try:
                await ensure_engine(armada, state, cluster_file, as_before)
                pause = ENGINE_LOOK
            except (BadValue, OSError) as problem:
                # soon again at first: one that was killed may hold its lock a moment longer
                log.error("%s", problem)
                pause = min(pause * 2, ENGINE_WAIT)
        await asyncio.sleep(pause)


class Process:
    """Everything that runs, and how it ends."""

    def __init__(self, cluster_file: str, state: str) -> None:
        self.cluster_file = os.path.abspath(cluster_file) if cluster_file else ""
        self.state = state
        self._stop = asyncio.Event()

    def _reconfigure(self, controller: Controller) -> None:
        conf = read_conf(self.cluster_file)
        if controller.inventory is not None:
            conf = controller.inventory.reread(conf)
        reconfigure(controller, conf, os.getuid())
        log.info("read %s again", self.cluster_file or "the private cluster's defaults")

    async def run(self) -> None:
        conf = read_conf(self.cluster_file)
        self.state = os.path.abspath(self.state or conf.state_save_location or private_state())
        conf = msgspec.structs.replace(conf, state_save_location=self.state)
        make_folders(self.state)
        if other := running_pid(os.path.join(self.state, "run", "controller.pid")):
            raise BadValue(f"a controller with this state is running already, pid {other}")
        pid_file = write_pid(self.state, "controller")
        keep_to_ourselves(conf.store or os.path.join(self.state, "store.sqlite"))
        store = Store(conf.store or os.path.join(self.state, "store.sqlite"))
        store.start()
        file_conf, sources = conf, Sources(conf.armada, self.state)
        conf = await first_look(file_conf, sources)
        now = int(time.time())
        cluster = Cluster.from_conf(conf, this_machine(), now)
        controller = Controller(cluster.conf, cluster, store, Roles(conf, os.getuid()))
        controller.cluster_file = self.cluster_file
        controller.state_folder = self.state
        cluster.live = lambda: live(controller)
        prepare(controller)
        engine = os.path.join(self.state, "run", "engine.sock")
        armada = Armada(conf.armada, engine)
        controller.outbox.armada = armada
        watch = Watch(controller, armada)
        controller.follow = watch.follow
        controller.outbox.learn = watch.learn
        await restoring.restore(controller, watch)
        calls = Calls(controller, self._stop.set, lambda: self._reconfigure(controller))
        server = Server(calls.answer, lambda uid, gid: controller.caller(uid, gid), controller.count)
        server.answered = calls.answered
        files, as_before = raise_file_limit()
        server.crowd.most = connections_each(files)
        await server.listen_unix(os.path.join(self.state, "run", "controller.sock"))
        outward = Outward(controller, sources, file_conf)
        await outward.start(server)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        outbox = asyncio.ensure_future(controller.outbox.run())
        keeping = asyncio.ensure_future(restoring.housekeeping(controller))
        priorities = asyncio.ensure_future(reprioritizing.keep(controller))
        preempting = asyncio.ensure_future(controller.preempting.keep())
        order = asyncio.ensure_future(controller.reordering.keep())
        hours = asyncio.ensure_future(rolling.keep(controller))
        engine_kept = None
        if not conf.armada.address:
            try:
                await ensure_engine(armada, self.state, self.cluster_file, as_before)
            except BadValue as problem:
                log.error("%s", problem)
            engine_kept = asyncio.ensure_future(keep_engine(armada, self.state, self.cluster_file, as_before))
        log.info("ready: %s, %d jobs", self.state, len(controller.table.jobs))
        controller.handover.pump_soon()
        await self._stop.wait()
        log.info("stopping; jobs go on")
        await server.close()
        await outward.stop()
        for task in (outbox, keeping, priorities, preempting, order, hours, engine_kept):
            if task is not None:
                task.cancel()
        await watch.stop()
        controller.due.stop()
        controller.calendar.stop()
        controller.node_keeping.stop()
        await store.stop()
        await armada.close()
        with contextlib.suppress(OSError):
            os.unlink(pid_file)


def main(argv: list[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="slurm-compat controller", description="Run the controller of a cluster.")
    parser.add_argument("cluster_file", nargs="?", default="", help="the cluster file; without it, the private cluster")
    parser.add_argument("--state", default="", help="state folder; default: StateSaveLocation of the cluster file")
    parser.add_argument("--verbose", action="store_true", help="log what happens to each job")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    os.umask(0o077)  # what we keep is ours to read: scripts, environments, tokens
    for name in ("asyncio", "grpc", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        asyncio.run(Process(options.cluster_file, options.state).run())
    except (BadValue, WrongVersion, OSError) as problem:
        sys.stderr.write(f"slurm-compat controller: error: {problem}\n")
        sys.exit(1)
    sys.exit(0)
