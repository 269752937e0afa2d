"""The cluster file: slurm.conf's keys, written as YAML, with what only this project needs beside them.

Reading the text is the caller's (it holds the file); here it becomes checked values. A key nobody knows is an error
that names it, so that a misspelt limit is never a limit dropped. Defaults are slurm.conf(5)'s unless a comment says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec

from slurm_compat.core import preemption, privatedata, qosflags
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
    qos: str = msgspec.field(name="QOS", default="")  # whose limits count in this partition, before the job's own
    preempt_mode: str = ""  # "": the cluster's
    priority_job_factor: int = 1
    priority_tier: int = 1
    over_subscribe: str = "NO"
    tres_billing_weights: str = msgspec.field(name="TRESBillingWeights", default="")  # core/billing.py
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
    coordinators: list[str] = []  # users who look after it and the accounts below
    flags: str = ""  # UsersAreCoords: all its users do


class UserConf(AssociationLimits, kw_only=True):
    """One association: a user in an account; with `partition` for jobs in that partition only."""

    name: str
    account: str
    partition: str = ""
    default: bool = False
    admin_level: str = "None"  # Operator, Administrator


class KubernetesConf(Conf):
    """One worker cluster's API. Without a file: $KUBECONFIG or ~/.kube/config, or the pod's own account."""

    cluster: str = ""  # Armada's name of it
    kubeconfig: str = ""
    context: str = ""
    node_selector: dict[str, str] = {}  # only nodes with these labels are ours


class VolumeConf(Conf):
    """A folder of every pod. One of the three kinds."""

    name: str
    mount_path: str
    host_path: str = ""
    nfs: str = msgspec.field(name="NFS", default="")  # server:/path
    persistent_volume_claim: str = ""
    sub_path: str = ""
    read_only: bool = False


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
    volumes: list[VolumeConf] = []
    run_as_root: bool = True  # the agent starts as root and becomes the job's user; False: as the image's user
    prometheus_url: list[str] | str = msgspec.field(name="PrometheusURL", default_factory=list)
    kubernetes: list[KubernetesConf] = []
    inventory_interval: int = 30  # seconds
    reprioritize_interval: int = 10  # seconds between two reorderings of what waits inside Armada


class ClusterConf(Conf):
    cluster_name: str = "linux"
    slurmctld_host: str = ""  # "" : this machine's name
    state_save_location: str = ""  # "" : decided by who starts it
    store: str = ""  # "" : SQLite in the state folder; else a URL, postgresql://…
    slurm_user: str = ""
    auth_alt_types: str = ""  # auth/jwt: tokens count, and scontrol token makes them
    auth_alt_parameters: str = ""  # jwt_key=FILE, disable_token_creation
    controller_address: str = ""  # host:port at which commands on other machines reach the controller, with TLS
    tls_certificate: str = msgspec.field(name="TLSCertificate", default="")  # PEM files; "": made at the first start
    tls_key: str = msgspec.field(name="TLSKey", default="")
    tls_authority: str = msgspec.field(name="TLSAuthority", default="")
    metrics_address: str | int = ""  # host:port, or a port of the loopback; "": none
    private_data: str = ""  # what users see of others: jobs,nodes,…
    metrics_auth_users: str = ""  # who may scrape where PrivateData hides something, besides operators
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
    preempt_type: str = ""  # preempt/none, preempt/qos, preempt/partition_prio
    preempt_mode: str = "OFF"  # what becomes of a preempted job, by Armada too: CANCEL: it isn't run again
    preempt_exempt_time: str = ""  # how long a job runs before it may be preempted
    licenses: str = ""
    gres_types: str = ""
    mail_prog: str = "/bin/mail"
    mail_domain: str = ""
    mpi_default: Literal["none", "pmi2"] = "none"
    task_plugin: Literal[
        "task/none", "task/affinity", "task/cgroup", "task/affinity,task/cgroup", "task/cgroup,task/affinity"
    ] = "task/none"  # with task/affinity the agents bind tasks to CPUs and memory
    tmp_fs: str = msgspec.field(name="TmpFS", default="/tmp")
    job_acct_gather_frequency: int = 30
    accounting_storage_enforce: str = ""  # associations,limits,qos
    accounting_storage_tres: str = msgspec.field(name="AccountingStorageTRES", default="")
    priority_decay_half_life: str = "7-0"
    priority_usage_reset_period: Literal["NONE", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"] = "NONE"
    priority_calc_period: int | str = 5  # minutes between which the priorities of waiting jobs are worked out
    priority_max_age: str = "7-0"
    priority_weight_age: int = 0
    priority_weight_fairshare: int = 0
    priority_weight_job_size: int = 0
    priority_weight_partition: int = 0
    priority_weight_qos: int = msgspec.field(name="PriorityWeightQOS", default=0)
    return_to_service: int = 1
    scheduler_parameters: str = ""
    scron_parameters: str = ""  # enable: users may have crontabs
    select_type_parameters: str = "CR_CORE_MEMORY"
    nodes: list[NodeConf] = []
    partitions: list[PartitionConf] = []
    qos: list[QosConf] = msgspec.field(name="QOS", default_factory=lambda: [QosConf(name="normal")])
    accounts: list[AccountConf] = []
    users: list[UserConf] = []
    operators: list[str] = []
    armada: ArmadaConf = msgspec.field(default_factory=ArmadaConf)
    show_config: dict[str, str] = {}  # further keys for scontrol show config, shown as they are

    @property
    def tokens_travel(self) -> bool:
        """Whether pods may be elsewhere, so that a job's token alone has to vouch for its agent."""
        return bool(self.armada.address or self.armada.controller_address)


def cluster_conf(document: Any) -> ClusterConf:
    """The checked configuration of a parsed cluster file. Raises BadValue naming the key that is wrong."""
    try:
        conf = msgspec.convert(_with_parent_shares(document or {}), ClusterConf, strict=False)
    except msgspec.ValidationError as problem:
        raise BadValue(str(problem)) from None
    if any(entry.number for entries in (conf.accounts, conf.users, conf.qos) for entry in entries):
        raise BadValue("Object contains unknown field `ID`: the controller gives the numbers")
    delay = scheduler_parameter(conf, "batch_sched_delay")
    if delay is not None and not delay.isdecimal():
        raise BadValue(f"SchedulerParameters: batch_sched_delay is a number of seconds, not {delay!r}")
    _check_words(conf)
    return conf


def _check_words(conf: ClusterConf) -> None:
    """Raises BadValue for words of preemption and privacy that nobody knows, and for a partition's unknown QOS."""
    preemption.type_of(conf.preempt_type)
    for mode in (conf.preempt_mode, *(part.preempt_mode for part in conf.partitions)):
        preemption.mode_of(mode)
    known = {qos.name for qos in conf.qos}
    for qos in conf.qos:
        preemption.mode_of(qos.preempt_mode)
        for flag in filter(None, qos.flags.replace(" ", "").split(",")):
            qosflags.spelled(flag)
        for name in qos.preempt:
            if name not in known:
                raise BadValue(f"QOS {qos.name}: Preempt names {name}, which is not declared")
    for part in conf.partitions:
        if part.qos and part.qos not in known:
            raise BadValue(f"partition {part.partition_name}: its QOS {part.qos} is not declared")
    privatedata.words(conf.private_data)


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


@lru_cache(16)
def _parameters(text: str) -> dict[str, str]:
    return dict((word.strip().partition("=")[::2]) for word in text.split(",") if word.strip())


def scheduler_parameter(conf: ClusterConf, name: str) -> str | None:
    """The value of one of SchedulerParameters, "" of one without a value; None when it isn't there."""
    return _parameters(conf.scheduler_parameters).get(name)
