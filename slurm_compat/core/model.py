"""The vocabulary of requests: what sbatch, salloc and srun ask for.

Names are those of Slurm's published data model (the schema behind --json). Units and absences, here and in what rows
hold (core/fields.py), unless a line says otherwise: moments are epoch seconds, 0 when not yet known; durations seconds;
time limits minutes; memory MiB; a number that was not given is None; a text that was not given is "". UNLIMITED stands
for no limit.
"""

from __future__ import annotations

import msgspec

UNLIMITED = 0xFFFFFFFF  # Slurm's INFINITE: a time limit or count without bound


class JobRequest(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What sbatch, salloc and srun ask for: the options as given, checked for form only."""

    name: str = ""
    account: str = ""
    partition: str = ""  # one name or several, by comma
    qos: str = ""
    wckey: str = ""
    reservation: str = ""
    comment: str = ""
    admin_comment: str = ""
    extra: str = ""
    mcs_label: str = ""
    network: str = ""
    # when
    begin_time: int = 0
    deadline: int = 0
    time_limit: int | None = None
    time_minimum: int | None = None
    dependency: str = ""  # as given; the controller checks it
    kill_on_invalid_dependency: bool | None = None
    hold: bool = False
    immediate: int | None = None  # seconds to wait for a start (srun, salloc --immediate)
    delay_boot: int | None = None
    nice: int | None = None
    priority: int | None = None
    array: str = ""  # as given, "0-15%4"
    # shape
    minimum_nodes: int | None = None
    maximum_nodes: int | None = None
    tasks: int | None = None
    cpus_per_task: int | None = None
    tasks_per_node: int | None = None
    tasks_per_socket: int | None = None
    tasks_per_core: int | None = None
    tasks_per_gpu: int | None = None
    minimum_cpus_per_node: int | None = None  # --mincpus
    sockets_per_node: int | None = None
    cores_per_socket: int | None = None
    threads_per_core: int | None = None
    core_specification: int | None = None
    thread_specification: int | None = None
    memory_per_node: int | None = None  # MiB; 0: all of the node's
    memory_per_cpu: int | None = None
    memory_per_gpu: int | None = None
    temporary_disk_per_node: int | None = None  # MiB
    contiguous: bool = False
    spread_job: bool = False
    use_min_nodes: bool = False
    overcommit: bool = False
    exclusive: str = ""  # "", "exclusive", "user", "mcs", "topo"
    oversubscribe: bool = False
    distribution: str = ""  # as given
    hint: str = ""
    required_switches: int | None = None
    wait_for_switch: int | None = None  # seconds
    required_nodes: str = ""  # host list
    excluded_nodes: str = ""
    constraints: str = ""
    prefer: str = ""
    cluster_constraint: str = ""
    clusters: str = ""
    licenses: str = ""
    gres: str = ""  # --gres as given, "gpu:a100:2,shard:1"
    gpus: str = ""  # --gpus as given, "a100:2"
    gpus_per_node: str = ""
    gpus_per_task: str = ""
    gpus_per_socket: str = ""
    cpus_per_gpu: int | None = None
    tres_per_task: str = ""
    gpu_bind: str = ""
    gpu_freq: str = ""
    cpu_freq: str = ""
    resv_ports: int | None = None
    # how it runs
    batch: bool = False
    argv: list[str] = []  # script path as given and its arguments; [] for --wrap and standard input
    submit_line: str = ""
    current_working_directory: str = ""
    standard_input: str = ""  # patterns as given, "" for the default
    standard_output: str = ""
    standard_error: str = ""
    open_mode: str = ""  # "", "append", "truncate"
    umask: int = 0o022
    rlimits: dict[str, int] = {}  # soft limits to propagate by Slurm's names without RLIMIT_ ("NOFILE"), -1: unlimited
    export: str = ""  # what --export said, for SLURM_EXPORT_ENV
    get_user_env: bool = False
    requeue: bool | None = None
    reboot: bool = False
    no_kill: bool = False
    oom_kill_step: int | None = None
    wait_all_nodes: int | None = None
    kill_warning_signal: int = 0
    kill_warning_delay: int = 60  # seconds before the limit
    kill_warning_flags: list[str] = []  # "BATCH_JOB" (B:), "RESERVATION" (R:)
    mail_type: list[str] = []  # BEGIN END FAIL REQUEUE STAGE_OUT ARRAY_TASKS INVALID_DEPENDENCY TIME_LIMIT...
    mail_user: str = ""
    profile: str = ""
    account_gather_frequency: str = ""
    power: str = ""
    burst_buffer: str = ""
    container: str = ""
    container_id: str = ""
    batch_features: str = ""
    segment_size: int | None = None
    stepmgr: bool = False
    # who, as the client sees it; the controller takes user and group from the connection unless the caller is root
    user_id: int | None = None
    group_id: int | None = None
    allocating_node: str = ""  # host name of the submitting machine
    allocating_sid: int = 0  # its session id
    het_components: list[JobRequest] = []


class Depend(msgspec.Struct, omit_defaults=True):
    """One term of --dependency: what this job waits for of another."""

    kind: str  # after afterany afterok afternotok aftercorr afterburstbuffer singleton
    job_id: int = 0  # 0 for singleton
    task_id: int | None = None  # of an array; None: the job, or all of the array
    delay: int = 0  # after: minutes past the other's start
    failed: bool = False  # can never be met any more


class StepRequest(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What srun asks of an allocation. The tasks' environment travels here too, and is kept only while they run."""

    name: str = ""
    minimum_nodes: int | None = None
    maximum_nodes: int | None = None
    tasks: int | None = None
    cpus_per_task: int | None = None
    tasks_per_node: int | None = None
    memory_per_node: int | None = None
    memory_per_cpu: int | None = None
    required_nodes: str = ""
    excluded_nodes: str = ""
    relative: int | None = None
    exact: bool = False
    exclusive: bool = False
    overlap: bool = False
    overcommit: bool = False
    immediate: int | None = None
    distribution: str = ""
    time_limit: int | None = None
    gres: str = ""
    gpus: str = ""
    gpus_per_node: str = ""
    gpus_per_task: str = ""
    interactive: bool = False
    # what its tasks run
    argv: list[str] = []
    by_node: bool = False  # the program's name ends in _NODE: a copy of its own on each
    multi_prog: list[tuple[str, list[str]]] = []  # ranks expression, argv
    environment: bytes = b""  # NUL between entries
    current_working_directory: str = ""
    umask: int = 0o022
    rlimits: dict[str, int] = {}
    standard_input: str = ""  # "", "none", "all", a task number, or a pattern the agent opens
    standard_output: str = ""
    standard_error: str = ""
    open_mode: str = ""
    unbuffered: bool = False
    pty: bool = False
    winsize: tuple[int, int] | None = None
    kill_on_bad_exit: bool | None = None
    wait: int | None = None
    no_kill: bool = False
    mpi: str = ""  # "none", "pmi2", or "" for the cluster's MpiDefault
    cpu_bind: str = ""  # as SLURM_CPU_BIND has it; so mem_bind
    mem_bind: str = ""
    tres_bind: str = ""  # "gres/gpu:per_task:1"
    threads_per_core: int | None = None
    task_prolog: str = ""
    task_epilog: str = ""
    submit_line: str = ""
    srun_pid: int = 0
    srun_host: str = ""
    srun_ports: list[int] = []
