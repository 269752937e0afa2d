"""A step while it lasts: made by the controller, its agents' streams brought together here, ended in order.

One selector loop over the controller's stream, the allocation's if it is our own, the agents' connections, standard
input, the outputs that are not ready, and signals.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from slurm_compat.cli import terminal
from slurm_compat.cli.allocation import Allocation, Job
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.signalpipe import SignalPipe
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_streams import Outputs, Sink
from slurm_compat.cli.srun_tasks import Tasks, task_words
from slurm_compat.core import patterns, stepio
from slurm_compat.core.errors import CommandError, SlurmError
from slurm_compat.core.model import StepRequest
from slurm_compat.core.signals import signal_words

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

STILL_WAITING = 120.0  # seconds between two lines about a step that waits
DOUBLE_INTERRUPT = 1.0  # seconds in which a second Ctrl-C aborts
UNREPORTED = 2.0  # seconds an agent's connection may lag behind the controller's word that the step is done
DONE_PATIENCE = 10.0  # seconds the controller's word may lag behind the agents
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (signal.SIGUSR1, signal.SIGUSR2)


@dataclass
class Options:
    """How srun treats its step."""

    label: bool = False
    quiet: bool = False
    verbose: int = 0
    kill_on_bad_exit: bool = False
    wait: int = 0  # seconds after the first task's end, 0: for ever
    kill_wait: float = 30.0
    immediate: bool = False
    quit_on_interrupt: bool = False
    disable_status: bool = False


class NotCreated(Exception):
    """The step was refused; what there is to say was said."""


@dataclass
class Peer:
    """One agent's connection."""

    sock: socket.socket
    reader: stepio.Reader = field(default_factory=stepio.Reader)
    out: bytearray = field(default_factory=bytearray)
    node: str = ""  # "" until it has shown who it is
    credit: int = stepio.WINDOW
    finished: bool = False


class StepRun:
    def __init__(
        self, ctx: Context, job_id: int, job: Job, request: StepRequest, options: Options, outputs: Outputs,
        stdin: int, listener: Listener, signals: SignalPipe, allocation: Allocation | None,
    ) -> None:  # fmt: skip
        """`stdin`: the descriptor that is forwarded, -1 for none; where to is the request's standard_input."""
        self._ctx = ctx
        self._job_id = job_id
        self._job = job
        self._request = request
        self._options = options
        self._outputs = outputs
        self._stdin = stdin
        self._stdin_open = False
        self._listener = listener
        self._signals = signals
        self._allocation = allocation
        self._selector = selectors.PollSelector()  # unlike epoll it takes regular files too
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._layout: list[tuple[str, list[int], int]] = []
        self._peers: list[Peer] = []
        self._by_node: dict[str, Peer] = {}
        self._labels: list[bytes] = []
        self._step = ""  # "123.0"
        self._step_id = ""
        self._waited = False
        self._tasks = Tasks(0)
        self._done = False  # the controller's word
        self._stream: Any = None
        self._events: Any = iter(())
        self._aborted = False
        self._ending_told = False
        self._silenced = False  # the tasks' ends are not worth lines any more
        self._interrupted_at = -DOUBLE_INTERRUPT
        self._over = False
        self._failed = False

    @property
    def status(self) -> int:
        """The wait status of the worst task."""
        return self._tasks.status or (256 if self._failed else 0)

    def run(self) -> int:
        """srun's exit code. Raises NotCreated when there is no step to run."""
        self._watch(self._signals.fileno(), READ, lambda _: self._on_signals())
        for sock in self._listener.sockets:
            self._watch(sock.fileno(), READ, partial(self._accept, sock))
        if self._allocation is not None:
            self._watch(self._allocation.fileno(), READ, lambda _: self._on_allocation())
        self._stream = self._ctx.connect().events(
            "step_create", job_id=self._job_id, request=self._request,
            addresses=self._listener.addresses, secret=self._listener.secret,
        )  # fmt: skip
        self._events = iter(self._stream)
        self._watch(self._stream.fileno(), READ, lambda _: self._on_controller())
        try:
            while not self._over:
                for key, events in self._selector.select(self._pause()):
                    if key.fd in self._selector.get_map():
                        key.data(events)
                self._run_timers()
                self._balance()
            if self._tasks.force_terminated and not self._aborted and not self._ending_told:
                self._info(f"Force Terminated StepId={self._step}")
        finally:
            self._stream.close()
            self._listener.stop()
            self._outputs.finish()
        return self._tasks.exit_code or int(self._failed)

    # --- the controller ----------------------------------------------------------------------------------------------

    def _on_controller(self) -> None:
        try:
            event = next(self._events, None)
        except SlurmError as problem:
            if not self._step_id:
                self._refused(problem.text)
            self._controller_gone()
            return
        except ControllerDown as problem:
            if not self._step_id:
                raise CommandError(f"srun: error: {problem}") from None
            self._controller_gone()
            return
        name = event.get("event") if event else "done"
        if event is None:
            self._controller_gone()
        elif name == "waiting":
            self._wait(str((event.get("error") or [0, ""])[1]))
        elif name == "granted":
            self._granted(event)
        elif name == "done":
            self._done = True
            self._after(UNREPORTED, self._give_up_on_agents)
            self._maybe_over()

    def _refused(self, text: str) -> None:
        self._error(f"Unable to create step for job {self._job_id}: {text}")
        raise NotCreated

    def _controller_gone(self) -> None:
        """The agents have the tasks, and us: the step goes on without it."""
        self._unwatch(self._stream.fileno())
        self._done = True
        self._maybe_over()

    def _wait(self, text: str) -> None:
        """Other steps hold what this one needs. Told of only when it takes long, as srun does."""
        if self._options.immediate:
            self._refused(text)
        if not self._waited:
            self._waited = True
            self._after(STILL_WAITING, lambda: self._tell_wait(text, "temporarily"))

    def _tell_wait(self, text: str, how: str) -> None:
        if not self._step_id:
            self._info(f"Job {self._job_id} step creation {how} disabled, retrying ({text})")
            self._after(STILL_WAITING, lambda: self._tell_wait(text, "still"))

    def _granted(self, event: dict[str, Any]) -> None:
        self._step_id = str(event["step_id"])
        self._step = f"{self._job_id}.{self._step_id}"
        self._layout = [(node, list(ranks), cpus) for node, ranks, cpus, *_ in event["layout"]]
        self._job = self._job | (event.get("job") or {})
        count = sum(len(ranks) for _, ranks, _ in self._layout)
        self._tasks = Tasks(count)
        width = len(str(count - 1))
        self._labels = [f"{rank:>{width}}: ".encode() for rank in range(count)]
        if self._waited:
            self._info(f"Step created for StepId={self._step}")
        self._verbose("CpuBindType=(null type)")
        for node, ranks, _ in self._layout:
            self._verbose(f"launching StepId={self._step} on host {node}, {len(ranks)} tasks: {task_list(ranks)}")
        self._outputs.open(self.pattern_values(self._job, self._step_id), step_known=True)

    @staticmethod
    def pattern_values(job: Job, step_id: str = "0") -> dict[str, str | None]:
        """What the symbols of srun's own file names stand for."""
        return patterns.step_values(job, step_id, str(job.get("nodes") or "")) | {
            "a": str(job.get("array_task_id") or 0)
        }

    # --- the allocation ----------------------------------------------------------------------------------------------

    def _on_allocation(self) -> None:
        assert self._allocation is not None
        try:
            event = self._allocation.next()
        except (SlurmError, ControllerDown):
            event = None
        if event is None:
            self._unwatch(self._allocation.fileno())
            self._tell_ending()

    def _tell_ending(self) -> None:
        """The step is being ended by somebody else."""
        if not self._ending_told and not self._aborted:
            self._ending_told = True
            self._info(self._aborted_text())
            self._after(self._options.kill_wait + 2 + DONE_PATIENCE, self._timed_out)

    def _aborted_text(self) -> str:
        return f"Job step aborted: Waiting up to {int(self._options.kill_wait) + 2} seconds for job step to finish."

    # --- the agents --------------------------------------------------------------------------------------------------

    def _accept(self, sock: socket.socket, events: int) -> None:
        connection = self._listener.accept(sock)
        if connection is not None:
            # read once the controller has said what the step is: an agent can be quicker than its answer to us
            self._peers.append(Peer(connection))

    def _on_peer(self, peer: Peer, events: int) -> None:
        if events & WRITE and not stepio.pour(peer.sock, peer.out):
            self._drop(peer)
            return
        if not events & READ:
            return
        try:
            received = peer.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._drop(peer)
            return
        try:
            for frame in peer.reader.feed(received):
                if not self._on_frame(peer, frame):
                    return
        except (stepio.BadFrame, KeyError, TypeError, ValueError):
            self._drop(peer)

    def _on_frame(self, peer: Peer, frame: stepio.Frame) -> bool:
        """False: the connection was closed."""
        if not peer.node:
            return self._on_hello(peer, frame)
        kind = frame.kind
        if kind in (stepio.STDOUT, stepio.STDERR):
            sink = self._outputs.out if kind == stepio.STDOUT else self._outputs.err
            self._put(
                sink, stepio.labelled(frame.body, self._labels[frame.task]) if self._options.label else frame.body
            )
        elif kind == stepio.EXITED:
            self._exited(peer, frame.value)
        elif kind == stepio.STARTED:
            ranks = [rank for rank, _ in frame.value["tasks"]]
            self._tasks.started(ranks)
            self._verbose(f"Node {peer.node}, {len(ranks)} tasks started")
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
            self._drop(peer)
            return False
        return True

    def _on_hello(self, peer: Peer, frame: stepio.Frame) -> bool:
        hello = frame.value if frame.kind == stepio.HELLO else {}
        node = str(hello.get("node", ""))
        expected = any(node == name for name, _, _ in self._layout)
        if not self._listener.admits(hello) or not expected or node in self._by_node:
            self._drop(peer)
            return False
        peer.node = node
        self._by_node[node] = peer
        if self._request.pty:
            self._send_winsize()
        return True

    def _put(self, sink: Sink | None, body: bytes) -> None:
        if sink is not None:
            sink.write(body)

    def _drop(self, peer: Peer) -> None:
        self._unwatch(peer.sock.fileno())
        peer.sock.close()
        if peer in self._peers:
            self._peers.remove(peer)
        if peer.node and not peer.finished and not self._aborted:
            # its agent died: the controller will tell of the node; nobody else tells of its tasks
            lost = next((ranks for node, ranks, _ in self._layout if node == peer.node), [])
            peer.finished = True
            running = [rank for rank in lost if rank in self._tasks.running]
            if running and not self._ending_told:
                self._error(f"{peer.node}: {task_words(running)}: the connection to the node was lost")
            self._tasks.ended(running, int(signal.SIGKILL))
        self._maybe_over()

    def _send(self, peer: Peer, frame: bytes) -> None:
        peer.out += frame
        if not stepio.pour(peer.sock, peer.out):
            self._drop(peer)

    def _tell_all(self, frame: bytes) -> None:
        for peer in list(self._peers):
            if peer.node:
                self._send(peer, frame)

    def _maybe_over(self) -> None:
        if not self._step_id:
            self._over = self._done
            return
        if len(self._by_node) < len(self._layout) or any(not peer.finished for peer in self._by_node.values()):
            return
        self._over = self._done
        if not self._done:
            self._after(DONE_PATIENCE, self._stop)

    def _give_up_on_agents(self) -> None:
        """The controller knows the step's end, and an agent has never come: its node is gone."""
        if all(node in self._by_node for node, _, _ in self._layout):
            return
        missing = [rank for node, ranks, _ in self._layout if node not in self._by_node for rank in ranks]
        self._tasks.ended(missing, int(signal.SIGKILL))
        self._failed = True
        self._over = True

    def _stop(self) -> None:
        self._over = True

    # --- the tasks' ends ---------------------------------------------------------------------------------------------

    def _exited(self, peer: Peer, value: dict[str, Any]) -> None:
        status, ranks = int(value["status"]), list(value["tasks"])
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
            self._aborted = True
            self._info(f"Terminating StepId={self._step}")
            self._tell_all(stepio.message(stepio.ABORT, {"text": "TASK FAILURE", "kill_wait": self._options.kill_wait}))
            self._aborted = False
            self._options.kill_on_bad_exit = False
        if first and self._options.wait and self._tasks.running:
            self._after(self._options.wait, self._waited_enough)

    def _waited_enough(self) -> None:
        if not self._tasks.running or self._aborted:
            return
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
        self._tell_all(stepio.message(stepio.SIGNAL, {"signal": int(signal.SIGKILL)}))
        self._after(self._options.kill_wait + 2, self._timed_out)

    def _timed_out(self) -> None:
        self._error("Timed out waiting for job step to complete")
        self._over = True

    # --- signals -----------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        for number in self._signals.read():
            if not self._step_id:
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
        if self._options.quit_on_interrupt:
            self._info("Ctrl-C, exiting immediately")
            self._forward(signal.SIGINT)
            self._abort()
        elif self._options.disable_status and not again:
            self._info(f"sending Ctrl-C to StepId={self._step}")
            self._forward(signal.SIGINT)
        elif not again:
            self._info("interrupt (one more within 1 sec to abort)")
            self._report()
        else:
            self._info(f"sending Ctrl-C to StepId={self._step}")
            self._forward(signal.SIGINT)
            self._info("forcing job termination")
            self._silenced = True
            self._abort()

    def _forward(self, number: int) -> None:
        self._tell_all(stepio.message(stepio.SIGNAL, {"signal": int(number)}))

    def _send_winsize(self) -> None:
        rows, columns = terminal.size()
        self._tell_all(stepio.message(stepio.WINSIZE, {"rows": rows, "columns": columns}))

    # --- input -------------------------------------------------------------------------------------------------------

    def _targets(self) -> list[Peer]:
        """The agents that input goes to; none before all of them are there."""
        rank = int(self._request.standard_input) if self._request.standard_input.isdigit() else None
        if self._request.pty:
            rank = 0
        nodes = [node for node, ranks, _ in self._layout if rank is None or rank in ranks]
        if not nodes or any(node not in self._by_node for node in nodes):
            return []
        return [self._by_node[node] for node in nodes if not self._by_node[node].finished]

    def _task_number(self) -> int:
        if self._request.pty:
            return 0
        return int(self._request.standard_input) if self._request.standard_input.isdigit() else stepio.ALL

    def _read_stdin(self) -> None:
        targets = self._targets()
        room = min((peer.credit for peer in targets), default=0)
        if room <= 0:
            return
        try:
            received = os.read(self._stdin, min(room, stepio.CHUNK))
        except BlockingIOError:
            return
        except OSError:  # closed, or not ours to read
            received = b""
        number = self._task_number()
        if not received:
            self._unwatch(self._stdin)
            self._stdin = -1
            # a terminal has no end of its own: its program is told as a typing user would tell it
            end = stepio.data(stepio.STDIN, number, b"\x04") if self._request.pty else b""
            for peer in targets:
                self._send(peer, end or stepio.data(stepio.STDIN_END, number, b""))
            return
        for peer in targets:
            peer.credit -= len(received)
            self._send(peer, stepio.data(stepio.STDIN, number, received))

    # --- the loop's own ----------------------------------------------------------------------------------------------

    def _balance(self) -> None:
        """Watch for what can be done now: read agents while the outputs keep up, input while the tasks do."""
        if self._over:
            return
        full = self._outputs.full()
        for peer in self._peers:
            events = (0 if full or not self._step_id else READ) | (WRITE if peer.out else 0)
            if events:
                self._watch(peer.sock.fileno(), events, partial(self._on_peer, peer))
            else:
                self._unwatch(peer.sock.fileno())
        for sink in self._outputs.sinks():
            if sink.waiting:
                self._watch(sink.fd, WRITE, partial(_drain, sink))
            else:
                self._unwatch(sink.fd)
        if self._stdin >= 0:
            ready = any(peer.credit > 0 for peer in self._targets()) and not terminal.in_background(self._stdin)
            if ready and all(peer.credit > 0 for peer in self._targets()):
                self._watch(self._stdin, READ, lambda _: self._read_stdin())
            else:
                self._unwatch(self._stdin)

    def _watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        known = self._selector.get_map().get(fd)
        if known is None:
            with contextlib.suppress(PermissionError):
                self._selector.register(fd, events, callback)
        elif known.events != events:
            self._selector.modify(fd, events, callback)

    def _unwatch(self, fd: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, callback))

    def _pause(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(at for at, _ in self._timers) - time.monotonic())

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = [callback for at, callback in self._timers if at <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for callback in due:
            if not self._over:
                callback()

    def _info(self, text: str) -> None:
        if not self._options.quiet:
            self._say(f"srun: {text}")

    def _error(self, text: str) -> None:
        self._say(f"srun: error: {text}")

    def _say(self, line: str) -> None:
        self._outputs.own.write(f"{line}\n".encode("utf-8", "surrogateescape"))

    def _verbose(self, text: str) -> None:
        if self._options.verbose:
            self._info(text)


def _drain(sink: Sink, events: int) -> None:
    sink.drain()


def task_list(ranks: list[int]) -> str:
    return task_words(ranks).partition(" ")[2]
