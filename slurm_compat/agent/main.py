"""The agent: one in every pod, that is one a node of the job. slurmd's and slurmstepd's part.

A single thread around a selector: the link to the controller, the signals of this process (a child ended, the pod is to
stop), the clock, and whatever the steps watch. See docs/architecture.md, Agent link and A pod.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.agent import commands, launch, processes, receive, steps, usage
from slurm_compat.agent.batch import Batch
from slurm_compat.agent.link import Link
from slurm_compat.agent.loop import READ, WRITE, Loop, OnExit
from slurm_compat.agent.processes import BATCH, Processes
from slurm_compat.agent.timelimit import TimeLimit

if TYPE_CHECKING:
    from slurm_compat.agent.steps import Step

REQUEUE_GRACE = 0.25  # seconds between hearing of a requeue and ending the job's processes
LAST_WORDS = 5.0  # seconds a pod that is to stop waits for the controller to take its outcome
KILL_WAIT = 30.0  # slurm.conf's default
WIDOWED = 6 * 3600.0  # seconds without a controller after which a pod in which nothing runs gives its node back
STEPS_LATER = 0.05  # seconds after the script's SIGKILL that of the steps: nobody tells of their ends any more
LEFTOVERS = 0.5  # seconds until what still runs of the job is killed without another word

Message = dict[str, Any]


class Agent:
    """What runs here and what is known of it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.node = environ["SLURM_COMPAT_NODE"]
        self.packet: Message = {}  # `launch`, once it came
        self.user = launch.User("", os.geteuid(), os.getegid())
        self.steps: dict[str, Step] = {}
        self.processes = Processes()
        self.batch: Batch | None = None
        self.commands: commands.CommandHost | None = None
        self.ending_reason = ""  # why the job is being ended, "" while it is not
        self.link = Link(environ["SLURM_COMPAT_CONTROLLER"], _hello(environ), environ.get("SLURM_COMPAT_AUTHORITY", ""))
        self.loop = Loop(self._reaped, self._stop)
        self._link_fd = -1
        self._alone_since = 0.0  # when the controller was last heard of, while there is no link to it
        self._limit = TimeLimit(self.loop, lambda: self.terminate("TIME LIMIT"), self._warn)
        self._kill_timer = 0
        self._extern_ended = False
        self._answered = False  # terminate came before launch
        self._known_steps: set[str] = set()
        self._kill_at = 0.0
        self._stopping = False
        self._done = False

    def on_exit(self, pid: int, owner: str, callback: OnExit) -> None:
        """`pid` was just started here and belongs to `owner` (processes.BATCH or a step id)."""
        self.processes.add(pid, owner)
        self.loop.on_exit(pid, callback)

    def _reaped(self, pid: int, rusage: resource.struct_rusage) -> None:
        owner = self.processes.gone(pid)
        if owner == BATCH and self.batch is not None and pid != self.batch.pid:
            self.batch.meter.reaped(rusage)  # an orphan: its parent never waited for it

    def kill(self, owner: str) -> None:
        """SIGKILL whatever is left of an owner, and wait until it is gone."""
        processes.kill_all(lambda: self.processes.members(owner), self.loop.reap)

    def run(self) -> int:
        """The exit code: the batch script's, 128 and the signal's number for a signal, 0 without a script."""
        while not self._done:
            self._tend_link()
            self.loop.round(self.link.redial_at if self.link.sock is None else None)
        self._clean_up()
        return self._exit_code()

    # --- the link ----------------------------------------------------------------------------------------------------

    def _tend_link(self) -> None:
        """Dial if it is time to; watch the link's socket for what it can do now."""
        now = time.monotonic()
        if self.link.sock is None:
            self._alone_since = self._alone_since or now
            if now - self._alone_since >= WIDOWED and not self._at_work:
                self._done = True
        if self.link.sock is None and now >= self.link.redial_at:
            self.link.dial(now)
        elif self.link.wants_to_write:
            self.link.write(now)
        fd = self.link.sock.fileno() if self.link.sock is not None else -1
        if fd != self._link_fd:
            self._forget_link()
            self._link_fd = fd
        if fd >= 0:
            self.loop.watch(fd, READ | (WRITE if self.link.wants_to_write else 0), self._on_link)

    @property
    def _at_work(self) -> bool:
        return bool(self.steps) or (self.batch is not None and self.batch.status is None)

    def _forget_link(self) -> None:
        if self._link_fd >= 0:
            self.loop.unwatch(self._link_fd)
            self._link_fd = -1

    def _on_link(self, events: int) -> None:
        now = time.monotonic()
        if events & WRITE:
            self.link.write(now)
        messages = self.link.read(now) if events & READ else []
        if messages:
            self._alone_since = 0.0
        if self.link.sock is None:
            # at once: the next socket may get the same number
            self._forget_link()
        for message in messages:
            self._obey(message)

    # --- what the controller says ------------------------------------------------------------------------------------

    def _obey(self, message: Message) -> None:
        if "error" in message:  # the controller knows no such job, or not with this token: there is nobody to run for
            sys.stderr.write(f"slurm-compat agent: the controller refused: {message['error']}\n")
            self._done = True
            return
        handler = HANDLERS.get(message.get("msg", ""))
        if handler is None:
            return
        try:
            handler(self, message)
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            # a message we can't make sense of must not cost a running job its agent
            trouble = f"{message['msg']}: {type(problem).__name__}: {problem}"
            sys.stderr.write(f"slurm-compat agent: bad message {trouble}\n")
            if message["msg"] == "launch":
                self._not_launched(trouble)

    def _launch(self, message: Message) -> None:
        """Start. The controller may say it again after a reconnect: one start is enough."""
        if self.packet:  # again, after the link was lost: what was changed meanwhile
            if int(message.get("end_time") or 0) != self._limit.end_time:
                self._update(message)
            return
        self.packet = message
        self.node = message["nodes"][message["rank"]]["name"]  # Kubernetes may have another name for it
        self._limit.begin(message)
        try:
            self.user = launch.User.of(message["user"])
        except launch.Refused as problem:
            if message["role"] == "batch" and message["rank"] == 0:
                self._not_launched(str(problem))
            return
        self._serve_commands()
        self._sample_by(usage.Schedule(time.monotonic(), float(message["config"].get("sample_interval", 30))))
        if self.ending_reason:
            return  # terminate came first, and was answered
        if message["role"] == "batch" and message["rank"] == 0:
            self.batch = Batch(self)
            self.batch.start()

    def _serve_commands(self) -> None:
        """The job's own sbatch, srun, squeue … are forked from here from now on."""
        # steps reach an srun that can't be reached through the controller
        self.packet["config"]["pod_address"] = self.environ.get("SLURM_COMPAT_POD_IP", "")
        self.packet["config"]["relay_address"] = self.environ["SLURM_COMPAT_CONTROLLER"]
        self.packet["config"]["relay_authority"] = self.environ.get("SLURM_COMPAT_AUTHORITY", "")
        self.packet["config"]["remote"] = commands.remote(self.environ)
        self.commands = commands.CommandHost(self.user, self.environ.get("SLURM_COMPAT_SPOOL"))
        if self.commands.path:
            self.packet["config"]["command_host"] = self.commands.path
            self.loop.watch(self.commands.listener.fileno(), READ, lambda _: self._start_command())

    def _start_command(self) -> None:
        if self.commands is not None and (pid := self.commands.serve()):
            self.on_exit(pid, commands.OWNER, lambda status, rusage: None)

    def _not_launched(self, why: str, status: int = 1 << 8, reason: str = "LAUNCH") -> None:
        self.link.report("batch_ended", status=status, time=int(time.time()), usage={}, reason=reason, error=why)

    def _launch_step(self, message: Message) -> None:
        """Start this node's part of a step. Said again, or after the end has begun, it changes nothing."""
        step_id = str(message["step_id"])
        if not self.packet or step_id in self._known_steps:
            return
        self._known_steps.add(step_id)
        ranks = next((list(entry[1]) for entry in message["layout"] if entry[0] == self.node), [])
        if self.ending_reason:
            self._step_lost(step_id, ranks, signal.SIGTERM)
            return
        self.packet["job"].update(message.get("job") or {})
        try:
            step = steps.start(message, self.packet, self.user)
        except OSError:
            self._step_lost(step_id, ranks, signal.SIGKILL)
            return
        self.steps[step_id] = step
        self.on_exit(step.pid, step_id, lambda status, rusage: None)
        self.loop.watch(step.fileno(), READ, lambda _: self._pass_on(step))

    def _step_lost(self, step_id: str, ranks: list[int], status: int) -> None:
        self.link.report(
            "step_ended", step_id=step_id, tasks=[[rank, status] for rank in ranks], usage=[], time=int(time.time())
        )

    def _pass_on(self, step: Step) -> None:
        """What a step's process tells goes to the controller; its samples only if it listens."""
        for name, fields in step.reports():
            if name == "usage":
                self.link.tell(name, **fields)
            else:
                self.link.report(name, **{"time": int(time.time()), **fields})
        if step.ended and step.step_id in self.steps:
            del self.steps[step.step_id]
            self.loop.unwatch(step.fileno())
            step.close()
            # what its tasks left behind ends with it
            self.kill(step.step_id)

    def _attach_step(self, message: Message) -> None:
        """sattach wants to hear a step; one that has ended has nothing to say."""
        if step := self.steps.get(str(message["step_id"])):
            step.attach(message["addresses"], message["secret"])

    def _receive_file(self, message: Message) -> None:
        """sbcast sends a file. Its user's tasks may use it: it is none of their steps' processes."""
        if self.packet and not self.ending_reason:
            message = message | {"config": self.packet["config"]}
            self.on_exit(receive.start(message, self.node, self.user), commands.OWNER, lambda status, rusage: None)

    def _signal(self, message: Message) -> None:
        to, number = message["to"], int(message["signal"])
        if self.batch is not None and to in ("batch", "all"):
            self.batch.signal(number, shell_only=to == "batch")
        for step_id, step in list(self.steps.items()):
            if to == step_id and message.get("reason"):
                step.time_out(message["reason"], float(self.packet["config"].get("kill_wait", KILL_WAIT)))
            elif to in ("steps", "all", step_id):
                step.signal(number)

    def _terminate(self, message: Message) -> None:
        wait = message.get("kill_wait")
        kill_wait = KILL_WAIT if wait is None else float(wait)

        def begin() -> None:
            self.terminate(message["reason"], message.get("text") or "", kill_wait)

        if message["reason"] == "JOB REQUEUE" and not self.ending_reason:
            # checkpointing jobs requeue themselves: their scontrol is one of the job's own, and gets its answer first
            self.loop.after(REQUEUE_GRACE, begin)
        else:
            begin()

    def terminate(self, reason: str, text: str = "", kill_wait: float | None = None) -> None:
        """SIGTERM to all of the job, with its line in the error file; SIGKILL after `kill_wait` seconds.

        Said again, it can only make the end come sooner.
        """
        if kill_wait is None:
            kill_wait = float(self.packet.get("config", {}).get("kill_wait", KILL_WAIT))
        if not self.ending_reason:
            self.ending_reason = reason
            self._resume({})
            # steps first: an srun of the script that is told to end must not end its step at once
            for step in list(self.steps.values()):
                step.terminate(reason, kill_wait + STEPS_LATER)
            if self.batch is not None and self.batch.running:
                self.batch.announce(reason, text)
                self.batch.signal(signal.SIGCONT, shell_only=False)
                self.batch.signal(signal.SIGTERM, shell_only=False)
        elif self._kill_timer and kill_wait >= self._kill_in():
            return
        else:
            self.loop.forget(self._kill_timer)
        self._kill_at = time.monotonic() + kill_wait
        self._kill_timer = self.loop.after(kill_wait, self._kill_batch)
        if not self.packet and not self._answered:
            # whether there is a script, and whether it was for this node to run it, only the controller knows
            self._answered = True
            self._not_launched("", signal.SIGTERM, reason)
        if self.batch is None or not self.batch.running:
            self._end_extern()

    def _kill_in(self) -> float:
        return self._kill_at - time.monotonic()

    def _kill_batch(self) -> None:
        """KillWait is over: the script goes, with the sruns in it, then its steps, and then what is left."""
        self.kill(BATCH)
        self._kill_timer = self.loop.after(LEFTOVERS, self._kill_everything)

    def _kill_everything(self) -> None:
        processes.kill_all(self.processes.everyone, self.loop.reap)

    def _suspend(self, message: Message) -> None:
        if self._limit.stop():
            processes.send(self.processes.everyone(), signal.SIGSTOP)

    def _resume(self, message: Message) -> None:
        """Go on; the time it was stopped does not count against its limit."""
        if self._limit.go_on():
            processes.send(self.processes.everyone(), signal.SIGCONT)

    def _update(self, message: Message) -> None:
        if "end_time" in message:
            self._limit.set(int(message["end_time"] or 0))

    def _bye(self, message: Message) -> None:
        self._end_extern()
        self._done = True

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _warn(self) -> None:
        warning = self.packet["signal"]
        if warning.get("warned"):
            return
        warning["warned"] = True
        if warning.get("batch"):
            if self.batch is not None:
                self.batch.warn(warning["number"])
            return
        for step in list(self.steps.values()):
            step.signal(signal.SIGCONT)
            step.signal(warning["number"])

    def _sample_by(self, schedule: usage.Schedule) -> None:
        def take() -> None:
            self._sample()
            schedule.taken(time.monotonic())
            self.loop.after(schedule.next_at - time.monotonic(), take)

        if schedule.next_at != float("inf"):
            self.loop.after(schedule.next_at - time.monotonic(), take)

    def _sample(self) -> None:
        """Of the batch script; steps measure themselves."""
        if self.batch is not None and self.batch.running:
            self.batch.meter.sample(self.processes.members(BATCH))
            self.link.tell("usage", step_id=BATCH, usage=self.batch.meter.usage())

    # --- the end -----------------------------------------------------------------------------------------------------

    def batch_is_over(self) -> None:
        """The batch script has ended and was reported: the allocation's own record ends with it."""
        self._limit.forget()
        self._end_extern()
        if self._stopping:
            self._leave_soon()

    def _end_extern(self) -> None:
        if self.packet and self.packet["config"].get("contain") and not self._extern_ended:
            self._extern_ended = True
            self.link.report("extern_ended", usage={"user_cpu": 0, "system_cpu": 0}, time=int(time.time()))

    def _stop(self) -> None:
        """The pod is to stop: end the job if nobody has asked for that yet, then leave."""
        if self._stopping:
            return
        self._stopping = True
        self.terminate("CANCELLED")
        if self.batch is None or not self.batch.running:
            self._leave_soon()
        else:
            self.loop.after(self._kill_in() + LAST_WORDS, self._leave)

    def _leave_soon(self) -> None:
        """As soon as the controller has taken what it must know, or will not."""
        deadline = time.monotonic() + LAST_WORDS

        def check() -> None:
            if (self.link.settled and not self.steps) or time.monotonic() > deadline:
                self._leave()
            else:
                self.loop.after(0.05, check)

        check()

    def _notify(self, message: Message) -> None:
        """scontrol notify: a line in the batch script's error file."""
        if self.batch is not None and self.batch.running:
            self.batch.say(str(message["text"]))

    def _leave(self) -> None:
        self._done = True

    def _clean_up(self) -> None:
        """Nothing of the job outlives its agent."""
        self._kill_everything()
        for step in list(self.steps.values()):
            self._pass_on(step)
        self._flush()
        if self.batch is not None:
            self.batch.close()
        if self.commands is not None:
            self.commands.close()

    def _flush(self) -> None:
        """Give the last report a moment to leave; the controller said bye and needs no more than that."""
        deadline = time.monotonic() + 1
        while self.link.sock is not None and self.link.wants_to_write and time.monotonic() < deadline:
            self.link.write(time.monotonic())
            time.sleep(0.001)

    def _exit_code(self) -> int:
        status = self.batch.status if self.batch is not None else 0
        if status is None:
            return 128 + signal.SIGKILL
        return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


HANDLERS: dict[str, Callable[[Agent, Message], None]] = {
    "launch": Agent._launch,
    "launch_step": Agent._launch_step,
    "attach_step": Agent._attach_step,
    "receive_file": Agent._receive_file,
    "signal": Agent._signal,
    "terminate": Agent._terminate,
    "notify": Agent._notify,
    "suspend": Agent._suspend,
    "resume": Agent._resume,
    "update": Agent._update,
    "bye": Agent._bye,
}


def _hello(environ: Mapping[str, str]) -> Message:
    gpus = environ.get("NVIDIA_VISIBLE_DEVICES", "")
    return {
        "job_id": int(environ["SLURM_COMPAT_JOB_ID"]),
        "token": environ["SLURM_COMPAT_TOKEN"],
        "restart": int(environ.get("SLURM_COMPAT_RESTART", "0")),
        "rank": int(environ.get("SLURM_COMPAT_RANK", "0")),
        "node": environ["SLURM_COMPAT_NODE"],
        "address": environ.get("SLURM_COMPAT_POD_IP", ""),
        "pid": os.getpid(),
        "cpu_ids": sorted(os.sched_getaffinity(0)),
        "gpus": [] if gpus in ("", "void", "none") else gpus.split(","),
    }


def _write_exit_file(path: str, code: int) -> None:
    """For a kubelet that was not there to see us end: complete or absent."""
    with open(path + ".new", "w") as file:
        file.write(f"{code}\n")
    os.replace(path + ".new", path)


def preload() -> None:
    """For a process that forks agents: what each would import or find out, done once."""
    importlib.import_module("slurm_compat.agent.steps")
    tempfile.gettempdir()
    commands.preload()


def run(environ: dict[str, str]) -> int:
    """Be the agent of the pod that `environ` describes; its exit code."""
    missing = [name for name in ("CONTROLLER", "JOB_ID", "TOKEN", "NODE") if not environ.get(f"SLURM_COMPAT_{name}")]
    if missing:
        sys.stderr.write(f"slurm-compat agent: SLURM_COMPAT_{missing[0]} is not set: agents are started in pods only\n")
        return 2
    with contextlib.suppress(OSError):
        os.setsid()  # a session of its own, so that no terminal's signal reaches the job
    os.chdir("/")
    processes.adopt_orphans()
    code = Agent(environ).run()
    if path := environ.get("SLURM_COMPAT_EXIT_FILE"):
        _write_exit_file(path, code)
    return code
