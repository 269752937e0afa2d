"""The engine's end of the kubelet's socket: lines of JSON. Starts the kubelet when none answers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

LINE_LIMIT = 16 << 20  # bytes; the list of all pods is one line
FIRST_DELAY, LAST_DELAY = 0.02, 5.0  # seconds between attempts to reach it

log = logging.getLogger(__name__)


class KubeletLink:
    """`hello` is sent on every new connection; `on_frame` gets what comes; `on_down` is told when the link breaks."""

    def __init__(
        self, state: str, hello: Callable[[], dict[str, Any]], on_frame: Callable[[dict[str, Any]], None],
        on_down: Callable[[], None],
    ) -> None:  # fmt: skip
        self._state = state
        self._hello = hello
        self._on_frame = on_frame
        self._on_down = on_down
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def send(self, frame: dict[str, Any]) -> None:
        """Dropped while the link is down: everything that matters is told again when it is up."""
        if self._writer is not None:
            self._writer.write(json.dumps(frame, separators=(",", ":")).encode() + b"\n")

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            try:
                reader, writer = await self._connect()
            except OSError:
                self._launch()
                await asyncio.sleep(delay)
                delay = min(delay * 1.5, LAST_DELAY)
                continue
            delay = FIRST_DELAY
            self._writer = writer
            try:
                self.send(self._hello())
                while line := await reader.readline():
                    self._receive(line)
            except (OSError, ValueError) as problem:
                log.error("kubelet: %s", problem)
            finally:
                self._writer = None
                writer.close()
                self._on_down()

    def _receive(self, line: bytes) -> None:
        try:
            self._on_frame(json.loads(line))
        except Exception:
            # a frame we can't make sense of costs one pod's news, not the link
            log.exception("kubelet: %.200r", line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # by the folder's descriptor: a socket's path may be no longer than 107 bytes
        folder = os.open(os.path.join(self._state, "run"), os.O_PATH | os.O_DIRECTORY)
        try:
            return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/kubelet.sock", limit=LINE_LIMIT)
        finally:
            os.close(folder)

    def _launch(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return  # on its way
        log_path = os.path.join(self._state, "log", "kubelet.log")
        with open(log_path, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "slurm_compat.engine.kubelet", "--state", self._state],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env=kubelet_environment(),
            )


def kubelet_environment() -> dict[str, str]:
    """Ours, with the package where we found it: we may have been started from a tree that is not installed."""
    root = os.path.abspath(__file__).rpartition("/slurm_compat/")[0]
    path = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": root + (os.pathsep + path if path else "")}
