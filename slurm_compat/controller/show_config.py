"""`scontrol show config`: slurm.conf's keys in Slurm's order and spelling, with what is true of this cluster.

A row's text comes from the cluster file, from the running controller, or is what Slurm shows for a thing this cluster
does not have. `ShowConfig` of the cluster file replaces a row's text or adds rows, for clients that read a key of their
site's. Source: scontrol show config of 26.05.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from slurm_compat import SLURM_VERSION
from slurm_compat.controller.associations import tres_names
from slurm_compat.core import preemption, privatedata
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.timefmt import clock, duration, minutes


class Live(NamedTuple):
    """What only the running controller knows."""

    hostname: str
    boot_time: int
    next_job_id: int
    node_count: int
    cluster_file: str
    state: str
    slurm_user: str  # "root(0)"


Text = str | Callable[[ClusterConf, Live], object]

MEMORY_DEFAULT = "memory default"  # its key depends on what is configured
MEMORY_LIMIT = "memory limit"


def _or_null(text: str) -> str:
    return text or "(null)"


def _duration(text: str) -> str:
    return duration(minutes(text) * 60)


def _preempt_type(text: str) -> str:
    word = preemption.type_of(text)
    return "(null)" if word == preemption.NONE else f"preempt/{word}"


def _prolog_flags(text: str) -> str:
    """Contain implies Alloc, and is shown so."""
    flags = [flag for flag in text.split(",") if flag]
    if "Contain" in flags and "Alloc" not in flags:
        flags.insert(0, "Alloc")
    return ",".join(flags) or "(null)"


def _memory_row(prefix: str, per_cpu: int | None, per_node: int | None) -> tuple[str, str]:
    if per_cpu is not None:
        return f"{prefix}MemPerCPU", str(per_cpu)
    return f"{prefix}MemPerNode", "UNLIMITED" if per_node is None else str(per_node)


def pairs(conf: ClusterConf, live: Live) -> list[tuple[str, str]]:
    """Key and text of every row, in order."""
    rows = []
    for key, text in ROWS:
        if key == MEMORY_DEFAULT:
            rows.append(_memory_row("Def", conf.def_mem_per_cpu, conf.def_mem_per_node))
        elif key == MEMORY_LIMIT:
            rows.append(_memory_row("Max", conf.max_mem_per_cpu, conf.max_mem_per_node))
        else:
            rows.append((key, text if isinstance(text, str) else str(text(conf, live))))
    own = dict(conf.show_config)
    shown = [(key, own.pop(key, text)) for key, text in rows]
    return sorted(shown + list(own.items()), key=lambda row: row[0].lower()) if own else shown


ROWS: tuple[tuple[str, Text], ...] = (
    ("AccountingStorageBackupHost", "(null)"),
    ("AccountingStorageEnforce", lambda conf, live: conf.accounting_storage_enforce or "none"),
    ("AccountingStorageHost", lambda conf, live: live.hostname),
    ("AccountingStorageExternalHost", "(null)"),
    ("AccountingStorageParameters", "(null)"),
    ("AccountingStoragePort", lambda conf, live: 0),
    ("AccountingStorageTRES", lambda conf, live: ",".join(tres_names(conf))),
    ("AccountingStorageType", "accounting_storage/slurmdbd"),
    ("AccountingStoreFlags", "job_comment,job_env,job_script"),
    ("AcctGatherEnergyType", "(null)"),
    ("AcctGatherFilesystemType", "(null)"),
    ("AcctGatherInterconnectType", "(null)"),
    ("AcctGatherNodeFreq", "0 sec"),
    ("AcctGatherProfileType", "(null)"),
    ("AllowSpecResourcesUsage", "no"),
    ("AuthAltTypes", lambda conf, live: _or_null(conf.auth_alt_types)),
    ("AuthAltParameters", lambda conf, live: _or_null(conf.auth_alt_parameters)),
    ("AuthInfo", "(null)"),
    ("AuthType", "auth/unix"),
    ("BatchStartTimeout", "10 sec"),
    ("BcastExclude", "/lib,/usr/lib,/lib64,/usr/lib64"),
    ("BcastParameters", "(null)"),
    ("BOOT_TIME", lambda conf, live: clock(live.boot_time)),
    ("BurstBufferType", "(null)"),
    ("CertgenParameters", "(null)"),
    ("CertgenType", "(null)"),
    ("CertmgrParameters", "(null)"),
    ("CertmgrType", "(null)"),
    ("CliFilterParameters", "(null)"),
    ("CliFilterPlugins", "(null)"),
    ("ClusterName", lambda conf, live: conf.cluster_name),
    ("CommunicationParameters", "(null)"),
    ("CompleteWait", "0 sec"),
    ("CpuFreqDef", "Unknown"),
    ("CpuFreqGovernors", "OnDemand,Performance,UserSpace"),
    ("CredType", "cred/token"),
    ("DataParserParameters", "(null)"),
    ("DebugFlags", "(null)"),
    (MEMORY_DEFAULT, ""),
    ("DependencyParameters", "(null)"),
    ("DisableRootJobs", "no"),
    ("EioTimeout", "60"),
    ("EnforcePartLimits", "NO"),
    ("EpilogMsgTime", "2000 usec"),
    ("FairShareDampeningFactor", "1"),
    ("FederationParameters", "(null)"),
    ("FirstJobId", lambda conf, live: conf.first_job_id),
    ("GresTypes", lambda conf, live: _or_null(conf.gres_types)),
    ("GpuFreqDef", "(null)"),
    ("GroupUpdateForce", "1"),
    ("GroupUpdateTime", "600 sec"),
    ("HASH_VAL", "Match"),
    ("HashPlugin", "hash/k12"),
    ("HealthCheckInterval", "0 sec"),
    ("HealthCheckNodeState", "ANY"),
    ("HealthCheckProgram", "(null)"),
    ("HealthCheckTimeout", "0 sec"),
    ("HttpParserType", "(null)"),
    ("InactiveLimit", lambda conf, live: f"{conf.inactive_limit} sec"),
    ("InteractiveStepOptions", "--interactive --preserve-env --pty $SHELL"),
    ("JobAcctGatherFrequency", lambda conf, live: conf.job_acct_gather_frequency),
    ("JobAcctGatherType", "jobacct_gather/linux"),
    ("JobAcctGatherParams", "(null)"),
    ("JobCompHost", "localhost"),
    ("JobCompLoc", "(null)"),
    ("JobCompParams", "(null)"),
    ("JobCompPass", "(null)"),
    ("JobCompPort", "0"),
    ("JobCompType", "(null)"),
    ("JobCompUser", "root"),
    ("JobDefaults", "(null)"),
    ("JobFileAppend", "0"),
    ("JobRequeue", lambda conf, live: conf.job_requeue),
    ("JobSubmitPlugins", "(null)"),
    ("KillOnBadExit", "0"),
    ("KillWait", lambda conf, live: f"{conf.kill_wait} sec"),
    ("LaunchParameters", "(null)"),
    ("LicenseParameters", "(null)"),
    ("Licenses", lambda conf, live: _or_null(conf.licenses)),
    ("LogTimeFormat", "iso8601_ms"),
    ("MailDomain", lambda conf, live: _or_null(conf.mail_domain)),
    ("MailProg", lambda conf, live: conf.mail_prog),
    ("MaxArraySize", lambda conf, live: conf.max_array_size),
    ("MaxBatchRequeue", "5"),
    ("MaxDBDMsgs", "100020"),
    ("MaxJobCount", lambda conf, live: conf.max_job_count),
    ("MaxJobId", lambda conf, live: conf.max_job_id),
    (MEMORY_LIMIT, ""),
    ("MaxNodeCount", lambda conf, live: live.node_count),
    ("MaxStepCount", "40000"),
    ("MaxTasksPerNode", "512"),
    ("MCSPlugin", "(null)"),
    ("MCSParameters", "(null)"),
    ("MessageTimeout", "10 sec"),
    ("MetricsAuthUsers", lambda conf, live: _or_null(conf.metrics_auth_users)),
    ("MetricsParameters", "(null)"),
    ("MetricsType", lambda conf, live: "metrics/openmetrics" if conf.metrics_address else "(null)"),
    ("MinJobAge", lambda conf, live: f"{conf.min_job_age} sec"),
    ("MpiDefault", lambda conf, live: _or_null(conf.mpi_default.replace("none", ""))),
    ("MpiParams", "(null)"),
    ("MULTIPLE_SLURMD", lambda conf, live: "yes" if live.node_count > 1 else "no"),
    ("NamespaceType", "(null)"),
    ("NEXT_JOB_ID", lambda conf, live: live.next_job_id),
    ("NodeFeaturesPlugins", "(null)"),
    ("OverTimeLimit", lambda conf, live: f"{conf.over_time_limit} min"),
    ("PluginDir", "(null)"),
    ("PlugStackConfig", "(null)"),
    ("PreemptMode", lambda conf, live: conf.preempt_mode.upper()),
    ("PreemptParameters", "(null)"),
    ("PreemptType", lambda conf, live: _preempt_type(conf.preempt_type)),
    ("PreemptExemptTime", lambda conf, live: duration(preemption.seconds(conf.preempt_exempt_time))),
    ("PrEpParameters", "(null)"),
    ("PrEpPlugins", "prep/script"),
    ("PriorityParameters", "(null)"),
    ("PrioritySiteFactorParameters", "(null)"),
    ("PrioritySiteFactorPlugin", "(null)"),
    ("PriorityDecayHalfLife", lambda conf, live: _duration(conf.priority_decay_half_life)),
    ("PriorityCalcPeriod", lambda conf, live: _duration(str(conf.priority_calc_period))),
    ("PriorityFavorSmall", "no"),
    ("PriorityFlags", ""),
    ("PriorityMaxAge", lambda conf, live: _duration(conf.priority_max_age)),
    ("PriorityType", "priority/multifactor"),
    ("PriorityUsageResetPeriod", lambda conf, live: conf.priority_usage_reset_period),
    ("PriorityWeightAge", lambda conf, live: conf.priority_weight_age),
    ("PriorityWeightAssoc", "0"),
    ("PriorityWeightFairShare", lambda conf, live: conf.priority_weight_fairshare),
    ("PriorityWeightJobSize", lambda conf, live: conf.priority_weight_job_size),
    ("PriorityWeightPartition", lambda conf, live: conf.priority_weight_partition),
    ("PriorityWeightQOS", lambda conf, live: conf.priority_weight_qos),
    ("PriorityWeightTRES", "(null)"),
    ("PrivateData", lambda conf, live: ",".join(sorted(privatedata.words(conf.private_data))) or "none"),
    ("ProctrackType", "proctrack/linuxproc"),
    ("PrologEpilogTimeout", "65534"),
    ("PrologFlags", lambda conf, live: _prolog_flags(conf.prolog_flags)),
    ("PropagatePrioProcess", "0"),
    ("PropagateResourceLimits", "ALL"),
    ("PropagateResourceLimitsExcept", "(null)"),
    ("RebootProgram", "(null)"),
    ("ReconfigFlags", "(null)"),
    ("RequeueExit", "(null)"),
    ("RequeueExitHold", "(null)"),
    ("ResumeFailProgram", "(null)"),
    ("ResumeProgram", "(null)"),
    ("ResumeRate", "300 nodes/min"),
    ("ResumeTimeout", "60 sec"),
    ("ResvEpilog", "(null)"),
    ("ResvOverRun", "0 min"),
    ("ResvProlog", "(null)"),
    ("ReturnToService", lambda conf, live: conf.return_to_service),
    ("SchedulerParameters", lambda conf, live: _or_null(conf.scheduler_parameters)),
    ("SchedulerTimeSlice", "30 sec"),
    ("SchedulerType", "sched/backfill"),
    ("ScronParameters", lambda conf, live: _or_null(conf.scron_parameters)),
    ("SelectType", "select/cons_tres"),
    ("SelectTypeParameters", lambda conf, live: conf.select_type_parameters),
    ("SlurmUser", lambda conf, live: live.slurm_user),
    ("SlurmctldAddr", "(null)"),
    ("SlurmctldDebug", "info"),
    ("SlurmctldHost[0]", lambda conf, live: live.hostname),
    ("SlurmctldHttpAuthParameters", "(null)"),
    ("SlurmctldLogFile", lambda conf, live: f"{live.state}/log/controller.log"),
    ("SlurmctldPort", lambda conf, live: 0),
    ("SlurmctldSyslogDebug", "(null)"),
    ("SlurmctldPrimaryOffProg", "(null)"),
    ("SlurmctldPrimaryOnProg", "(null)"),
    ("SlurmctldTimeout", "120 sec"),
    ("SlurmctldParameters", "(null)"),
    ("SlurmdDebug", "info"),
    ("SlurmdHttpAuthParameters", "(null)"),
    ("SlurmdLogFile", lambda conf, live: f"{live.state}/log/kubelet.log"),
    ("SlurmdParameters", "(null)"),
    ("SlurmdPidFile", lambda conf, live: f"{live.state}/run/kubelet.pid"),
    ("SlurmdPort", lambda conf, live: 0),
    ("SlurmdSpoolDir", lambda conf, live: f"{live.state}/spool"),
    ("SlurmdSyslogDebug", "(null)"),
    ("SlurmdTimeout", "300 sec"),
    ("SlurmdUser", lambda conf, live: live.slurm_user),
    ("SlurmSchedLogFile", "(null)"),
    ("SlurmSchedLogLevel", "0"),
    ("SlurmctldPidFile", lambda conf, live: f"{live.state}/run/controller.pid"),
    ("SLURM_CONF", lambda conf, live: live.cluster_file),
    ("SLURM_VERSION", lambda conf, live: SLURM_VERSION),
    ("SrunEpilog", "(null)"),
    ("SrunPortRange", "0-0"),
    ("SrunProlog", "(null)"),
    ("StateSaveLocation", lambda conf, live: live.state),
    ("SuspendExcNodes", "(null)"),
    ("SuspendExcParts", "(null)"),
    ("SuspendExcStates", "(null)"),
    ("SuspendProgram", "(null)"),
    ("SuspendRate", "60 nodes/min"),
    ("SuspendTime", "INFINITE"),
    ("SuspendTimeout", "30 sec"),
    ("SwitchParameters", "(null)"),
    ("SwitchType", "(null)"),
    ("TaskEpilog", "(null)"),
    ("TaskPlugin", lambda conf, live: "(null)" if conf.task_plugin == "task/none" else conf.task_plugin),
    ("TaskPluginParam", "(null type)"),
    ("TaskProlog", "(null)"),
    ("TCPTimeout", "2 sec"),
    ("TLSParameters", "(null)"),
    ("TLSType", "tls/none"),
    ("TmpFS", lambda conf, live: conf.tmp_fs),
    ("TopologyParam", "(null)"),
    ("TopologyPlugin", "topology/flat"),
    ("TrackWCKey", "no"),
    ("TreeWidth", "16"),
    ("UsePam", "no"),
    ("UnkillableStepProgram", "(null)"),
    ("UnkillableStepTimeout", "60 sec"),
    ("UrlParserType", "(null)"),
    ("VSizeFactor", "0 percent"),
    ("WaitTime", "0 sec"),
    ("X11Parameters", "(null)"),
)
