"""A step as sattach follows it: what its tasks write comes out here, what is typed here goes to them."""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import NamedTuple

from slurm_compat.cli import terminal
from slurm_compat.cli.relayed import Relayed
from slurm_compat.cli.selectloop import READ, WRITE, SelectLoop
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_peers import Layout, Peer, Peers
from slurm_compat.cli.srun_streams import Outputs, Sink
from slurm_compat.core import stepio

STDIN = 0
REACH_PATIENCE = 10.0  # seconds in which a node that has the step must dial us


class Filters(NamedTuple):
    """The one task whose stream is wanted, None: all."""

    input: int | None
    output: int | None
    error: int | None


class Attached:
    """`run` goes on until all tasks have ended; its answer is their highest exit code."""

    def __init__(
        self, listener: Listener, layout: Layout, filters: Filters, label: bool, verbose: int,
        relayed: Relayed | None = None,
    ) -> None:  # fmt: skip
        self._listener = listener
        self._filters = filters
        self._verbose = verbose
        self._loop = SelectLoop()
        self._peers = Peers(self._loop, listener, self._on_frame, lambda peer: self._maybe_over())
        self._peers.layout = layout
        if relayed is not None:
            relayed.watch(self._loop, self._peers)
        count = sum(len(ranks) for _, ranks, _ in layout)
        width = len(str(count - 1))
        self._labels = [f"{rank:>{width}}: ".encode() if label else b"" for rank in range(count)]
        self._outputs = Outputs("sattach", "", "", False, "/")
        self._stdin = STDIN if _readable(STDIN) else -1
        self._exit_code = 0

    def run(self) -> int:
        self._outputs.open({}, step_known=True)
        self._loop.after(REACH_PATIENCE, self._give_up_on_missing)
        try:
            self._loop.run(self._balance)
        finally:
            self._peers.close()
            self._listener.stop()
            self._outputs.finish()
        return self._exit_code

    # --- the agents --------------------------------------------------------------------------------------------------

    def _on_frame(self, peer: Peer, frame: stepio.Frame) -> None:
        if frame.kind == stepio.STDOUT:
            self._show(self._outputs.out, self._filters.output, frame)
        elif frame.kind == stepio.STDERR:
            self._show(self._outputs.err, self._filters.error, frame)
        elif frame.kind == stepio.EXITED:
            self._exited(int(frame.value["status"]), list(frame.value["tasks"]))
        elif frame.kind == stepio.CREDIT:
            peer.credit += frame.number
        elif frame.kind == stepio.FINISHED:
            peer.finished = True
            self._peers.drop(peer)

    def _show(self, sink: Sink | None, only: int | None, frame: stepio.Frame) -> None:
        if sink is None or only not in (None, frame.task):
            return
        label = self._labels[frame.task]
        sink.write(stepio.labelled(frame.body, label) if label else frame.body)

    def _exited(self, status: int, ranks: list[int]) -> None:
        if self._verbose:
            self._say(f"sattach: {len(ranks)} tasks finished (rc={status})")
        # of an end by a signal it says nothing, and makes nothing of it
        code = 0 if status & 0x7F else status >> 8
        self._exit_code = max(self._exit_code, code)
        if code:
            for rank in ranks:
                self._say(f"sattach: error: task {rank} exited with exit code {code}")

    def _maybe_over(self) -> None:
        """All nodes have come and gone: by their tasks' end, or with their agents."""
        came = self._peers.by_node
        if len(came) == len(self._peers.layout) and all(peer.gone for peer in came.values()):
            self._loop.over = True

    def _give_up_on_missing(self) -> None:
        missing = [node for node, _, _ in self._peers.layout if node not in self._peers.by_node]
        for node in missing:
            self._say(f"sattach: error: {node}: the step can't be reached there")
        if missing:
            self._exit_code = self._exit_code or 1
            self._peers.layout = [entry for entry in self._peers.layout if entry[0] not in missing]
            self._maybe_over()

    # --- input and output --------------------------------------------------------------------------------------------

    def _balance(self) -> None:
        self._peers.balance(not self._outputs.full())
        for sink in self._outputs.sinks():
            self._loop.watch(sink.fd, WRITE if sink.waiting else 0, partial(_drain, sink))
        if self._stdin >= 0:
            targets = self._peers.of_rank(self._filters.input)
            ready = bool(targets) and all(peer.credit > 0 for peer in targets)
            ready = ready and not terminal.in_background(self._stdin)
            self._loop.watch(self._stdin, READ if ready else 0, lambda _: self._read_stdin())

    def _read_stdin(self) -> None:
        targets = self._peers.of_rank(self._filters.input)
        room = min((peer.credit for peer in targets), default=0)
        if room <= 0:
            return
        try:
            received = os.read(self._stdin, min(room, stepio.CHUNK))
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:  # our input ends, not the tasks': that is its srun's
            self._loop.unwatch(self._stdin)
            self._stdin = -1
            return
        task = stepio.ALL if self._filters.input is None else self._filters.input
        for peer in targets:
            peer.credit -= len(received)
            self._peers.send(peer, stepio.data(stepio.STDIN, task, received))

    def _say(self, line: str) -> None:
        self._outputs.own.write(f"{line}\n".encode("utf-8", "surrogateescape"))


def _readable(fd: int) -> bool:
    try:
        return not stat.S_ISDIR(os.fstat(fd).st_mode)
    except OSError:
        return False


def _drain(sink: Sink, events: int) -> None:
    sink.drain()
