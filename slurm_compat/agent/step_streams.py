"""The input and output of a step's tasks on one node: bytes from srun to them, and from them to srun.

Nothing is read of the tasks while somebody who listens is behind, and srun sends no more than the tasks take: a slow
reader slows the writer, and nothing grows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from slurm_compat.agent.loop import READ, WRITE, Loop
from slurm_compat.agent.step_link import SrunLink
from slurm_compat.agent.step_tasks import Output, Task
from slurm_compat.agent.step_watchers import Watchers
from slurm_compat.core import stepio


class Streams:
    """`on_ended` is called when one of the outputs has ended. `srun` and `watchers` are set before anything comes."""

    srun: SrunLink
    watchers: Watchers

    def __init__(self, loop: Loop, tasks: Mapping[int, Task], on_ended: Callable[[], None]) -> None:
        self._loop = loop
        self._tasks = tasks
        self._on_ended = on_ended
        self._owed = 0  # bytes of input that tasks have yet to take before srun may send more

    @property
    def pressed(self) -> bool:
        return self.srun.pressed or self.watchers.pressed

    def send(self, frame: bytes) -> None:
        """To srun and all who listen beside it."""
        if frame:
            self.srun.send(frame)
            self.watchers.send(frame)

    # --- input -------------------------------------------------------------------------------------------------------

    def from_srun(self, frame: stepio.Frame) -> None:
        self._owed += len(frame.body)
        self.take_input(frame.task, frame.body, frame.kind == stepio.STDIN_END)

    def take_input(self, number: int, data: bytes, ended: bool = False) -> None:
        """Input for one task, or ALL; of a task that is not here it is nobody's."""
        for task in self._tasks.values():
            if number in (stepio.ALL, task.rank):
                task.stdin_ended = task.stdin_ended or ended
                if task.stdin >= 0:
                    task.waiting += data
                    self._feed(task)
        self.give_credit()

    def give_credit(self) -> None:
        """Tell srun how much was taken: the slowest task counts, for they are all fed the same."""
        waiting = max((len(task.waiting) for task in self._tasks.values()), default=0)
        if self._owed > waiting:
            taken, self._owed = self._owed - waiting, waiting
            self.srun.send(stepio.number(stepio.CREDIT, stepio.ALL, taken))
        self.watchers.give_credit(waiting)

    def _feed(self, task: Task) -> None:
        """Write to a task's standard input what it takes."""
        if task.stdin < 0:
            return
        try:
            while task.waiting:
                written = os.write(task.stdin, memoryview(task.waiting)[: stepio.CHUNK])
                del task.waiting[:written]
        except BlockingIOError:
            self._watch_stdin(task, True)
            return
        except OSError:  # it closed its input: the rest is nobody's
            self.close_stdin(task)
            return
        self._watch_stdin(task, False)
        if task.stdin_ended and task.terminal < 0:
            self.close_stdin(task)

    def _watch_stdin(self, task: Task, on: bool) -> None:
        if task.terminal >= 0:
            events = READ | WRITE if on else READ
            self._loop.watch(task.terminal, events, lambda ready: self._on_terminal(task, ready))
        elif on:
            self._loop.watch(task.stdin, WRITE, lambda _: self._feed_more(task))
        else:
            self._loop.unwatch(task.stdin)

    def _feed_more(self, task: Task) -> None:
        self._feed(task)
        self.give_credit()

    def _on_terminal(self, task: Task, events: int) -> None:
        if events & WRITE:
            self._feed_more(task)
        if events & READ and task.outputs:
            self.read_output(task, task.outputs[0])

    def close_stdin(self, task: Task) -> None:
        if task.stdin >= 0 and task.terminal < 0:
            self._loop.unwatch(task.stdin)
            os.close(task.stdin)
        task.stdin = -1
        task.waiting.clear()

    # --- output ------------------------------------------------------------------------------------------------------

    def watch_output(self, task: Task, output: Output) -> None:
        self._loop.watch(output.fd, READ, lambda _: self.read_output(task, output))

    def press(self) -> None:
        """Read the tasks only while all who listen keep up."""
        paused = self.pressed
        for task in self._tasks.values():
            for output in task.outputs:
                if paused:
                    self._loop.unwatch(output.fd)
                else:
                    self.watch_output(task, output)

    def read_output(self, task: Task, output: Output) -> None:
        try:
            received = os.read(output.fd, stepio.CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose last holder is gone
            received = b""
        if received:
            self._pass(output, output.lines.feed(received) if output.lines else received)
            return
        if output.lines:
            self._pass(output, output.lines.rest())
        self._loop.unwatch(output.fd)
        task.outputs.remove(output)
        if output.fd == task.terminal:
            task.terminal = task.stdin = -1
        os.close(output.fd)
        self._on_ended()

    def _pass(self, output: Output, text: bytes) -> None:
        if text:
            self.send(stepio.data(output.kind, output.task, text))

    def drop_outputs(self) -> None:
        """Nothing of the step's can come from these any more."""
        for task in self._tasks.values():
            for output in list(task.outputs):
                self._loop.unwatch(output.fd)
                task.outputs.remove(output)
