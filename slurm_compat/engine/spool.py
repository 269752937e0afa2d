"""The kubelet's memory on disk: what a pod is, and how it ended, until the engine has it on its own disk.

Three files a pod in <state>/pods: RUN.json, written by the pod itself before it does anything, so that it exists if and
only if the pod does; RUN.exit, the pod's own word at its end; RUN.end, what the kubelet made of an end that the pod
can't tell of. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

RECORD, EXIT, END = ".json", ".exit", ".end"


class Spool:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, run_id: str, kind: str) -> str:
        return os.path.join(self.folder, run_id + kind)

    def claim(self, run_id: str, record: dict[str, Any]) -> bool:
        """Write the record of a new pod; False when the pod has one already: whoever comes second does not run."""
        final = self.path(run_id, RECORD)
        draft = f"{final}.{os.getpid()}"
        _write(draft, record)
        try:
            os.link(draft, final)
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)
        return True

    def put(self, run_id: str, kind: str, value: dict[str, Any]) -> None:
        """Whole or not at all."""
        draft = f"{self.path(run_id, kind)}.{os.getpid()}"
        _write(draft, value)
        os.rename(draft, self.path(run_id, kind))

    def get(self, run_id: str, kind: str) -> dict[str, Any] | None:
        try:
            with open(self.path(run_id, kind), encoding="utf-8") as file:
                value = json.load(file)
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def records(self) -> list[dict[str, Any]]:
        """Of every pod; drafts that a crash left behind are cleared away."""
        found = []
        for name in sorted(os.listdir(self.folder)):
            stem, dot, kind = name.rpartition(".")
            if dot + kind == RECORD:
                record = self.get(stem, RECORD)
                if record is not None:
                    found.append(record)
            elif kind.isdigit() and not os.path.exists(f"/proc/{kind}"):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.folder, name))
        return found

    def forget(self, run_id: str) -> None:
        # the record goes last: as long as it is there, the pod is not started again
        for kind in (EXIT, END, RECORD):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(run_id, kind))


def _write(path: str, value: dict[str, Any]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, json.dumps(value, separators=(",", ":")).encode())
    finally:
        os.close(handle)
