"""A job of the engine and its runs, with the states of Armada's public API and which may follow which."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from armada_client.armada import job_pb2, submit_pb2

from slurm_compat.engine.gangs import Gang
from slurm_compat.engine.shape import Shape

QUEUED: int = submit_pb2.QUEUED
LEASED: int = submit_pb2.LEASED
PENDING: int = submit_pb2.PENDING
RUNNING: int = submit_pb2.RUNNING
SUCCEEDED: int = submit_pb2.SUCCEEDED
FAILED: int = submit_pb2.FAILED
CANCELLED: int = submit_pb2.CANCELLED
PREEMPTED: int = submit_pb2.PREEMPTED
REJECTED: int = submit_pb2.REJECTED
UNKNOWN: int = submit_pb2.UNKNOWN

LIVE = frozenset({QUEUED, LEASED, PENDING, RUNNING})
HAS_RUN = frozenset({LEASED, PENDING, RUNNING})

RUN_STATE: dict[int, int] = {
    LEASED: job_pb2.RUN_STATE_LEASED,
    PENDING: job_pb2.RUN_STATE_PENDING,
    RUNNING: job_pb2.RUN_STATE_RUNNING,
    SUCCEEDED: job_pb2.RUN_STATE_SUCCEEDED,
    FAILED: job_pb2.RUN_STATE_FAILED,
    PREEMPTED: job_pb2.RUN_STATE_PREEMPTED,
    # Armada's query API has no word for the run of a cancelled job
    CANCELLED: job_pb2.RUN_STATE_UNKNOWN,
    QUEUED: job_pb2.RUNS_STATE_LEASE_RETURNED,
}


@dataclass
class Run:
    """One attempt. Moments are epoch seconds, 0 when not yet."""

    run_id: str
    node: str
    leased: float
    pending: float = 0
    started: float = 0
    finished: float = 0
    state: int = LEASED
    error: str = ""


@dataclass
class Job:
    id: str
    queue: str
    job_set: str
    namespace: str
    priority: int  # low first
    submitted: float
    spec: bytes  # api.Job, as submitted
    shape: Shape
    class_priority: int
    preemptible: bool
    gang: Gang | None = None
    state: int = QUEUED
    last_transition: float = 0
    cancel_ts: float = 0
    cancel_user: str = ""
    error: str = ""  # why it was rejected
    runs: list[Run] = field(default_factory=list)

    @property
    def run(self) -> Run | None:
        """The latest attempt."""
        return self.runs[-1] if self.runs else None

    def order(self) -> tuple[int, int, float, str]:
        """Where it stands in its queue: priority class, then priority, low first, then age."""
        return (-self.class_priority, self.priority, self.submitted, self.id)

    def changing(self) -> dict[str, Any]:
        """The part that changes, as it is stored."""
        return {
            "priority": self.priority,
            "last_transition": self.last_transition,
            "cancel_ts": self.cancel_ts,
            "cancel_user": self.cancel_user,
            "error": self.error,
            "runs": [asdict(run) for run in self.runs],
        }

    def restore(self, state: int, data: dict[str, Any]) -> None:
        self.state = state
        for name in ("priority", "last_transition", "cancel_ts", "cancel_user", "error"):
            setattr(self, name, data[name])
        self.runs = [Run(**run) for run in data["runs"]]
