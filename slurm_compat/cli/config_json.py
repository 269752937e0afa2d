"""The document of scontrol show config: its text rows, with the types of the published schema.

`KEYS` is the schema's order: a key and how its text is read, where that is not as a text. A key that has no row has the
value that Slurm shows for what is not set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.jsondoc import Form
from slurm_compat.core.model import UNLIMITED

KEYS = """
AccountingStorageTRES:list AccountingStorageBackupHost AccountingStorageEnforce:list
AccountingStorageExternalHost AccountingStorageHost AccountingStorageParameters:list AccountingStoragePort:count
AccountingStorageType AcctGatherEnergyType:list AcctGatherProfileType AcctGatherInterconnectType
AcctGatherFilesystemType AcctGatherNodeFreq:count ConfFlags:list AuthAltTypes:list AuthInfo AuthAltParameters
AuthType BatchStartTimeout:count BurstBufferType BcastExclude:list BcastParameters:list CertgenParameters:list
CertgenType CertmgrParameters CertmgrType CliFilterParameters:list CliFilterPlugins:list ClusterName
CommunicationParameters:list CompleteWait:count CommunicationParametersFlags:families AccountingStoreFlags:list
SlurmdParametersFlags:flags controllers:controllers CpuFreqDef CpuFreqGovernors:none CredType
DataParserParameters DebugFlags:list DefMemPerCPU:memory DefMemPerNode:memory DependencyParameters:list
EioTimeout:count EnforcePartLimits:list Epilog:list EpilogMsgTime:count EpilogSlurmctld:list EpilogTimeout:unset
FederationParameters:list FirstJobId:count FairShareDampeningFactor:count GetNameInfoCacheTimeout:count
GresTypes:list GroupUpdateTime:count GroupUpdateForce:yes GpuFreqDef HashPlugin HealthCheckInterval:count
HealthCheckNodeState:list HealthCheckProgram HealthCheckTimeout:count HttpParserType HostUnreachRetryCount:count
InactiveLimit:count InteractiveStepOptions JobAcctGatherFrequency:list JobAcctGatherType
JobAcctGatherParams:list JobAcctOomKill:yes JobCompHost JobCompLoc JobCompParams JobCompPort:count JobCompType
JobCompUser JobDefaults:list JobFileAppend:yes JobRequeue:yes JobSubmitPlugins:list KeepaliveInterval:count
KeepaliveProbes:count KeepaliveTime:count KillOnBadExit:yes KillWait:count LaunchParameters:list Licenses:list
LicenseParameters:list LogTimeFormat MailDomain MailProg MaxArraySize:count MaxBatchRequeue:count
MaxDBDMsgs:count MaxJobCount:count MaxJobId:count MaxMemPerCPU:most MaxNodeCount:count MaxStepCount:count
MaxTasksPerNode:count MCSPlugin MCSParameters:list MetricsAuthUsers:list MetricsParameters:list MetricsType
MinJobAge:count MpiDefault MpiParams:list MessageTimeout:count NamespaceType NodeFeaturesPlugins:list
OverTimeLimit:count PluginDir PlugStackConfig PreemptExemptTime:duration PreemptMode:preempt
PreemptParameters:list PreemptType PrEpParameters PrEpPlugins:list PriorityDecayHalfLife PriorityCalcPeriod
PriorityFavorSmall:yes PriorityFlags:priority PriorityMaxAge PriorityParameters PriorityUsageResetPeriod
PriorityType PriorityWeightAge:count PriorityWeightAssoc:count PriorityWeightFairshare:count
PriorityWeightJobSize:count PriorityWeightPartition:count PriorityWeightQOS:count PriorityWeightTRES
PrivateData:list ProctrackType Prolog:list PrologSlurmctld:list PrologTimeout:unset PropagatePrioProcess:nice
PrologFlags:list PropagateResourceLimits:list PropagateResourceLimitsExcept:list RebootProgram
ReconfigFlags:list RequeueExit:list RequeueExitHold:list ResumeFailProgram ResumeProgram ResumeRate:count
ResumeTimeout:count ResvEpilog ResvOverRun:count ResvProlog ReturnToService:service SlurmSchedLogFile
SlurmSchedLogLevel:count SchedulerParameters:list SchedulerTimeSlice:count SchedulerType ScronParameters:list
SelectType SelectTypeParameters:list PrioritySiteFactorPlugin PrioritySiteFactorParameters SlurmUserId:uid
SlurmUser:user SlurmdUserId:uid SlurmdUser:user SlurmctldAddr SlurmctldDebug SlurmctldHttpAuthParams:list
SlurmctldLogFile SlurmctldPidFile SlurmctldPort:count SlurmctldPortCount:ports SlurmctldPrimaryOffProg
SlurmctldPrimaryOnProg SlurmctldSyslogDebug SlurmctldTimeout:count SlurmctldParameters:list SlurmdDebug
SlurmdHttpAuthParams:list SlurmdLogFile SlurmdParameters:list SlurmdPidFile SlurmdPort:count SlurmdSpoolDir
SlurmdSyslogDebug SlurmdTimeout:count SrunEpilog SrunPortRange:range SrunProlog StateSaveLocation
SuspendExcNodes:list SuspendExcParts:list SuspendExcStates:list SuspendProgram SuspendRate:count
SuspendTime:limit SuspendTimeout:count SwitchType SwitchParameters:list TaskEpilog TaskPlugin:list
TaskPluginParam:list TaskProlog TLSParameters:list TLSType TCPTimeout:count TmpFS TopologyParam:list
TopologyPlugin TreeWidth:count UnkillableStepProgram UnkillableStepTimeout:count UrlParserType VSizeFactor:count
WaitTime:count X11Parameters:list
"""
# the text row that is another's
OF = {
    "SlurmUserId": "SlurmUser",
    "SlurmdUserId": "SlurmdUser",
    "SlurmdParametersFlags": "SlurmdParameters",
    "SlurmctldPortCount": "SlurmctldPort",
    "SlurmctldHttpAuthParams": "SlurmctldHttpAuthParameters",
    "SlurmdHttpAuthParams": "SlurmdHttpAuthParameters",
}
NOT_SET = ("", "(null)", "(null type)", "N/A", "none")
EMPTY = frozenset({"SlurmctldSyslogDebug", "SlurmdSyslogDebug"})  # "" also where others are null
SERVICE = {"0": "manual", "1": "non_responsive_only", "2": "all"}
NICE = {"0": "off", "1": "on", "2": "nicer"}
MEMORY = ("DefMemPerCPU", "DefMemPerNode")


def _first(text: str) -> int:
    found = re.match(r"-?\d+", text)
    return int(found[0]) if found else 0


def _limit(text: str) -> dict[str, Any]:
    if text.upper() in ("INFINITE", "UNLIMITED"):
        return jsondoc.number(UNLIMITED)
    return jsondoc.number(None if text in NOT_SET else _first(text))


def _seconds(text: str) -> dict[str, Any]:
    """[D-]HH:MM:SS"""
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":") if part.isdigit()]
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + part
    return jsondoc.number(int(days or 0) * 86400 + seconds)


def _range(text: str) -> dict[str, Any]:
    low, _, high = text.partition("-")
    return {"minimum": _first(low), "maximum": _first(high), "set": _first(high) > 0}


def _list(text: str) -> list[str]:
    return [] if text in NOT_SET else [part.strip() for part in text.split(",")]


READ: dict[str, Callable[[str], Any]] = {
    "": lambda text: "" if text in NOT_SET[:3] else text,
    "count": _first,
    "yes": lambda text: text.lower() in ("yes", "1", "true"),
    "list": _list,
    "flags": _list,
    "none": lambda text: [],
    "families": lambda text: ["IPv4"],
    "limit": _limit,
    "memory": _limit,
    "most": lambda text: _limit(text or "0"),
    "unset": lambda text: jsondoc.number(None),
    "duration": _seconds,
    "preempt": lambda text: ["DISABLED"] if text in ("OFF", "") else _list(text),
    "priority": lambda text: _list(text) or ["FAIR_TREE"],
    "nice": lambda text: NICE.get(text, text),
    "service": lambda text: SERVICE.get(text, text),
    "uid": lambda text: _first(text.partition("(")[2]),
    "user": lambda text: text.partition("(")[0],
    "ports": lambda text: 1 + (_range(text)["maximum"] - _range(text)["minimum"] if "-" in text else 0),
    "range": _range,
}


def document(pairs: Iterable[tuple[str, str]], now: int, form: Form) -> dict[str, Any]:
    rows = dict(pairs)
    by_name = {key.lower(): text for key, text in rows.items()}
    values: dict[str, Any] = {}
    for word in KEYS.split():
        key, _, kind = word.partition(":")
        text = by_name.get(OF.get(key, key).lower(), "")
        if kind == "memory" and key not in rows:
            continue
        values[key] = _controllers(rows) if kind == "controllers" else READ[kind](text)
    return {"slurm_conf": values, "slurm_conf_meta": _meta(rows, now)}


def _controllers(rows: Mapping[str, str]) -> list[dict[str, str]]:
    found = []
    for key, text in rows.items():
        if key.startswith("SlurmctldHost["):
            machine, _, address = text.partition("(")
            found.append({"address": address.rstrip(")") or machine, "machine": machine})
    return found


def _meta(rows: Mapping[str, str], now: int) -> dict[str, Any]:
    from slurm_compat.core import moments

    boot = rows.get("BOOT_TIME", "")
    hash_text = rows.get("HASH_VAL", "")
    return {
        "LastUpdate": now,
        "BOOT_TIME": moments.moment(boot, now) if boot not in NOT_SET else 0,
        "ClusterId": jsondoc.number(0),
        "HashValue": int(hash_text, 16) if hash_text.startswith("0x") else 0,
        "NEXT_JOB_ID": jsondoc.number(_first(rows.get("NEXT_JOB_ID", ""))),
        "SLURM_CONF": rows.get("SLURM_CONF", ""),
        "SLURM_VERSION": rows.get("SLURM_VERSION", ""),
    }
