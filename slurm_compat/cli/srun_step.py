"""A step while it lasts: made by the controller, its agents' streams brought together here, ended in order.

One loop over the controller's stream, the allocation's if it is our own, the agents, standard input, the outputs that
are not ready, and signals. What belongs to one component alone is `srun_part.py`'s. The words are those of the real
srun, observed on 26.05.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from slurm_compat.cli import terminal
from slurm_compat.cli.allocation import Allocation, Job
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.selectloop import READ, SelectLoop
from slurm_compat.cli.signalpipe import SignalPipe
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_part import DONE_PATIENCE, Options, Part, Wanted
from slurm_compat.cli.srun_peers import Peer
from slurm_compat.cli.srun_pmi import Meeting
from slurm_compat.cli.srun_streams import Outputs
from slurm_compat.core import stepio
from slurm_compat.core.errors import CommandError, SlurmError
from slurm_compat.core.model import StepRequest
from slurm_compat.core.signals import signal_words

STILL_WAITING = 120.0  # seconds between two lines about a step that waits
DOUBLE_INTERRUPT = 1.0  # seconds in which a second Ctrl-C aborts
UNREPORTED = 2.0  # seconds an agent's connection may lag behind the controller's word that the step is done
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (signal.SIGUSR1, signal.SIGUSR2)
CTRL_D = b"\x04"

__all__ = ["NotCreated", "Options", "StepRun", "Wanted"]


class NotCreated(Exception):
    """The step was refused; what there is to say was said."""


class StepRun:
    def __init__(
        self, ctx: Context, job: Job, request: StepRequest, options: Options, outputs: Outputs, stdin: int,
        listener: Listener, signals: SignalPipe, allocation: Allocation | None, others: Sequence[Wanted] = (),
        cpu_bind: str = "(null type)",
    ) -> None:  # fmt: skip
        """`stdin`: the descriptor that is forwarded, -1 for none; where to is the request's standard_input. `others`:
        the further components of a heterogeneous step; input goes to the first, as with the real srun."""
        self._ctx = ctx
        self._stdin = stdin
        self._signals = signals
        self._allocation = allocation
        self._loop = SelectLoop()
        wanted = [Wanted(job, request, options, outputs, listener, cpu_bind), *others]
        self._parts = [Part(self, self._loop, one) for one in wanted]
        self._first = self._parts[0]
        self._waited = False
        self._meeting = Meeting(0)
        self._stream: Any = None
        self._events: Any = iter(())
        self._first_exit_seen = False
        self._failure_told = False
        self._interrupted_at = -DOUBLE_INTERRUPT
        self.silenced = False

    @property
    def status(self) -> int:
        """The wait status of the worst task."""
        return max(self._parts, key=lambda part: part.exit_code).status

    def run(self) -> int:
        """srun's exit code. Raises NotCreated when there is no step to run."""
        self._loop.watch(self._signals.fileno(), READ, lambda _: self._on_signals())
        if self._allocation is not None:
            self._loop.watch(self._allocation.fileno(), READ, lambda _: self._on_allocation())
        asked = [_asked(part) for part in self._parts]
        self._stream = self._ctx.connect().events(
            "step_create", **asked[0], **({"components": asked[1:]} if asked[1:] else {})
        )
        self._events = iter(self._stream)
        self._loop.watch(self._stream.fileno(), READ, lambda _: self._on_controller())
        try:
            self._loop.run(self._balance)
            for part in self._parts:
                part.tell_forced()
        finally:
            self._stream.close()
            for part in self._parts:
                part.wanted.listener.stop()
                part.outputs.finish()
        return max(part.exit_code for part in self._parts)

    # --- the controller and the allocation ---------------------------------------------------------------------------

    def _on_controller(self) -> None:
        try:
            event = next(self._events, None)
        except SlurmError as problem:
            if not self._first.step:
                self._refused(problem.text, problem.notes[0] if problem.notes else "")
            event = None
        except ControllerDown as problem:
            if not self._first.step:
                raise CommandError(f"srun: error: {problem}") from None
            event = None
        name = event["event"] if event else ""
        if not event:
            # the agents have the tasks, and us: the step goes on without the controller
            self._loop.unwatch(self._stream.fileno())
            for part in self._parts:
                part.done = True
            self.changed()
        elif name == "waiting":
            self._wait(str(event["error"][1]))
        elif name == "granted":
            self._granted([event, *event.get("components", [])])
        elif name == "relay":
            self._take_relayed(event)
        elif name == "done":
            for part in self._parts:
                if len(self._parts) == 1 or part.job_id == event.get("job_id"):
                    self._part_done(part)
            self.changed()

    def _take_relayed(self, event: dict[str, Any]) -> None:
        """An agent can't reach us; the controller has it on the line."""
        for part in self._parts:
            if part.wanted.listener.ticket == event["ticket"]:
                part.peers.take(self._ctx.connect().events("relay_take", word=event["word"]).line())

    def _part_done(self, part: Part) -> None:
        def give_up() -> None:
            if part.give_up_on_missing():
                self.stop()

        part.done = True
        self._loop.after(UNREPORTED, give_up)

    def _refused(self, text: str, job_id: str = "") -> None:
        """`job_id`: of the component that the controller refused."""
        self._first.error(f"Unable to create step for job {job_id or self._first.job_id}: {text}")
        raise NotCreated

    def _wait(self, text: str) -> None:
        """Other steps hold what this one needs. Told of only when it takes long."""
        if self._first.options.immediate:
            self._refused(text)
        if not self._waited:
            self._waited = True
            self._loop.after(STILL_WAITING, partial(self._tell_wait, text, "temporarily"))

    def _tell_wait(self, text: str, how: str) -> None:
        if not self._first.step:
            self._first.info(f"Job {self._first.job_id} step creation {how} disabled, retrying ({text})")
            self._loop.after(STILL_WAITING, partial(self._tell_wait, text, "still"))

    def _granted(self, events: list[dict[str, Any]]) -> None:
        count = sum(part.count(event) for part, event in zip(self._parts, events, strict=True))
        tasks = nodes = 0
        for part, event in zip(self._parts, events, strict=True):
            part.granted(event, tasks, nodes, len(str(count - 1)))
            tasks += part.count(event)
            nodes += len(event["layout"])
        self._meeting = Meeting(nodes)
        for part in self._parts:
            if self._waited:
                part.info(f"Step created for StepId={part.step}")
            part.verbose(f"CpuBindType={part.wanted.cpu_bind}")
        for part in self._parts:
            part.tell_launch()

    def _on_allocation(self) -> None:
        assert self._allocation is not None
        try:
            event = self._allocation.next()
        except (SlurmError, ControllerDown):
            event = None
        if event is None:
            self._loop.unwatch(self._allocation.fileno())
            for part in self._parts:
                part.tell_ending()

    # --- what the parts tell -----------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Whether it is over: all agents have finished, and the controller knows."""
        if not self._first.step:
            self._loop.over = all(part.done for part in self._parts)
        elif all(part.finished for part in self._parts):
            self._loop.over = all(part.done for part in self._parts)
            self._loop.after(DONE_PATIENCE, self.stop)

    def on_pmi(self, part: Part, peer: Peer, message: dict[str, Any]) -> None:
        """A word of an MPI step's tasks to those of other nodes, or that one of them gave up for all."""
        if "abort" in message:
            for one in self._parts:
                one.end_for_failure()
        place = part.first_node + next(i for i, (node, *_) in enumerate(part.peers.layout) if node == peer.node)
        for node, answer in self._meeting.hear(str(place), message):
            frame = stepio.message(stepio.PMI_ANSWER, answer)
            if node:
                part.peers.send(peer, frame)
                continue
            for one in self._parts:
                one.peers.send_all(frame)

    def first_task_ended(self) -> None:
        wait = self._first.options.wait
        if not self._first_exit_seen and wait and self._running():
            self._loop.after(wait, self._waited_enough)
        self._first_exit_seen = True

    def task_failed(self) -> None:
        """--kill-on-bad-exit."""
        if self._failure_told or self._first.aborted:
            return
        self._failure_told = True  # once is enough
        for part in self._parts:
            part.info(f"Terminating StepId={part.step}")
        if self._running():
            for part in self._parts:
                part.end_for_failure()

    def _running(self) -> bool:
        return any(part.tasks.running for part in self._parts)

    def _waited_enough(self) -> None:
        if self._running() and not self._first.aborted:
            self._first.info(f"First task exited {self._first.options.wait}s ago")
            self._report()
            for part in self._parts:
                part.info(f"Terminating StepId={part.step}")
            self._abort()

    def timed_out(self) -> None:
        self._first.error("Timed out waiting for job step to complete")
        self._loop.over = True

    def stop(self) -> None:
        self._loop.over = True

    def _report(self) -> None:
        for part in self._parts:
            part.report()

    def _abort(self) -> None:
        """End the step, now."""
        for part in self._parts:
            if part is self._first or part.tasks.running:
                part.abort()

    # --- signals -----------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        for number in self._signals.read():
            self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        first = self._first
        if not first.step:
            if number in (signal.SIGINT, *ENDING):
                first.info(f"Cancelled pending job step with signal {number}")
                self._refused("Job/step already completing or completed")
        elif number == signal.SIGINT:
            self._interrupt()
        elif number in ENDING:
            if number == signal.SIGQUIT:
                first.info(signal_words(number))
            first.info("forcing job termination")
            self._abort()
        elif number == signal.SIGPIPE:
            self._abort()
        elif number in FORWARDED:
            self._forward(number)
        elif number == signal.SIGCONT:
            first.info("got SIGCONT")
        elif number == signal.SIGWINCH and first.wanted.request.pty:
            first.send_winsize()

    def _interrupt(self) -> None:
        now = time.monotonic()
        again = now - self._interrupted_at < DOUBLE_INTERRUPT
        self._interrupted_at = now
        options = self._first.options
        if options.quit_on_interrupt or again:
            for part in self._parts:
                # it is told, but the SIGKILL that follows is what the tasks end of
                part.info(f"sending Ctrl-C to StepId={part.step}")
            self._first.info("forcing job termination")
            self.silenced = True
            self._abort()
        elif options.disable_status:
            for part in self._parts:
                part.info(f"sending Ctrl-C to StepId={part.step}")
                part.forward(signal.SIGINT)
        else:
            self._first.info("interrupt (one more within 1 sec to abort)")
            self._report()

    def _forward(self, number: int) -> None:
        for part in self._parts:
            part.forward(number)

    # --- input -------------------------------------------------------------------------------------------------------

    def _input_task(self) -> int | None:
        """The one task that standard input goes to, None for all."""
        request = self._first.wanted.request
        if request.pty:
            return 0
        given = request.standard_input
        return int(given) if given.isdigit() else None

    def _read_stdin(self) -> None:
        task = self._input_task()
        peers = self._first.peers
        targets = peers.of_rank(task)
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
            frame = stepio.data(*((stepio.STDIN, number, CTRL_D) if self._first.wanted.request.pty else
                                  (stepio.STDIN_END, number, b"")))  # fmt: skip
        for peer in targets:
            peer.credit -= len(received)
            peers.send(peer, frame)

    def _balance(self) -> None:
        """Watch for what can be done now: hear agents while the outputs keep up, read input while the tasks do."""
        for part in self._parts:
            part.balance()
        if self._stdin >= 0:
            targets = self._first.peers.of_rank(self._input_task())
            ready = bool(targets) and all(peer.credit > 0 for peer in targets)
            ready = ready and not terminal.in_background(self._stdin)
            self._loop.watch(self._stdin, READ if ready else 0, lambda _: self._read_stdin())


def _asked(part: Part) -> dict[str, Any]:
    listener = part.wanted.listener
    return {
        "job_id": part.job_id,
        "request": part.wanted.request,
        "addresses": listener.addresses,
        "secret": listener.secret,
    }
