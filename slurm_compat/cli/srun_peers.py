"""The agents of a step as srun sees them: who has come, what they say, what they are sent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from slurm_compat.cli.selectloop import READ, WRITE, SelectLoop
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.core import stepio
from slurm_compat.core.relayline import RelayLine

STRANGERS = 256  # connections by TCP whose other end has not shown the secret yet
Layout = list[tuple[str, list[int], int]]  # node, its ranks, CPUs


@dataclass
class Peer:
    """One agent's connection."""

    sock: socket.socket | RelayLine
    reader: stepio.Reader = field(default_factory=stepio.Reader)
    out: bytearray = field(default_factory=bytearray)
    node: str = ""  # "" until it has shown who it is
    credit: int = stepio.WINDOW  # bytes of input it may still be sent
    finished: bool = False
    gone: bool = False
    by_tcp: bool = False  # anybody on the machine may have dialled that


class Peers:
    """`on_frame` is called with what they say, `on_gone` when one has hung up; `layout` says who is expected."""

    def __init__(
        self, loop: SelectLoop, listener: Listener, on_frame: Callable[[Peer, stepio.Frame], None],
        on_gone: Callable[[Peer], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self._listener = listener
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._open: list[Peer] = []
        self.layout: Layout = []
        self.by_node: dict[str, Peer] = {}
        for sock in listener.sockets:
            loop.watch(sock.fileno(), READ, partial(self._accept, sock))

    def all_finished(self) -> bool:
        return len(self.by_node) == len(self.layout) and all(peer.finished for peer in self.by_node.values())

    def missing(self) -> list[int]:
        """The ranks of the nodes that have never come."""
        return [rank for node, ranks, _ in self.layout if node not in self.by_node for rank in ranks]

    def of_rank(self, rank: int | None) -> list[Peer]:
        """Who has this task, or for None any; none before all of them have come."""
        nodes = [node for node, ranks, _ in self.layout if rank is None or rank in ranks]
        if any(node not in self.by_node for node in nodes):
            return []
        return [self.by_node[node] for node in nodes if not self.by_node[node].gone]

    def balance(self, listen: bool) -> None:
        """Watch for what can be done now. Without a layout nobody is heard: an agent can be quicker than the
        controller's word on what the step is."""
        for peer in self._open:
            writes = stepio.wants_to_write(peer.sock, peer.out)
            events = (READ if listen and self.layout else 0) | (WRITE if writes else 0)
            self._loop.watch(peer.sock.fileno(), events, partial(self._ready, peer))

    def send(self, peer: Peer, frame: bytes) -> None:
        peer.out += frame
        if not stepio.pour(peer.sock, peer.out):
            self.drop(peer)

    def send_all(self, frame: bytes) -> None:
        for peer in list(self._open):
            if peer.node:
                self.send(peer, frame)

    def drop(self, peer: Peer) -> None:
        if peer.gone:
            return
        peer.gone = True
        self._loop.unwatch(peer.sock.fileno())
        peer.sock.close()
        self._open.remove(peer)
        if peer.node:
            self._on_gone(peer)

    def close(self) -> None:
        """Hang up on all of them."""
        for peer in list(self._open):
            self.drop(peer)

    def take(self, connection: RelayLine) -> None:
        """An agent that came through the controller."""
        self._open.append(Peer(connection))

    def _accept(self, sock: socket.socket, events: int) -> None:
        connection = self._listener.accept(sock)
        if connection is None:
            return
        peer = Peer(connection, by_tcp=connection.family != socket.AF_UNIX)
        self._open.append(peer)
        if peer.by_tcp:
            # who has not shown the secret goes before descriptors run out: the one that had the longest time for it
            strangers = [one for one in self._open if one.by_tcp and not one.node]
            if len(strangers) > max(STRANGERS, 2 * len(self.layout)):
                self.drop(strangers[0])

    def _ready(self, peer: Peer, events: int) -> None:
        if events & WRITE and not stepio.pour(peer.sock, peer.out):
            self.drop(peer)
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
            self.drop(peer)
            return
        try:
            for frame in peer.reader.feed(received):
                self._hear(peer, frame)
                if peer.gone:
                    return
        except (stepio.BadFrame, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
            self.drop(peer)

    def _hear(self, peer: Peer, frame: stepio.Frame) -> None:
        if peer.node:
            self._on_frame(peer, frame)
            return
        hello = frame.value if frame.kind == stepio.HELLO else {}
        if not isinstance(hello, dict):
            self.drop(peer)
            return
        node = str(hello.get("node", ""))
        expected = any(node == name for name, _, _ in self.layout)
        if not self._listener.admits(hello) or not expected or node in self.by_node:
            self.drop(peer)
            return
        peer.node = node
        self.by_node[node] = peer
        self._on_frame(peer, frame)
