"""One component's part of a step, as srun sees it: its agents, its tasks, its words. A plain step has one part.

Within a part tasks count from 0, and so they do in what is said of them; their output is labelled by their number in
the whole step. The words are those of the real srun, observed on 26.05.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from slurm_compat.cli import terminal
from slurm_compat.cli.allocation import Job
from slurm_compat.cli.selectloop import WRITE, SelectLoop
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_peers import Peer, Peers
from slurm_compat.cli.srun_streams import Outputs, Sink
from slurm_compat.cli.srun_tasks import Tasks, task_list, task_words
from slurm_compat.core import patterns, stepio
from slurm_compat.core.model import StepRequest

DONE_PATIENCE = 10.0  # seconds the controller's word may lag behind the agents
UNBINDABLE = "Unable to satisfy cpu bind request"
KILL_WAIT = 30.0  # seconds; slurm.conf's default


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


@dataclass
class Wanted:
    """A part that is asked for."""

    job: Job
    request: StepRequest
    options: Options
    outputs: Outputs
    listener: Listener
    cpu_bind: str = "(null type)"  # as -v shows it


class Whole(Protocol):
    """What a part needs of the step it belongs to."""

    silenced: bool  # the tasks' ends are not worth lines any more

    def changed(self) -> None: ...  # an agent has finished, or is gone
    def first_task_ended(self) -> None: ...
    def task_failed(self) -> None: ...  # and --kill-on-bad-exit was given
    def timed_out(self) -> None: ...
    def on_pmi(self, part: Part, peer: Peer, message: dict[str, Any]) -> None: ...


@dataclass
class Part:
    whole: Whole
    loop: SelectLoop
    wanted: Wanted
    step: str = ""  # "123.0" once it is made
    tasks: Tasks = field(default_factory=lambda: Tasks(0))
    done: bool = False  # the controller's word
    aborted: bool = False  # by us
    ending_told: bool = False  # by others
    failed: bool = False

    def __post_init__(self) -> None:
        self.job: Job = self.wanted.job
        self.options = self.wanted.options
        self.outputs = self.wanted.outputs
        self.first_node = 0  # of its nodes, in the whole step
        self.peers = Peers(self.loop, self.wanted.listener, self._on_frame, self._on_gone)
        self._labels: list[bytes] = []

    @property
    def job_id(self) -> int:
        return int(self.job["job_id"])

    @property
    def status(self) -> int:
        """The wait status of the worst task."""
        return self.tasks.status or (256 if self.failed else 0)

    @property
    def exit_code(self) -> int:
        return self.tasks.exit_code or int(self.failed)

    @property
    def finished(self) -> bool:
        return bool(self.step) and self.peers.all_finished()

    def count(self, event: dict[str, Any]) -> int:
        return sum(len(ranks) for _, ranks, *_ in event["layout"])

    def granted(self, event: dict[str, Any], first_task: int, first_node: int, width: int) -> None:
        """`width`: of the step's largest task number."""
        step_id = str(event["step_id"])
        layout = [(str(node), list(ranks), int(cpus)) for node, ranks, cpus, *_ in event["layout"]]
        self.job = self.job | (event.get("job") or {})
        self.step = f"{self.job_id}.{step_id}"
        self.first_node = first_node
        self.options.kill_wait = float(event.get("kill_wait", self.options.kill_wait))
        count = self.count(event)
        self.tasks = Tasks(count)
        self._labels = [f"{first_task + rank:>{width}}: ".encode() for rank in range(count)]
        self.outputs.open(pattern_values(self.job, step_id), step_known=True)
        self.peers.layout = layout

    def tell_launch(self) -> None:
        for node, ranks, _ in self.peers.layout:
            listed = task_list(ranks) if len(ranks) == 1 else f"[{task_list(ranks)}]"
            self.verbose(f"launching StepId={self.step} on host {node}, {len(ranks)} tasks: {listed}")

    # --- the agents --------------------------------------------------------------------------------------------------

    def _on_frame(self, peer: Peer, frame: stepio.Frame) -> None:
        kind = frame.kind
        if kind in (stepio.STDOUT, stepio.STDERR):
            sink = self.outputs.out if kind == stepio.STDOUT else self.outputs.err
            assert sink is not None  # all are open once the step is made, and nobody is heard before
            label = self._labels[frame.task] if self.options.label else b""
            sink.write(stepio.labelled(frame.body, label) if label else frame.body)
        elif kind == stepio.EXITED:
            self._exited(peer, int(frame.value["status"]), list(frame.value["tasks"]))
        elif kind == stepio.STARTED:
            ranks = [rank for rank, _ in frame.value["tasks"]]
            self.tasks.started(ranks)
            self.verbose(f"Node {peer.node}, {len(ranks)} tasks started")
        elif kind == stepio.PMI:
            self.whole.on_pmi(self, peer, frame.value)
        elif kind == stepio.CREDIT:
            peer.credit += frame.number
        elif kind == stepio.ENDING:
            self.tell_ending()
        elif kind == stepio.FAILED:
            self._tell_failure(peer.node, str(frame.value["text"]), list(frame.value["tasks"]))
            self.tasks.ended(frame.value["tasks"], 256)
            self.failed = True
        elif kind == stepio.FINISHED:
            peer.finished = True
            self.peers.drop(peer)
        elif kind == stepio.HELLO and self.wanted.request.pty:
            self.send_winsize()

    def _tell_failure(self, node: str, text: str, ranks: list[int]) -> None:
        """No task was started there. Without tasks it is only a word on why."""
        if not ranks:
            self.error(text)
        elif text == UNBINDABLE:
            self.error(f"Task launch for StepId={self.step} failed on node {node}: {text}")
            self.error(f"Application launch failed: {text}")
            self.info("Job step aborted")
        else:
            for rank in ranks:
                self.error(f"task {rank} launch failed: {text}")

    def _on_gone(self, peer: Peer) -> None:
        if not peer.finished:
            # its agent died: nobody else tells of its tasks
            peer.finished = True
            lost = next(ranks for node, ranks, _ in self.peers.layout if node == peer.node)
            running = [rank for rank in lost if rank in self.tasks.running]
            if running and not self.ending_told and not self.aborted:
                self.error(f"{peer.node}: {task_words(running)}: the connection to the node was lost")
            self.tasks.ended(running, int(signal.SIGKILL))
        self.whole.changed()

    def give_up_on_missing(self) -> bool:
        """The controller knows the step's end, and an agent has never come: its node is gone. Whether it is so."""
        missing = self.peers.missing()
        if missing:
            self.tasks.ended(missing, int(signal.SIGKILL))
            self.failed = True
        return bool(missing)

    def _exited(self, peer: Peer, status: int, ranks: list[int]) -> None:
        plural = "task" if len(ranks) == 1 else "tasks"
        self.verbose(
            f"Received task exit notification for {len(ranks)} {plural} of StepId={self.step} (status=0x{status:04x})."
        )
        text = self.tasks.ended(ranks, status)
        if not status:
            self.verbose(f"{peer.node}: {task_words(ranks)}: Completed")
        elif text and not self.whole.silenced:
            self.error(f"{peer.node}: {text}")
        if status and self.options.kill_on_bad_exit:
            self.whole.task_failed()
        self.whole.first_task_ended()

    # --- its end -----------------------------------------------------------------------------------------------------

    def tell_ending(self) -> None:
        """The step is being ended by somebody else."""
        if not self.ending_told and not self.aborted:
            self.ending_told = True
            self.info(self._aborted_text())
            self.loop.after(self.options.kill_wait + 2 + DONE_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if not self.finished:
            self.whole.timed_out()

    def end_for_failure(self) -> None:
        """The agents say why, and kill the tasks after KillWait."""
        abort = {"text": "TASK FAILURE", "kill_wait": self.options.kill_wait}
        self.peers.send_all(stepio.message(stepio.ABORT, abort))

    def abort(self) -> None:
        """End it, now."""
        if self.aborted:
            return
        self.aborted = True
        self.info(self._aborted_text())
        self.forward(signal.SIGKILL)
        self.loop.after(self.options.kill_wait + 2, self.whole.timed_out)

    def _aborted_text(self) -> str:
        return f"Job step aborted: Waiting up to {int(self.options.kill_wait) + 2} seconds for job step to finish."

    def tell_forced(self) -> None:
        if self.tasks.force_terminated and not self.aborted and not self.ending_told:
            self.info(f"Force Terminated StepId={self.step}")

    def report(self) -> None:
        for line in self.tasks.report():
            self.info(f"StepId={self.step} {line}")

    def forward(self, number: int) -> None:
        self.peers.send_all(stepio.message(stepio.SIGNAL, {"signal": int(number)}))

    def send_winsize(self) -> None:
        rows, columns = terminal.size()
        self.peers.send_all(stepio.message(stepio.WINSIZE, {"rows": rows, "columns": columns}))

    def balance(self) -> None:
        """Watch for what can be done now: hear agents while the outputs keep up."""
        self.peers.balance(not self.outputs.full())
        for sink in self.outputs.sinks():
            self.loop.watch(sink.fd, WRITE if sink.waiting else 0, partial(_drain, sink))

    # --- words -------------------------------------------------------------------------------------------------------

    def info(self, text: str) -> None:
        if not self.options.quiet:
            self._say(f"srun: {text}")

    def verbose(self, text: str) -> None:
        if self.options.verbose:
            self.info(text)

    def error(self, text: str) -> None:
        self._say(f"srun: error: {text}")

    def _say(self, line: str) -> None:
        """The same way as the tasks' errors go, so that they keep their order."""
        self.outputs.own.write(f"{line}\n".encode("utf-8", "surrogateescape"))


def pattern_values(job: Job, step_id: str = "0") -> dict[str, str | None]:
    """What the symbols of srun's own file names stand for."""
    return patterns.step_values(job, step_id, str(job.get("nodes") or ""))


def _drain(sink: Sink, events: int) -> None:
    sink.drain()
