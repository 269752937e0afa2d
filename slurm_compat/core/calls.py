"""Every call the controller answers: its arguments, what it answers, and who may make it.

The table is the contract between commands, agents and controller; `Struct`s check what comes over the wire. A call
whose `answer` is ROWS sends rows in the order of `fields`, then {"result": {}}; EVENTS keeps the connection open and
sends event frames until the caller closes it or the story ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from slurm_compat.core.model import JobRequest, StepRequest

ROWS = "rows"
EVENTS = "events"
RESULT = "result"

# who may call; the owner rules are checked again job by job
ANYONE = "anyone"  # any user the kernel or a token vouches for
OWNER = "owner"  # the job's user, its account's coordinator, or an operator
OPERATOR = "operator"
ADMIN = "admin"
AGENT = "agent"  # whoever holds the job's token


class Args(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Nothing(Args):
    pass


class Submit(Args):
    """-> {job_id, messages: [text a user should see]}. The same key again gives the same answer and makes no job."""

    request: JobRequest
    script: bytes  # base64 on the wire
    environment: bytes  # NUL between entries; a leading NAME= entry each
    key: str  # unique a submission, made by the client


class WillRun(Args):
    """-> {job_id, start_time, cpus, nodes (host list), partition, node_count}; refusals as submit's."""

    request: JobRequest


class Jobs(Args):
    """All of them when a filter is empty. One unknown job_id is INVALID_JOB_ID; several unknown are just absent.

    An array's job_id gives its record and all its tasks.
    """

    fields: list[str]
    job_ids: list[int] = []
    user_ids: list[int] = []
    states: list[str] = []  # base states or flags; none: all that squeue can see, finished ones included


class Fields(Args):
    fields: list[str]
    names: list[str] = []


class Priorities(Args):
    """Of jobs that wait and could start; all of them without a filter."""

    fields: list[str]
    job_ids: list[int] = []


class Statistics(Args):
    """-> controller/statistics.py's figures. `reset` begins them anew, and is an operator's."""

    reset: bool = False


class Steps(Args):
    """Running steps of running jobs."""

    fields: list[str]
    job_ids: list[int] = []


class Targets(Args):
    """Job expressions as users write them: 123, 123_4, 123_[1-3], 123+1, 123.0.

    -> {errors: [[target, number, text]...]}: those refused; the others are done.
    """

    targets: list[str]


class Cancel(Targets):
    """Without a signal: cancel. With one: deliver it, to steps alone, the batch shell (batch) or both (full).

    `states`: only those jobs of the targets that are in one of these states.
    """

    signal: int | None = None
    batch: bool = False
    full: bool = False
    hurry: bool = False
    cron: bool = False
    states: list[str] = []
    admin_comment: str = ""


class Hold(Targets):
    user_hold: bool = False  # scontrol uhold: the user may release it though an operator held it


class Requeue(Targets):
    hold: bool = False
    special_exit: bool = False
    incomplete: bool = False


class UpdateJob(Targets):
    """`changes`: names of JobRequest fields, and priority, hold, end_time, state and the like, with typed values."""

    changes: dict[str, Any]


class UpdateNode(Args):
    names: list[str]
    changes: dict[str, Any]  # state: "DRAIN" | "RESUME" | …, reason, comment, features, gres, weight …


class UpdatePartition(Args):
    name: str
    changes: dict[str, Any]


class JobId(Args):
    job_id: int


class Accounting(Args):
    """Finished and unfinished jobs as the records have them; job rows are followed by their steps' rows, in order.

    Filters are ANDed; empty ones match all. `start`/`end` bound by the job's time in one of `states` as sacct(1) says;
    0: open.
    """

    fields: list[str]
    steps: bool = True
    targets: list[str] = []  # 123, 123_4, 123.batch, 123.0
    user_ids: list[int] = []
    accounts: list[str] = []
    names: list[str] = []
    partitions: list[str] = []
    qos: list[str] = []
    states: list[str] = []
    nodes: list[str] = []
    wckeys: list[str] = []
    start: int = 0
    end: int = 0
    duplicates: bool = False
    # of a heterogeneous job: all components whichever is named, only those named, or None: all for its first one's id
    whole_hetjob: bool | None = None


class Allocate(Args):
    """For salloc and srun. Events: submitted{job_id, messages}, pending{reason}, granted{job: {JOB_FIELDS}, environment
    helpers}, revoked{reason, state, exit}, signal{…}. The connection is the allocation's life: closed, the job ends —
    unless `detached` (salloc --no-shell).
    """

    request: JobRequest
    environment: bytes
    key: str
    detached: bool = False


class CompleteAllocation(Args):
    job_id: int
    exit_code: int = 0  # wait status of the command salloc or srun ran


class StepCreate(Args):
    """Events: waiting{error}, granted{step_id, layout: [[node, [ranks], cpus]], environment, job: {…}},
    agent{node, message…} for what agents tell that did not go straight to srun, done{exit_code}.
    The agents are told to start the tasks and to dial `addresses` with `secret`. The connection is the step's life.
    """

    job_id: int
    request: StepRequest
    addresses: list[str]  # host:port or unix:/path, in the order to try
    secret: str


class StepAttach(Args):
    """sattach: -> {layout: [[node, [ranks], cpus]], nodes}. The step's agents dial `addresses`, if any, with `secret`
    and send what the tasks write from then on."""

    job_id: int
    step_id: str
    addresses: list[str] = []
    secret: str = ""


class Broadcast(Args):
    """sbcast: -> {job_id, step_id: the job's next, nodes, node_list: of the job or step, reached: those whose agents
    are there, end_time}. The agents dial `addresses` and write what they are sent to `path`, as the job's user."""

    job_id: int
    addresses: list[str]
    secret: str
    path: str
    mode: int
    step_id: str = ""
    force: bool = False  # over a file that is there
    times: tuple[float, float] | None = None  # last access and change that the file is to have


class StepComplete(Args):
    """srun's last word on a step it made: the folded exit code."""

    job_id: int
    step_id: str
    exit_code: int


class AgentHello(Args):
    """The first frame of an agent's link; agent messages both ways follow (architecture.md)."""

    job_id: int
    token: str
    restart: int
    rank: int
    node: str
    address: str
    pid: int
    cpu_ids: list[int]
    gpus: list[str]


class Call(NamedTuple):
    name: str
    args: type[Args]
    answer: str
    who: str


CALLS = {
    call.name: call
    for call in (
        Call("ping", Nothing, RESULT, ANYONE),  # {hostname, version, pid, boot_time, mode}
        Call("config", Nothing, RESULT, ANYONE),  # {pairs: [[key, text]…], as scontrol show config lists them}
        Call("submit", Submit, RESULT, ANYONE),
        Call("will_run", WillRun, RESULT, ANYONE),
        Call("jobs", Jobs, ROWS, ANYONE),
        Call("job_script", JobId, RESULT, OWNER),  # {script: base64}
        Call("steps", Steps, ROWS, ANYONE),
        Call("nodes", Fields, ROWS, ANYONE),
        Call("partitions", Fields, ROWS, ANYONE),
        Call("reservations", Fields, ROWS, ANYONE),
        Call("licenses", Fields, ROWS, ANYONE),
        Call("accounting", Accounting, ROWS, ANYONE),
        Call("associations", Fields, ROWS, ANYONE),  # with their use and fair share, where asked for
        Call("accounts", Fields, ROWS, ANYONE),
        Call("users", Fields, ROWS, ANYONE),
        Call("qos", Fields, ROWS, ANYONE),
        Call("tres", Fields, ROWS, ANYONE),
        Call("priorities", Priorities, ROWS, ANYONE),
        Call("cancel", Cancel, RESULT, OWNER),
        Call("hold", Hold, RESULT, OWNER),
        Call("release", Targets, RESULT, OWNER),
        Call("requeue", Requeue, RESULT, OWNER),
        Call("suspend", Targets, RESULT, OWNER),
        Call("resume", Targets, RESULT, OWNER),
        Call("update_job", UpdateJob, RESULT, OWNER),
        Call("update_node", UpdateNode, RESULT, OPERATOR),
        Call("update_partition", UpdatePartition, RESULT, OPERATOR),
        Call("wait_job", JobId, EVENTS, ANYONE),  # event ended{job_state, exit_code} once, for sbatch --wait
        Call("allocate", Allocate, EVENTS, ANYONE),
        Call("complete_allocation", CompleteAllocation, RESULT, OWNER),
        Call("step_create", StepCreate, EVENTS, OWNER),
        Call("step_complete", StepComplete, RESULT, OWNER),
        Call("step_attach", StepAttach, RESULT, OWNER),
        Call("broadcast", Broadcast, RESULT, OWNER),
        Call("agent", AgentHello, EVENTS, AGENT),
        Call("statistics", Statistics, RESULT, ANYONE),
        Call("shutdown", Nothing, RESULT, ADMIN),
        Call("reconfigure", Nothing, RESULT, ADMIN),
    )
}
