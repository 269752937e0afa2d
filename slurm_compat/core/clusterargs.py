"""Arguments of the calls about the cluster: nodes, partitions, reservations, triggers, tokens, the controller."""

from __future__ import annotations

from typing import Any

import msgspec

from slurm_compat.core.callargs import Args


class UpdateNode(Args):
    names: list[str]
    changes: dict[str, Any]  # state: "DRAIN" | "RESUME" | …, reason, comment, features, gres, weight …


class UpdatePartition(Args):
    name: str
    changes: dict[str, Any]


class ReservationChanges(Args):
    """Keys of scontrol create and update reservation, as read; None: not given.

    Lists (users …) are as written: names by comma, each perhaps with "+" or "-" before it. `nodes`: a host list or
    "ALL", with "+=" or "-=" before it to add or take away. `duration`: minutes, UNLIMITED; `duration_sign` "+" or "-":
    more or less than it is. `flags`: what core/resvflags.py reads. Times: epoch seconds.
    """

    start_time: int | None = None
    end_time: int | None = None
    duration: int | None = None
    duration_sign: str = ""
    flags: str = ""
    nodes: str | None = None
    node_count: int | None = None
    core_count: int | None = None
    tres: str | None = None
    features: str | None = None
    partition: str | None = None
    licenses: str | None = None
    users: str | None = None
    groups: str | None = None
    accounts: str | None = None
    qos: str | None = None
    partitions: str | None = None
    comment: str | None = None
    max_start_delay: int | None = None  # seconds
    skip: bool = False


class UpdateReservation(Args):
    """-> {name}. `action`: create, update or delete. Operators; USER_DELETE lets those it is for delete one."""

    action: str
    name: str = ""
    changes: ReservationChanges = msgspec.field(default_factory=ReservationChanges)


class SetTrigger(Args):
    """strigger --set: -> {trigger_id}. `events`: strigger's long names; `target`: a job id, a host list, "*"."""

    kind: str  # job, node, slurmctld, slurmdbd, database, other
    target: str
    events: list[str]
    offset: int
    permanent: bool
    program: str


class ClearTriggers(Args):
    """Those that fit all that is given."""

    trigger_id: int = 0
    job_id: int = 0
    user_id: int | None = None


class Statistics(Args):
    """-> controller/statistics.py's figures. `reset` begins them anew, and is an operator's."""

    reset: bool = False


class SetDebug(Args):
    """setdebug, setdebugflags, schedloglevel and fsdampeningfactor of scontrol: what is given is changed."""

    level: str | None = None  # one of core/debugflags.LEVELS
    flags_on: list[str] = []
    flags_off: list[str] = []
    scheduler: int | None = None  # the level of the scheduler's own log
    dampening: int | None = None


class Token(Args):
    """scontrol token: -> {token}. `lifespan` in seconds, 0: the default; another's name is for administrators."""

    user_name: str | None = None
    lifespan: int = 0


class Authenticate(Args):
    """The connection's next calls are the token's user's; with `job_id`, the user's of that job, which shows its word
    (controller/tokens.py)."""

    token: str
    job_id: int = 0
