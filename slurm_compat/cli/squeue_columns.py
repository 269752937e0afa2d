"""The columns of squeue: one row a column, for jobs and for steps.

Rows stand in the order of --helpFormat. Source: squeue(1), --format and --Format; observed on 26.05.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from slurm_compat.core import taskids
from slurm_compat.core.columns import (
    BOTH, SETTINGS, VALUE, WIDTH, Cell, Column, as_is, by_letter, by_name, flag, or_null,
)  # fmt: skip
from slurm_compat.core.jobid import job_name
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.sizes import mem_text
from slurm_compat.core.states import COMPLETING, PENDING, compact_state, shown_state
from slurm_compat.core.timefmt import clock, short_duration, time_format_error

LONGEST_RUN_MIN = 365 * 24 * 60  # what a started job without a limit is given
ID_BYTES = 31  # an array's id is cut there unless SLURM_BITSTR_LEN is set
TASK_BYTES = 64  # SLURM_BITSTR_LEN when it is not set
REASON_INSTEAD = {PENDING, "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "FAILED"}  # %R tells these jobs' reason, not nodes


class Settings(NamedTuple):
    """What of the command line and the environment changes how values look."""

    now: float = 0.0
    time_format: str = ""
    convert: bool = True  # 2048M as 2G
    bitstr_len: int | None = None  # SLURM_BITSTR_LEN, None when not set
    expand: bool = False  # --expand-patterns
    cluster: str = ""
    complain: Callable[[str], None] = lambda text: None

    def moment(self, epoch: int) -> str:
        if not epoch:
            return "N/A"
        if self.time_format and (problem := time_format_error(self.time_format)):
            self.complain(problem)
            return clock(epoch)
        return _clock(epoch, self.time_format, int(self.now))


@lru_cache(maxsize=8192)
def _clock(epoch: int, time_format: str, now: int) -> str:
    return clock(epoch, time_format or "standard", now)


# identity


def tasks_text(settings: Settings, task: int | None, waiting: str, throttle: int) -> str:
    if task is not None:
        return str(task)
    if not waiting:
        return "N/A"
    size = TASK_BYTES if settings.bitstr_len is None else settings.bitstr_len
    text = taskids.shortened(waiting, size)
    return f"{text}%{throttle}" if throttle else text


def id_text(
    settings: Settings,
    job_id: int,
    array_job_id: int,
    task: int | None,
    waiting: str,
    throttle: int,
    het_job_id: int,
    offset: int,
) -> str:
    if task is None and waiting:
        text = f"{array_job_id or job_id}_[{tasks_text(settings, None, waiting, throttle)}]"
        return text if settings.bitstr_len is not None else text[:ID_BYTES]
    return job_name(job_id, array_job_id, task, het_job_id, offset)


ID_FIELDS = (
    SETTINGS, "job_id", "array_job_id", "array_task_id", "array_task_string", "array_max_tasks",
    "het_job_id", "het_job_offset",
)  # fmt: skip


def array_id(job_id: int, array_job_id: int) -> int:
    return array_job_id or job_id


def het_text(value: Any, het_job_id: int) -> Any:
    return value if het_job_id else "N/A"


# what is absent


def or_na(value: Any) -> Any:
    return value or "N/A"


def or_star(value: int | None) -> Any:
    return "*" if value is None else value


def or_zero(value: int | None) -> int:
    return value or 0


def none_as_na(value: int | None) -> Any:
    return "N/A" if value is None else value


def shape_text(sockets: int | None, cores: int | None, threads: int | None) -> str:
    return f"{or_star(sockets)}:{or_star(cores)}:{or_star(threads)}"


def max_nodes_text(max_nodes: int, tasks: int, nodes: int) -> int:
    return max_nodes or max(tasks, nodes)


def max_cpus_text(max_cpus: int, cpus: int) -> int:
    return max_cpus or cpus


def batch_host_text(host: str) -> str:
    return host or "n/a"


def yes_no(value: bool) -> str:
    return "Yes" if value else "No"


def not_federated() -> str:
    return "NA"


def zero() -> int:
    return 0


def nothing() -> str:
    return "(null)"


def profile_text(profile: str) -> str:
    return ",".join(word.capitalize() for word in profile.split(",")) if profile else "NotSet"


# time


def moment_text(settings: Settings, epoch: int) -> str:
    return settings.moment(epoch)


def end_text(settings: Settings, state: str, end: int, start: int, limit: int) -> str:
    """Of a pending job with an expected start: when it would end."""
    if state == PENDING and not end and start:
        end = start + (LONGEST_RUN_MIN if limit >= UNLIMITED else limit) * 60
    return settings.moment(end)


def limit_text(width: int, limit: int) -> str:
    if limit >= UNLIMITED:
        return "UNLIMITED"[: width or None]
    return short_duration(limit * 60)


def left_text(width: int, limit: int, used: int) -> str:
    if limit >= UNLIMITED:
        return "UNLIMITED"[: width or None]
    return short_duration(limit * 60 - used)


def minutes_text(limit: int) -> str:
    return short_duration(limit * 60)


def pending_seconds(settings: Settings, submitted: int, start: int, state: str) -> int:
    if state != PENDING and start:
        return start - submitted
    return max(int(settings.now) - submitted, 0)


def priority_text(weight: float) -> str:
    return f"{weight:16.14f}"


# state


def compact_text(state: str, flags: list[str]) -> str:
    return compact_state(state, flags)


def state_text(state: str, flags: list[str]) -> str:
    return shown_state(state, flags)


def reason_text(reason: str, description: str) -> str:
    return description or reason


def nodes_or_reason(width: int, state: str, flags: list[str], nodes: str, reason: str, description: str) -> str:
    if state in REASON_INSTEAD and COMPLETING not in flags:
        return f"({description or reason})"[: width or None]
    return nodes


def exit_text(status: int) -> str:
    return f"{os.waitstatus_to_exitcode(status) if not status & 0x7F else 0}:{status & 0x7F}"


# size


def mem(settings: Settings, mib: int) -> str:
    if settings.convert or not mib:
        return mem_text(mib)
    return f"{mib}M"


def memory_text(settings: Settings, per_node: int | None, per_cpu: int | None, per_tres: str) -> str:
    if per_node is not None:
        return mem(settings, per_node)
    if per_cpu is not None:
        return mem(settings, per_cpu)
    amount = per_tres.rpartition(":")[2]
    return mem(settings, int(amount)) if amount.isdigit() else "0"


def tres_text(allocated: str, requested: str) -> str:
    return allocated or requested or "N/A"


# files


def output_text(settings: Settings, batch: bool, given: str, expanded: str, cwd: str, array_job_id: int) -> str:
    """--output as the user gave it; the default's name when none was given."""
    if not batch:
        return "(null)"
    if settings.expand:
        return expanded or "(null)"
    if given:
        return os.path.join(cwd, given)
    return "slurm-%A_%a.out" if array_job_id else "slurm-%j.out"


def error_text(settings: Settings, given: str, expanded: str, cwd: str) -> str:
    if not given:
        return "(null)"
    return expanded if settings.expand else os.path.join(cwd, given)


def input_text(settings: Settings, batch: bool, given: str, expanded: str, cwd: str) -> str:
    if not batch:
        return "(null)"
    if settings.expand or not given:
        return expanded or "/dev/null"
    return os.path.join(cwd, given)


JOB_COLUMNS = (
    #      -O name            -o   header             fields, text
    Column("Account",          "a", "ACCOUNT",         ("account",), or_null),
    Column("AccrueTime",       "",  "ACCRUE_TIME",     (SETTINGS, "accrue_time"), moment_text),
    Column("admin_comment",    "",  "ADMIN_COMMENT",   ("admin_comment",), or_null),
    Column("AllocNodes",       "",  "ALLOC_NODES",     ("allocating_node",), or_null),
    Column("AllocSID",         "",  "ALLOC_SID",       ("allocating_sid",)),
    Column("ArrayJobId",       "F", "ARRAY_JOB_ID",    ("job_id", "array_job_id"), array_id),
    Column("ArrayTaskId",      "K", "ARRAY_TASK_ID",
           (SETTINGS, "array_task_id", "array_task_string", "array_max_tasks"), tasks_text),
    Column("AssocId",          "",  "ASSOC_ID",        ("association_id",)),
    Column("BatchFlag",        "",  "BATCH_FLAG",      ("batch_flag",), flag),
    Column("BatchHost",        "B", "EXEC_HOST",       ("batch_host",), batch_host_text),
    Column("BoardsPerNode",    "",  "BOARDS_PER_NODE", (), zero),
    Column("BurstBuffer",      "",  "BURST_BUFFER",    ("burst_buffer",), or_null),
    Column("BurstBufferState", "",  "BURST_BUFFER_STATE", (), nothing),
    Column("Cluster",          "",  "CLUSTER",         ("cluster",), or_null),
    Column("ClusterFeature",   "",  "CLUSTER_FEATURES", ("cluster_features",), or_null),
    Column("Command",          "o", "COMMAND",         ("command",), or_null),
    Column("Comment",          "k", "COMMENT",         ("comment",), or_null),
    Column("Container",        "",  "CONTAINER",       ("container",), or_null),
    Column("ContainerId",      "",  "CONTAINERID",     ("container_id",), or_null),
    Column("ContainerType",    "",  "CONTAINERTYPE",   (), nothing),
    Column("Contiguous",       "O", "CONTIGUOUS",      ("contiguous",), flag),
    Column("Cores",            "I", "CORES_PER_SOCKET", ("cores_per_socket",), or_star),
    Column("CoreSpec",         "X", "CORE_SPEC",       ("core_spec",), none_as_na),
    Column("CPUsPerTask",      "",  "CPUS_PER_TASK",   ("cpus_per_task",)),
    Column("cpus-per-task",    "",  "CPUS_PER_TASK",   ("cpus_per_task",)),
    Column("cpus-per-tres",    "",  "CPUS_PER_TRES",   ("cpus_per_tres",), or_na),
    Column("CronJob",          "",  "CRON_JOB",        ("cron",), yes_no),
    Column("Deadline",         "",  "DEADLINE",        (SETTINGS, "deadline"), moment_text),
    Column("DelayBoot",        "",  "DELAY_BOOT",      ("delay_boot",), short_duration),
    Column("Dependency",       "E", "DEPENDENCY",      ("dependency",), or_null),
    Column("DerivedEC",        "",  "DERIVED_EC",      ("derived_exit_code",), exit_text),
    Column("EligibleTime",     "",  "ELIGIBLE_TIME",   (SETTINGS, "eligible_time"), moment_text),
    Column("EndTime",          "e", "END_TIME",
           (SETTINGS, "job_state", "end_time", "start_time", "time_limit"), end_text),
    Column("ExcNodes",         "x", "EXC_NODES",       ("excluded_nodes",), as_is, VALUE),
    Column("Exclusive",        "",  "EXCLUSIVE",       ("exclusive",)),
    Column("exit_code",        "",  "EXIT_CODE",       ("exit_code",), exit_text),
    Column("Feature",          "f", "FEATURES",        ("features",), or_null),
    Column("GroupId",          "G", "GROUP",           ("group_id",)),
    Column("GroupName",        "g", "GROUP",           ("group_name",)),
    Column("HetJobId",         "",  "HET_JOB_ID",      ("het_job_id", "het_job_id"), het_text),
    Column("HetJobIdSet",      "",  "HET_JOB_ID_SET",  ("het_job_id_set", "het_job_id"), het_text),
    Column("HetJobOffset",     "",  "HET_JOB_OFFSET",  ("het_job_offset", "het_job_id"), het_text),
    Column("JobArrayId",       "i", "JOBID",           ID_FIELDS, id_text),
    Column("JobId",            "A", "JOBID",           ("job_id",)),
    Column("LastSchedEval",    "",  "LAST_SCHED_EVAL", (SETTINGS, "last_sched_evaluation"), moment_text),
    Column("Licenses",         "W", "LICENSES",        ("licenses",), or_null),
    Column("LicensesAlloc",    "",  "LICENSES_ALLOC",  ("licenses_allocated",), or_null),
    Column("MaxCPUs",          "",  "MAX_CPUS",        ("max_cpus", "cpus"), max_cpus_text),
    Column("MaxNodes",         "",  "MAX_NODES",       ("max_nodes", "tasks", "node_count"), max_nodes_text),
    Column("mem-per-tres",     "",  "MEM_PER_TRES",    ("memory_per_tres",), or_na),
    Column("MCSLabel",         "",  "MCSLABEL",        ("mcs_label",), or_null),
    Column("MinCPUs",          "c", "MIN_CPUS",        ("minimum_cpus_per_node",)),
    Column("MinMemory",        "m", "MIN_MEMORY",
           (SETTINGS, "memory_per_node", "memory_per_cpu", "memory_per_tres"), memory_text),
    Column("MinTime",          "",  "TIME_MIN",        ("time_minimum",), minutes_text),
    Column("MinTmpDisk",       "d", "MIN_TMP_DISK",    (SETTINGS, "minimum_tmp_disk_per_node"), mem),
    Column("Name",             "j", "NAME",            ("name",), or_null),
    Column("Network",          "",  "NETWORK",         ("network",), or_null),
    Column("Nice",             "y", "NICE",            ("nice",)),
    Column("NodeList",         "N", "NODELIST",        ("nodes",), as_is, BOTH),
    Column("NTPerCore",        "",  "NTASKS_PER_CORE", ("tasks_per_core",), none_as_na),
    Column("NTPerNode",        "",  "NTASKS_PER_NODE", ("tasks_per_node",), or_zero),
    Column("NTPerSocket",      "",  "NTASKS_PER_SOCKET", ("tasks_per_socket",), none_as_na),
    Column("NTPerBoard",       "",  "NTASKS_PER_BOARD", ("tasks_per_board",), or_zero),
    Column("NumCPUs",          "C", "CPUS",            ("cpus",)),
    Column("NumNodes",         "D", "NODES",           ("node_count",)),
    Column("NumTasks",         "",  "TASKS",           ("tasks",)),
    Column("Origin",           "",  "ORIGIN",          (), not_federated),
    Column("OriginRaw",        "",  "ORIGIN_RAW",      (), not_federated),
    Column("OverSubscribe",    "h", "OVER_SUBSCRIBE",  ("shared",)),
    Column("Partition",        "P", "PARTITION",       ("partition",), or_null),
    Column("PendingTime",      "",  "PENDING_TIME",
           (SETTINGS, "submit_time", "start_time", "job_state"), pending_seconds),
    Column("PreemptTime",      "",  "PREEMPT_TIME",    (SETTINGS, "preempt_time"), moment_text),
    Column("Prefer",           "",  "PREFER",          ("prefer",), or_null),
    Column("Priority",         "p", "PRIORITY",        ("priority_weight",), priority_text),
    Column("PriorityLong",     "Q", "PRIORITY",        ("priority",)),
    Column("Profile",          "",  "PROFILE",         ("profile",), profile_text),
    Column("QOS",              "q", "QOS",             ("qos",), or_null),
    Column("Reason",           "r", "REASON",          ("state_reason", "state_description"), reason_text),
    Column("ReasonList",       "R", "NODELIST(REASON)",
           (WIDTH, "job_state", "state_flags", "nodes", "state_reason", "state_description"), nodes_or_reason, BOTH),
    Column("Reboot",           "",  "REBOOT",          ("reboot",), flag),
    Column("ReqNodes",         "n", "REQ_NODES",       ("required_nodes",), as_is, VALUE),
    Column("ReqSwitch",        "",  "REQ_SWITCH",      ("minimum_switches",)),
    Column("Requeue",          "",  "REQUEUE",         ("requeue",), flag),
    Column("Reservation",      "v", "RESERVATION",     ("resv_name",), or_null),
    Column("ResizeTime",       "",  "RESIZE_TIME",     (SETTINGS, "resize_time"), moment_text, VALUE),
    Column("RestartCnt",       "",  "RESTART_COUNT",   ("restart_cnt",)),
    Column("SchedNodes",       "Y", "SCHEDNODES",      ("scheduled_nodes",), or_null, BOTH),
    Column("SCT",              "z", "S:C:T",
           ("sockets_per_node", "cores_per_socket", "threads_per_core"), shape_text),
    Column("SegmentSize",      "",  "SEGMENT_SIZE",    ("segment_size",), or_na),
    Column("SiblingsActive",   "",  "ACTIVE_SIBLINGS", (), not_federated),
    Column("SiblingsActiveRaw", "", "ACTIVE_SIBLINGS_RAW", (), not_federated),
    Column("SiblingsViable",   "",  "VIABLE_SIBLINGS", (), not_federated),
    Column("SiblingsViableRaw", "", "VIALBLE_SIBLINGS_RAW", (), not_federated),  # the real header's own spelling
    Column("SLUID",            "s", "SLUID",           ("sluid",), or_null),
    Column("Sockets",          "H", "SOCKETS_PER_NODE", ("sockets_per_node",), or_star),
    Column("SPerBoard",        "",  "SOCKETS_PER_BOARD", (), zero),
    Column("StartTime",        "S", "START_TIME",      (SETTINGS, "start_time"), moment_text),
    Column("State",            "T", "STATE",           ("job_state", "state_flags"), state_text),
    Column("StateCompact",     "t", "ST",              ("job_state", "state_flags"), compact_text),
    Column("StdErr",           "",  "STDERR",
           (SETTINGS, "standard_error_given", "standard_error", "current_working_directory"), error_text),
    Column("StdIn",            "",  "STDIN",
           (SETTINGS, "batch_flag", "standard_input_given", "standard_input", "current_working_directory"), input_text),
    Column("StdOut",           "",  "STDOUT",
           (SETTINGS, "batch_flag", "standard_output_given", "standard_output", "current_working_directory",
            "array_job_id"), output_text),
    Column("SubmitTime",       "V", "SUBMIT_TIME",     (SETTINGS, "submit_time"), moment_text),
    Column("system_comment",   "",  "SYSTEM_COMMENT",  ("system_comment",), or_null),
    Column("Threads",          "J", "THREADS_PER_CORE", ("threads_per_core",), or_star),
    Column("TimeLeft",         "L", "TIME_LEFT",       (WIDTH, "time_limit", "run_time"), left_text, VALUE),
    Column("TimeLimit",        "l", "TIME_LIMIT",      (WIDTH, "time_limit"), limit_text, VALUE),
    Column("TimeUsed",         "M", "TIME",            ("run_time",), short_duration, VALUE),
    Column("tres-alloc",       "",  "TRES_ALLOC",      ("tres_alloc_str", "tres_req_str"), tres_text),
    Column("tres-bind",        "",  "TRES_BIND",       ("tres_bind",), or_na),
    Column("tres-freq",        "",  "TRES_FREQ",       ("tres_freq",), or_na),
    Column("tres-per-job",     "",  "TRES_PER_JOB",    ("tres_per_job",), or_na),
    Column("tres-per-socket",  "",  "TRES_PER_SOCKET", ("tres_per_socket",), or_na),
    Column("tres-per-task",    "",  "TRES_PER_TASK",   ("tres_per_task",), or_na),
    Column("UserId",           "U", "UID",             ("user_id",)),
    Column("UserName",         "u", "USER",            ("user_name",)),
    Column("Wait4Switch",      "",  "WAIT4SWITCH",     ("maximum_switch_wait_time",), short_duration),
    Column("WCKey",            "w", "WCKEY",           ("wckey",), or_null),
    Column("WorkDir",          "Z", "WORK_DIR",        ("current_working_directory",), or_null),
)  # fmt: skip

# Names that work and are not listed: other columns' former names, and what only steps have beside jobs.
UNLISTED_JOB_COLUMNS = (
    Column("tres-per-node",    "b", "TRES_PER_NODE",   ("tres_per_node",), or_na),
    Column("Gres",             "",  "TRES_PER_NODE",   ("tres_per_node",), or_na),
    Column("Shared",           "",  "OVER_SUBSCRIBE",  ("shared",)),
    Column("Tres",             "",  "TRES_ALLOC",      ("tres_alloc_str", "tres_req_str"), tres_text),
    Column("PackJobId",        "",  "HET_JOB_ID",      ("het_job_id", "het_job_id"), het_text),
    Column("PackJobIdSet",     "",  "HET_JOB_ID_SET",  ("het_job_id_set", "het_job_id"), het_text),
    Column("PackJobOffset",    "",  "HET_JOB_OFFSET",  ("het_job_offset", "het_job_id"), het_text),
)  # fmt: skip


def step_id_text(job_id: int, array_job_id: int, task: int | None, step_id: str) -> str:
    return f"{job_name(job_id, array_job_id, task)}.{step_id}"


def cpu_freq_text(cpu_freq: str, step_id: str) -> str:
    """min-max:governor. Only srun's steps have any to tell."""
    return cpu_freq or ("Unknown-Unknown:Unknown" if step_id.isdigit() else "0-0:0")


def step_cpus(cpus: int, step_id: str) -> int:
    return cpus if step_id.isdigit() else 0


STEP_COLUMNS = (
    Column("ArrayJobId",       "",  "ARRAY_JOB_ID",    ("array_job_id",)),
    Column("ArrayTaskId",      "",  "ARRAY_TASK_ID",   ("array_task_id",), none_as_na),
    Column("Cluster",          "",  "CLUSTER",         (SETTINGS,), lambda settings: settings.cluster),
    Column("Container",        "",  "CONTAINER",       ("container",), or_null),
    Column("ContainerId",      "",  "CONTAINERID",     ("container_id",), or_null),
    Column("ContainerType",    "",  "CONTAINERTYPE",   (), nothing),
    Column("CPUFreq",          "",  "CPU_FREQ",        ("cpu_freq", "step_id"), cpu_freq_text),
    Column("cpus-per-tres",    "",  "CPUS_PER_TRES",   (), nothing),
    Column("Gres",             "",  "TRES_PER_JOB",    ("tres_per_node",), or_null),
    Column("JobId",            "",  "JOB_ID",          ("job_id",)),
    Column("mem-per-tres",     "",  "MEM_PER_TRES",    (), nothing),
    Column("Network",          "",  "NETWORK",         ("network",), or_null),
    Column("Nodes",            "N", "NODELIST",        ("nodes",), as_is, BOTH),
    Column("NumCPUs",          "",  "NUM_CPUS",        ("cpus", "step_id"), step_cpus),
    Column("NumTasks",         "A", "TASKS",           ("tasks",)),
    Column("Partition",        "P", "PARTITION",       ("partition",), or_null),
    Column("ResvPorts",        "",  "RESERVED_PORTS",  ("resv_ports",), or_null),
    Column("StartTime",        "S", "START_TIME",      (SETTINGS, "start_time"), moment_text),
    Column("StdErr",           "",  "STDERR",          ("standard_error",)),
    Column("StdIn",            "",  "STDIN",           ("standard_input",)),
    Column("StdOut",           "",  "STDOUT",          ("standard_output",)),
    Column("StepId",           "i", "STEPID",          ("job_id", "array_job_id", "array_task_id", "step_id"),
           step_id_text),
    Column("StepName",         "j", "NAME",            ("name",), or_null),
    Column("StepState",        "",  "STATE",           ("job_state",)),
    Column("TimeLimit",        "l", "TIME_LIMIT",      (WIDTH, "time_limit"), limit_text, VALUE),
    Column("TimeUsed",         "M", "TIME",            ("run_time",), short_duration, VALUE),
    Column("tres-bind",        "",  "TRES_BIND",       (), nothing),
    Column("tres-freq",        "",  "TRES_FREQ",       (), nothing),
    Column("tres-per-job",     "",  "TRES_PER_STEP",   ("tres_per_step",), or_null),
    Column("tres-per-node",    "b", "TRES_PER_JOB",    ("tres_per_node",), or_null),
    Column("tres-per-socket",  "",  "TRES_PER_SOCKET", (), nothing),
    Column("tres-per-step",    "",  "TRES_PER_STEP",   ("tres_per_step",), or_null),
    Column("tres-per-task",    "",  "TRES_PER_TASK",   (), nothing),
    Column("UserId",           "U", "UID",             ("user_id",)),
    Column("UserName",         "u", "USER",            ("user_name",)),
)  # fmt: skip

JOBS_BY_LETTER = by_letter(JOB_COLUMNS + UNLISTED_JOB_COLUMNS)
JOBS_BY_NAME = by_name(JOB_COLUMNS + UNLISTED_JOB_COLUMNS)
STEPS_BY_LETTER = by_letter(STEP_COLUMNS)
STEPS_BY_NAME = by_name(STEP_COLUMNS)
JOBS_MISSING = next(column for column in JOB_COLUMNS if not column.letter)
STEPS_MISSING = next(column for column in STEP_COLUMNS if not column.letter)


def all_cells(table: dict[str, Column]) -> list[Cell | str]:
    """%all: every letter's column in alphabetical order, small letters first, a bar between them."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [Cell(table[letter], suffix="" if letter == "Z" else "|") for letter in letters if letter in table]
