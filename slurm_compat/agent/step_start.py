"""Starting a step's tasks on one node: streams, environment, prolog, binding, process."""

from __future__ import annotations

import base64
import os
import resource
from typing import Protocol

from slurm_compat.agent import environment, launch, step_tasks
from slurm_compat.agent.loop import Loop
from slurm_compat.agent.pmi import Pmi
from slurm_compat.agent.step_link import SrunLink
from slurm_compat.agent.step_part import Part
from slurm_compat.agent.step_streams import Streams
from slurm_compat.agent.step_tasks import Task
from slurm_compat.agent.task_binding import Bindings
from slurm_compat.core import patterns, stepio


class Owner(Protocol):
    """The step's process, which is told how its tasks go."""

    def say(self, text: str, ranks: list[int]) -> None: ...
    def task_ended(self, task: Task, status: int) -> None: ...
    def task_process_ended(self, task: Task, status: int, rusage: resource.struct_rusage) -> None: ...


class Starting:
    """`start` raises CannotOpen for a file that can't be, binding.OutsideAllocation for CPUs that are not the step's;
    then none has started."""

    def __init__(self, owner: Owner, part: Part, loop: Loop, srun: SrunLink, streams: Streams, pmi: Pmi | None) -> None:
        self._owner = owner
        self._part = part
        self._loop = loop
        self._srun = srun
        self._streams = streams
        self._pmi = pmi
        self._bindings = Bindings(part.launch, part.message, part.node, part.ranks)

    def start(self) -> list[list[int]]:
        """Connect and start them all: [rank, pid] of each."""
        part = self._part
        job = part.launch["job"]
        values = {
            # in file names the real one adds the number of the component to the task's
            rank: patterns.step_values(job, part.step_id, part.node, part.node_rank, rank + part.component)
            for rank in part.ranks
        }
        os.umask(part.request.get("umask", 0o022))
        wiring = step_tasks.Wiring(part.request, values)
        submitted = environment.split(base64.b64decode(part.request.get("environment") or ""))
        submitted |= step_tasks.step_environment(part.whole)
        streams = {rank: wiring.connect(part.tasks[rank]) for rank in part.ranks}
        self._say_about_directory()
        pids = []
        for local_id, rank in enumerate(part.ranks):
            task = part.tasks[rank]
            part.environments[rank] = environment.task_environment(
                part.launch, submitted, step_id=part.step_id, layout=part.whole,
                node_rank=part.first_node + part.node_rank, local_id=local_id, launch_address=self._launch_address(),
            )  # fmt: skip
            code = self._prolog(task)
            if code is None:
                self._start(task, streams[rank], local_id)
                pids.append([rank, task.pid])
            for fd in streams[rank]:
                os.close(fd)
            for output in task.outputs:
                self._streams.watch_output(task, output)
            if code is not None:
                self._owner.task_ended(task, code << 8)
        return pids

    def _start(self, task: Task, streams: tuple[int, int, int], local_id: int) -> None:
        env = self._part.environments[task.rank]
        env.pop("SLURM_MPI_TYPE", None)
        bound, errors = self._bindings.environment(local_id, env)
        env |= bound
        for text in errors:
            self._srun.send(step_tasks.say(task, text))
        pmi_fd = -1
        if self._pmi:
            number = self._part.first_task + task.rank
            env |= self._pmi.environment(number)
            pmi_fd = self._pmi.connect(number)
        program = step_tasks.program_of(self._part.request, env, task.rank, streams, pmi_fd)
        program.cpus = self._bindings.cpus(local_id)
        program.before = self._bindings.in_task(local_id)
        task.pid = launch.start(program, self._part.user)
        if pmi_fd >= 0:
            os.close(pmi_fd)
        self._loop.on_exit(task.pid, lambda status, rusage: self._owner.task_process_ended(task, status, rusage))

    def _launch_address(self) -> str:
        """SLURM_LAUNCH_NODE_IPADDR: where srun is."""
        address = self._srun.address
        if address.startswith(("unix:", "relay:")):
            return str(self._part.message.get("launch_address") or "127.0.0.1")
        return address.rpartition(":")[0]

    def _say_about_directory(self) -> None:
        """Slurm tells twice that a directory can't be entered: here, and by the task itself."""
        cwd = self._part.directory
        try:
            os.chdir(cwd)
        except OSError as problem:
            why = f"couldn't chdir to `{cwd}': {problem.strerror}: going to {launch.NO_DIRECTORY} instead"
            self._owner.say(why, self._part.ranks)
        os.chdir("/")

    def _prolog(self, task: Task) -> int | None:
        """The task prolog, if there is one; an exit code when the task must not start."""
        path = self._part.request.get("task_prolog")
        if not path:
            return None
        try:
            printed = step_tasks.run_task_prolog(path, self._part.environments[task.rank], self._part.directory)
        except step_tasks.PrologFailed as problem:
            for line in problem.lines:
                self._srun.send(step_tasks.say(task, line))
            return problem.code
        if printed and task.outputs:
            self._srun.send(stepio.data(stepio.STDOUT, task.rank, printed))
        return None
