"""An allocation of their own for srun and salloc: asked for, waited for, given back.

The connection is the allocation's life: whatever ends this process ends it too.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.signalpipe import SignalPipe
from slurm_compat.core import errors
from slurm_compat.core.errors import CommandError, SlurmError
from slurm_compat.core.model import JobRequest

Job = dict[str, Any]

# A job that is placed at once is nothing to tell about: only one that waits longer, or is known to.
QUIET_WAIT = 0.7  # seconds
AT_ONCE = ("None", "Resources", "Priority", "")  # reasons that may be over before the user could read of them
UNDECIDED = 2.0  # seconds until a job without a reason is told of all the same

# Why a job waits, as squeue has it, and the error slurmctld answers an allocation's request with for it.
ERRORS = {
    "JobHeldUser": errors.JOB_HELD,
    "JobHeldAdmin": errors.JOB_HELD,
    "PartitionConfig": errors.REQUESTED_PART_CONFIG_UNAVAILABLE,
    "PartitionNodeLimit": errors.REQUESTED_PART_CONFIG_UNAVAILABLE,
    "ReqNodeNotAvail": errors.NODE_NOT_AVAIL,
    "Nodes required for job are DOWN": errors.NODE_NOT_AVAIL,
}
AT_ONCE_OR_NEVER = 1  # --immediate without a number
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
    too_late: str  # when --immediate's seconds are over
    busy: str  # before the reason why --immediate's job could not start at once
    revokes: bool = False  # says so when such a job is given up
    pending: tuple[str, ...]
    granted: tuple[str, ...]


class SrunWords(Words):
    refused = "Unable to allocate resources"
    too_late = f"Unable to allocate resources: {errors.TEXT[errors.NODES_BUSY]}"
    busy = refused
    pending = ("job {} queued and waiting for resources",)
    granted = ("job {} has been allocated resources",)


class SallocWords(Words):
    refused = "Job submit/allocate failed"
    too_late = "Unable to allocate resources: Connection timed out"
    busy = "Unable to allocate resources"
    revokes = True
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
        self.jobs: list[Job] = [self.job, *(granted.get("components") or [])]  # a heterogeneous job's are several
        self.kill_wait = float(granted.get("kill_wait", 30))
        self.revoked = False
        self.say: Callable[[str], None] = lambda text: None

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def next(self) -> dict[str, Any] | None:
        """The event that has come (fileno is readable); None when the allocation is over."""
        event = next(self._events, None)
        if event is None or event.get("event") == "revoked":
            self.revoked = True
            return None
        if event.get("event") == "note":  # scontrol notify
            self.say(str(event.get("text", "")))
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
    try:
        stream = ctx.connect().events(
            "allocate", request=request, environment=environment, key=os.urandom(16).hex(), detached=detached
        )
    except ControllerDown as problem:
        raise _refused(ctx, words, problem) from None
    waiting = _Waiting(ctx, words, quiet, request.immediate, bool(request.het_components))
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
            elif event and name == "note":
                info(ctx, quiet, str(event.get("text", "")))
            elif event and name == "granted":
                waiting.over()
                allocation = Allocation(stream, events, waiting.job_id, event)
                allocation.say = lambda text: info(ctx, quiet, text)
                return allocation
            elif name == "revoked":
                waiting.tell()
                info(ctx, quiet, "Job has been cancelled")
                raise _refused(ctx, words, SlurmError(errors.ALREADY_DONE))
    except SlurmError as problem:
        for note in problem.notes:
            ctx.error(note)
        if problem.number == errors.CAN_NOT_START_IMMEDIATELY and request.immediate is not None:
            raise _not_in_time(ctx, words, request.immediate, waiting, quiet) from None
        raise _refused(ctx, words, problem) from None
    finally:
        selector.close()


def _not_in_time(
    ctx: Context, words: type[Words], immediate: int, waiting: _Waiting, quiet: bool
) -> CommandError:  # fmt: skip
    """--immediate: nodes that are busy are told of otherwise than what no wait would change."""
    problem = waiting.why_not_at_once()
    last = [f"{ctx.command}: Job allocation {waiting.job_id} has been revoked."] if words.revokes and not quiet else []
    if immediate <= AT_ONCE_OR_NEVER and problem.number != errors.NODES_BUSY:
        return CommandError(*_refused(ctx, words, problem).lines, *last)
    text = words.too_late if immediate > AT_ONCE_OR_NEVER else f"{words.busy}: {problem.text}"
    return CommandError(f"{ctx.command}: error: {text}", *last)


# what an option that is there and says nothing is refused with: an unset variable in a script makes these
EMPTY = {"account": errors.INVALID_ACCOUNT, "qos": errors.INVALID_QOS, "nodelist": errors.INVALID_NODE_COUNT}


def refuse_empty(ctx: Context, words: type[Words], texts: Mapping[str, str | None]) -> None:
    """`texts`: options as they were given."""
    for option, number in EMPTY.items():
        if texts.get(option) == "":
            raise _refused(ctx, words, SlurmError(number))


# the real commands find these themselves, before they ask the controller
UNPREFIXED = (errors.INVALID_GRES, errors.INVALID_GRES_TYPE)


def _refused(ctx: Context, words: type[Words], problem: SlurmError) -> CommandError:
    prefix = "" if problem.number in UNPREFIXED else f"{words.refused}: "
    return CommandError(f"{ctx.command}: error: {prefix}{problem.text}")


class _Waiting:
    """What was told of the wait."""

    def __init__(self, ctx: Context, words: type[Words], quiet: bool, immediate: int | None, at_once: bool) -> None:
        self._ctx = ctx
        self._at_once = at_once  # a heterogeneous job always waits for a moment, and says so
        self._words = words
        self._quiet = quiet
        self._silent = immediate is not None and immediate <= AT_ONCE_OR_NEVER
        self._since = 0.0  # monotonic
        self._due = 0.0  # when a wait is worth a line, 0: not waiting
        self._told = False
        self._reason = ""
        self.job_id = 0

    def submitted(self, event: dict[str, Any]) -> None:
        self.job_id = int(event["job_id"])
        for text in event.get("messages") or ():
            info(self._ctx, self._quiet, text)

    def pending(self, reason: str) -> None:
        self._reason = reason
        if self._told:
            return
        if self._at_once:
            self.tell()
        if not self._due:
            self._since = time.monotonic()
            self._due = self._since + QUIET_WAIT
        if reason not in AT_ONCE:
            self.tell()

    def pause(self) -> float | None:
        return max(0.0, self._due - time.monotonic()) if self._due and not self._told and not self._silent else None

    def tell_if_due(self) -> None:
        now = time.monotonic()
        if not self._due or self._told or self._silent or now < self._due:
            return
        if self._asked_reason() in ("", "None") and now - self._since < UNDECIDED:
            self._due = now + QUIET_WAIT / 2
        else:
            self.tell()

    def tell(self) -> None:
        if self._told or self._silent or not self.job_id:
            return
        self._told = True
        number = ERRORS.get(self._asked_reason().split(",")[0])
        if number is not None:
            info(self._ctx, self._quiet, errors.TEXT[number])
        for line in self._words.pending:
            info(self._ctx, self._quiet, line.format(self.job_id))

    def over(self) -> None:
        if self._told:
            for line in self._words.granted:
                info(self._ctx, self._quiet, line.format(self.job_id))

    def why_not_at_once(self) -> SlurmError:
        """What --immediate is refused with: why the job had to wait."""
        number = ERRORS.get(self._asked_reason().split(",")[0], errors.NODES_BUSY)
        return SlurmError(errors.DEPENDENCY if number == errors.JOB_HELD else number)

    def _asked_reason(self) -> str:
        """Why the job waits now; the last word of it when nobody answers any more."""
        if self._reason in AT_ONCE:
            fields = ["state_description", "state_reason"]
            try:
                for description, reason in self._ctx.controller.rows("jobs", fields, job_ids=[self.job_id]):
                    self._reason = description or reason
            except (SlurmError, ControllerDown):
                pass
        return self._reason
