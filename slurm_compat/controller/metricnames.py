"""The metrics that a scraper finds, by page: names and help lines as 26.05's metrics/openmetrics has them, and how each
is known here.

A row of jobs is a test of one job; a row of nodes a test of one node; the scheduler's rows name a figure of sdiag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.node import Node
from slurm_compat.core import nodestates, states

JobTest = Callable[[Job], bool]
NodeTest = Callable[[Node], bool]


class JobMetric(NamedTuple):
    suffix: str
    help: str
    value: Callable[[Job, int], int]  # of a job that stands for this many


def _count(test: JobTest) -> Callable[[Job, int], int]:
    return lambda job, stands_for: stands_for if test(job) else 0


def _state(suffix: str, word: str, *bases: str) -> JobMetric:
    return JobMetric(suffix, f"Number of jobs in {word} state", _count(lambda job: job.state in bases))


def _flag(suffix: str, help_line: str, flag: str) -> JobMetric:
    return JobMetric(suffix, help_line, _count(lambda job: flag in job.flags))


def _allocated(suffix: str, help_line: str, amount: Callable[[Job], int]) -> JobMetric:
    return JobMetric(suffix, help_line, lambda job, stands_for: amount(job) if job.is_running else 0)


def gpus_of(job: Job) -> int:
    total = 0
    for part in job.tres_alloc_str.split(","):
        name, _, amount = part.partition("=")
        if name == "gres/gpu":
            total += int(amount)
    return total


def _held(job: Job) -> bool:
    return job.state == states.PENDING and bool(job.hold)


def _started(job: Job) -> bool:
    return job.state != states.PENDING and bool(job.start_time)


JOBS = (
    _state("bootfail", "BootFail", states.BOOT_FAIL),
    _state("cancelled", "Cancelled", states.CANCELLED),
    _state("completed", "Completed", states.COMPLETED),
    _flag("completing", "Number of jobs in Completing state", states.COMPLETING),
    _flag("configuring", "Number of jobs in Configuring state", states.CONFIGURING),
    _allocated("cpus_alloc", "Total number of Cpus allocated by jobs", lambda job: job.cpus),
    _state("deadline", "Deadline", states.DEADLINE),
    _flag("expediting", "Number of jobs in Expediting state", "EXPEDITING"),
    _state("failed", "Failed", states.FAILED),
    _flag("fed_requeued", "Number of jobs requeued in a federation", states.REQUEUE_FED),
    JobMetric("finished", "Number of finished jobs", _count(lambda job: job.is_final)),
    _allocated("gpus_alloc", "Total number of GPUs allocated by jobs", gpus_of),
    JobMetric("hold", "Number of jobs in Hold state", _count(_held)),
    JobMetric("", "Total number of jobs", _count(lambda job: True)),
    # in MiB, whatever the words say: so the real one has it
    _allocated("memory_alloc", "Total memory bytes allocated by jobs", lambda job: sum(r[3] for r in job.resources)),
    _state("node_failed", "Node Failed", states.NODE_FAIL),
    _allocated("nodes_alloc", "Total number of nodes allocated by jobs", lambda job: job.node_count),
    _state("outofmemory", "Out of Memory", states.OUT_OF_MEMORY),
    _state("pending", "Pending", states.PENDING),
    _flag("powerup_node", "Number of jobs in PowerUp Node state", "POWER_UP_NODE"),
    _state("preempted", "Preempted", states.PREEMPTED),
    _flag("requeued", "Number of jobs in Requeued state", states.REQUEUED),
    _flag("resizing", "Number of jobs in Resizing state", states.RESIZING),
    _flag("revoked", "Number of jobs revoked", states.REVOKED),
    _state("running", "Running", states.RUNNING),
    _flag("signaling", "Number of jobs being signaled", states.SIGNALING),
    _flag("stageout", "Number of jobs in StageOut state", states.STAGE_OUT),
    JobMetric("started", "Number of started jobs", _count(_started)),
    _state("suspended", "Suspended", states.SUSPENDED),
    _state("timeout", "Timeout", states.TIMEOUT),
)  # fmt: skip


# where a page words a help line differently; None: the page has no such metric
ON_JOBS: dict[str, str | None] = {"revoked": "Number of jobs in Rvoked state"}
ON_PARTITIONS: dict[str, str | None] = {
    "": "Number of jobs in this partition",
    "finished": "Number of jobs in Finished",
    "nodes_alloc": None,
    "revoked": "Number of revoked jobs",
    "signaling": "Number of jobs in Signaling state",
    "started": "Number of jobs started",
}


class NodeMetric(NamedTuple):
    suffix: str  # in slurm_nodes_SUFFIX
    help: str  # "": on the page of partitions alone
    test: NodeTest
    partition: str = ""  # its suffix in slurm_partition_nodes_SUFFIX, where that is another
    partition_help: str = ""


def _base(suffix: str, word: str, base: str, partition_help: str) -> NodeMetric:
    # a node counts by its base state only while it isn't drained, as sinfo would show it
    return NodeMetric(suffix, f"Number of nodes in {word} state", lambda node: node.state == base, "", partition_help)


def _node_flag(suffix: str, help_line: str, flag: str, partition_help: str, partition: str = "") -> NodeMetric:
    return NodeMetric(suffix, help_line, lambda node: flag in node.state_flags, partition, partition_help)


def _busy(node: Node) -> bool:
    return bool(node.held)


NODES = (
    _base("alloc", "Allocated", nodestates.ALLOCATED, "Nodes allocated"),
    _node_flag("blocked", "Number of nodes in Blocked state", nodestates.BLOCKED, "Nodes blocked"),
    _node_flag("completing", "Number of nodes with Completing flag", nodestates.COMPLETING, "Nodes in completing state",
               "cg"),
    _node_flag("cloud", "Number of Cloud nodes", nodestates.CLOUD, "Cloud nodes"),
    _base("down", "Down", nodestates.DOWN, "Nodes in Down state"),
    _node_flag("drain", "Number of nodes with Drain flag", nodestates.DRAIN, "Nodes in Drain state"),
    NodeMetric("drained", "Number of drained nodes",
               lambda node: nodestates.DRAIN in node.flags and not _busy(node), "", "Nodes in Drained state"),
    NodeMetric("draining", "Number of nodes in draining condition (Drain state with active jobs)",
               lambda node: nodestates.DRAIN in node.flags and _busy(node), "",
               "Number of nodes in draining condition (Drain state with active jobs)"),
    _node_flag("dyn_future", "Number of future dynamic nodes", nodestates.DYNAMIC_FUTURE,
               "Dynamic nodes in Future state"),
    _node_flag("dyn_normal", "Number of dynamic nodes", nodestates.DYNAMIC_NORM, "Dynamic nodes"),
    _node_flag("external", "Number of external nodes", nodestates.EXTERNAL, "External nodes"),
    _node_flag("fail", "Number of nodes with Fail flag", nodestates.FAIL, "Nodes in Fail state"),
    _base("future", "Future", nodestates.FUTURE, "Nodes in Future state"),
    _base("idle", "Idle", nodestates.IDLE, "Nodes in Idle state"),
    _node_flag("invalid_reg", "Number of nodes with Invalid Registration flag", nodestates.INVALID_REG,
               "Number of nodes with Invalid Registration flag"),
    _node_flag("maint", "Number of nodes with Maintenance flag", nodestates.MAINTENANCE, "Nodes in maintenance state"),
    _base("mixed", "Mixed", nodestates.MIXED, "Nodes in Mixed state"),
    _node_flag("noresp", "Number of nodes with Not Responding flag", nodestates.NOT_RESPONDING,
               "Nodes in Not Responding state", "no_resp"),
    _node_flag("planned", "Number of nodes with Planned flag", nodestates.PLANNED, "Nodes in Planned state"),
    _node_flag("power_down", "Number of nodes marked to be powered down", nodestates.POWER_DOWN,
               "Nodes marked to Power Down"),
    _node_flag("power_up", "Number of nodes marked to be powered up", nodestates.POWER_UP, "Nodes marked to Power Up"),
    _node_flag("powered_down", "Number of nodes powered down", nodestates.POWERED_DOWN, "Powered down nodes"),
    _node_flag("powering_down", "", nodestates.POWERING_DOWN, "Powering down nodes"),
    _node_flag("powering_up", "Number of nodes powering up", nodestates.POWERING_UP, "Powering up nodes"),
    _node_flag("reboot_issued", "Number of nodes with Reboot Issued flag", nodestates.REBOOT_ISSUED,
               "Nodes which initiated reboot"),
    _node_flag("reboot_req", "Number of nodes with Reboot Requested flag", nodestates.REBOOT_REQUESTED,
               "Nodes with Reboot Requested flag", "reboot_requested"),
    _node_flag("resv", "Number of nodes with Reserved flag", nodestates.RESERVED, "Nodes with Reserved flag"),
    _base("unknown", "Unknown", nodestates.UNKNOWN, "Nodes in Unknown state"),
)  # fmt: skip


def _gpus_held(node: Node) -> int:
    return node.used_gpus.bit_count()


# slurm_node_SUFFIX, by node; memory in MiB, whatever the words say, as the real one has it
EACH_NODE: tuple[tuple[str, str, Callable[[Node, int], int]], ...] = (
    ("cpus", "Total number of cpus in the node", lambda node, free: node.cpus),
    ("cpus_alloc", "Allocated cpus in the node", lambda node, free: node.allocated_cpus),
    ("cpus_effective", "CPUs allocatable to jobs not reserved for system usage", lambda node, free: node.cpus),
    ("cpus_idle", "Idle cpus in the node", lambda node, free: node.cpus - node.allocated_cpus),
    ("gpus", "Total number of GPUs in the node", lambda node, free: len(node.gpu_types)),
    ("gpus_alloc", "Number of GPUs currently allocated by jobs on the node", lambda node, free: _gpus_held(node)),
    ("memory_alloc_bytes", "Bytes allocated to jobs in the node", lambda node, free: node.used_memory),
    ("memory_effective_bytes", "Memory allocatable to jobs not reserved for system usage",
     lambda node, free: node.real_memory),
    ("memory_free_bytes", "Free memory in bytes of the node", lambda node, free: free),
    ("memory_bytes", "Total memory in bytes of the node", lambda node, free: node.real_memory),
)  # fmt: skip

# slurm_partition_SUFFIX, summed over its nodes
EACH_PARTITION: tuple[tuple[str, str, Callable[[Node, int], int]], ...] = (
    ("nodes_cpus_efctv", "Number of effective CPUs on all nodes, excludes CoreSpec", lambda node, free: node.cpus),
    ("nodes_cpus_idle", "Number of idle CPUs on all nodes", lambda node, free: node.cpus - node.allocated_cpus),
    ("nodes_cpus_alloc", "Number of allocated cpus", lambda node, free: node.allocated_cpus),
    ("nodes_mem_alloc", "Amount of allocated memory of all nodes", lambda node, free: node.used_memory),
    ("nodes_mem_avail", "Amount of available memory of all nodes", lambda node, free: node.real_memory),
    ("nodes_mem_free", "Amount of free memory in all nodes", lambda node, free: free),
    ("nodes_mem_tot", "Total amount of memory of all nodes", lambda node, free: node.real_memory),
    ("cpus", "Partition total cpus", lambda node, free: node.cpus),
    ("gpus", "Partition total gpus", lambda node, free: len(node.gpu_types)),
    ("nodes", "Partition total nodes", lambda node, free: 1),
)  # fmt: skip


def _mean(rounds: Mapping[str, int], key: str) -> int:
    return rounds[key] // rounds["cycles"] if rounds["cycles"] else 0


Figures = Mapping[str, Any]


def _nothing(figures: Figures) -> int:
    """Of what is never done here (docs/decisions/0003-outward.md)."""
    return 0


SCHEDULER: tuple[tuple[str, str, Callable[[Figures], int]], ...] = (
    ("agent_cnt", "Number of agent threads", lambda f: f["sending"]),
    ("agent_queue_size", "Outgoing RPC retry queue length", lambda f: f["outbox"]),
    ("agent_thread_cnt", "Total active agent-created threads", lambda f: f["sending"]),
    ("bf_depth_mean", "Mean backfill cycle depth", lambda f: _mean(f["backfill"], "depth")),
    ("bf_mean_cycle", "Mean backfill cycle time", lambda f: _mean(f["backfill"], "total")),
    ("bf_mean_table_sz", "Mean backfill table size", _nothing),
    ("bf_queue_len_mean", "Mean backfill queue length", lambda f: _mean(f["backfill"], "queue")),
    ("bf_try_depth_mean", "Mean depth attempts in backfill", lambda f: _mean(f["backfill"], "depth")),
    ("backfilled_het_jobs", "Heterogeneous components backfilled", lambda f: f.get("backfilled_het", 0)),
    ("backfilled_jobs", "Total backfilled jobs since reset", lambda f: f["backfill"]["started"]),
    ("bf_active", "Backfill scheduler active jobs", _nothing),
    ("bf_cycle_cnt", "Backfill cycle count", lambda f: f["backfill"]["cycles"]),
    ("bf_cycle_last", "Last backfill cycle time", lambda f: f["backfill"]["last"]),
    ("bf_cycle_max", "Max backfill cycle time", lambda f: f["backfill"]["longest"]),
    ("bf_cycle_tot", "Sum of backfill cycle times", lambda f: f["backfill"]["total"]),
    ("bf_depth_tot", "Sum of backfill job depths", lambda f: f["backfill"]["depth"]),
    ("bf_depth_try_tot", "Sum of backfill depth attempts", lambda f: f["backfill"]["depth"]),
    ("bf_last_depth", "Last backfill depth", lambda f: f["backfill"]["last_depth"]),
    ("bf_last_depth_try", "Last backfill depth attempts", lambda f: f["backfill"]["last_depth"]),
    ("bf_queue_len", "Backfill queue length", lambda f: f["backfill"]["last_queue"]),
    ("bf_queue_len_tot", "Sum of backfill queue lengths", lambda f: f["backfill"]["queue"]),
    ("bf_table_size", "Backfill table size", _nothing),
    ("bf_table_size_tot", "Sum of backfill table sizes", _nothing),
    ("bf_when_last_cycle", "Timestamp of last backfill cycle", lambda f: f["backfill"]["last_at"]),
    ("sdiag_jobs_canceled", "Jobs canceled since reset", lambda f: f["jobs_canceled"]),
    ("sdiag_jobs_completed", "Jobs completed since reset", lambda f: f["jobs_completed"]),
    ("sdiag_jobs_failed", "Jobs failed since reset", lambda f: f["jobs_failed"]),
    ("sdiag_jobs_pending", "Jobs pending at timestamp", lambda f: f["jobs_pending"]),
    ("sdiag_jobs_running", "Jobs running at timestamp", lambda f: f["running"]),
    ("sdiag_jobs_started", "Jobs started since reset", lambda f: f["jobs_started"]),
    ("sdiag_jobs_submitted", "Jobs submitted since reset", lambda f: f["jobs_submitted"]),
    ("sdiag_job_states_ts", "Job states timestamp", lambda f: f["now"]),
    ("last_backfilled_jobs", "Backfilled jobs since last cycle", lambda f: f["backfill"]["started"]),
    ("sdiag_latency", "Measurement latency", lambda f: f["latency"]),
    ("schedule_cycle_cnt", "Scheduling cycle count", lambda f: f["main"]["cycles"]),
    ("schedule_cycle_depth", "Processed jobs depth total", lambda f: f["main"]["depth"]),
    ("schedule_cycle_last", "Last scheduling cycle time", lambda f: f["main"]["last"]),
    ("schedule_cycle_max", "Max scheduling cycle time", lambda f: f["main"]["longest"]),
    ("schedule_cycle_tot", "Sum of scheduling cycle times", lambda f: f["main"]["total"]),
    ("schedule_queue_len", "Jobs pending queue length", lambda f: f["main"]["last_queue"]),
    ("sched_exit_end", "End of job queue", lambda f: f["main"]["cycles"]),
    ("sched_exit_max_depth", "Hit default_queue_depth", _nothing),
    ("sched_exit_max_job_start", "Hit sched_max_job_start", _nothing),
    ("sched_exit_lic", "Blocked on licenses", _nothing),
    ("sched_exit_rpc_cnt", "Hit max_rpc_cnt", _nothing),
    ("sched_exit_timeout", "Timeout (max_sched_time)", _nothing),
    ("bf_exit_end", "End of job queue", lambda f: f["backfill"]["cycles"]),
    ("bf_exit_max_job_start", "Hit bf_max_job_start", _nothing),
    ("bf_exit_max_job_test", "Hit bf_max_job_test", _nothing),
    ("bf_exit_state_changed", "System state changed", _nothing),
    ("bf_exit_table_limit", "Hit table size limit (bf_node_space_size)", _nothing),
    ("bf_exit_timeout", "Timeout (bf_max_time)", _nothing),
    ("sched_mean_cycle", "Mean scheduling cycle time", lambda f: _mean(f["main"], "total")),
    ("sched_mean_depth_cycle", "Mean depth of scheduling cycles", lambda f: _mean(f["main"], "depth")),
    ("server_thread_cnt", "Active slurmctld threads count", lambda f: f["server_threads"]),
    ("slurmdbd_queue_size", "Queued messages to SlurmDBD", lambda f: f["store_queue"]),
    ("last_proc_req_start", "Timestamp of last process request start", lambda f: f["since"]),
    ("sched_stats_timestamp", "Statistics snapshot timestamp", lambda f: f["now"]),
)  # fmt: skip
