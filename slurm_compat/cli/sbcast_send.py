"""A file on its way to all nodes at once: each agent dials, is sent the bytes as fast as it takes them, and tells how
it went."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from slurm_compat.cli.relayed import Relayed
from slurm_compat.cli.selectloop import SelectLoop
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_peers import Peer, Peers
from slurm_compat.core import stepio

CHUNK = 1 << 20  # bytes; no frame's body is longer
ENOUGH = 1 << 18  # bytes waiting for a node before more is read for it


@dataclass
class Progress:
    """How far one node is."""

    sent: int = 0
    ended: bool = False  # all was sent
    status: int | None = None  # an errno, once the node has told
    heard_of: bool = True  # something came or went since the clock was last looked at


class Sending:
    """`run` answers the nodes that don't have the file now: [(node, errno)], in the order they told."""

    def __init__(
        self, listener: Listener, source: int, nodes: list[str], patience: float, relayed: Relayed | None = None
    ) -> None:
        """`patience`: seconds a node may take to come, or to take anything more."""
        self._source = source
        self._patience = patience
        self._loop = SelectLoop()
        self._peers = Peers(self._loop, listener, self._on_frame, self._on_gone)
        self._peers.layout = [(node, [rank], 0) for rank, node in enumerate(nodes)]
        if relayed is not None:
            relayed.watch(self._loop, self._peers)
        self._progress = {node: Progress() for node in nodes}
        self._failed: list[tuple[str, int]] = []

    def run(self, unreached: list[str]) -> list[tuple[str, int]]:
        """`unreached`: nodes that nobody could tell to dial."""
        for node in unreached:
            self._ended(node, errno.ENOTCONN)
        self._loop.after(self._patience, self._look_at_clock)
        self._maybe_over()
        try:
            self._loop.run(self._balance)
        finally:
            self._peers.close()  # a node waits for that
        return self._failed

    def _ended(self, node: str, status: int) -> None:
        progress = self._progress[node]
        if progress.status is None:
            progress.status = status
            if status:
                self._failed.append((node, status))
        self._maybe_over()

    def _maybe_over(self) -> None:
        if all(progress.status is not None for progress in self._progress.values()):
            self._loop.over = True

    def _look_at_clock(self) -> None:
        for node, progress in self._progress.items():
            if not progress.heard_of:
                self._ended(node, errno.ETIMEDOUT)
            progress.heard_of = False
        self._loop.after(self._patience, self._look_at_clock)

    def _on_frame(self, peer: Peer, frame: stepio.Frame) -> None:
        self._progress[peer.node].heard_of = True
        if frame.kind == stepio.EXITED:
            peer.out.clear()  # of a file it can't write it needs no more
            self._ended(peer.node, int(frame.value["status"]))

    def _on_gone(self, peer: Peer) -> None:
        self._ended(peer.node, errno.ECONNRESET)

    def _balance(self) -> None:
        for peer in list(self._peers.by_node.values()):
            self._feed(peer)
        self._peers.balance(True)

    def _feed(self, peer: Peer) -> None:
        """Read for this node as much as it takes now."""
        progress = self._progress[peer.node]
        while not peer.gone and not progress.ended and progress.status is None and len(peer.out) < ENOUGH:
            part = os.pread(self._source, CHUNK, progress.sent)
            progress.sent += len(part)
            progress.ended = not part
            progress.heard_of = True
            kind = stepio.STDIN if part else stepio.STDIN_END
            self._peers.send(peer, stepio.data(kind, stepio.ALL, part))
