"""What a job is told when it is ended: the line in its error file, and the wake-up pipe of this process's signals."""

from __future__ import annotations

import os
import signal
import time

from slurm_compat.core.signals import signal_words

# why a job is ended: how slurmstepd's line says it
DUE_TO = {
    "CANCELLED": "DUE to SIGNAL Terminated",
    "TIME LIMIT": "DUE TO TIME LIMIT",
    "PREEMPTION": "DUE TO PREEMPTION",
    "JOB REQUEUE": "DUE TO JOB REQUEUE",
    "NODE FAILURE": "DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS",
    "TASK FAILURE": "DUE TO TASK FAILURE",
}
ENDING = (signal.SIGTERM, signal.SIGKILL)  # a plain signal that is announced like a cancel
HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)  # what an agent and its steps' processes wait for


def due_to_signal(number: int) -> str:
    return f"DUE to SIGNAL {signal_words(number)}"


def cancelled_text(what: str, node: str, at: float, reason: str, text: str = "") -> str:
    """ "*** JOB 123 ON node01 CANCELLED AT 2026-08-01T10:00:00 DUE TO TIME LIMIT ***".

    `what` is "JOB 123" or "STEP 123.0"; `text` replaces the words for `reason`, or the whole line if it has stars.
    """
    if text.startswith("***"):
        return text
    words = text or DUE_TO.get(reason) or f"DUE TO {reason}"
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))
    return f"*** {what} ON {node} CANCELLED AT {moment} {words} ***"


class Wakeup:
    """Signals of this process as bytes on a descriptor that a selector can wait for."""

    def __init__(self, *numbers: int) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _wake)
        # whoever started us may have blocked them
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    def read(self) -> set[int]:
        """The signals that came since the last call."""
        try:
            return set(os.read(self.fd, 4096))
        except BlockingIOError:
            return set()


def _wake(number: int, frame: object) -> None:
    """The byte on the descriptor is all that is wanted; a handler must be there for it to be written."""


def restore_defaults() -> None:
    """For a child about to become another program: no handler, nothing ignored or blocked."""
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        # None: not set by Python, the C library's own for its threads among them
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
