"""The process of one step on one node: starts the tasks, moves their input and output, tells how they ended.

slurmstepd's part for steps. It is the parent and reaper of all that its tasks start. srun is told of output and ends
directly, the agent (and by it the controller) of starts, ends and usage.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

from slurm_compat.agent import environment, launch, processes, signals, step_tasks, usage
from slurm_compat.agent.launch import User
from slurm_compat.agent.loop import READ, WRITE, Loop
from slurm_compat.agent.pmi import Pmi
from slurm_compat.agent.step_link import SrunLink
from slurm_compat.agent.step_tasks import Output, Task
from slurm_compat.agent.step_watchers import Watchers
from slurm_compat.agent.streams import CannotOpen
from slurm_compat.core import patterns, stepio

DRAIN_PATIENCE = 2.0  # seconds a stream may stay open after all processes of the step are gone
EXITS_TOGETHER = 0.1  # seconds to wait for further tasks to end before srun is told of the first
LEAVE_PATIENCE = 5.0  # seconds to wait for srun to hang up
COULD_NOT_CONNECT = "Slurmd could not connect IO"

Message = dict[str, Any]


class StepProcess:
    def __init__(self, message: Message, launched: Mapping[str, Any], user: User, agent: socket.socket) -> None:
        self._message = message
        self._request: Message = message["request"]
        self._user = user
        self._agent = agent
        self._agent_data = b""
        self._job_id = launched["job"]["job_id"]
        self._step_id = str(message["step_id"])
        self._node = launched["nodes"][launched["rank"]]["name"]
        self._launch = step_tasks.with_step_gpus(launched, message.get("resources") or [])
        self._node_rank = next(i for i, entry in enumerate(message["layout"]) if entry[0] == self._node)
        self._ranks: list[int] = list(message["layout"][self._node_rank][1])
        self._tasks = {rank: Task(rank, usage.Meter(self._node, rank)) for rank in self._ranks}
        self._env: dict[int, dict[str, str]] = {}
        self._loop = Loop(lambda pid, rusage: None, lambda: None)
        self._srun = SrunLink(self._loop, self._on_frame, self._lost_srun, lambda pressed: self._press())
        self._watchers = Watchers(self._loop, self._take_input, self._press)
        self._pmi = self._meeting() if self._request.get("mpi") == "pmi2" else None
        self._announced = False
        self._ended: list[Task] = []  # srun has not been told yet
        self._owed = 0  # bytes of input that tasks have yet to take before srun may send more
        self._finishing = False
        self._job_ends = False
        self._cancelled = False  # srun killed it, or was killed itself
        self._over = False

    def run(self) -> None:
        self._agent.setblocking(False)
        self._loop.watch(self._agent.fileno(), READ, lambda _: self._on_agent())
        problem = "" if self._connect() else COULD_NOT_CONNECT
        problem = problem or self._start_tasks()
        if problem:
            self._fail(problem)
        else:
            self._keep_time()
            # children that ended before anybody waited for them
            self._loop.reap()
        while not self._over:
            self._loop.round(None)

    def _meeting(self) -> Pmi:
        """The tasks' way to find each other, by srun."""
        return Pmi(
            self._loop, f"{self._job_id}.{self._step_id}", self._message["layout"], self._node_rank,
            lambda message: self._srun.send(stepio.message(stepio.PMI, message)),
            lambda text: self._say(text, self._ranks),
        )  # fmt: skip

    # --- starting ----------------------------------------------------------------------------------------------------

    def _connect(self) -> bool:
        if not self._srun.connect(self._message["addresses"]):
            return False
        self._srun.send(stepio.message(stepio.HELLO, self._hello(self._message["secret"])))
        return True

    def _hello(self, secret: str) -> Message:
        return {"secret": secret, "node": self._node, "node_rank": self._node_rank, "version": stepio.VERSION}

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

    def _send(self, frame: bytes) -> None:
        """To srun and all who listen beside it."""
        if frame:
            self._srun.send(frame)
            self._watchers.send(frame)

    def _start_tasks(self) -> str:
        """Connect and start them all; "" or why none runs."""
        job = self._launch["job"]
        values = {
            rank: patterns.step_values(job, self._step_id, self._node, self._node_rank, rank) for rank in self._ranks
        }
        os.umask(self._request.get("umask", 0o022))
        wiring = step_tasks.Wiring(self._request, values)
        submitted = environment.split(base64.b64decode(self._request.get("environment") or ""))
        submitted |= step_tasks.step_environment(self._message["layout"])
        try:
            streams = {rank: wiring.connect(self._tasks[rank]) for rank in self._ranks}
        except CannotOpen:
            return COULD_NOT_CONNECT
        self._say_about_directory()
        pids = []
        for local_id, rank in enumerate(self._ranks):
            task = self._tasks[rank]
            self._env[rank] = environment.task_environment(
                self._launch, submitted, step_id=self._step_id, layout=self._message["layout"],
                node_rank=self._node_rank, local_id=local_id, launch_address=self._launch_address(),
            )  # fmt: skip
            code = self._prolog(task)
            if code is None:
                self._start(task, streams[rank])
                pids.append([rank, task.pid])
            for fd in streams[rank]:
                os.close(fd)
            for output in task.outputs:
                self._watch_output(task, output)
            if code is not None:
                self._task_ended(task, code << 8)
        self._srun.send(stepio.message(stepio.STARTED, {"tasks": pids}))
        self._report("step_started", pids=pids)
        return ""

    def _start(self, task: Task, streams: tuple[int, int, int]) -> None:
        env = self._env[task.rank]
        env.pop("SLURM_MPI_TYPE", None)
        pmi_fd = -1
        if self._pmi:
            env |= self._pmi.environment(task.rank)
            pmi_fd = self._pmi.connect(task.rank)
        program = step_tasks.program_of(self._request, env, task.rank, streams, pmi_fd)
        task.pid = launch.start(program, self._user)
        if pmi_fd >= 0:
            os.close(pmi_fd)
        self._loop.on_exit(task.pid, lambda status, rusage: self._task_process_ended(task, status, rusage))

    def _launch_address(self) -> str:
        """SLURM_LAUNCH_NODE_IPADDR: where srun is."""
        if self._srun.address.startswith("unix:"):
            return str(self._message.get("launch_address") or "127.0.0.1")
        return self._srun.address.rpartition(":")[0]

    def _say_about_directory(self) -> None:
        """Slurm tells twice that a directory can't be entered: here, and by the task itself."""
        cwd = self._request.get("current_working_directory") or "/"
        try:
            os.chdir(cwd)
        except OSError as problem:
            why = f"couldn't chdir to `{cwd}': {problem.strerror}: going to {launch.NO_DIRECTORY} instead"
            self._say(why, self._ranks)
        os.chdir("/")

    def _prolog(self, task: Task) -> int | None:
        """The task prolog, if there is one; an exit code when the task must not start."""
        path = self._request.get("task_prolog")
        if not path:
            return None
        cwd = self._request.get("current_working_directory") or "/"
        try:
            printed = step_tasks.run_task_prolog(path, self._env[task.rank], cwd)
        except step_tasks.PrologFailed as problem:
            for line in problem.lines:
                self._srun.send(step_tasks.say(task, line))
            return problem.code
        if printed and task.outputs:
            self._srun.send(stepio.data(stepio.STDOUT, task.rank, printed))
        return None

    def _fail(self, text: str) -> None:
        """No task was started."""
        self._srun.send(stepio.message(stepio.FAILED, {"text": text, "tasks": self._ranks, "node": self._node}))
        for task in self._tasks.values():
            task.status = 1 << 8
        self._finish()

    # --- srun --------------------------------------------------------------------------------------------------------

    def _on_frame(self, frame: stepio.Frame) -> None:
        if frame.kind == stepio.SIGNAL:
            # of a job that ends srun can't kill the step, as slurmctld would refuse it: the tasks have KillWait seconds
            self._on_agent()
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
            self._owed += len(frame.body)
            self._take_input(frame.task, frame.body, frame.kind == stepio.STDIN_END)

    def _lost_srun(self) -> None:
        """srun hung up: as it should at the end; before, its tasks go with it, unless their job ends anyway."""
        if self._finishing:
            self._leave_when_heard()
            return
        self._press()
        if not self._job_ends:
            self._cancelled = True
            self._kill_all()

    # --- input -------------------------------------------------------------------------------------------------------

    def _take_input(self, number: int, data: bytes, ended: bool = False) -> None:
        """Input for one task, or ALL; of a task that is not here it is nobody's."""
        for task in self._tasks.values():
            if number in (stepio.ALL, task.rank):
                task.stdin_ended = task.stdin_ended or ended
                if task.stdin >= 0:
                    task.waiting += data
                    self._feed(task)
        self._give_credit()

    def _give_credit(self) -> None:
        """Tell srun how much was taken: the slowest task counts, for they are all fed the same."""
        waiting = max((len(task.waiting) for task in self._tasks.values()), default=0)
        if self._owed > waiting:
            taken, self._owed = self._owed - waiting, waiting
            self._srun.send(stepio.number(stepio.CREDIT, stepio.ALL, taken))
        self._watchers.give_credit(waiting)

    def _feed(self, task: Task) -> None:
        """Write to a task's standard input what it takes."""
        if task.stdin < 0:
            return
        try:
            while task.waiting:
                written = os.write(task.stdin, memoryview(task.waiting)[: stepio.CHUNK])
                del task.waiting[:written]
        except BlockingIOError:
            self._watch_stdin(task, True)
            return
        except OSError:  # it closed its input: the rest is nobody's
            self._close_stdin(task)
            return
        self._watch_stdin(task, False)
        if task.stdin_ended and task.terminal < 0:
            self._close_stdin(task)

    def _watch_stdin(self, task: Task, on: bool) -> None:
        if task.terminal >= 0:
            events = READ | WRITE if on else READ
            self._loop.watch(task.terminal, events, lambda ready: self._on_terminal(task, ready))
        elif on:
            self._loop.watch(task.stdin, WRITE, lambda _: self._feed_more(task))
        else:
            self._loop.unwatch(task.stdin)

    def _feed_more(self, task: Task) -> None:
        self._feed(task)
        self._give_credit()

    def _on_terminal(self, task: Task, events: int) -> None:
        if events & WRITE:
            self._feed_more(task)
        if events & READ and task.outputs:
            self._read_output(task, task.outputs[0])

    def _close_stdin(self, task: Task) -> None:
        if task.stdin >= 0 and task.terminal < 0:
            self._loop.unwatch(task.stdin)
            os.close(task.stdin)
        task.stdin = -1
        task.waiting.clear()

    # --- output ------------------------------------------------------------------------------------------------------

    def _watch_output(self, task: Task, output: Output) -> None:
        self._loop.watch(output.fd, READ, lambda _: self._read_output(task, output))

    def _press(self) -> None:
        """Read the tasks only while all who listen keep up."""
        paused = self._srun.pressed or self._watchers.pressed
        for task in self._tasks.values():
            for output in task.outputs:
                if paused:
                    self._loop.unwatch(output.fd)
                else:
                    self._watch_output(task, output)

    def _read_output(self, task: Task, output: Output) -> None:
        try:
            received = os.read(output.fd, stepio.CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose last holder is gone
            received = b""
        if received:
            self._pass(output, output.lines.feed(received) if output.lines else received)
            return
        if output.lines:
            self._pass(output, output.lines.rest())
        self._loop.unwatch(output.fd)
        task.outputs.remove(output)
        if output.fd == task.terminal:
            task.terminal = task.stdin = -1
        os.close(output.fd)
        self._maybe_finished()

    def _pass(self, output: Output, text: bytes) -> None:
        if text:
            self._send(stepio.data(output.kind, output.task, text))

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
        if self._announced or self._node_rank:
            return
        self._announced = True
        what = f"STEP {self._job_id}.{self._step_id}"
        self._say(signals.cancelled_text(what, self._node, time.time(), reason, text), self._ranks)

    def _say(self, text: str, ranks: list[int]) -> None:
        """A line of slurmstepd's own, in the standard error of the first of these tasks."""
        if ranks:
            self._send(step_tasks.say(self._tasks[ranks[0]], text))

    def _kill_all(self) -> None:
        processes.send(processes.descendants(), signal.SIGKILL)

    def _task_process_ended(self, task: Task, status: int, rusage: resource.struct_rusage) -> None:
        task.meter.reaped(rusage)
        task.pid = 0
        task.status = status
        path = self._request.get("task_epilog")
        if path:
            cwd = self._request.get("current_working_directory") or "/"
            task.epilog = step_tasks.start_task_epilog(path, self._env[task.rank], self._user, cwd)
        if task.epilog:
            self._loop.on_exit(task.epilog, lambda _status, _rusage: self._epilog_ended(task))
        else:
            self._task_ended(task, status)

    def _epilog_ended(self, task: Task) -> None:
        task.epilog = 0
        self._task_ended(task, task.status or 0)

    def _task_ended(self, task: Task, status: int) -> None:
        task.status = status
        self._close_stdin(task)
        # what it wrote comes before its end
        for output in list(task.outputs):
            self._read_output(task, output)
        self._give_credit()
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
            self._send(stepio.message(stepio.EXITED, {"status": status, "tasks": sorted(ranks)}))
        self._maybe_finished()

    def _drop_outputs(self) -> None:
        """Somebody outside the step holds a stream open: nothing of the step's can come from there any more."""
        if self._srun.pressed or self._watchers.pressed:
            self._loop.after(DRAIN_PATIENCE, self._drop_outputs)
            return
        for task in self._tasks.values():
            for output in list(task.outputs):
                self._loop.unwatch(output.fd)
                task.outputs.remove(output)
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
        self._report("step_ended", tasks=tasks, usage=self._usage(), cancelled=self._cancelled)

    # --- the agent and the clock -------------------------------------------------------------------------------------

    def _report(self, name: str, **fields: Any) -> None:
        self._agent.setblocking(True)
        with contextlib.suppress(OSError):
            self._agent.sendall(json.dumps([name, {**fields, "time": int(time.time())}]).encode() + b"\n")
        self._agent.setblocking(False)

    def _on_agent(self) -> None:
        try:
            received = self._agent.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:  # the agent is gone: nobody is left to end the step
            self._loop.unwatch(self._agent.fileno())
            self._kill_all()
            return
        *lines, self._agent_data = (self._agent_data + received).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

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
            if message["signal"] == signal.SIGKILL:
                self._srun.send(ending)
            self._signal(int(message["signal"]))

    def _keep_time(self) -> None:
        """The samples of the step's usage. Its time limit is the controller's to keep: it may change."""
        interval = float(self._launch["config"].get("sample_interval", 30))
        schedule = usage.Schedule(time.monotonic(), interval)
        if schedule.next_at != float("inf"):
            self._loop.after(schedule.next_at - time.monotonic(), lambda: self._sample(schedule))

    def _sample(self, schedule: usage.Schedule) -> None:
        for task in self._tasks.values():
            if task.pid:
                task.meter.sample([task.pid, *processes.descendants(task.pid)])
        self._report("usage", usage=self._usage())
        schedule.taken(time.monotonic())
        self._loop.after(schedule.next_at - time.monotonic(), lambda: self._sample(schedule))

    def _usage(self) -> list[list[Any]]:
        return [[rank, task.meter.usage()] for rank, task in self._tasks.items()]


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
