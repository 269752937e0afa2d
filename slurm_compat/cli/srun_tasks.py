"""What srun knows of its tasks: which run, how they ended, what that makes of its own exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from slurm_compat.core.cpulist import cpu_text
from slurm_compat.core.signals import signal_words

RUNNING, EXITED, ABNORMAL, UNKNOWN = "running", "exited", "exited abnormally", "unknown"
SHOWN = (UNKNOWN, RUNNING, ABNORMAL, EXITED)  # the order of the report


def task_list(ranks: Iterable[int]) -> str:
    return cpu_text(ranks)


def task_words(ranks: Iterable[int]) -> str:
    """ "task 0", "tasks 0-2,5"."""
    text = cpu_text(ranks)
    return f"tasks {text}" if "-" in text or "," in text else f"task {text}"


class Tasks:
    """The tasks of one step."""

    def __init__(self, count: int) -> None:
        self._states = dict.fromkeys(range(count), UNKNOWN)
        self.exit_code = 0  # srun's own: the highest of the tasks', 128 and the number for a signal
        self.status = 0  # the wait status that goes with it

    @property
    def running(self) -> list[int]:
        return [rank for rank, state in self._states.items() if state in (RUNNING, UNKNOWN)]

    def started(self, ranks: Iterable[int]) -> None:
        for rank in ranks:
            if self._states.get(rank) == UNKNOWN:
                self._states[rank] = RUNNING

    def ended(self, ranks: Iterable[int], status: int) -> str:
        """Note how these ended; what there is to say of it, "" for a normal end."""
        ranks = [rank for rank in ranks if self._states.get(rank) in (RUNNING, UNKNOWN)]
        number = status & 0x7F
        for rank in ranks:
            self._states[rank] = ABNORMAL if status else EXITED
        code = 128 + number if number else status >> 8
        if code > self.exit_code:
            self.exit_code, self.status = code, status
        if not ranks or not status:
            return ""
        words = signal_words(number) if number else f"Exited with exit code {status >> 8}"
        core = " (core dumped)" if status & 0x80 else ""
        return f"{task_words(ranks)}: {words}{core}"

    def report(self) -> list[str]:
        """A line a state: "tasks 0-2: running"."""
        lines = []
        for state in SHOWN:
            ranks = [rank for rank, held in self._states.items() if held == state]
            if ranks:
                lines.append(f"{task_words(ranks)}: {state}")
        return lines

    @property
    def force_terminated(self) -> bool:
        """Whether the controller takes the step for one that was terminated: its worst end was SIGTERM or SIGKILL."""
        return self.status & 0x7F in (signal.SIGTERM, signal.SIGKILL)
