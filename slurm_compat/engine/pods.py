"""The pods of this machine: started, watched, killed, and told of, from the fork until nothing of them is left."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from slurm_compat.engine import cgroups, leader, namespaces, procs
from slurm_compat.engine.cgroups import Cgroups
from slurm_compat.engine.devices import Devices
from slurm_compat.engine.leader import AgentMain
from slurm_compat.engine.outcome import ended_frame
from slurm_compat.engine.spool import END, EXIT, RECORD, Spool
from slurm_compat.engine.timers import Timer, Timers

AGENT_MEMORY = 16 << 20  # bytes beyond the job's own, for the agent that lives in the same group
POLL_INTERVAL = 0.2  # seconds, where the kernel has no pidfd or a killed process takes its time to die
OOM = ".oom"  # file of the spool: in the shape of memory.events, where the kubelet keeps the limit itself

log = logging.getLogger("kubelet")


class Pod:
    """One pod. `record` is what the spool has of it."""

    def __init__(self, record: dict[str, Any], ours: bool) -> None:
        self.record = record
        self.run_id: str = record["run_id"]
        self.pid: int = record["pid"]
        self.ours = ours  # our child, not a former kubelet's
        self.pidfd = -1
        self.groups: Cgroups | None = None  # where its control group is
        self.cause = ""  # why we kill it: "OOM", "DeadlineExceeded"; "" as long as we don't or when told to
        self.killing = False
        self.status: int | None = None  # exit code of the leader, negative for a signal, once known
        self.over = False  # the leader is gone
        self.ended: dict[str, Any] | None = None  # the frame that tells its end
        self.oom_kills = 0  # counted by ourselves
        self.timers: list[Timer] = []  # to be taken back at its end
        self.known: dict[int, int] = {}  # of an adopted pod: pid, start time of its processes when we found it

    def told(self) -> dict[str, Any]:
        """What a new engine is told of it."""
        names = ("run_id", "job_id", "node", "amounts", "started")
        return {**{name: self.record[name] for name in names}, "ended": self.ended}


class Pods:
    def __init__(
        self, spool: Spool, groups: Cgroups | None, agent: AgentMain | None, log: int, hosts: str,
        tell: Callable[[dict[str, Any]], None], timers: Timers,
        watch: Callable[[int, Callable[[], None]], None], unwatch: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.by_run: dict[str, Pod] = {}
        self.spool = spool
        self.groups = groups
        self.agent = agent
        self.devices = Devices()
        self.leaders: dict[int, Pod] = {}  # pid: pod, of our own children
        self._log = log
        self._hosts = hosts  # the pods' /etc/hosts
        self._use_hosts = False  # whether each node has a name of its own
        self._tell = tell
        self._timers = timers
        self._watch = watch
        self._unwatch = unwatch

    def set_nodes(self, nodes: list[dict[str, Any]]) -> None:
        """The nodes of the cluster file. Where they are others than this machine, each gets its name and address."""
        self.devices.set_nodes(nodes)
        own = socket.gethostname()
        is_virtual = any(node["name"] not in (own, own.split(".")[0]) for node in nodes)
        self._use_hosts = is_virtual and os.geteuid() == 0
        if not self._use_hosts:
            return
        try:
            with open(namespaces.HOSTS, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
            with open(self._hosts, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(namespaces.hosts_text(text, {node["name"]: node["address"] for node in nodes}))
            os.chmod(self._hosts, 0o644)
            namespaces.try_out(self._hosts)
        except OSError as problem:
            log.error("pods keep this machine's name and don't know the nodes by theirs: %s", problem)
            self._use_hosts = False

    # a pod starts

    def start(self, pod: dict[str, Any]) -> None:
        """Fork it. A pod that is here already is not started again."""
        run_id = pod["run_id"]
        if run_id in self.by_run or os.path.exists(self.spool.path(run_id, RECORD)):
            return
        pod["cpu_ids"], pod["gpu_ids"] = self.devices.hand_out(run_id, pod["node"], pod["cpus"], pod["gpus"])
        try:
            pod["group"] = self.prepare(pod)
            started = time.time()
            leader.hold_signals()
            pid = os.fork()
        except OSError as problem:
            leader.take_signals()
            self.devices.take_back(run_id)
            if self.groups is not None:
                with contextlib.suppress(OSError):
                    self.groups.remove(run_id)
            self.not_started(pod, str(problem.strerror))
            return
        if pid == 0:
            leader.lead(pod, self.spool, self._log, self._hosts if self._use_hosts else None, self.agent)
        leader.take_signals()
        pod.update(pid=pid, pid_started=procs.start_time(pid), started=started)
        here = Pod(pod, ours=True)
        here.groups = self.groups if pod["group"] else None
        self.leaders[pid] = here
        self.follow(here)
        self._tell({"op": "running", "run_id": run_id, "job_id": pod["job_id"], "at": started})

    def prepare(self, pod: dict[str, Any]) -> str:
        """The pod's control group, "" when there are none; and the variables that only we can give. Raises OSError."""
        run_id = pod["run_id"]
        group = ""
        if self.groups is not None:
            overhead = AGENT_MEMORY if leader.is_agent(pod) else 0
            group = self.groups.create(run_id, pod["memory"] + overhead if pod["memory"] else 0)
            oom_events = os.path.join(group, self.groups.files.events)
        else:
            oom_events = self.spool.path(run_id, OOM)
        given = {leader.RUN_VARIABLE: run_id, "SLURM_COMPAT_MEMORY_EVENTS": oom_events}
        if pod["gpu_ids"]:
            given["NVIDIA_VISIBLE_DEVICES"] = ",".join(map(str, pod["gpu_ids"]))
        if zone := os.environ.get("TZ"):
            given["TZ"] = zone
        for container in [*pod["init"], *pod["containers"]]:
            container["env"] = {**given, **container["env"]}
        return group

    def follow(self, pod: Pod) -> None:
        """Watch the leader until it ends, and the clock for its deadline."""
        self.by_run[pod.run_id] = pod
        try:
            pod.pidfd = os.pidfd_open(pod.pid)
        except ProcessLookupError:
            self.leader_ended(pod)
            return
        except OSError:
            self._timers.add(POLL_INTERVAL, lambda: self.poll(pod))
        else:
            self._watch(pod.pidfd, lambda: self.leader_ended(pod))
        if pod.record["deadline"]:
            left = pod.record["started"] + pod.record["deadline"] - time.time()
            pod.timers.append(self._timers.add(max(0.0, left), lambda: self.kill_for(pod, "DeadlineExceeded")))

    def poll(self, pod: Pod) -> None:
        if procs.start_time(pod.pid) == pod.record["pid_started"] and not pod.over:
            self._timers.add(POLL_INTERVAL, lambda: self.poll(pod))
        else:
            self.leader_ended(pod)

    def adopt(self) -> None:
        """Take over what a former kubelet left: pods that still run, and ends that no engine has written down."""
        for record in self.spool.records():
            self.adopt_one(record)
        if self.groups is not None:
            self.groups.sweep(set(self.by_run))

    def adopt_one(self, record: dict[str, Any]) -> None:
        pod = Pod(record, ours=False)
        run_id = pod.run_id
        if record["group"]:
            # where that kubelet could make groups, which need not be where we can
            pod.groups = cgroups.holding(record["group"])
        self.devices.reserve(run_id, record["node"], record["cpu_ids"], record["gpu_ids"])
        pod.ended = self.spool.get(run_id, END)
        if pod.ended is not None:
            pod.over = True
            self.by_run[run_id] = pod
        elif record["boot_id"] == procs.boot_id() and procs.start_time(pod.pid) == record["pid_started"]:
            tree = procs.descendants([pod.pid], procs.all_processes())[pod.pid]
            pod.known = {one.pid: one.started for one in tree}
            self.follow(pod)
        else:
            self.by_run[run_id] = pod
            self.leader_ended(pod)

    # a pod ends

    def kill(self, run_id: str) -> None:
        """SIGTERM to the leader, after the pod's grace period SIGKILL to all of it. Unknown and ended ones: nothing."""
        pod = self.by_run.get(run_id)
        if pod is None or pod.over or pod.killing:
            return
        pod.killing = True
        if self.is_there(pod):
            with contextlib.suppress(OSError):
                os.kill(pod.pid, signal.SIGTERM)
        pod.timers.append(self._timers.add(pod.record["grace"], lambda: self.kill_now(pod)))

    def kill_for(self, pod: Pod, cause: str) -> None:
        if not pod.over and not pod.cause:
            pod.cause = cause
            self.kill(pod.run_id)

    def kill_now(self, pod: Pod) -> None:
        if not pod.over and self.is_there(pod):
            # its processes come to us when it is dead, or are found by their marks
            with contextlib.suppress(OSError):
                os.kill(pod.pid, signal.SIGKILL)

    def is_there(self, pod: Pod) -> bool:
        """Whether the pid is still the leader's. One of our own children keeps its pid until we wait for it."""
        return pod.ours or procs.start_time(pod.pid) == pod.record["pid_started"]

    def leader_ended(self, pod: Pod) -> None:
        if pod.over:
            return
        pod.over = True
        for timer in pod.timers:
            self._timers.drop(timer)
        if pod.pidfd >= 0:
            self._unwatch(pod.pidfd)
            os.close(pod.pidfd)
            pod.pidfd = -1
        if pod.ours:
            del self.leaders[pod.pid]
            with contextlib.suppress(ChildProcessError):
                pod.status = os.waitstatus_to_exitcode(os.waitpid(pod.pid, 0)[1])
            if self.claimed_elsewhere(pod):
                return
        self.clear(pod)

    def clear(self, pod: Pod) -> None:
        """Kill what is left of it; tell its end once nothing is."""
        if self.leftovers(pod):
            self._timers.add(POLL_INTERVAL / 10, lambda: self.clear(pod))
            return
        run_id = pod.run_id
        kills = pod.oom_kills
        if pod.groups is not None:
            kills += pod.groups.kills(run_id)
            with contextlib.suppress(OSError):
                pod.groups.remove(run_id)
        self.devices.take_back(run_id)
        said = self.spool.get(run_id, EXIT)
        if pod.status == leader.NOT_STARTED and (said is None or leader.NOT_STARTED_WORDS in said):
            del self.by_run[run_id]
            self.spool.forget(run_id)
            self.not_started(pod.record, (said or {}).get(leader.NOT_STARTED_WORDS, "no word of why"))
            return
        pod.ended = ended_frame(pod.record, said, pod.status, pod.cause, kills)
        if pod.ended["cause"] not in ("", "Error") or said is None:
            try:
                self.spool.put(run_id, END, pod.ended)
            except OSError as problem:  # the disk is full: it is lost only if we are, before the engine has heard it
                log.error("%s: %s", run_id, problem)
        self._tell(pod.ended)

    def not_started(self, pod: dict[str, Any], reason: str) -> None:
        words = f"the pod could not be started: {reason}"
        self._tell({"op": "not_started", "run_id": pod["run_id"], "job_id": pod["job_id"], "reason": words})

    def claimed_elsewhere(self, pod: Pod) -> bool:
        """Whether a former kubelet had started this pod already; then that one is taken over in place of ours."""
        record = self.spool.get(pod.run_id, RECORD)
        if pod.status != leader.ALREADY_RUNNING or record is None or record["pid"] == pod.pid:
            return False
        self.devices.take_back(pod.run_id)
        self.adopt_one(record)
        return True

    def leftovers(self, pod: Pod) -> bool:
        """Kill the pod's remaining processes; whether there were any.

        Every leader reaps what its own processes leave behind, so a child of ours that is no leader was left by a pod
        that is over.
        """
        found = False
        for pid in procs.children(os.getpid()):
            if pid not in self.leaders:
                found = True
                bury(pid)
        strangers = set(pod.groups.pids(pod.run_id)) if pod.groups is not None else set()
        if not pod.ours:
            strangers |= {pid for pid, started in pod.known.items() if procs.start_time(pid) == started}
            if pod.groups is None:
                strangers |= set(procs.with_variable(leader.RUN_VARIABLE, pod.run_id))
        for pid in strangers:
            found = True
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return found

    def forget(self, run_id: str) -> None:
        """The engine has its end on disk."""
        pod = self.by_run.get(run_id)
        if pod is None or pod.ended is None:
            return
        del self.by_run[run_id]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.spool.path(run_id, OOM))
        self.spool.forget(run_id)

    def kill_all(self) -> None:
        for run_id in self.by_run:
            self.kill(run_id)

    def all_over(self) -> bool:
        return all(pod.ended is not None for pod in self.by_run.values())

    def leave(self) -> None:
        """What is ours alone and empty goes with us."""
        if self.groups is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self.groups.base)

    # memory, where the kernel does not keep the limit

    def need_sampling(self) -> bool:
        return any(pod.groups is None and pod.record["memory"] and not pod.over for pod in self.by_run.values())

    def sample(self) -> None:
        """One look at all processes: the largest of a pod that is over its limit is killed, as the kernel would."""
        watched = [
            pod
            for pod in self.by_run.values()
            if pod.groups is None and pod.record["memory"] and not pod.over and not pod.cause
        ]
        if not watched:
            return
        trees = procs.descendants([pod.pid for pod in watched], procs.all_processes())
        for pod in watched:
            tree = trees[pod.pid]
            if sum(one.rss for one in tree) <= pod.record["memory"]:
                continue
            largest = max(tree, key=lambda one: one.rss)
            pod.oom_kills += 1
            with contextlib.suppress(OSError):
                with open(self.spool.path(pod.run_id, OOM), "w", encoding="ascii") as file:
                    file.write(f"oom_kill {pod.oom_kills}\n")
                os.chmod(file.name, 0o644)
            with contextlib.suppress(OSError):
                os.kill(largest.pid, signal.SIGKILL)
            log.info("pod %s: %s bytes are too many, killed process %s", pod.run_id, pod.record["memory"], largest.pid)


def bury(pid: int) -> None:
    """Kill a child that nobody knows, and take its corpse away if it is one already."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError as problem:
        if problem.errno != errno.ECHILD:
            raise
