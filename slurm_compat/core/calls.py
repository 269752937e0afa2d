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


class Events(Args):
    """Of nodes that took no work, between two moments (0: open): controller/nodeevents.NodeEvent's fields."""

    fields: list[str]
    start: int = 0
    end: int = 0


class Span(Args):
    """Whole hours from `start` to `end`, epoch seconds.

    cluster_usage -> {cluster, tres: {name: {count, total, alloc, down, pdown, idle, plan, over}}}, resource-seconds.
    reservation_usage -> {rows: [{name, id, start, end, tres, used, nodes, flags, associations}]}.
    """

    start: int
    end: int


class Usage(Span):
    """-> {rows: [[first, second, tres, resource-seconds]…], total: {tres: of the whole cluster}}.

    `kind`: association (account, user), qos (account, QOS) or wckey (key, user).
    """

    kind: str


class JobSizes(Span):
    """-> {rows: [[account, wckey, CPUs of each job, resource-seconds of `tres`, jobs]…]}. Filters as accounting's."""

    tres: str = "cpu"
    user_ids: list[int] = []
    group_ids: list[int] = []
    partitions: list[str] = []
    wckeys: list[str] = []
    job_ids: list[int] = []
    nodes: list[str] = []


class ChangeBook(Args):
    """sacctmgr's changes: -> what controller/bookcalls.HANDLERS say of (verb, entity). `dry`: tried, not done.

    `where`: whom, by names, accounts, partitions and the like; `values`: what is set, by the attributes of
    core/cluster's *Conf, None to take away; lists as {"op": "=", "+=" or "-=", "names"}. Who may is asked entity by
    entity.
    """

    verb: str
    entity: str
    where: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    dry: bool = False


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


class JobId(Args):
    job_id: int


class Notify(JobId):
    """scontrol notify: a line for whoever reads the job's error file, or sits before its salloc or srun."""

    text: str


class SetDebug(Args):
    """setdebug, setdebugflags, schedloglevel and fsdampeningfactor of scontrol: what is given is changed."""

    level: str | None = None  # one of core/debugflags.LEVELS
    flags_on: list[str] = []
    flags_off: list[str] = []
    scheduler: int | None = None  # the level of the scheduler's own log
    dampening: int | None = None


class Crontab(Args):
    """scrontab -l: -> {text: the table with what is disabled in it, None without one}."""

    user_id: int


class CronEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    request: JobRequest
    script: bytes  # base64 on the wire
    environment: bytes
    spec: str  # five fields, as core/cron.py shows them
    first: int  # lines of the table, from 0
    last: int


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


class UpdateCrontab(Args):
    """A whole new table; None: no table. -> {job_ids}, or {failed: {entry, text, message}} and nothing is changed."""

    user_id: int
    text: str | None
    entries: list[CronEntry] = []


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


class StepComponent(Args):
    """One component's part of a heterogeneous step, which its agents dial at addresses of its own."""

    job_id: int
    request: StepRequest
    addresses: list[str]
    secret: str


class StepCreate(Args):
    """Events: waiting{error}, granted{step_id, layout: [[node, [ranks], cpus]], environment, job: {…}, components: [the
    same of each further one]}, agent{node, message…} for what agents tell that did not go straight to srun,
    done{exit_code, job_id}: once for each component.
    The agents are told to start the tasks and to dial `addresses` with `secret`. The connection is the step's life.
    """

    job_id: int
    request: StepRequest
    addresses: list[str]  # host:port or unix:/path, in the order to try
    secret: str
    components: list[StepComponent] = []  # of a step over several components of a heterogeneous job: the others


class RelayListen(Args):
    """A stream for sattach and sbcast: listening{}, then relay{ticket, word} for each agent that has this ticket."""

    ticket: str  # 32 hexadecimal digits, made up by who listens


class RelayDial(Args):
    """An agent that reaches none of a command's other addresses. Frames of core/relayline.py follow, both ways."""

    ticket: str


class RelayTake(Args):
    """The command comes for an agent: `word` is of its event relay. Frames of core/relayline.py follow, both ways."""

    word: str


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
    by_node: bool = False  # to be added to the path: ".STEP_NODE", STEP the number of the job's next
    times: tuple[float, float] | None = None  # last access and change that the file is to have


class StepComplete(Args):
    """srun's last word on a step it made: the folded exit code."""

    job_id: int
    step_id: str
    exit_code: int


class Token(Args):
    """scontrol token: -> {token}. `lifespan` in seconds, 0: the default; another's name is for administrators."""

    user_name: str | None = None
    lifespan: int = 0


class Authenticate(Args):
    """The connection's next calls are the token's user's; with `job_id`, the user's of that job, which shows its word
    (controller/tokens.py)."""

    token: str
    job_id: int = 0


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


class AssocMgr(Args):
    """scontrol show assoc_mgr: -> {users, associations, qos: records of those of `kinds`}; filters are names.

    Records have limits as they count, and what counts against them now: see controller/assocmgr.py.
    """

    kinds: list[str] = []  # users, associations, qos; none: all
    users: list[str] = []
    accounts: list[str] = []
    qos: list[str] = []


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
        Call("assoc_mgr", AssocMgr, RESULT, ANYONE),
        Call("tres", Fields, ROWS, ANYONE),
        Call("events", Events, ROWS, ANYONE),
        Call("transactions", Events, ROWS, ANYONE),  # id, at, action, actor, name, info
        Call("change_book", ChangeBook, RESULT, ANYONE),
        Call("book_records", Nothing, RESULT, ANYONE),  # {wckeys, resources, deleted}
        Call("usage", Usage, RESULT, ANYONE),
        Call("cluster_usage", Span, RESULT, ANYONE),
        Call("reservation_usage", Span, RESULT, ANYONE),
        Call("job_sizes", JobSizes, RESULT, ANYONE),
        Call("priorities", Priorities, ROWS, ANYONE),
        Call("cancel", Cancel, RESULT, OWNER),
        Call("hold", Hold, RESULT, OWNER),
        Call("release", Targets, RESULT, OWNER),
        Call("requeue", Requeue, RESULT, OWNER),
        Call("suspend", Targets, RESULT, OWNER),
        Call("resume", Targets, RESULT, OWNER),
        Call("update_job", UpdateJob, RESULT, OWNER),
        Call("update_node", UpdateNode, RESULT, ADMIN),
        Call("update_partition", UpdatePartition, RESULT, ADMIN),
        Call("update_reservation", UpdateReservation, RESULT, ANYONE),
        Call("crontab", Crontab, RESULT, OWNER),
        Call("update_crontab", UpdateCrontab, RESULT, OWNER),
        Call("triggers", Nothing, RESULT, ANYONE),
        Call("set_trigger", SetTrigger, RESULT, ANYONE),  # SlurmUser
        Call("clear_triggers", ClearTriggers, RESULT, ANYONE),  # whoever set them, or an administrator
        Call("wait_job", JobId, EVENTS, ANYONE),  # event ended{job_state, exit_code} once, for sbatch --wait
        Call("allocate", Allocate, EVENTS, ANYONE),
        Call("complete_allocation", CompleteAllocation, RESULT, OWNER),
        Call("step_create", StepCreate, EVENTS, OWNER),
        Call("step_complete", StepComplete, RESULT, OWNER),
        Call("step_attach", StepAttach, RESULT, OWNER),
        Call("broadcast", Broadcast, RESULT, OWNER),
        Call("relay_listen", RelayListen, EVENTS, ANYONE),
        Call("relay_dial", RelayDial, EVENTS, AGENT),  # whoever has the ticket
        Call("relay_take", RelayTake, EVENTS, ANYONE),  # whoever was told the word
        Call("agent", AgentHello, EVENTS, AGENT),
        Call("authenticate", Authenticate, RESULT, AGENT),
        Call("token", Token, RESULT, ANYONE),
        Call("statistics", Statistics, RESULT, ANYONE),
        Call("notify", Notify, RESULT, OWNER),
        Call("set_debug", SetDebug, RESULT, ANYONE),  # an operator's, refused in words of its own
        Call("power", Nothing, RESULT, ADMIN),
        Call("shutdown", Nothing, RESULT, ADMIN),
        Call("reconfigure", Nothing, RESULT, ADMIN),
    )
}
