"""A step while it lasts: made by the controller, its agents' streams brought together here, ended in order.

One loop over the controller's stream, the allocation's if it is our own, the agents, standard input, the outputs that
are not ready, and signals. The words are those of the real srun, observed on 26.05.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from slurm_compat.cli import terminal
from slurm_compat.cli.allocation import Allocation, Job
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.selectloop import READ, WRITE, SelectLoop
from slurm_compat.cli.signalpipe import SignalPipe
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_peers import Peer, Peers
from slurm_compat.cli.srun_pmi import Meeting
from slurm_compat.cli.srun_streams import Outputs, Sink
from slurm_compat.cli.srun_tasks import Tasks, task_list, task_words
from slurm_compat.core import patterns, stepio
from slurm_compat.core.errors import CommandError, SlurmError
from slurm_compat.core.model import StepRequest
from slurm_compat.core.signals import signal_words

STILL_WAITING = 120.0  # seconds between two lines about a step that waits
DOUBLE_INTERRUPT = 1.0  # seconds in which a second Ctrl-C aborts
UNREPORTED = 2.0  # seconds an agent's connection may lag behind the controller's word that the step is done
DONE_PATIENCE = 10.0  # seconds the controller's word may lag behind the agents
KILL_WAIT = 30.0  # seconds; slurm.conf's default
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (signal.SIGUSR1, signal.SIGUSR2)
CTRL_D = b"\x04"


@dataclass
class Options:
    """How srun treats its step."""

    label: bool = False
    quiet: bool = False
    verbose: int = 0
    kill_on_bad_exit: bool = False
    wait: int = 0  # seconds after the first task's end, 0: for ever
    kill_wait: float = KILL_WAIT
    immediate: bool = False
    quit_on_interrupt: bool = False
    disable_status: bool = False


class NotCreated(Exception):
    """The step was refused; what there is to say was said."""


class StepRun:
    def __init__(
        self, ctx: Context, job: Job, request: StepRequest, options: Options, outputs: Outputs, stdin: int,
        listener: Listener, signals: SignalPipe, allocation: Allocation | None,
    ) -> None:  # fmt: skip
        """`stdin`: the descriptor that is forwarded, -1 for none; where to is the request's standard_input."""
        self._ctx = ctx
        self._job = job
        self._job_id = int(job["job_id"])
        self._request = request
        self._options = options
        self._outputs = outputs
        self._stdin = stdin
        self._listener = listener
        self._signals = signals
        self._allocation = allocation
        self._loop = SelectLoop()
        self._peers = Peers(self._loop, listener, self._on_frame, self._on_gone)
        self._labels: list[bytes] = []
        self._step = ""  # "123.0" once it is made
        self._waited = False
        self._meeting = Meeting(0)
        self._tasks = Tasks(0)
        self._done = False  # the controller's word
        self._stream: Any = None
        self._events: Any = iter(())
        self._aborted = False  # by us
        self._ending_told = False  # by others
        self._silenced = False  # the tasks' ends are not worth lines any more
        self._interrupted_at = -DOUBLE_INTERRUPT
        self._failed = False

    @property
    def status(self) -> int:
        """The wait status of the worst task."""
        return self._tasks.status or (256 if self._failed else 0)

    def run(self) -> int:
        """srun's exit code. Raises NotCreated when there is no step to run."""
        self._loop.watch(self._signals.fileno(), READ, lambda _: self._on_signals())
        if self._allocation is not None:
            self._loop.watch(self._allocation.fileno(), READ, lambda _: self._on_allocation())
        self._stream = self._ctx.connect().events(
            "step_create", job_id=self._job_id, request=self._request,
            addresses=self._listener.addresses, secret=self._listener.secret,
        )  # fmt: skip
        self._events = iter(self._stream)
        self._loop.watch(self._stream.fileno(), READ, lambda _: self._on_controller())
        try:
            self._loop.run(self._balance)
            if self._tasks.force_terminated and not self._aborted and not self._ending_told:
                self._info(f"Force Terminated StepId={self._step}")
        finally:
            self._stream.close()
            self._listener.stop()
            self._outputs.finish()
        return self._tasks.exit_code or int(self._failed)

    # --- the controller and the allocation ---------------------------------------------------------------------------

    def _on_controller(self) -> None:
        try:
            event = next(self._events, None)
        except SlurmError as problem:
            if not self._step:
                self._refused(problem.text)
            event = None
        except ControllerDown as problem:
            if not self._step:
                raise CommandError(f"srun: error: {problem}") from None
            event = None
        name = event["event"] if event else ""
        if not event:
            # the agents have the tasks, and us: the step goes on without the controller
            self._loop.unwatch(self._stream.fileno())
            self._done = True
            self._maybe_over()
        elif name == "waiting":
            self._wait(str(event["error"][1]))
        elif name == "granted":
            self._granted(event)
        elif name == "done":
            self._done = True
            self._loop.after(UNREPORTED, self._give_up_on_missing)
            self._maybe_over()

    def _refused(self, text: str) -> None:
        self._error(f"Unable to create step for job {self._job_id}: {text}")
        raise NotCreated

    def _wait(self, text: str) -> None:
        """Other steps hold what this one needs. Told of only when it takes long."""
        if self._options.immediate:
            self._refused(text)
        if not self._waited:
            self._waited = True
            self._loop.after(STILL_WAITING, partial(self._tell_wait, text, "temporarily"))

    def _tell_wait(self, text: str, how: str) -> None:
        if not self._step:
            self._info(f"Job {self._job_id} step creation {how} disabled, retrying ({text})")
            self._loop.after(STILL_WAITING, partial(self._tell_wait, text, "still"))

    def _granted(self, event: dict[str, Any]) -> None:
        step_id = str(event["step_id"])
        self._step = f"{self._job_id}.{step_id}"
        layout = [(str(node), list(ranks), int(cpus)) for node, ranks, cpus, *_ in event["layout"]]
        self._peers.layout = layout
        self._meeting = Meeting(len(layout))
        self._job = self._job | (event.get("job") or {})
        self._options.kill_wait = float(event.get("kill_wait", self._options.kill_wait))
        count = sum(len(ranks) for _, ranks, _ in layout)
        self._tasks = Tasks(count)
        width = len(str(count - 1))
        self._labels = [f"{rank:>{width}}: ".encode() for rank in range(count)]
        if self._waited:
            self._info(f"Step created for StepId={self._step}")
        self._verbose("CpuBindType=(null type)")
        for node, ranks, _ in layout:
            self._verbose(f"launching StepId={self._step} on host {node}, {len(ranks)} tasks: {task_list(ranks)}")
        self._outputs.open(self.pattern_values(self._job, step_id), step_known=True)

    @staticmethod
    def pattern_values(job: Job, step_id: str = "0") -> dict[str, str | None]:
        """What the symbols of srun's own file names stand for."""
        values = patterns.step_values(job, step_id, str(job.get("nodes") or ""))
        return values | {"a": str(job.get("array_task_id") or 0)}

    def _on_allocation(self) -> None:
        assert self._allocation is not None
        try:
            event = self._allocation.next()
        except (SlurmError, ControllerDown):
            event = None
        if event is None:
            self._loop.unwatch(self._allocation.fileno())
            self._tell_ending()

    def _tell_ending(self) -> None:
        """The step is being ended by somebody else."""
        if not self._ending_told and not self._aborted:
            self._ending_told = True
            self._info(self._aborted_text())
            self._loop.after(self._options.kill_wait + 2 + DONE_PATIENCE, self._timed_out)

    def _aborted_text(self) -> str:
        return f"Job step aborted: Waiting up to {int(self._options.kill_wait) + 2} seconds for job step to finish."

    # --- the agents --------------------------------------------------------------------------------------------------

    def _on_frame(self, peer: Peer, frame: stepio.Frame) -> None:
        kind = frame.kind
        if kind in (stepio.STDOUT, stepio.STDERR):
            sink = self._outputs.out if kind == stepio.STDOUT else self._outputs.err
            assert sink is not None  # all are open once the step is made, and nobody is heard before
            label = self._labels[frame.task] if self._options.label else b""
            sink.write(stepio.labelled(frame.body, label) if label else frame.body)
        elif kind == stepio.EXITED:
            self._exited(peer, int(frame.value["status"]), list(frame.value["tasks"]))
        elif kind == stepio.STARTED:
            ranks = [rank for rank, _ in frame.value["tasks"]]
            self._tasks.started(ranks)
            self._verbose(f"Node {peer.node}, {len(ranks)} tasks started")
        elif kind == stepio.PMI:
            self._on_pmi(peer, frame.value)
        elif kind == stepio.CREDIT:
            peer.credit += frame.number
        elif kind == stepio.ENDING:
            self._tell_ending()
        elif kind == stepio.FAILED:
            for rank in frame.value["tasks"]:
                self._error(f"task {rank} launch failed: {frame.value['text']}")
            self._tasks.ended(frame.value["tasks"], 256)
            self._failed = True
        elif kind == stepio.FINISHED:
            peer.finished = True
            self._peers.drop(peer)
        elif kind == stepio.HELLO and self._request.pty:
            self._send_winsize()

    def _on_pmi(self, peer: Peer, message: dict[str, Any]) -> None:
        """A word of an MPI step's tasks to those of other nodes, or that one of them gave up for all."""
        if "abort" in message:
            self._end_for_failure()
        for node, answer in self._meeting.hear(peer.node, message):
            frame = stepio.message(stepio.PMI_ANSWER, answer)
            if node:
                self._peers.send(peer, frame)
            else:
                self._peers.send_all(frame)

    def _end_for_failure(self) -> None:
        abort = {"text": "TASK FAILURE", "kill_wait": self._options.kill_wait}
        self._peers.send_all(stepio.message(stepio.ABORT, abort))

    def _on_gone(self, peer: Peer) -> None:
        if not peer.finished:
            # its agent died: nobody else tells of its tasks
            peer.finished = True
            lost = next(ranks for node, ranks, _ in self._peers.layout if node == peer.node)
            running = [rank for rank in lost if rank in self._tasks.running]
            if running and not self._ending_told and not self._aborted:
                self._error(f"{peer.node}: {task_words(running)}: the connection to the node was lost")
            self._tasks.ended(running, int(signal.SIGKILL))
        self._maybe_over()

    def _maybe_over(self) -> None:
        if not self._step:
            self._loop.over = self._done
        elif self._peers.all_finished():
            self._loop.over = self._done
            self._loop.after(DONE_PATIENCE, self._stop)

    def _give_up_on_missing(self) -> None:
        """The controller knows the step's end, and an agent has never come: its node is gone."""
        if missing := self._peers.missing():
            self._tasks.ended(missing, int(signal.SIGKILL))
            self._failed = True
            self._stop()

    def _stop(self) -> None:
        self._loop.over = True

    # --- the tasks' ends ---------------------------------------------------------------------------------------------

    def _exited(self, peer: Peer, status: int, ranks: list[int]) -> None:
        plural = "task" if len(ranks) == 1 else "tasks"
        self._verbose(
            f"Received task exit notification for {len(ranks)} {plural} of StepId={self._step} (status=0x{status:04x})."
        )
        text = self._tasks.ended(ranks, status)
        if not status:
            self._verbose(f"{peer.node}: {task_words(ranks)}: Completed")
        elif text and not self._silenced:
            self._error(f"{peer.node}: {text}")
        first = not self._tasks.first_exit_seen
        self._tasks.first_exit_seen = True
        if status and self._options.kill_on_bad_exit and self._tasks.running and not self._aborted:
            self._options.kill_on_bad_exit = False  # once is enough
            self._info(f"Terminating StepId={self._step}")
            self._end_for_failure()
        if first and self._options.wait and self._tasks.running:
            self._loop.after(self._options.wait, self._waited_enough)

    def _waited_enough(self) -> None:
        if self._tasks.running and not self._aborted:
            self._info(f"First task exited {self._options.wait}s ago")
            self._report()
            self._info(f"Terminating StepId={self._step}")
            self._abort()

    def _report(self) -> None:
        for line in self._tasks.report():
            self._info(f"StepId={self._step} {line}")

    def _abort(self) -> None:
        """End the step, now."""
        if self._aborted:
            return
        self._aborted = True
        self._info(self._aborted_text())
        self._forward(signal.SIGKILL)
        self._loop.after(self._options.kill_wait + 2, self._timed_out)

    def _timed_out(self) -> None:
        self._error("Timed out waiting for job step to complete")
        self._stop()

    # --- signals -----------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        for number in self._signals.read():
            if not self._step:
                if number in (signal.SIGINT, *ENDING):
                    self._info(f"Cancelled pending job step with signal {number}")
                    self._refused("Job/step already completing or completed")
            elif number == signal.SIGINT:
                self._interrupt()
            elif number in ENDING:
                if number == signal.SIGQUIT:
                    self._info(signal_words(number))
                self._info("forcing job termination")
                self._abort()
            elif number == signal.SIGPIPE:
                self._abort()
            elif number in FORWARDED:
                self._forward(number)
            elif number == signal.SIGCONT:
                self._info("got SIGCONT")
            elif number == signal.SIGWINCH and self._request.pty:
                self._send_winsize()

    def _interrupt(self) -> None:
        now = time.monotonic()
        again = now - self._interrupted_at < DOUBLE_INTERRUPT
        self._interrupted_at = now
        if self._options.quit_on_interrupt or again:
            self._info(f"sending Ctrl-C to StepId={self._step}")
            self._forward(signal.SIGINT)
            self._info("forcing job termination")
            self._silenced = True
            self._abort()
        elif self._options.disable_status:
            self._info(f"sending Ctrl-C to StepId={self._step}")
            self._forward(signal.SIGINT)
        else:
            self._info("interrupt (one more within 1 sec to abort)")
            self._report()

    def _forward(self, number: int) -> None:
        self._peers.send_all(stepio.message(stepio.SIGNAL, {"signal": int(number)}))

    def _send_winsize(self) -> None:
        rows, columns = terminal.size()
        self._peers.send_all(stepio.message(stepio.WINSIZE, {"rows": rows, "columns": columns}))

    # --- input and output --------------------------------------------------------------------------------------------

    def _input_task(self) -> int | None:
        """The one task that standard input goes to, None for all."""
        if self._request.pty:
            return 0
        given = self._request.standard_input
        return int(given) if given.isdigit() else None

    def _read_stdin(self) -> None:
        task = self._input_task()
        targets = self._peers.of_rank(task)
        room = min((peer.credit for peer in targets), default=0)
        if room <= 0:
            return
        try:
            received = os.read(self._stdin, min(room, stepio.CHUNK))
        except BlockingIOError:
            return
        except OSError:  # closed, or not ours to read
            received = b""
        number = stepio.ALL if task is None else task
        if received:
            frame = stepio.data(stepio.STDIN, number, received)
        else:
            self._loop.unwatch(self._stdin)
            self._stdin = -1
            # a terminal has no end of its own: its program is told as a typing user would tell it
            frame = stepio.data(*((stepio.STDIN, number, CTRL_D) if self._request.pty else
                                  (stepio.STDIN_END, number, b"")))  # fmt: skip
        for peer in targets:
            peer.credit -= len(received)
            self._peers.send(peer, frame)

    def _balance(self) -> None:
        """Watch for what can be done now: hear agents while the outputs keep up, read input while the tasks do."""
        self._peers.balance(not self._outputs.full())
        for sink in self._outputs.sinks():
            self._loop.watch(sink.fd, WRITE if sink.waiting else 0, partial(_drain, sink))
        if self._stdin >= 0:
            targets = self._peers.of_rank(self._input_task())
            ready = bool(targets) and all(peer.credit > 0 for peer in targets)
            ready = ready and not terminal.in_background(self._stdin)
            self._loop.watch(self._stdin, READ if ready else 0, lambda _: self._read_stdin())

    def _info(self, text: str) -> None:
        if not self._options.quiet:
            self._say(f"srun: {text}")

    def _verbose(self, text: str) -> None:
        if self._options.verbose:
            self._info(text)

    def _error(self, text: str) -> None:
        self._say(f"srun: error: {text}")

    def _say(self, line: str) -> None:
        """The same way as the tasks' errors go, so that they keep their order."""
        self._outputs.own.write(f"{line}\n".encode("utf-8", "surrogateescape"))


def _drain(sink: Sink, events: int) -> None:
    sink.drain()
