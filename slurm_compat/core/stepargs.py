"""Arguments of the calls about steps, of their input and output, and of the agents that run them."""

from __future__ import annotations

from slurm_compat.core.callargs import Args
from slurm_compat.core.model import StepRequest


class Steps(Args):
    """Running steps of running jobs."""

    fields: list[str]
    job_ids: list[int] = []


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


class StepComplete(Args):
    """srun's last word on a step it made: the folded exit code."""

    job_id: int
    step_id: str
    exit_code: int


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


class RelayListen(Args):
    """A stream for sattach and sbcast: listening{}, then relay{ticket, word} for each agent that has this ticket."""

    ticket: str  # 32 hexadecimal digits, made up by who listens


class RelayDial(Args):
    """An agent that reaches none of a command's other addresses. Frames of core/relayline.py follow, both ways."""

    ticket: str


class RelayTake(Args):
    """The command comes for an agent: `word` is of its event relay. Frames of core/relayline.py follow, both ways."""

    word: str


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
