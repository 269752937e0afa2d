"""The batch script of a job, on the first of its nodes: from the launch packet to its last process."""

from __future__ import annotations

import base64
import os
import resource
import signal
import time
from typing import TYPE_CHECKING

from slurm_compat.agent import environment, launch, login, memory, processes, signals, streams, usage
from slurm_compat.agent.processes import BATCH
from slurm_compat.agent.spool import Spool

if TYPE_CHECKING:
    from slurm_compat.agent.main import Agent

OWN_END = 0.2  # seconds in which the script's steps may end after it
LOOK = 0.02  # seconds between looking whether they have
LAST_WORDS = 0.3  # seconds until sruns of steps that were ended go with the script
LATE_ENV = "Unable to get user's local environment, running only with passed environment"


class Batch:
    """At most one in an agent. `status` is its wait status once it has ended."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._packet = agent.packet
        self._job = agent.packet["job"]
        self._spool: Spool | None = None
        self._stderr = -1
        self._announced = False
        self._oom = memory.OomEvents(agent.environ)
        self.meter = usage.Meter(agent.node)
        self.pid = 0
        self.status: int | None = None
        self._ended_at = 0
        self._reason = ""  # why the job was being ended when the script was

    @property
    def running(self) -> bool:
        return bool(self.pid) and self.status is None

    def start(self) -> None:
        """Start the script. What keeps it from starting ends the job, with the reason that Slurm gives."""
        packet, user = self._packet, self._agent.user
        try:
            with launch.acting_as(user, packet["umask"]):
                files = streams.batch_files(self._job, self._agent.node)
                opened = streams.open_files(files, packet.get("open_mode") or "")
        except streams.CannotOpen as problem:
            self._failed(problem.which, str(problem))
            return
        self._stderr = opened.stderr
        try:
            self._spool = Spool(self._job["job_id"], self._agent.environ.get("SLURM_COMPAT_SPOOL"))
            self._spool.write(base64.b64decode(packet["script"]), user)
            self.pid = launch.start(self._program(opened, self._spool.script), user)
        except OSError as problem:
            self.say(f"Slurmd could not create a batch directory or file: {problem.strerror}")
            self._failed("LAUNCH", str(problem))
            return
        finally:
            os.close(opened.stdin)
            os.close(opened.stdout)
        self._agent.on_exit(self.pid, BATCH, self._ended)
        self._agent.link.report("batch_started", pid=self.pid, time=int(time.time()))

    def _program(self, opened: streams.Streams, script: str) -> launch.Program:
        packet, user = self._packet, self._agent.user
        submitted = environment.split(base64.b64decode(packet["environment"]))
        login_env = self._login_environment() if submitted.get("SLURM_GET_USER_ENV") else {}
        env = environment.batch_environment(packet, submitted, login_env)
        cwd = self._job["current_working_directory"]
        with launch.acting_as(user, packet["umask"]):
            # said twice, as Slurm does: here, and by the new process when it can't go there either
            launch.enter(cwd, opened.stderr)
            for line in launch.make_tmpdir(env, packet["config"].get("tmp_fs") or "/tmp"):
                self.say(line)
        os.chdir("/")
        return launch.Program(
            path=script,
            argv=[script, *packet.get("argv", [])],
            env=env,
            cwd=cwd,
            stdin=opened.stdin,
            stdout=opened.stdout,
            stderr=opened.stderr,
            umask=packet["umask"],
            rlimits=packet.get("rlimits") or {},
            memory_mib=packet["nodes"][packet["rank"]].get("memory"),
        )

    def _login_environment(self) -> dict[str, str]:
        found = login.environment(self._agent.user)
        if found is None:
            self.say(LATE_ENV)
            return login.basics(self._agent.user)
        return found

    def _failed(self, which: str, why: str) -> None:
        """It never ran: the status Slurm gives a job whose files can't be opened."""
        self.status = streams.UNOPENED
        self._finish(reason=which, error=why)

    def _ended(self, status: int, rusage: resource.struct_rusage) -> None:
        self.meter.reaped(rusage)
        self.status = status
        self._ended_at = int(time.time())
        self._reason = self._agent.ending_reason
        if self._reason:
            self._over()
        else:
            self._when_steps_ended(time.monotonic() + OWN_END)

    def _when_steps_ended(self, deadline: float) -> None:
        """Steps that the script left behind have a moment to end by themselves, as mpirun's do; then they are ended,
        and their sruns may say so before they go with the script."""
        if not self._agent.steps:
            self._over()
        elif time.monotonic() < deadline:
            self._agent.loop.after(LOOK, lambda: self._when_steps_ended(deadline))
        else:
            for step in self._agent.steps.values():
                step.signal(signal.SIGTERM, ending=True)
            self._agent.loop.after(LAST_WORDS, self._over)

    def _over(self) -> None:
        # nothing of a batch script outlives it
        self._agent.kill(BATCH)
        reason = self._reason
        if kills := self._oom.new():
            events = "event" if kills == 1 else "events"
            self.say(
                f"Detected {kills} oom_kill {events} in StepId={self._job['job_id']}.batch. "
                "Some of the step tasks have been OOM Killed."
            )
            reason = reason or "OUT OF MEMORY"
        self._finish(reason=reason, error="")

    def _finish(self, reason: str, error: str) -> None:
        self._agent.link.report(
            "batch_ended",
            status=self.status,
            time=self._ended_at or int(time.time()),
            usage=self.meter.usage(),
            reason=reason,
            error=error,
        )
        self._agent.batch_is_over()

    def say(self, text: str) -> None:
        """A line of slurmstepd's in the job's error file."""
        if self._stderr >= 0:
            launch.say(self._stderr, text)

    def announce(self, reason: str, text: str = "") -> None:
        """The line that tells why the job is ended; once, however often it is told to end."""
        if self.running and not self._announced:
            self._announced = True
            self.say(signals.cancelled_text(f"JOB {self._job['job_id']}", self._agent.node, time.time(), reason, text))

    def signal(self, number: int, shell_only: bool) -> None:
        if not self.running:
            return
        if number in signals.ENDING:
            self.announce("", signals.due_to_signal(number))
        processes.send([self.pid] if shell_only else self._agent.processes.members(BATCH), number)

    def warn(self, number: int) -> None:
        """--signal=B:…: the shell alone, awake if it was stopped."""
        if self.running:
            processes.send([self.pid], signal.SIGCONT)
            processes.send([self.pid], number)

    def close(self) -> None:
        """Take away what was made for it."""
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1
        if self._spool is not None:
            self._spool.remove()
            self._spool = None
