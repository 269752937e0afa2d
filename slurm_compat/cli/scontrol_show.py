"""`scontrol show …`: records as lines of Key=Value.

A view is a list of lines, a line a list of (label, field or function). With -o the lines of a record are one. Layout
and words as 26.05 prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.core import states
from slurm_compat.core.fields import JOB_FIELDS, NODE_FIELDS, PARTITION_FIELDS, STEP_FIELDS
from slurm_compat.core.folded import exit_text
from slurm_compat.core.hostlist import compress
from slurm_compat.core.jobid import job_name
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.nodestates import full_state
from slurm_compat.core.sizes import mem_text
from slurm_compat.core.timefmt import clock, duration, limit_text

Row = Mapping[str, Any]
TimeFormat = str


def record(lines: Iterable[str], one_line: bool) -> str:
    """A record's text with its newlines: indented lines and an empty one after, or a single line with -o."""
    kept = list(lines)
    return " ".join(kept) + "\n" if one_line else "\n   ".join(kept) + "\n\n"


def null(value: object) -> str:
    return str(value) if value else "(null)"


def yes_no(value: object) -> str:
    return "YES" if value else "NO"


def memory_limit(mib: int | None) -> str:
    return "UNLIMITED" if mib is None else str(mib)


# -- jobs -------------------------------------------------------------------------------------------------------------

JOB_NEEDS = list(JOB_FIELDS)


def job_lines(job: Row, time_format: TimeFormat, details: bool) -> list[str]:
    """The lines of `scontrol show job`."""

    def moment(field: str, none: str) -> str:
        return clock(job[field], time_format) if job[field] else none

    def count(field: str) -> str:
        return "*" if job[field] is None else str(job[field])

    pending = job["job_state"] == states.PENDING
    final = job["job_state"] in states.FINAL
    lines = [_job_id_line(job)]
    if details:
        lines.append(f"SLUID={job['sluid']}")
    reason = job["state_description"] or job["state_reason"]
    lines += [
        f"UserId={job['user_name']}({job['user_id']}) GroupId={job['group_name']}({job['group_id']})"
        f" MCS_label={job['mcs_label'] or 'N/A'}",
        f"Priority={job['priority']} Nice={job['nice']} Account={null(job['account'])} QOS={null(job['qos'])}"
        + (f" WCKey={job['wckey']}" if job["wckey"] else ""),
        f"JobState={states.shown_state(job['job_state'], job['state_flags'])} Reason={reason.replace(' ', '_')}"
        + (f" FailedNode={job['failed_node']}" if job["failed_node"] else "")
        + f" Dependency={null(job['dependency'])}",
        f"Requeue={job['requeue']:d} Restarts={job['restart_cnt']} BatchFlag={job['batch_flag']:d}"
        f" Reboot={job['reboot']:d} ExitCode={exit_text(job['exit_code'])}",
    ]
    if details:
        lines.append(f"DerivedExitCode={exit_text(job['derived_exit_code'])}")
    endless = job["time_limit"] == UNLIMITED and job["job_state"] in ("RUNNING", "SUSPENDED")
    lines += [
        f"RunTime={duration(job['run_time'])} TimeLimit={limit_text(job['time_limit'])}"
        f" TimeMin={limit_text(job['time_minimum']) if job['time_minimum'] else 'N/A'}",
        f"SubmitTime={moment('submit_time', 'Unknown')} EligibleTime={moment('eligible_time', 'Unknown')}",
        f"AccrueTime={moment('accrue_time', 'Unknown')}",
        f"StartTime={moment('start_time', 'Unknown')} EndTime={'Unknown' if endless else moment('end_time', 'Unknown')}"
        f" Deadline={moment('deadline', 'N/A')}",
        *([f'{"CronJob=Yes " if job["cron"] else ""}CrontabSpec="{spec}"'] if (spec := job["crontab_spec"]) else []),
        *([_preemption(job, moment)] if job["preemptable_time"] else []),
        f"SuspendTime={moment('suspend_time', 'None')} SecsPreSuspend={job['pre_sus_time']}"
        f" LastSchedEval={moment('last_sched_evaluation', 'Unknown')} Scheduler={job['scheduler']}",
        f"Partition={job['partition']} AllocNode:Sid={job['allocating_node']}:{job['allocating_sid']}",
        f"ReqNodeList={null(job['required_nodes'])} ExcNodeList={null(job['excluded_nodes'])}",
        f"NodeList={job['nodes']}" + (f" SchedNodeList={job['scheduled_nodes']}" if job["scheduled_nodes"] else ""),
    ]
    if job["batch_host"] and not pending:
        lines.append(f"BatchHost={job['batch_host']}")
    lines += [
        f"NumNodes={_node_count(job, pending)} NumCPUs={_cpu_count(job, pending)} NumTasks={job['tasks']}"
        f" CPUs/Task={job['cpus_per_task'] or 'N/A'} ReqB:S:C:T=0:0"  # sockets are in the line Socks/Node alone
        f":{count('cores_per_socket')}:{count('threads_per_core')}",
        f"ReqTRES={null(job['tres_req_str'])}",
        f"AllocTRES={null(job['tres_alloc_str'])}",
        f"Socks/Node={count('sockets_per_node')} NtasksPerN:B:S:C={job['tasks_per_node'] or 0}"
        f":{job['tasks_per_board'] or 0}:{job['tasks_per_socket'] or '*'}:{job['tasks_per_core'] or '*'}"
        f" CoreSpec={count('core_spec')}",
    ]
    if details and job["job_resources"] and not final:
        gres = ",".join(job["gres_detail"])
        lines.append(f"JOB_GRES={null(gres and gres.split('(')[0])}")
        lines += [f"  {line}" for line in _resource_lines(job["job_resources"])]
    per_cpu = job["memory_per_cpu"] is not None
    memory = job["memory_per_cpu"] if per_cpu else job["memory_per_node"]
    kind = "CPU" if per_cpu else "Node"
    if per_tres := job["memory_per_tres"]:  # "gres/gpu:1024"
        kind, memory = "TRES", int(per_tres.rpartition(":")[2])
    lines += [
        f"MinCPUsNode={job['minimum_cpus_per_node']} MinMemory{kind}={mem_text(memory or 0)}"
        f" MinTmpDiskNode={mem_text(job['minimum_tmp_disk_per_node'])}",
        f"Features={null(job['features'])} DelayBoot={duration(job['delay_boot'])}",
    ]
    if job["prefer"]:
        lines.append(f"Prefer={job['prefer']}")
    if job["resv_name"]:
        lines.append(f"Reservation={job['resv_name']}")
    lines += [
        f"OverSubscribe={job['shared']} Exclusive={job['exclusive']} Contiguous={job['contiguous']:d}"
        f" Licenses={null(job['licenses'])} LicensesAlloc={null(job['licenses_allocated'])}"
        f" Network={null(job['network'])}",
        f"Command={null(job['command'])}",
        f"SubmitLine={null(job['submit_line'])}",
        f"WorkDir={job['current_working_directory']}",
    ]
    lines += [f"{label}={text}" for label, text in _optional_texts(job)]
    if job["batch_flag"]:
        lines += [
            # Slurm shows where stderr goes only when it was named
            f"StdErr={job['standard_error'] if job['standard_error_given'] else ''}",
            f"StdIn={job['standard_input']}",
            f"StdOut={job['standard_output']}",
        ]
    if job["minimum_switches"]:
        lines.append(f"Switches={job['minimum_switches']}@{duration(job['maximum_switch_wait_time'])}")
    flags = ["SpreadJob=Yes"] if job["spread_job"] else []
    if isinstance(job["kill_on_invalid_dependency"], bool):
        flags.insert(0, f"KillOnInvalidDependent={'Yes' if job['kill_on_invalid_dependency'] else 'No'}")
    if flags:
        lines.append(" ".join(flags))
    if isinstance(job["oom_kill_step"], int):
        lines.append(f"OOMKillStep={job['oom_kill_step']}")
    lines += [f"{label}={job[field]}" for label, field in TRES_LINES if job[field]]
    if job["mail_user"] or job["mail_type"]:
        mail_type = ",".join(job["mail_type"])
        lines.append(f"MailUser={job['mail_user'] or job['user_name']} MailType={mail_type or 'NONE'}")
    if job["tasks_per_tres"]:
        lines.append(f"NtasksPerTRES={job['tasks_per_tres']}")
    if job["segment_size"]:
        lines.append(f"SegmentSize={job['segment_size']}")
    return lines


TRES_LINES = (
    ("CpusPerTres", "cpus_per_tres"),
    ("MemPerTres", "memory_per_tres"),
    ("TresBind", "tres_bind"),
    ("TresFreq", "tres_freq"),
    ("TresPerJob", "tres_per_job"),
    ("TresPerNode", "tres_per_node"),
    ("TresPerSocket", "tres_per_socket"),
    ("TresPerTask", "tres_per_task"),
)


def _preemption(job: Row, moment: Callable[[str, str], str]) -> str:
    """Where jobs may be preempted: since when this one may be, and when it was."""
    return f"PreemptEligibleTime={moment('preemptable_time', 'Unknown')} PreemptTime={moment('preempt_time', 'None')}"


def _job_id_line(job: Row) -> str:
    ids = f"JobId={job['job_id']}"
    if job["array_job_id"]:
        throttle = f"%{job['array_max_tasks']}" if job["array_max_tasks"] and not job.get("one_task") else ""
        task = job["array_task_string"] + throttle if job["array_task_id"] is None else str(job["array_task_id"])
        ids += f" ArrayJobId={job['array_job_id']} ArrayTaskId={task}"
        if job["array_max_tasks"]:
            ids += f" ArrayTaskThrottle={job['array_max_tasks']}"
    elif job["het_job_id"]:
        ids += f" HetJobId={job['het_job_id']} HetJobOffset={job['het_job_offset']}"
    return f"{ids} JobName={job['name']}" + (f"\n   HetJobIdSet={job['het_job_id_set']}" if job["het_job_id"] else "")


def _node_count(job: Row, pending: bool) -> str:
    if not pending:
        return str(job["node_count"])
    if not job["max_nodes"]:
        return str(job["node_count"])
    return f"{job['node_count']}-{max(job['max_nodes'], job['node_count'])}"


def _cpu_count(job: Row, pending: bool) -> str:
    return f"{job['cpus']}-{job['max_cpus']}" if pending and job["max_cpus"] else str(job["cpus"])


def _resource_lines(resources: Iterable[Any]) -> list[str]:
    """Nodes that hold the same go together: `Nodes=node[01-02] CPU_IDs=0-3 Mem=2000 GRES=`."""
    groups: dict[tuple[str, int, str], list[str]] = {}
    for node, _, cpu_ids, memory, gres in resources:
        groups.setdefault((cpu_ids, memory, gres), []).append(node)
    return [
        f"Nodes={compress(nodes)} CPU_IDs={ids} Mem={memory} GRES={gres}"
        for (ids, memory, gres), nodes in groups.items()
    ]


def _optional_texts(job: Row) -> list[tuple[str, str]]:
    """Lines that are there only when there is something to say."""
    pairs = [
        ("AdminComment", job["admin_comment"]),
        ("SystemComment", job["system_comment"]),
        ("Comment", job["comment"]),
        ("Extra", job["extra"]),
        ("Container", job["container"]),
        ("ContainerID", job["container_id"]),
        ("BurstBuffer", job["burst_buffer"]),
        ("Power", job["power"]),
    ]
    return [(label, text) for label, text in pairs if text]


# -- steps ------------------------------------------------------------------------------------------------------------

STEP_NEEDS = list(STEP_FIELDS)


def step_lines(step: Row, time_format: TimeFormat) -> list[str]:
    name = job_name(step["job_id"], step["array_job_id"], step["array_task_id"])
    layout = f" Dist={step['distribution']}" if step["distribution"] else ""
    return [
        f"StepId={name}.{step['step_id']} UserId={step['user_id']} StartTime={clock(step['start_time'], time_format)}"
        f" TimeLimit={limit_text(step['time_limit'])}",
        f"State={step['job_state']} Partition={step['partition']} NodeList={step['nodes']}",
        f"Nodes={step['node_count']} CPUs={step['cpus']} Tasks={step['tasks']} Name={step['name']}"
        f" Network={null(step['network'])}",
        f"TRES={null(step['tres_alloc_str'])}",
        f"ResvPorts={null(step['resv_ports'])}",
        f"CPUFreqReq={step['cpu_freq'] or 'Default'}{layout}",
        f"SrunHost:Pid={null(step['srun_host'])}:{step['srun_pid']}",
    ]


# -- nodes ------------------------------------------------------------------------------------------------------------

NODE_NEEDS = list(NODE_FIELDS)


def node_lines(node: Row, time_format: TimeFormat, details: bool) -> list[str]:
    def moment(field: str) -> str:
        return clock(node[field], time_format) if node[field] else "None"

    free = "N/A" if node["free_mem"] is None else str(node["free_mem"])
    lines = [
        f"NodeName={node['name']} Arch={node['architecture']} CoresPerSocket={node['cores']} ",
        f"CPUAlloc={node['alloc_cpus']} CPUEfctv={node['effective_cpus']} CPUTot={node['cpus']}"
        f" CPULoad={node['cpu_load']:.2f}",
        f"AvailableFeatures={null(node['features'])}",
        f"ActiveFeatures={null(node['active_features'])}",
        f"Gres={null(node['gres'])}",
    ]
    if details and node["gres"]:
        lines += [f"GresDrain={node['gres_drained'] or 'N/A'}", f"GresUsed={node['gres_used']}"]
    lines += [
        f"NodeAddr={node['address']} NodeHostName={node['hostname']} Version={node['version']}",
        f"OS={node['operating_system']} ",
        f"RealMemory={node['real_memory']} AllocMem={node['alloc_memory']} FreeMem={free} Sockets={node['sockets']}"
        f" Boards={node['boards']}",
        f"State={full_state(node['state'], node['state_flags'])} ThreadsPerCore={node['threads']}"
        f" TmpDisk={node['temporary_disk']} Weight={node['weight']} Owner={node['owner'] or 'N/A'}"
        f" MCS_label={node['mcs_label'] or 'N/A'}",
        f"Partitions={','.join(node['partitions'])} ",
        f"BootTime={moment('boot_time')} SlurmdStartTime={moment('slurmd_start_time')}",
        f"LastBusyTime={moment('last_busy')} ResumeAfterTime={moment('resume_after')} SuspendTime=INFINITE",
        f"CfgTRES={node['tres']}",
        f"AllocTRES={node['tres_used']}",
        "CurrentWatts=0 AveWatts=0",
    ]
    if node["reservation"]:
        lines.append(f"ReservationName={node['reservation']}")
    if node["reason"]:
        lines.append(f"Reason={node['reason']} [{node['reason_set_by_user']}@{moment('reason_changed_at')}]")
    lines += [f"{label}={node[field]}" for label, field in (("Comment", "comment"), ("Extra", "extra")) if node[field]]
    return lines


# -- partitions -------------------------------------------------------------------------------------------------------

PARTITION_NEEDS = list(PARTITION_FIELDS)


def partition_lines(part: Row, time_format: TimeFormat) -> list[str]:
    def bound(field: str) -> str:
        return "UNLIMITED" if part[field] == UNLIMITED else str(part[field])

    def who(allowed: str, denied: str, word: str) -> str:
        """What is allowed counts first."""
        return f"Deny{word}={denied}" if denied and allowed == "ALL" else f"Allow{word}={allowed}"

    accounts = who(part["allow_accounts"], part["deny_accounts"], "Accounts")
    qos = who(part["allow_qos"], part["deny_qos"], "Qos")
    default_time = "NONE" if part["default_time"] is None else limit_text(part["default_time"])
    over = part["over_time_limit"]
    alternate = f" Alternate={part['alternate']}" if part["alternate"] else ""
    return [
        f"PartitionName={part['name']}",
        f"AllowGroups={part['allow_groups']} {accounts} {qos}",
        f"AllocNodes={part['allow_alloc_nodes']}{alternate} Default={yes_no(part['default'])}"
        f" QoS={part['qos'] or 'N/A'}",
        f"DefaultTime={default_time} DisableRootJobs={yes_no(part['disable_root_jobs'])} Exclusive={part['exclusive']}"
        f" GraceTime={part['grace_time']} Hidden={yes_no(part['hidden'])}",
        f"MaxNodes={bound('max_nodes')} MaxTime={limit_text(part['max_time'])} MinNodes={part['min_nodes']}"
        f" LLN={yes_no(part['lln'])} MaxCPUsPerNode={bound('max_cpus_per_node')}"
        f" MaxCPUsPerSocket={bound('max_cpus_per_socket')}",
        *([f"NodeSets={part['node_sets']}"] if part["node_sets"] else []),
        f"Nodes={part['nodes'] or '(null)'}",
        f"PriorityJobFactor={part['priority_job_factor']} PriorityTier={part['priority_tier']}"
        f" RootOnly={yes_no(part['root_only'])} ReqResv={yes_no(part['require_reservation'])}"
        f" OverSubscribe={part['oversubscribe']}",
        f"OverTimeLimit={'NONE' if over is None else bound('over_time_limit')} PreemptMode={part['preempt_mode']}",
        f"State={part['state']} TotalCPUs={part['total_cpus']} TotalNodes={part['total_nodes']}"
        f" SelectTypeParameters={part['select_type']}",
        "JobDefaults=(null)",
        _partition_memory(part),
        *([f"TRES={part['tres']}"] if part["tres"] else ["TRES=(null)"]),
        *([f"TRESBillingWeights={part['tres_billing_weights']}"] if part["tres_billing_weights"] else []),
    ]


def _partition_memory(part: Row) -> str:
    def pair(prefix: str, per_cpu: int | None, per_node: int | None) -> str:
        if per_cpu is not None:
            return f"{prefix}MemPerCPU={per_cpu}"
        return f"{prefix}MemPerNode={memory_limit(per_node)}"

    default = pair("Def", part["default_memory_per_cpu"], part["default_memory_per_node"])
    return f"{default} {pair('Max', part['max_memory_per_cpu'], part['max_memory_per_node'])}"


# -- licences ---------------------------------------------------------------------------------------------------------

LICENSE_NEEDS = [
    "name", "total", "used", "free", "reserved", "remote", "last_consumed", "last_deficit", "last_update",
]  # fmt: skip


def license_text(row: Row, one_line: bool) -> str:
    gap = " " if one_line else "\n    "
    told = ""
    if row["remote"]:
        told = (
            f"{gap}LastConsumed={row['last_consumed']} LastDeficit={row['last_deficit']}"
            f" LastUpdate={clock(row['last_update'])}"
        )
    return (
        f"LicenseName={row['name']}{gap}Total={row['total']} Used={row['used']} Free={row['free']}"
        f" Reserved={row['reserved']} Remote={'yes' if row['remote'] else 'no'}{told}\n"
    )
