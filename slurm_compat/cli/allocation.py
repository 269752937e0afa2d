"""An allocation of their own for srun and salloc: asked for, waited for, given back.

The connection is the allocation's life: whatever ends this process ends it too.
"""

from __future__ import annotations

import selectors
import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any

from slurm_compat.cli.context import Context
from slurm_compat.cli.signalpipe import SignalPipe
from slurm_compat.core import errors
from slurm_compat.core.errors import CommandError, SlurmError
from slurm_compat.core.model import JobRequest

Job = dict[str, Any]

# A job that is placed at once is nothing to tell about: only one that waits longer, or is known to.
QUIET_WAIT = 0.7  # seconds
AT_ONCE = ("None", "Resources", "Priority", "")  # reasons that may be over before the user could read of them
GIVEN_UP = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)


class Words:
    """What each command says on the way. `{}` is the job's id."""

    refused: str
    pending: tuple[str, ...]
    granted: tuple[str, ...]


class SrunWords(Words):
    refused = "Unable to allocate resources"
    pending = ("job {} queued and waiting for resources",)
    granted = ("job {} has been allocated resources",)


class SallocWords(Words):
    refused = "Job submit/allocate failed"
    pending = ("Pending job allocation {}", "job {} queued and waiting for resources")
    granted = ("job {} has been allocated resources",)


class Interrupted(Exception):
    """A signal ended the wait."""

    def __init__(self, number: int, job_id: int) -> None:
        super().__init__(number)
        self.number = number
        self.job_id = job_id


class Allocation:
    """A granted allocation. Closing the stream ends it."""

    def __init__(self, stream: Any, events: Iterator[dict[str, Any]], job_id: int, granted: dict[str, Any]) -> None:
        self._stream = stream
        self._events = events
        self.job_id = job_id
        self.job: Job = granted.get("job") or {}
        self.kill_wait = float(granted.get("kill_wait", 30))
        self.revoked = False

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def next(self) -> dict[str, Any] | None:
        """The event that has come (fileno is readable); None when the allocation is over."""
        event = next(self._events, None)
        if event is None or event.get("event") == "revoked":
            self.revoked = True
            return None
        return event

    def close(self) -> None:
        self._stream.close()


def info(ctx: Context, quiet: bool, text: str) -> None:
    """A line of the kind that --quiet silences."""
    if not quiet:
        ctx.err(f"{ctx.command}: {text}")
        ctx.stderr.flush()


def allocate(
    ctx: Context, request: JobRequest, environment: bytes, words: type[Words], signals: SignalPipe, *,
    quiet: bool = False, detached: bool = False,
) -> Allocation:  # fmt: skip
    """Ask and wait. Raises CommandError when refused or revoked, Interrupted when a signal came first."""
    stream = ctx.connect().events(
        "allocate", request=request, environment=environment, key=uuid.uuid4().hex, detached=detached
    )
    waiting = _Waiting(ctx, words, quiet)
    events = iter(stream)
    selector = selectors.DefaultSelector()
    selector.register(stream.fileno(), selectors.EVENT_READ)
    selector.register(signals.fileno(), selectors.EVENT_READ)
    try:
        while True:
            ready = [key.fd for key, _ in selector.select(waiting.pause())]
            waiting.tell_if_due()
            for number in signals.read():
                if number in GIVEN_UP:
                    waiting.tell()
                    stream.close()
                    raise Interrupted(number, waiting.job_id)
            if stream.fileno() not in ready:
                continue
            event = next(events, None)
            name = event["event"] if event else "revoked"
            if event and name == "submitted":
                waiting.submitted(event)
            elif event and name == "pending":
                waiting.pending(str(event.get("reason") or ""))
            elif event and name == "granted":
                waiting.over()
                return Allocation(stream, events, waiting.job_id, event)
            elif name == "revoked":
                waiting.tell()
                info(ctx, quiet, "Job has been cancelled")
                raise _refused(ctx, words, SlurmError(errors.ALREADY_DONE))
    except SlurmError as problem:
        if problem.number == errors.INVALID_PARTITION_NAME and request.partition:
            ctx.error(f"invalid partition specified: {request.partition}")
        raise _refused(ctx, words, problem) from None
    finally:
        selector.close()


def _refused(ctx: Context, words: type[Words], problem: SlurmError) -> CommandError:
    return CommandError(f"{ctx.command}: error: {words.refused}: {problem.text}")


class _Waiting:
    """What was told of the wait."""

    def __init__(self, ctx: Context, words: type[Words], quiet: bool) -> None:
        self._ctx = ctx
        self._words = words
        self._quiet = quiet
        self._due = 0.0  # monotonic; when a wait is worth a line
        self._told = False
        self.job_id = 0

    def submitted(self, event: dict[str, Any]) -> None:
        self.job_id = int(event["job_id"])
        for text in event.get("messages") or ():
            info(self._ctx, self._quiet, text)

    def pending(self, reason: str) -> None:
        if self._told:
            return
        if reason not in AT_ONCE:
            self.tell()
        elif not self._due:
            self._due = time.monotonic() + QUIET_WAIT

    def pause(self) -> float | None:
        return max(0.0, self._due - time.monotonic()) if self._due and not self._told else None

    def tell_if_due(self) -> None:
        if self._due and not self._told and time.monotonic() >= self._due:
            self.tell()

    def tell(self) -> None:
        if not self._told and self.job_id:
            self._told = True
            for line in self._words.pending:
                info(self._ctx, self._quiet, line.format(self.job_id))

    def over(self) -> None:
        if self._told:
            for line in self._words.granted:
                info(self._ctx, self._quiet, line.format(self.job_id))
