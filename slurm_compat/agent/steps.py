"""The steps of a job, as its agent sees them: each is a process of its own, told what to do over a pipe.

The agent calls `start` on launch_step and gets a Step: a thing to select on whose `reports()` are the messages for the
controller. A step's process (step_process.py) is the parent and reaper of its tasks and talks to srun by itself, so
neither a gigabyte of output nor a lost controller is the agent's business.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from slurm_compat.agent import step_process
from slurm_compat.agent.launch import User

Message = dict[str, Any]
KILLED = signal.SIGKILL  # the wait status of tasks nobody can ask for theirs any more


class Step:
    """A step that has tasks on this node."""

    def __init__(self, step_id: str, ranks: list[int], pid: int, sock: socket.socket) -> None:
        self.step_id = step_id
        self.pid = pid
        self._ranks = ranks
        self._sock = sock
        self._data = b""
        self.ended = False  # step_ended was reported

    def fileno(self) -> int:
        return self._sock.fileno()

    def reports(self) -> list[tuple[str, Message]]:
        """What came: (name of the agent's message, its fields). After ("step_ended", …) close it."""
        try:
            received = self._sock.recv(1 << 18)
        except BlockingIOError:
            return []
        except OSError:
            received = b""
        found = []
        if received:
            *lines, self._data = (self._data + received).split(b"\n")
            found = [json.loads(line) for line in lines]
        elif not self.ended:
            # its process was killed: its tasks went with it, or will
            found = [["step_ended", {"tasks": [[rank, KILLED] for rank in self._ranks], "usage": []}]]
        out = []
        for name, fields in found:
            self.ended = self.ended or name == "step_ended"
            out.append((str(name), {"step_id": self.step_id, **fields}))
        return out

    def signal(self, number: int, ending: bool = False) -> None:
        """Deliver a signal to each task's process group; SIGKILL reaches everything of the step. `ending`: srun is told
        that it is to end the step."""
        self._tell({"signal": number, "ending": ending})

    def attach(self, addresses: list[str], secret: str) -> None:
        """Let sattach, which listens there, hear the tasks from now on and speak to them."""
        self._tell({"attach": addresses, "secret": secret})

    def terminate(self, reason: str, kill_wait: float) -> None:
        """End it: SIGTERM, and SIGKILL after `kill_wait` seconds. `reason`: "TIME LIMIT", "PREEMPTION", …, or "" or
        "CANCELLED" for a plain cancel; its line goes to the step's standard error."""
        self._tell({"terminate": "" if reason == "CANCELLED" else reason, "kill_wait": kill_wait})

    def time_out(self, reason: str, kill_wait: float) -> None:
        """End the step alone, its job goes on."""
        self._tell({"time_out": reason, "kill_wait": kill_wait})

    def _tell(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it has ended; its last report says so
            self._sock.sendall(json.dumps(message).encode() + b"\n", socket.MSG_NOSIGNAL)

    def close(self) -> None:
        self._sock.close()


def start(message: Message, launch: Mapping[str, Any], user: User) -> Step:
    """Start the part of a step that this node has. `message`: launch_step's fields; `launch`: the job's launch packet.

    Raises OSError when no process can be made.
    """
    node = launch["nodes"][launch["rank"]]["name"]
    ranks = next(list(entry[1]) for entry in message["layout"] if entry[0] == node)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            # what the agent's garbage still holds is closed below: collecting it here would close our own descriptors
            gc.freeze()
            ours.close()
            code = step_process.run(message, launch, user, theirs)
        except Exception:
            traceback.print_exc()  # into the pod's log: the agent sees that we are gone and says so
            sys.stderr.flush()
        finally:
            os._exit(code)
    theirs.close()
    ours.setblocking(False)
    return Step(str(message["step_id"]), ranks, pid, ours)
