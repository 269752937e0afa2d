"""The kubelet: starts pods as processes of this machine, watches them, tells the engine. A process of one thread.

It outlives the engine, and pods outlive it: a kubelet that starts anew adopts what it finds in the spool. SIGTERM ends
it and leaves the pods; SIGQUIT ends the pods first, each with its grace period. Standard library only, so that it stays
small: a pod is a fork of it. It sleeps until something happens.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from slurm_compat.engine import cgroups, namespaces, procs
from slurm_compat.engine.leader import AgentMain
from slurm_compat.engine.lock import Locked, take_lock
from slurm_compat.engine.pods import Pods
from slurm_compat.engine.spool import Spool
from slurm_compat.engine.timers import Timers

LINE_LIMIT = 16 << 20  # bytes
LONGEST_SLEEP = 3600.0  # seconds; the kernel's own bound on a wait is some weeks, and deadlines can be years away
IDLE_EXIT = 15.0  # seconds without engine and pods, after which it ends
SAMPLE_INTERVAL = 0.5  # seconds between two looks at memory, where the kernel does not keep the limit
LOG_LIMIT = 16 << 20  # bytes of pods.log that are kept over a restart

log = logging.getLogger("kubelet")


class Peer:
    """One connection of an engine."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.unsent = bytearray()


class Kubelet:
    def __init__(self, state: str) -> None:
        self.state = state
        self.selector = selectors.DefaultSelector()
        self.timers = Timers()
        self.engine: Peer | None = None
        self.stopping = False
        self.draining = False
        self._idle_since = time.monotonic()
        self._sampling = False
        name = "slurm-compat-" + hashlib.sha1(state.encode()).hexdigest()[:8]
        self.pods = Pods(
            spool=Spool(os.path.join(state, "pods")),
            groups=cgroups.available(name),
            agent=agent_main(),
            log=open_log(os.path.join(state, "log", "pods.log")),
            hosts=os.path.join(state, "run", "hosts"),
            tell=self.tell,
            timers=self.timers,
            watch=self.watch,
            unwatch=self.unwatch,
        )

    # the loop

    def run(self, listener: socket.socket) -> None:
        self.selector.register(listener, selectors.EVENT_READ, lambda _mask: self.accept(listener))
        self.pods.adopt()
        while not self.stopping:
            if self.draining and self.pods.all_over():
                return
            for key, mask in self.selector.select(self.patience()):
                key.data(mask)
            self.timers.run()
            self.sample_if_needed()
            if self.is_idle() and time.monotonic() - self._idle_since >= IDLE_EXIT:
                log.info("no engine and no pods for %d s: leaving", IDLE_EXIT)
                return

    def is_idle(self) -> bool:
        if self.engine is not None or self.pods.by_run:
            self._idle_since = time.monotonic()
            return False
        return True

    def patience(self) -> float | None:
        """How long the loop may sleep, None for ever."""
        due = self.timers.next()
        if self.is_idle():
            due.append(self._idle_since + IDLE_EXIT)
        return max(0.0, min(min(due) - time.monotonic(), LONGEST_SLEEP)) if due else None

    def watch(self, descriptor: int, action: Callable[[], None]) -> None:
        self.selector.register(descriptor, selectors.EVENT_READ, lambda _mask: action())

    def unwatch(self, descriptor: int) -> None:
        self.selector.unregister(descriptor)

    def sample_if_needed(self) -> None:
        if not self._sampling and self.pods.need_sampling():
            self._sampling = True
            self.timers.add(SAMPLE_INTERVAL, self.sample)

    def sample(self) -> None:
        self._sampling = False
        self.pods.sample()

    # the engine

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        if self.engine is not None:
            self.drop(self.engine)  # a new engine took over
        peer = self.engine = Peer(sock)
        self.selector.register(sock, selectors.EVENT_READ, lambda mask: self.exchange(peer, mask))

    def drop(self, peer: Peer) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(peer.sock)
        peer.sock.close()
        if self.engine is peer:
            self.engine = None
            self._idle_since = time.monotonic()

    def exchange(self, peer: Peer, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self.push(peer)
        if not mask & selectors.EVENT_READ:
            return
        try:
            data = peer.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(peer)
            return
        peer.received += data
        *lines, rest = peer.received.split(b"\n")
        peer.received = bytearray(rest)
        if len(rest) > LINE_LIMIT:
            self.drop(peer)
            return
        for line in lines:
            try:
                self.obey(json.loads(line))
            except (ValueError, KeyError, TypeError) as problem:
                log.error("a frame that means nothing: %r: %.200r", problem, bytes(line))

    def obey(self, frame: dict[str, Any]) -> None:
        kind = frame["op"]
        if kind == "start":
            # while we drain, it waits for the kubelet that comes after us
            if not self.draining:
                self.pods.start(frame["pod"])
        elif kind == "kill":
            self.pods.kill(frame["run_id"])
        elif kind == "forget":
            self.pods.forget(frame["run_id"])
        elif kind == "nodes":
            self.pods.set_nodes(frame["nodes"])
        elif kind == "hello":
            self.pods.set_nodes(frame["nodes"])
            self.tell({"op": "pods", "pods": [pod.told() for pod in self.pods.by_run.values()]})

    def tell(self, frame: dict[str, Any]) -> None:
        """Said to the engine if one listens; one that comes later is told everything."""
        if self.engine is not None:
            self.engine.unsent += json.dumps(frame, separators=(",", ":")).encode() + b"\n"
            self.push(self.engine)

    def push(self, peer: Peer) -> None:
        try:
            sent = peer.sock.send(peer.unsent)
            del peer.unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.drop(peer)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.unsent else 0)
        key = self.selector.get_key(peer.sock)
        if key.events != wanted:
            self.selector.modify(peer.sock, wanted, key.data)


def agent_main() -> AgentMain | None:
    """The agent's entry, loaded before the first fork with all it may need; None where the package is not there."""
    try:
        agent = importlib.import_module("slurm_compat.agent.main")
        run: AgentMain = agent.run
        agent.preload()
    except (ImportError, AttributeError) as problem:
        log.error("the agent can't be loaded, its pods will be started as commands: %s", problem)
        return None
    return run


def open_log(path: str) -> int:
    with contextlib.suppress(OSError):
        if os.path.getsize(path) > LOG_LIMIT:
            os.replace(path, path + ".old")
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def drain(descriptor: int) -> None:
    """A signal came; its handler has run."""
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, 4096)


def listen() -> socket.socket:
    """The socket below the working directory, for our user only."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink("run/kubelet.sock")
    mask = os.umask(0o177)
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("run/kubelet.sock")
    finally:
        os.umask(mask)
    listener.listen(8)
    listener.setblocking(False)
    return listener


def main() -> int:
    parser = argparse.ArgumentParser(prog="slurm_compat.engine.kubelet", description="Starts and watches pods.")
    parser.add_argument("--state", metavar="DIR", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    os.umask(0o077)
    state = os.path.abspath(options.state)
    try:
        lock = take_lock(state, "kubelet")
    except Locked as problem:
        print(f"slurm_compat.engine.kubelet: error: {problem}", file=sys.stderr)
        return 1
    os.chdir(state)
    namespaces.become_subreaper()
    procs.boot_id()
    kubelet = Kubelet(state)

    def leave(_number: int, _frame: object) -> None:
        kubelet.stopping = True

    def drain_pods(_number: int, _frame: object) -> None:
        kubelet.draining = True
        kubelet.timers.add(0, kubelet.pods.kill_all)

    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing)
    kubelet.watch(reading, lambda: drain(reading))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    signal.signal(signal.SIGQUIT, drain_pods)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    gc.freeze()
    gc.disable()
    kubelet.run(listen())
    kubelet.pods.leave()
    for name in ("run/kubelet.sock", "run/kubelet.pid"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
