"""The vocabulary: what a job request says and what job, step, node and partition rows hold.

Names are those of Slurm's published data model (the schema behind --json), so that columns, `scontrol show`, --json
and sacct are views of one record. Units and absences, everywhere unless a line says otherwise: moments are epoch
seconds, 0 when not yet known; durations seconds; time limits minutes; memory MiB; a number that was not given is None;
a text that was not given is "". UNLIMITED stands for no limit.
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
    spank_environment: dict[str, str] = {}
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


# What `jobs` can be asked for: field, type. A row is a list in the order asked.
JOB_FIELDS: dict[str, str] = {
    # identity
    "job_id": "int",
    "array_job_id": "int: 0 when not of an array",
    "array_task_id": "int|None: of a task that left the array's record",
    "array_task_string": "str: the tasks still in the array's record, '1,3,5', '' else",
    "array_max_tasks": "int: the throttle, 0 none",
    "het_job_id": "int: 0 none",
    "het_job_offset": "int",
    "het_job_id_set": "str",
    "sluid": "str: s and 13 characters",
    "name": "str",
    "user_id": "int",
    "user_name": "str",
    "group_id": "int",
    "group_name": "str",
    "account": "str",
    "association_id": "int",
    "partition": "str",
    "qos": "str",
    "wckey": "str",
    "comment": "str",
    "admin_comment": "str",
    "system_comment": "str",
    "extra": "str",
    "mcs_label": "str",
    "cluster": "str",
    # state
    "job_state": "str: the base state",
    "state_flags": "list[str]: COMPLETING …",
    "state_reason": "str: 'None' when none",
    "state_description": "str: what replaces the reason's word when shown, with UnavailableNodes: and the like",
    "exit_code": "int: a wait status",
    "derived_exit_code": "int: a wait status, the highest of the steps'",
    "priority": "int",
    "priority_weight": "float: priority as 0..1 of the largest possible, for squeue %p",
    "hold": "bool",
    "restart_cnt": "int",
    "requeue": "bool",
    "batch_flag": "bool",
    "reboot": "bool",
    "failed_node": "str",
    # when
    "submit_time": "int",
    "eligible_time": "int",
    "accrue_time": "int",
    "start_time": "int: expected start of a pending job where known",
    "end_time": "int: expected end of a running one; the end of a finished one",
    "suspend_time": "int",
    "pre_sus_time": "int: seconds run before the last suspension",
    "preempt_time": "int",
    "preemptable_time": "int",
    "resize_time": "int",
    "last_sched_evaluation": "int",
    "scheduler": "str: Main, Backfill",
    "deadline": "int",
    "run_time": "int: seconds run so far, without suspension",
    "time_limit": "int: minutes, UNLIMITED",
    "time_minimum": "int: minutes, 0 none",
    "delay_boot": "int",
    "dependency": "str: what still waits, as squeue %E shows, '' none",
    "begin_time": "int: --begin as asked",
    # where and how much
    "nodes": "str: compressed host list, '' while pending",
    "batch_host": "str",
    "scheduled_nodes": "str",
    "node_count": "int: allocated, or the fewest a pending one needs",
    "max_nodes": "int: 0 when not given",
    "cpus": "int: allocated, or the fewest a pending one needs",
    "max_cpus": "int: 0",
    "tasks": "int",
    "tasks_given": "bool: -n or an equal was asked for",
    "cpus_per_task": "int",
    "cpus_per_task_given": "bool",
    "tasks_per_node": "int|None",
    "tasks_per_socket": "int|None",
    "tasks_per_core": "int|None",
    "tasks_per_board": "int|None",
    "tasks_per_tres": "int|None",
    "sockets_per_node": "int|None",
    "cores_per_socket": "int|None",
    "threads_per_core": "int|None",
    "core_spec": "int|None",
    "minimum_cpus_per_node": "int",
    "minimum_tmp_disk_per_node": "int",
    "memory_per_node": "int|None: MiB",
    "memory_per_cpu": "int|None: MiB",
    "memory_per_tres": "str: gres/gpu:1024",
    "tres_req_str": "str",
    "tres_alloc_str": "str: '' while pending",
    "tres_per_job": "str",
    "tres_per_node": "str: gres/gpu:a100:2",
    "tres_per_socket": "str",
    "tres_per_task": "str",
    "tres_bind": "str",
    "tres_freq": "str",
    "cpus_per_tres": "str",
    "gres_detail": "list[str]: a line a node",
    "job_resources": "list[[node, cpus, cpu id list '0-3', MiB, gres text]]: the allocation by node",
    "required_nodes": "str",
    "excluded_nodes": "str",
    "features": "str",
    "prefer": "str",
    "batch_features": "str",
    "cluster_features": "str",
    "contiguous": "bool",
    "spread_job": "bool",
    "overcommit": "bool",
    "shared": "str: what OverSubscribe shows: NO, OK, YES, USER, MCS, EXCLUSIVE",
    "exclusive": "str: what Exclusive shows: NO, YES, USER, MCS, TOPO",
    "licenses": "str",
    "licenses_allocated": "str",
    "resv_name": "str",
    "network": "str",
    "burst_buffer": "str",
    "container": "str",
    "container_id": "str",
    "profile": "str",
    "power": "str",
    "minimum_switches": "int",
    "maximum_switch_wait_time": "int: seconds",
    "segment_size": "int",
    "nice": "int",
    # what it runs
    "command": "str: path of the script with its arguments, '' for --wrap and standard input",
    "submit_line": "str",
    "current_working_directory": "str",
    "standard_input": "str: expanded as far as can be known, absolute",
    "standard_output": "str",
    "standard_error": "str",
    "standard_input_given": "str: as the user wrote it",
    "standard_output_given": "str",
    "standard_error_given": "str",
    "allocating_node": "str",
    "allocating_sid": "int",
    "mail_type": "list[str]",
    "mail_user": "str",
    "kill_warning_signal": "int",
    "kill_warning_delay": "int",
    "kill_warning_flags": "list[str]",
    "given": "list[str]: which of account, partition, qos, wckey, memory and nodes the request named",
    "cron": "bool: an entry of its user's crontab",
    "crontab_spec": "str: when, '*/5 * * * *' with steps spelt out; '' for other jobs",
}

STEP_FIELDS: dict[str, str] = {
    "job_id": "int",
    "array_job_id": "int",
    "array_task_id": "int|None",
    "step_id": "str: '0', 'batch', 'extern', 'interactive'",
    "name": "str",
    "user_id": "int",
    "user_name": "str",
    "account": "str",
    "partition": "str",
    "job_state": "str",
    "start_time": "int",
    "end_time": "int",
    "run_time": "int",
    "time_limit": "int: minutes, UNLIMITED",
    "nodes": "str",
    "node_count": "int",
    "cpus": "int",
    "tasks": "int",
    "tres_alloc_str": "str",
    "tres_per_step": "str",
    "tres_per_node": "str",
    "distribution": "str: as scontrol show step has it",
    "exit_code": "int: wait status",
    "submit_line": "str",
    "container": "str",
    "container_id": "str",
    "srun_host": "str",
    "srun_pid": "int",
    "resv_ports": "str",
    "cpu_freq": "str",
    "network": "str",
    "current_working_directory": "str",
    "standard_input": "str",
    "standard_output": "str",
    "standard_error": "str",
    "usage": "dict: see USAGE_FIELDS",
    "pids": "list[[node, rank, pid]]: of a running step",
    "sluid": "str: its job's",
}

# A step's measured use, as agents report it, and tasks are folded together. CPU in microseconds, memory and disk bytes.
USAGE_FIELDS: dict[str, str] = {
    "user_cpu": "int",
    "system_cpu": "int",
    "max_rss": "int",
    "max_rss_node": "str",
    "max_rss_task": "int",
    "ave_rss": "int",
    "max_vmsize": "int",
    "max_vmsize_node": "str",
    "max_vmsize_task": "int",
    "ave_vmsize": "int",
    "max_pages": "int",
    "max_pages_node": "str",
    "max_pages_task": "int",
    "ave_pages": "int",
    "min_cpu": "int",
    "min_cpu_node": "str",
    "min_cpu_task": "int",
    "ave_cpu": "int",
    "max_disk_read": "int",
    "max_disk_read_node": "str",
    "max_disk_read_task": "int",
    "ave_disk_read": "int",
    "max_disk_write": "int",
    "max_disk_write_node": "str",
    "max_disk_write_task": "int",
    "ave_disk_write": "int",
}

NODE_FIELDS: dict[str, str] = {
    "name": "str",
    "hostname": "str",
    "address": "str",
    "port": "int",
    "architecture": "str",
    "operating_system": "str: 'Linux 6.1.0 #1 SMP …'",
    "version": "str: 26.05.x",
    "state": "str: base, UNKNOWN IDLE MIXED ALLOCATED DOWN",
    "state_flags": "list[str]: DRAIN COMPLETING NOT_RESPONDING PLANNED MAINTENANCE RESERVED …",
    "reason": "str",
    "reason_set_by_user": "str",
    "reason_changed_at": "int",
    "comment": "str",
    "extra": "str",
    "owner": "str",
    "mcs_label": "str",
    "features": "str",
    "active_features": "str",
    "gres": "str",
    "gres_used": "str: 'gpu:a100:1(IDX:0)'",
    "gres_drained": "str",
    "cpus": "int",
    "effective_cpus": "int",
    "alloc_cpus": "int",
    "cpu_load": "float",
    "boards": "int",
    "sockets": "int",
    "cores": "int: a socket",
    "threads": "int: a core",
    "real_memory": "int: MiB",
    "alloc_memory": "int",
    "free_mem": "int|None",
    "temporary_disk": "int",
    "weight": "int",
    "specialized_cores": "int",
    "specialized_cpus": "str",
    "specialized_memory": "int",
    "partitions": "list[str]",
    "boot_time": "int",
    "slurmd_start_time": "int",
    "last_busy": "int",
    "resume_after": "int",
    "tres": "str: cpu=4,mem=4000M,billing=4",
    "tres_used": "str",
    "reservation": "str",
    "topology": "str",
    "cluster": "str",
}

PARTITION_FIELDS: dict[str, str] = {
    "name": "str",
    "nodes": "str: as configured, 'node[01-05]'",
    "node_names": "list[str]: in the nodes' order",
    "node_sets": "str: ALL where the nodes were named so",
    "total_nodes": "int",
    "total_cpus": "int",
    "state": "str: UP DOWN DRAIN INACTIVE",
    "default": "bool",
    "default_time": "int|None: minutes",
    "max_time": "int: minutes, UNLIMITED",
    "over_time_limit": "int|None",
    "min_nodes": "int",
    "max_nodes": "int: UNLIMITED",
    "max_cpus_per_node": "int: UNLIMITED",
    "max_cpus_per_socket": "int: UNLIMITED",
    "default_memory_per_cpu": "int|None",
    "default_memory_per_node": "int|None",
    "max_memory_per_cpu": "int|None",
    "max_memory_per_node": "int|None",
    "allow_groups": "str: ALL",
    "allow_accounts": "str: ALL",
    "allow_qos": "str: ALL",
    "deny_accounts": "str",
    "deny_qos": "str",
    "allow_alloc_nodes": "str: ALL",
    "alternate": "str",
    "qos": "str",
    "priority_job_factor": "int",
    "priority_tier": "int",
    "preempt_mode": "str: OFF",
    "grace_time": "int",
    "hidden": "bool",
    "root_only": "bool",
    "disable_root_jobs": "bool",
    "require_reservation": "bool",
    "exclusive": "str: NO",
    "lln": "bool",
    "oversubscribe": "str: NO, FORCE:2, YES:4, EXCLUSIVE",
    "tres": "str: cpu=20,mem=20000M,node=5,billing=20,gres/gpu=2",
    "tres_billing_weights": "str",
    "select_type": "str: NONE",
    "cluster": "str",
}

RESERVATION_FIELDS: dict[str, str] = {
    "name": "str",
    "reservation_id": "int",
    "start_time": "int: of the occurrence that goes on, or comes next",
    "end_time": "int",
    "active": "bool: it goes on now",
    "nodes": "str: compressed host list",
    "node_count": "int",
    "core_count": "int",
    "cores": "list[[node, [core]]]: of one that does not have its nodes whole",
    "tres": "str: cpu=4",
    "features": "str: as given",
    "partition": "str",
    "flags": "list[str]: in the order in which they are shown",
    "purge_after": "int: seconds of PURGE_COMP",
    "users": "str: by comma; -name: all but these",
    "groups": "str",
    "accounts": "str",
    "qos": "str",
    "partitions": "str: whose jobs may use it",
    "licenses": "str",
    "burst_buffer": "str",
    "comment": "str",
    "max_start_delay": "int: seconds, 0 none",
}

# What sacct asks for, of jobs and of steps: the job's fields above, and these.
ACCOUNTING_FIELDS: dict[str, str] = {
    "step_id": "str: '' for the job itself",
    "db_index": "int",
    "cpu_time": "int: elapsed x allocated CPUs, seconds",
    "elapsed": "int: seconds",
    "planned": "int: seconds from eligible to start",
    "suspended": "int: seconds",
    "allocated_nodes": "int",
    "allocated_cpus": "int: 0 while pending",
    "required_cpus": "int",
    "required_memory": "str: ReqMem, '500M', '2G'",
    "kill_requid": "int|None: who cancelled it",
    "usage": "dict: USAGE_FIELDS; {} for a job without steps",
    "distribution": "str: Layout",
    "reservation_id": "int",
    "qos_id": "int",
    "wckey_id": "int",
    "qos_req": "str",
    "original_sluid": "str",
}

# The accounting's own tables, and what fair share makes of them.
ASSOCIATION_FIELDS: dict[str, str] = {
    "id": "int",
    "cluster": "str",
    "account": "str",
    "user": "str: '' for the account itself",
    "parent_account": "str: '' for root and for users",
    "parent_id": "int: 0 for root",
    "lineage": "str: '/project1/0-alice/'; sorted by it, the tree is in order",
    "is_default": "bool: the user's default account",
    "shares_raw": "int",
    "qos": "list[str]: by name",
    "qos_ids": "list[int]",
    "partition": "str: '' for jobs in any",
    "own_qos": "list[str]: those of `qos` that are not the account's above, if it has a list of its own",
    "limits": "dict: by the attributes of core/cluster.AssociationLimits; what an account above sets is among them",
    "own_limits": "dict: those set here",
    "shares_norm": "float: of its siblings' shares",
    "usage_raw": "float: billing seconds, faded by age",
    "usage_norm": "float: of the cluster's usage",
    "effective_usage": "float: of its siblings' usage",
    "fairshare": "float|None: a user's factor",
    "level_fs": "float|None: None is infinite",
    "tres_usage": "dict[str, float]: resource-seconds, faded",
    "tres_run_seconds": "dict[str, int]: what running jobs may still use",
}

ACCOUNT_FIELDS: dict[str, str] = {
    "name": "str",
    "description": "str",
    "organization": "str",
    "coordinators": "list[str]",
    "direct_coordinators": "list[str]: those that no account above brings",
    "flags": "str: UsersAreCoords",
}

USER_FIELDS: dict[str, str] = {
    "name": "str",
    "default_account": "str",
    "admin_level": "str: None, Operator, Administrator",
    "coordinates": "list[str]: accounts",
    "default_wckey": "str",
}

QOS_FIELDS: dict[str, str] = {
    "id": "int",
    "name": "str",
    "description": "str",
    # and the attributes of core/cluster.QosConf
}

TRES_FIELDS: dict[str, str] = {"id": "int", "type": "str: cpu, gres", "name": "str: of gres, licences and the like"}

# Factors are 0..1; `priority` is what they came to. A job of several partitions has a row for each.
PRIORITY_FIELDS: dict[str, str] = {
    "job_id": "int",
    "array_job_id": "int",
    "sluid": "str",
    "user_id": "int",
    "user_name": "str",
    "account": "str",
    "partition": "str",
    "qos": "str",
    "nice": "int",
    "priority": "int",
    "age": "float",
    "fairshare": "float",
    "job_size": "float",
    "partition_factor": "float",
    "qos_factor": "float",
}


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
