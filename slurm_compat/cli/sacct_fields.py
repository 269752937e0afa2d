"""sacct's fields: name, width, what of the record each reads, its text; in the order in which names are looked up."""

from __future__ import annotations

from slurm_compat.cli import sacct_values as v
from slurm_compat.cli import usagevalues as u
from slurm_compat.core import timefmt
from slurm_compat.core.fieldprint import DATE, TEXT, WHOLE, Field

ID_KEYS = (
    "job_id", "array_job_id", "array_task_id", "array_task_string", "array_max_tasks", "het_job_id", "het_job_offset",
    "step_id",
)  # fmt: skip
STATE_KEYS = ("job_state", "state_flags", "kill_requid", "step_id")
TIME_KEYS = ("job_state", "start_time", "end_time", "step_id")


def _both(name: str, width: int, key: str, kind: str = TEXT) -> Field:
    return Field(name, width, (key,), v.plain(key), kind)


def _job(name: str, width: int, key: str, kind: str = TEXT) -> Field:
    return Field(name, width, (key, "step_id"), v.of_job(v.plain(key)), kind)


def _usage(name: str, width: int, shape: str, key: str) -> Field:
    """One measured value of a step."""

    def text(record: v.Record, view: v.View) -> str | None:
        usage = record["usage"]
        if shape == "memory":
            return u.memory(usage, key, view.units)
        if shape == "count":
            return u.count(usage, key, view.units)
        if shape == "disk":
            return u.disk(usage, key, view.units)
        return u.seconds(usage, key) if shape == "seconds" else u.name(usage, key)

    return Field(name, width, ("usage", "step_id"), v.of_step(text), WHOLE if name.endswith("Task") else TEXT)


def _list(name: str, width: int, direction: str, which: str, of: str = "") -> Field:
    def text(record: v.Record, view: v.View) -> str | None:
        return u.tres_list(record["usage"], direction, which, of, view.units, record["tasks"] or 1)

    return Field(name, width, ("usage", "tasks", "step_id"), v.of_step(text))


def _cpu(name: str, which: str) -> Field:
    def text(record: v.Record, view: v.View) -> str:
        # a job's time is that of its steps, which -X leaves out
        used = u.cpu_used(record["usage"], which) if view.steps or v.is_step(record) else 0
        return u.cpu_clock(used)

    return Field(name, 10, ("usage", "step_id"), text)


FIELDS = (
    _both("Account", 10, "account"),
    _job("AdminComment", 15, "admin_comment"),
    _both("AllocCPUS", 10, "allocated_cpus", WHOLE),
    _both("AllocNodes", 10, "allocated_nodes"),
    Field("AllocTRES", 10, ("tres_alloc_str",), v.tres("tres_alloc_str")),
    _both("AssocID", 7, "association_id", WHOLE),
    _usage("AveCPU", 10, "seconds", "ave_cpu"),
    Field("AveCPUFreq", 10, ("step_id",), v.of_step(v.constant("0"))),
    _usage("AveDiskRead", 14, "disk", "ave_disk_read"),
    _usage("AveDiskWrite", 14, "disk", "ave_disk_write"),
    _usage("AvePages", 10, "count", "ave_pages"),
    _usage("AveRSS", 10, "memory", "ave_rss"),
    _usage("AveVMSize", 10, "memory", "ave_vmsize"),
    Field("BlockID", 16, (), v.nothing),
    _both("Cluster", 10, "cluster"),
    _job("Comment", 14, "comment"),
    _job("Constraints", 19, "features"),
    Field("ConsumedEnergy", 14, (), v.constant("0")),
    Field("ConsumedEnergyRaw", 17, (), v.constant("0"), WHOLE),
    _both("Container", 19, "container"),
    Field("CPUTime", 10, ("cpu_time",), v.seconds("cpu_time"), WHOLE),
    _both("CPUTimeRAW", 10, "cpu_time", WHOLE),
    _both("DBIndex", -21, "db_index", WHOLE),
    Field("DerivedExitCode", 15, ("derived_exit_code", "step_id"), v.of_job(v.derived_exit_code)),
    Field("Elapsed", 10, ("elapsed",), v.seconds("elapsed"), WHOLE),
    _both("ElapsedRaw", 10, "elapsed", WHOLE),
    Field("Eligible", 19, ("eligible_time", "start_time", "step_id"), v.eligible, DATE),
    Field("End", 19, TIME_KEYS, v.end, DATE),
    Field("Exclusive", 14, ("exclusive", "step_id"), v.of_job(v.exclusive)),
    Field("ExitCode", 8, ("exit_code", "job_state", "step_id"), v.exit_code),
    _job("Extra", 14, "extra"),
    _job("FailedNode", 8, "failed_node"),
    Field("Flags", 19, ("scheduler", "step_id"), v.of_job(v.flags)),
    _job("GID", 6, "group_id", WHOLE),
    _job("Group", 9, "group_name"),
    Field("JobID", -12, ID_KEYS, v.job_id),
    Field("JobIDRaw", -12, ID_KEYS, v.job_id_raw),
    _both("JobName", 10, "name"),
    Field("Layout", 9, ("distribution", "step_id"), v.of_step(v.layout)),
    _job("Licenses", 10, "licenses"),
    _usage("MaxDiskRead", 12, "disk", "max_disk_read"),
    _usage("MaxDiskReadNode", 15, "name", "max_disk_read_node"),
    _usage("MaxDiskReadTask", 15, "name", "max_disk_read_task"),
    _usage("MaxDiskWrite", 12, "disk", "max_disk_write"),
    _usage("MaxDiskWriteNode", 16, "name", "max_disk_write_node"),
    _usage("MaxDiskWriteTask", 16, "name", "max_disk_write_task"),
    _usage("MaxPages", 8, "count", "max_pages"),
    _usage("MaxPagesNode", 12, "name", "max_pages_node"),
    _usage("MaxPagesTask", 14, "name", "max_pages_task"),
    _usage("MaxRSS", 10, "memory", "max_rss"),
    _usage("MaxRSSNode", 10, "name", "max_rss_node"),
    _usage("MaxRSSTask", 10, "name", "max_rss_task"),
    _usage("MaxVMSize", 10, "memory", "max_vmsize"),
    _usage("MaxVMSizeNode", 14, "name", "max_vmsize_node"),
    _usage("MaxVMSizeTask", 14, "name", "max_vmsize_task"),
    _job("McsLabel", 12, "mcs_label"),
    _usage("MinCPU", 10, "seconds", "min_cpu"),
    _usage("MinCPUNode", 10, "name", "min_cpu_node"),
    _usage("MinCPUTask", 10, "name", "min_cpu_task"),
    _both("NCPUS", 10, "allocated_cpus", WHOLE),
    _both("NNodes", 8, "node_count", WHOLE),
    Field("NodeList", 15, ("nodes",), v.nodes),
    Field("NTasks", 8, ("tasks", "step_id"), v.of_step(v.plain("tasks")), WHOLE),
    _both("OriginalSLUID", 14, "original_sluid", WHOLE),
    _job("OverSubscribe", 14, "shared"),
    _job("Partition", 10, "partition"),
    Field("Planned", 10, ("planned", "step_id"), v.of_job(v.seconds("planned")), WHOLE),
    Field("PlannedCPU", 10, ("planned", "required_cpus", "step_id"),
          v.of_job(lambda record, view: timefmt.duration(v.planned_cpu_seconds(record))), WHOLE),
    Field("PlannedCPURAW", 13, ("planned", "required_cpus", "step_id"),
          v.of_job(lambda record, view: str(v.planned_cpu_seconds(record))), WHOLE),
    _job("Priority", 10, "priority", WHOLE),
    _job("QOS", 10, "qos"),
    _job("QOSRAW", 6, "qos_id", WHOLE),
    _job("QOSREQ", 10, "qos_req"),
    Field("Reason", 22, ("state_reason", "step_id"), v.of_job(v.reason)),
    Field("ReqCPUFreq", 10, ("step_id",), v.cpu_frequency),
    Field("ReqCPUFreqGov", 13, ("step_id",), v.cpu_frequency),
    Field("ReqCPUFreqMax", 13, ("step_id",), v.cpu_frequency),
    Field("ReqCPUFreqMin", 13, ("step_id",), v.cpu_frequency),
    _both("ReqCPUS", 8, "required_cpus", WHOLE),
    Field("ReqMem", 10, ("required_memory", "step_id"), v.of_job(v.required_memory)),
    _both("ReqNodes", 8, "node_count", WHOLE),
    Field("ReqTRES", 10, ("tres_req_str", "step_id"), v.of_job(v.tres("tres_req_str"))),
    _job("Reservation", 20, "resv_name"),
    Field("ReservationId", 8, ("reservation_id", "step_id"), v.of_job(v.optional_number("reservation_id")), WHOLE),
    _job("ReqReservation", 20, "resv_name"),
    _job("Restarts", 8, "restart_cnt", WHOLE),
    Field("SegmentSize", 11, ("segment_size", "step_id"), v.of_job(v.optional_number("segment_size")), WHOLE),
    _both("SLUID", 14, "sluid", WHOLE),
    Field("Start", 19, TIME_KEYS, v.start, DATE),
    Field("State", 10, STATE_KEYS, v.state),
    Field("StdErr", 20, ("standard_error", "standard_error_given", "batch_flag", "step_id"),
          v.of_job(v.standard_error)),
    Field("StdIn", 20, ("standard_input_given", "batch_flag", "step_id"), v.of_job(v.standard_input)),
    Field("StdOut", 20, ("standard_output", "standard_output_given", "array_job_id", "batch_flag", "step_id"),
          v.of_job(v.standard_output)),
    Field("Submit", 19, ("submit_time", "start_time", "step_id"), v.submit, DATE),
    _both("SubmitLine", 20, "submit_line"),
    Field("Suspended", 10, ("suspended",), v.seconds("suspended"), WHOLE),
    _job("SystemComment", 15, "system_comment"),
    _cpu("SystemCPU", "system_cpu"),
    Field("Timelimit", 10, ("time_limit", "step_id"), v.of_job(v.time_limit)),
    Field("TimelimitRaw", 10, ("time_limit", "step_id"), v.of_job(v.time_limit_raw)),
    _cpu("TotalCPU", ""),
    *(_list(*row) for row in u.TRES_LISTS),
    _job("UID", 6, "user_id", WHOLE),
    _job("User", 9, "user_name"),
    _cpu("UserCPU", "user_cpu"),
    _job("WCKey", 10, "wckey"),
    _job("WCKeyID", 10, "wckey_id", WHOLE),
    _job("WorkDir", 20, "current_working_directory"),
)  # fmt: skip

DEFAULT = "jobid,jobname,partition,account,alloccpus,state,exitcode"
BRIEF = "jobid,state,exitcode"
LONG = (
    "jobid,jobidraw,jobname,partition,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,"
    "averss,maxpages,maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,alloccpus,elapsed,"
    "state,exitcode,avecpufreq,reqcpufreqmin,reqcpufreqmax,reqcpufreqgov,reqmem,consumedenergy,maxdiskread,"
    "maxdiskreadnode,maxdiskreadtask,avediskread,maxdiskwrite,maxdiskwritenode,maxdiskwritetask,avediskwrite,reqtres,"
    "alloctres,tresusageinave,tresusageinmax,tresusageinmaxnode,tresusageinmaxtask,tresusageinmin,tresusageinminnode,"
    "tresusageinmintask,tresusageintot,tresusageoutmax,tresusageoutmaxnode,tresusageoutmaxtask,tresusageoutave,"
    "tresusageouttot"
)
