"""Agents that reach a sattach or sbcast only through the controller. srun hears of them on its step's own stream."""

from __future__ import annotations

from typing import Any

from slurm_compat.cli import where
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.selectloop import READ, SelectLoop
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_peers import Peers
from slurm_compat.core.errors import SlurmError


class Relayed:
    """To be made before the agents are told of the listener's addresses. Where all are on this machine it does
    nothing."""

    def __init__(self, ctx: Context, listener: Listener) -> None:
        self._ctx = ctx
        self._stream: Any = None
        if ctx.env.get("SLURM_COMPAT_SRUN_HOST") or where.remote(ctx.env):
            self._stream = ctx.connect().events("relay_listen", ticket=listener.ticket)
            self._events = iter(self._stream)
            next(self._events)  # the controller knows of us now

    def watch(self, loop: SelectLoop, peers: Peers) -> None:
        if self._stream is None:
            return

        def come() -> None:
            try:
                event = next(self._events, None)
            except (SlurmError, ControllerDown):
                event = None
            if event is None:
                loop.unwatch(self._stream.fileno())
            elif event["event"] == "relay":
                peers.take(self._ctx.connect().events("relay_take", word=event["word"]).line())

        loop.watch(self._stream.fileno(), READ, lambda _: come())

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
