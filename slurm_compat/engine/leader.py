"""The first process of a pod, from the fork to the end. It becomes the agent, or runs the pod's commands and waits.

It is the leader of a session and the reaper of what its processes leave behind, and writes how it ended before it does.
Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from slurm_compat.engine import cgroups, namespaces
from slurm_compat.engine.procs import boot_id, start_time
from slurm_compat.engine.spool import EXIT, Spool

AGENT_COMMAND = ["python3", "-m", "slurm_compat.agent"]
RUN_VARIABLE = "SLURM_COMPAT_RUN_ID"  # by which the processes of a pod are known where there are no control groups
START_ERROR = 128  # exit code of a container whose command could not be started, as container runtimes have it
NOT_STARTED = 253  # exit code of a leader that could not become the pod, with the words in its .exit file
NOT_STARTED_WORDS = "not_started"
ALREADY_RUNNING = 254  # exit code of a leader that found its pod claimed

WAITED_FOR = frozenset({signal.SIGTERM, signal.SIGCHLD})

AgentMain = Callable[[dict[str, str]], int]


def is_agent(pod: dict[str, Any]) -> bool:
    return not pod["init"] and len(pod["containers"]) == 1 and pod["containers"][0]["command"] == AGENT_COMMAND


def lead(pod: dict[str, Any], spool: Spool, log: int, hosts: str | None, agent: AgentMain | None) -> NoReturn:
    """Be the pod. `log`: descriptor for what it prints; `hosts`: file for its /etc/hosts, None to keep our names."""
    run_id = pod["run_id"]
    try:
        prepare(pod, spool, log, hosts)
    except BaseException as problem:
        traceback.print_exc()
        with contextlib.suppress(BaseException):
            spool.put(run_id, EXIT, {NOT_STARTED_WORDS: str(problem)})
        os._exit(NOT_STARTED)
    code = 1
    try:
        results = run(pod, agent)
        code = next((r["exit_code"] for r in results if r["exit_code"]), 0)
        spool.put(run_id, EXIT, {"containers": results, "at": time.time()})
    except BaseException:
        # the kubelet has our exit code; the file only tells more, and tells it to a kubelet that comes after ours
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def prepare(pod: dict[str, Any], spool: Spool, log: int, hosts: str | None) -> None:
    """All that comes before the pod's own work. Raises OSError; ends the process if the pod runs already."""
    os.setsid()
    namespaces.become_subreaper()
    pid = os.getpid()
    facts = {"pid": pid, "pid_started": start_time(pid), "boot_id": boot_id(), "started": time.time()}
    if not spool.claim(pod["run_id"], {**pod, **facts}):
        os._exit(ALREADY_RUNNING)
    if pod["group"]:
        cgroups.join(pod["group"])
    if pod["cpu_ids"]:
        with contextlib.suppress(OSError):  # the machine lost a CPU since: better unbound than not at all
            os.sched_setaffinity(0, pod["cpu_ids"])
    settle(log)
    if hosts is not None:
        namespaces.enter(pod["node"], hosts)


def settle(log: int) -> None:
    """Nothing of the kubelet's is left: its descriptors, signal handlers and folder."""
    signal.set_wakeup_fd(-1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGCHLD,
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    os.chdir("/")


def run(pod: dict[str, Any], agent: AgentMain | None) -> list[dict[str, Any]]:
    """name, exit_code, message of every container that was started."""
    if agent is not None and is_agent(pod):
        container = pod["containers"][0]
        os.environ.clear()
        os.environ.update(container["env"])
        sys.argv[:] = ["slurm_compat.agent"]
        take_signals()
        return [{"name": container["name"], "exit_code": agent(dict(container["env"])) & 0xFF, "message": ""}]
    for container in pod["init"]:
        result = wait_for(start_all([container]))
        if result[0]["exit_code"]:
            return result
    return wait_for(start_all(pod["containers"]))


def hold_signals() -> None:
    """SIGTERM waits until whoever has to hear it is there. The kubelet's fork happens under this, too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def take_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def start_all(containers: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """pid: container. What is sent to us from now on waits for `wait_for`."""
    started: dict[int, dict[str, Any]] = {}
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    for container in containers:
        pid = os.fork()
        if pid == 0:
            execute(container)
        started[pid] = container
    return started


def execute(container: dict[str, Any]) -> NoReturn:
    try:
        take_signals()
        os.chdir(container["cwd"])
        os.execvpe(container["command"][0], container["command"], container["env"])
    except OSError as problem:
        os.write(2, f"{container['name']}: {container['command'][0]}: {problem.strerror}\n".encode())
    os._exit(START_ERROR)


def wait_for(started: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every container's result, once all have ended. Orphans that come to us meanwhile are buried.

    SIGTERM to us goes on to each container. A handler would not do: one that comes just before a wait begins is heard
    when the wait is over, which is too late.
    """
    results: dict[int, dict[str, Any]] = {}
    while True:
        for pid, status in _ended():
            if pid in started:
                code = os.waitstatus_to_exitcode(status)
                results[pid] = {
                    "name": started[pid]["name"],
                    "exit_code": code if code >= 0 else 128 - code,
                    "message": "",
                }
        if len(results) == len(started):
            return [results[pid] for pid in started]
        if signal.sigwait(WAITED_FOR) == signal.SIGTERM:
            for pid in started.keys() - results.keys():
                os.kill(pid, signal.SIGTERM)


def _ended() -> Iterator[tuple[int, int]]:
    """pid and status of each child that has ended by now."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, status
