"""The cluster file: slurm.conf's keys, written as YAML, with what only this project needs beside them.

Reading the text is the caller's (it holds the file); here it becomes checked values. A key nobody knows is an error
that names it, so that a misspelt limit is never a limit dropped. Defaults are slurm.conf(5)'s unless a comment says.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from slurm_compat.core.errors import BadValue


class Conf(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="pascal"):
    pass


class NodeConf(Conf):
    """One line of nodes. `NodeName` is a host list; counts are each node's."""

    node_name: str
    node_addr: str = ""
    node_hostname: str = ""
    cpus: int = msgspec.field(name="CPUs", default=0)  # 0: what this machine has
    boards: int = 1
    sockets: int = 1
    cores_per_socket: int = 0  # 0: CPUs / (sockets x threads)
    threads_per_core: int = 1
    real_memory: int = 0  # MiB; 0: what this machine has
    tmp_disk: int = 0
    feature: str = ""
    gres: str = ""  # "gpu:a100:2"
    weight: int = 1
    state: str = "UNKNOWN"  # DOWN, DRAIN … as the node starts out
    reason: str = ""


class PartitionConf(Conf):
    partition_name: str
    nodes: str = "ALL"
    default: bool = False
    default_time: str = ""
    max_time: str = "INFINITE"
    state: str = "UP"
    min_nodes: int = 0
    max_nodes: str = "UNLIMITED"
    max_cpus_per_node: str = msgspec.field(name="MaxCPUsPerNode", default="UNLIMITED")
    def_mem_per_cpu: int | None = msgspec.field(name="DefMemPerCPU", default=None)
    def_mem_per_node: int | None = None
    max_mem_per_cpu: int | None = msgspec.field(name="MaxMemPerCPU", default=None)
    max_mem_per_node: int | None = None
    allow_groups: str = "ALL"
    allow_accounts: str = "ALL"
    allow_qos: str = "ALL"
    priority_job_factor: int = 1
    priority_tier: int = 1
    over_subscribe: str = "NO"
    grace_time: int = 0
    hidden: bool = False
    root_only: bool = False
    node_selector: dict[str, str] = {}  # Armada: labels every pod of this partition asks for
    priority_class: str = ""  # Armada


# Limits are spelled as sacctmgr spells them. A number that isn't set, or is -1, is None; TRES are texts like
# "cpu=4,mem=8000" (mem in MiB where no unit is given), times texts like "1-00:00:00" or minutes; "" is no limit.

PARENT_SHARE = 0x7FFFFFFF  # Fairshare=parent: the users below compete as if they stood in the account above


class GroupLimits(Conf, kw_only=True):
    """Of all jobs together: of a QOS, or of an association and what is below it."""

    number: int = msgspec.field(name="ID", default=0)  # the accounting book's; no key of a file
    grp_jobs: int | None = None
    grp_jobs_accrue: int | None = None
    grp_submit_jobs: int | None = None
    grp_tres: str = msgspec.field(name="GrpTRES", default="")
    grp_tres_mins: str = msgspec.field(name="GrpTRESMins", default="")
    grp_tres_run_mins: str = msgspec.field(name="GrpTRESRunMins", default="")
    grp_wall: str = ""
    max_wall: str = ""  # of each job
    max_tres_per_node: str = msgspec.field(name="MaxTRESPerNode", default="")
    min_prio_threshold: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, int) and value < 0:
                setattr(self, name, None)  # sacctmgr's way of saying that there is none


class QosConf(GroupLimits, kw_only=True):
    name: str
    priority: int = 0
    description: str = ""
    max_tres_per_job: str = msgspec.field(name="MaxTRESPerJob", default="")
    max_tres_per_user: str = msgspec.field(name="MaxTRESPerUser", default="")
    max_tres_per_account: str = msgspec.field(name="MaxTRESPerAccount", default="")
    max_tres_mins_per_job: str = msgspec.field(name="MaxTRESMinsPerJob", default="")
    max_tres_run_mins_per_user: str = msgspec.field(name="MaxTRESRunMinsPerUser", default="")
    max_tres_run_mins_per_account: str = msgspec.field(name="MaxTRESRunMinsPerAccount", default="")
    min_tres_per_job: str = msgspec.field(name="MinTRESPerJob", default="")
    max_jobs_per_user: int | None = None
    max_jobs_per_account: int | None = None
    max_jobs_accrue_per_user: int | None = None
    max_jobs_accrue_per_account: int | None = None
    max_submit_jobs_per_user: int | None = None
    max_submit_jobs_per_account: int | None = None
    limit_factor: float | None = None
    usage_factor: float = 1.0
    usage_threshold: float | None = None
    grace_time: int = 0  # seconds
    preempt: list[str] = []  # names of the QOS whose jobs these may preempt
    preempt_mode: str = ""  # "": the cluster's
    preempt_exempt_time: str = ""
    flags: str = ""  # by comma: DenyOnLimit, OverPartQOS …


class AssociationLimits(GroupLimits, kw_only=True):
    """Of an account or of a user in one. A user's Max… that isn't set is the nearest account's; root's is last."""

    fairshare: int = 1  # PARENT_SHARE: "parent"
    qos: list[str] = msgspec.field(name="QOS", default_factory=list)  # empty: the account's above, at last root's
    default_qos: str = msgspec.field(name="DefaultQOS", default="")
    priority: int | None = None
    max_jobs: int | None = None  # of each user
    max_jobs_accrue: int | None = None
    max_submit_jobs: int | None = None
    max_tres: str = msgspec.field(name="MaxTRES", default="")  # of each job
    max_tres_mins: str = msgspec.field(name="MaxTRESMins", default="")  # of each job


class AccountConf(AssociationLimits, kw_only=True):
    """`root` is there without being told; where it is listed, its limits are the cluster's."""

    name: str
    parent: str = "root"
    description: str = ""
    organization: str = ""
    coordinators: list[str] = []


class UserConf(AssociationLimits, kw_only=True):
    """One association: a user in an account."""

    name: str
    account: str
    default: bool = False
    admin_level: str = "None"  # Operator, Administrator


class ArmadaConf(Conf):
    """Where the work runs. Without an address: the embedded engine."""

    address: str = ""  # host:port, or unix:/path
    tls: bool = False
    token_file: str = ""
    basic_auth_file: str = ""  # user:password
    namespace: str = "default"
    image: str = "python:3.12-slim"  # any image with python3 runs the agent
    queue: str = "{account}"  # name of the Armada queue of a job
    controller_address: str = ""  # how pods reach the controller: host:port


class ClusterConf(Conf):
    cluster_name: str = "linux"
    slurmctld_host: str = ""  # "" : this machine's name
    state_save_location: str = ""  # "" : decided by who starts it
    store: str = ""  # "" : SQLite in the state folder; else a URL, postgresql://…
    slurm_user: str = ""
    first_job_id: int = 1
    max_job_id: int = 0x03FF0000
    max_job_count: int = 10000
    max_array_size: int = 1001
    max_script_size: int = 4 << 20  # bytes; SchedulerParameters=max_script_size
    min_job_age: int = 300
    kill_wait: int = 30
    constrain_ram_space: bool = msgspec.field(name="ConstrainRAMSpace", default=True)  # cgroup.conf; the engine's pods
    inactive_limit: int = 0
    over_time_limit: int = 0
    def_mem_per_cpu: int | None = msgspec.field(name="DefMemPerCPU", default=None)
    def_mem_per_node: int | None = None
    max_mem_per_cpu: int | None = msgspec.field(name="MaxMemPerCPU", default=None)
    max_mem_per_node: int | None = None
    prolog_flags: str = ""  # Contain: every job has an extern step
    job_requeue: int = 1
    preempt_mode: str = "REQUEUE"  # what becomes of a job that Armada preempts; CANCEL: it isn't run again
    licenses: str = ""
    gres_types: str = ""
    mail_prog: str = "/bin/mail"
    mail_domain: str = ""
    mpi_default: Literal["none", "pmi2"] = "none"
    tmp_fs: str = msgspec.field(name="TmpFS", default="/tmp")
    job_acct_gather_frequency: int = 30
    accounting_storage_enforce: str = ""  # associations,limits,qos
    accounting_storage_tres: str = msgspec.field(name="AccountingStorageTRES", default="")
    priority_decay_half_life: str = "7-0"
    priority_max_age: str = "7-0"
    priority_weight_age: int = 0
    priority_weight_fairshare: int = 0
    priority_weight_job_size: int = 0
    priority_weight_partition: int = 0
    priority_weight_qos: int = msgspec.field(name="PriorityWeightQOS", default=0)
    return_to_service: int = 1
    scheduler_parameters: str = ""
    select_type_parameters: str = "CR_CORE_MEMORY"
    nodes: list[NodeConf] = []
    partitions: list[PartitionConf] = []
    qos: list[QosConf] = msgspec.field(name="QOS", default_factory=lambda: [QosConf(name="normal")])
    accounts: list[AccountConf] = []
    users: list[UserConf] = []
    operators: list[str] = []
    armada: ArmadaConf = msgspec.field(default_factory=ArmadaConf)
    show_config: dict[str, str] = {}  # further keys for scontrol show config, shown as they are


def cluster_conf(document: Any) -> ClusterConf:
    """The checked configuration of a parsed cluster file. Raises BadValue naming the key that is wrong."""
    try:
        conf = msgspec.convert(_with_parent_shares(document or {}), ClusterConf, strict=False)
    except msgspec.ValidationError as problem:
        raise BadValue(str(problem)) from None
    if any(entry.number for entries in (conf.accounts, conf.users, conf.qos) for entry in entries):
        raise BadValue("Object contains unknown field `ID`: the controller gives the numbers")
    return conf


def _with_parent_shares(document: Any) -> Any:
    """The document with the number that stands for it where Fairshare is the word "parent"."""
    if not isinstance(document, dict):
        return document
    changed = dict(document)
    for key in ("Accounts", "Users"):
        entries = document.get(key)
        if isinstance(entries, list):
            changed[key] = [
                entry | {"Fairshare": PARENT_SHARE}
                if isinstance(entry, dict) and str(entry.get("Fairshare", "")).lower() == "parent"
                else entry
                for entry in entries
            ]
    return changed
