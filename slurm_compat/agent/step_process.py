"""The process of one step on one node: starts the tasks, moves their input and output, tells how they ended.

slurmstepd's part for steps. It is the parent and reaper of all that its tasks start. srun is told of output and ends
directly, the agent (and by it the controller) of starts, ends and usage.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

from slurm_compat.agent import binding, processes, signals, step_report, step_tasks
from slurm_compat.agent.launch import User
from slurm_compat.agent.loop import Loop
from slurm_compat.agent.pmi import Pmi
from slurm_compat.agent.relay import dialler as relay_dialler
from slurm_compat.agent.step_link import SrunLink
from slurm_compat.agent.step_part import Part
from slurm_compat.agent.step_report import AgentLine
from slurm_compat.agent.step_start import Starting
from slurm_compat.agent.step_streams import Streams
from slurm_compat.agent.step_tasks import Task
from slurm_compat.agent.step_watchers import Watchers
from slurm_compat.agent.streams import CannotOpen
from slurm_compat.core import stepio

DRAIN_PATIENCE = 2.0  # seconds a stream may stay open after all processes of the step are gone
EXITS_TOGETHER = 0.1  # seconds to wait for further tasks to end before srun is told of the first
LEAVE_PATIENCE = 5.0  # seconds to wait for srun to hang up
COULD_NOT_CONNECT = "Slurmd could not connect IO"
UNBINDABLE = "Unable to satisfy cpu bind request"

Message = dict[str, Any]


class StepProcess:
    def __init__(self, message: Message, launched: Mapping[str, Any], user: User, agent: socket.socket) -> None:
        self._part = Part(message, launched, user)
        self._tasks = self._part.tasks
        self._loop = Loop(lambda pid, rusage: None, lambda: None)
        self._agent = AgentLine(self._loop, agent, self._obey, self._kill_all)  # without it nobody could end the step
        self._streams = Streams(self._loop, self._tasks, self._maybe_finished)
        relay = relay_dialler(launched["config"])
        self._srun = SrunLink(self._loop, self._on_frame, self._lost_srun, lambda _: self._streams.press(), relay)
        self._watchers = Watchers(self._loop, self._streams.take_input, self._streams.press, relay)
        self._streams.srun, self._streams.watchers = self._srun, self._watchers
        self._pmi = self._meeting() if self._part.request.get("mpi") == "pmi2" else None
        self._announced = False
        self._ended: list[Task] = []  # srun has not been told yet
        self._finishing = False
        self._job_ends = False
        self._cancelled = False  # srun killed it, or was killed itself
        self._over = False

    def run(self) -> None:
        problem = "" if self._connect() else COULD_NOT_CONNECT
        try:
            if not problem:
                self._start_tasks()
        except CannotOpen:
            problem = COULD_NOT_CONNECT
        except binding.OutsideAllocation as outside:
            problem = UNBINDABLE
            self._srun.send(stepio.message(stepio.FAILED, {"text": str(outside), "tasks": [], "node": self._part.node}))
        if problem:
            self._fail(problem)
        else:
            interval = float(self._part.launch["config"].get("sample_interval", 30))
            step_report.Samples(self._loop, self._agent, self._tasks, interval)
            # children that ended before anybody waited for them
            self._loop.reap()
        while not self._over:
            self._loop.round(None)

    def _start_tasks(self) -> None:
        pids = Starting(self, self._part, self._loop, self._srun, self._streams, self._pmi).start()
        self._srun.send(stepio.message(stepio.STARTED, {"tasks": pids}))
        self._agent.tell("step_started", pids=pids)

    def _meeting(self) -> Pmi:
        """The tasks' way to find each other, by srun."""
        job_id = self._part.launch["job"].get("het_job_id") or self._part.job_id
        return Pmi(
            self._loop, f"{job_id}.{self._part.step_id}", self._part.whole,
            self._part.first_node + self._part.node_rank,
            lambda message: self._srun.send(stepio.message(stepio.PMI, message)),
            lambda text: self.say(text, self._part.ranks),
        )  # fmt: skip

    # --- starting ----------------------------------------------------------------------------------------------------

    def _connect(self) -> bool:
        if not self._srun.connect(self._part.message["addresses"]):
            return False
        self._srun.send(stepio.message(stepio.HELLO, self._hello(self._part.message["secret"])))
        return True

    def _hello(self, secret: str) -> Message:
        return {"secret": secret, "node": self._part.node, "node_rank": self._part.node_rank, "version": stepio.VERSION}

    def _attach(self, addresses: list[str], secret: str) -> None:
        """sattach joins: it hears who runs, who has ended, and all that comes from now on."""
        if self._finishing:
            return
        running = [[rank, task.pid] for rank, task in self._tasks.items() if not task.told]
        first = [stepio.message(stepio.STARTED, {"tasks": running})]
        first += [
            stepio.message(stepio.EXITED, {"status": task.status or 0, "tasks": [rank]})
            for rank, task in self._tasks.items()
            if task.told
        ]
        self._watchers.attach(addresses, self._hello(secret), first)

    def _fail(self, text: str) -> None:
        """No task was started."""
        self._srun.send(
            stepio.message(stepio.FAILED, {"text": text, "tasks": self._part.ranks, "node": self._part.node})
        )
        for task in self._tasks.values():
            task.status = 1 << 8
        self._finish()

    # --- srun --------------------------------------------------------------------------------------------------------

    def _on_frame(self, frame: stepio.Frame) -> None:
        if frame.kind == stepio.SIGNAL:
            # of a job that ends srun can't kill the step, as slurmctld would refuse it: the tasks have KillWait seconds
            self._agent.hear()
            if not (self._job_ends and frame.value["signal"] == signal.SIGKILL):
                self._cancelled = self._cancelled or frame.value["signal"] == signal.SIGKILL
                self._signal(int(frame.value["signal"]))
        elif frame.kind == stepio.ABORT:
            self._terminate(str(frame.value["text"]), float(frame.value["kill_wait"]))
        elif frame.kind == stepio.PMI_ANSWER and self._pmi:
            self._pmi.hear(frame.value)
        elif frame.kind == stepio.WINSIZE:
            for task in self._tasks.values():
                if task.terminal >= 0:
                    step_tasks.set_winsize(task.terminal, frame.value["rows"], frame.value["columns"])
        elif frame.kind in (stepio.STDIN, stepio.STDIN_END):
            self._streams.from_srun(frame)

    def _lost_srun(self) -> None:
        """srun hung up: as it should at the end; before, its tasks go with it, unless their job ends anyway."""
        if self._finishing:
            self._leave_when_heard()
            return
        self._streams.press()
        if not self._job_ends:
            self._cancelled = True
            self._kill_all()

    # --- signals and ends --------------------------------------------------------------------------------------------

    def _signal(self, number: int) -> None:
        if number in signals.ENDING:
            self._announce("", signals.due_to_signal(number))
        self._deliver(number)

    def _deliver(self, number: int) -> None:
        if number == signal.SIGKILL:
            self._kill_all()
            return
        for task in self._tasks.values():
            if task.status is None and task.pid:
                with contextlib.suppress(OSError):
                    os.killpg(task.pid, number)

    def _terminate(self, reason: str, kill_wait: float) -> None:
        """SIGTERM to the tasks with its line, SIGKILL later."""
        self._announce(reason or "CANCELLED")
        self._deliver(signal.SIGCONT)
        self._deliver(signal.SIGTERM)
        self._loop.after(kill_wait, self._kill_all)

    def _announce(self, reason: str, text: str = "") -> None:
        """The line that says why the step ends: once, and by the first of its nodes alone."""
        if self._announced or self._part.node_rank:
            return
        self._announced = True
        what = f"STEP {self._part.job_id}.{self._part.step_id}"
        self.say(signals.cancelled_text(what, self._part.node, time.time(), reason, text), self._part.ranks)

    def say(self, text: str, ranks: list[int]) -> None:
        """A line of slurmstepd's own, in the standard error of the first of these tasks."""
        if ranks:
            self._streams.send(step_tasks.say(self._tasks[ranks[0]], text))

    def _kill_all(self) -> None:
        processes.send(processes.descendants(), signal.SIGKILL)

    def task_process_ended(self, task: Task, status: int, rusage: resource.struct_rusage) -> None:
        task.meter.reaped(rusage)
        task.pid = 0
        task.status = status
        path = self._part.request.get("task_epilog")
        if path:
            cwd, env = self._part.directory, self._part.environments[task.rank]
            try:
                task.epilog = step_tasks.start_task_epilog(path, env, self._part.user, cwd)
            except OSError as problem:
                self.say(f"execve({path}): {problem.strerror}", [task.rank])
                self.say("TaskEpilog failed status=127", [task.rank])
        if task.epilog:
            self._loop.on_exit(task.epilog, lambda ended, _rusage: self._epilog_ended(task, ended))
        else:
            self.task_ended(task, status)

    def _epilog_ended(self, task: Task, ended: int) -> None:
        task.epilog = 0
        if code := os.waitstatus_to_exitcode(ended):
            self.say(f"TaskEpilog failed status={abs(code)}", [task.rank])
        self.task_ended(task, task.status or 0)

    def task_ended(self, task: Task, status: int) -> None:
        task.status = status
        self._streams.close_stdin(task)
        # what it wrote comes before its end
        for output in list(task.outputs):
            self._streams.read_output(task, output)
        self._streams.give_credit()
        self._ended.append(task)
        if all(one.status is not None and not one.epilog for one in self._tasks.values()):
            self._tell_exits()
            # what the tasks left behind ends with the last of them
            processes.kill_all(processes.descendants, self._loop.reap)
            self._loop.after(DRAIN_PATIENCE, self._drop_outputs)
            self._maybe_finished()
        elif len(self._ended) == 1:
            # most often the others end in the same moment: srun tells of them in one line
            self._loop.after(EXITS_TOGETHER, self._tell_exits)

    def _tell_exits(self) -> None:
        """Tell srun of the tasks that ended since it was last told, those that ended alike together."""
        alike: dict[int, list[int]] = {}
        for task in self._ended:
            task.told = True
            alike.setdefault(task.status or 0, []).append(task.rank)
        self._ended.clear()
        for status, ranks in alike.items():
            self._streams.send(stepio.message(stepio.EXITED, {"status": status, "tasks": sorted(ranks)}))
        self._maybe_finished()

    def _drop_outputs(self) -> None:
        """Somebody outside the step holds a stream open: nothing of the step's can come from there any more."""
        if self._streams.pressed:
            self._loop.after(DRAIN_PATIENCE, self._drop_outputs)
            return
        self._streams.drop_outputs()
        self._maybe_finished()

    def _maybe_finished(self) -> None:
        if all(task.told and not task.outputs for task in self._tasks.values()):
            self._finish()

    def _finish(self) -> None:
        if self._finishing:
            return
        self._finishing = True
        self._watchers.send(stepio.message(stepio.FINISHED, {}))
        if not self._srun.connected:
            self._leave_when_heard()
            return
        # srun hangs up when it has it all; one that was stopped is waited for as long as it has something to take
        self._srun.send(stepio.message(stepio.FINISHED, {}))
        self._loop.after(LEAVE_PATIENCE, self._leave_unless_sending)

    def _leave_when_heard(self, patience: float = LEAVE_PATIENCE) -> None:
        """srun is gone; those who listen beside it have a moment to take what is theirs."""
        if self._watchers.waiting and patience > 0:
            self._loop.after(EXITS_TOGETHER, lambda: self._leave_when_heard(patience - EXITS_TOGETHER))
        else:
            self._leave()

    def _leave_unless_sending(self) -> None:
        if self._srun.waiting or self._watchers.waiting:
            self._loop.after(LEAVE_PATIENCE, self._leave_unless_sending)
        else:
            self._leave()

    def _leave(self) -> None:
        if self._over:
            return
        self._over = True
        tasks = [[rank, task.status or 0] for rank, task in self._tasks.items()]
        usage_ = step_report.usage_of(self._tasks)
        self._agent.tell("step_ended", tasks=tasks, usage=usage_, cancelled=self._cancelled)

    # --- the agent ----------------------------------------------------------------------------------------------------

    def _obey(self, message: Message) -> None:
        ending = stepio.message(stepio.ENDING, {})
        if "attach" in message:
            self._attach(message["attach"], message["secret"])
        elif "time_out" in message:
            self._terminate(message["time_out"], float(message["kill_wait"]))
        elif "terminate" in message:
            self._job_ends = True
            # srun's own line about it comes before slurmstepd's when the job is cancelled, behind it else
            if not message["terminate"]:
                self._srun.send(ending)
            self._terminate(message["terminate"], float(message["kill_wait"]))
            self._srun.send(ending)
        else:
            if message["signal"] == signal.SIGKILL or message.get("ending"):
                self._srun.send(ending)
            self._signal(int(message["signal"]))


def run(message: Message, launched: Mapping[str, Any], user: User, agent: socket.socket) -> int:
    """In the forked process: be the step here. 0, or 1 when this process can't be set up."""
    _close_all_but(agent.fileno())
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # a signal to the whole step is for its tasks
    os.setsid()
    processes.adopt_orphans()
    user.become()
    StepProcess(message, launched, user, agent).run()
    return 0


def _close_all_but(kept: int) -> None:
    """The agent's connections are none of ours. Its streams stay: they are the pod's."""
    signal.set_wakeup_fd(-1)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd != kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)
