"""Why a job waits, in Slurm's words. Source: squeue(1), JOB REASON CODES; observed on 26.05."""

from __future__ import annotations

NONE = "None"
PRIORITY = "Priority"
RESOURCES = "Resources"
DEPENDENCY = "Dependency"
DEPENDENCY_NEVER = "DependencyNeverSatisfied"
BEGIN_TIME = "BeginTime"
HELD_USER = "JobHeldUser"
HELD_ADMIN = "JobHeldAdmin"
ARRAY_LIMIT = "JobArrayTaskLimit"
LICENSES = "Licenses"
RESERVATION = "Reservation"
PARTITION_DOWN = "PartitionDown"
PARTITION_INACTIVE = "PartitionInactive"
PARTITION_CONFIG = "PartitionConfig"
PARTITION_NODES = "PartitionNodeLimit"
MAX_MEMORY = "MaxMemPerLimit"
PARTITION_TIME = "PartitionTimeLimit"
NODE_NOT_AVAIL = "ReqNodeNotAvail"
BAD_CONSTRAINTS = "BadConstraints"
ACCOUNT_INVALID = "InvalidAccount"
QOS_INVALID = "InvalidQOS"
ACCOUNT_NOT_ALLOWED = "AccountNotAllowed"
QOS_NOT_ALLOWED = "QOSNotAllowed"
DEADLINE = "DeadLine"
TIME_LIMIT = "TimeLimit"
LAUNCH_FAILED = "launch_failed_requeued_held"

# the limits of a QOS, by what runs out: TRES of one user, and counts of jobs
QOS_TRES_PER_USER = {
    "cpu": "QOSMaxCpuPerUserLimit",
    "mem": "QOSMaxMemoryPerUser",
    "node": "QOSMaxNodePerUserLimit",
    "billing": "QOSMaxBillingPerUser",
}
QOS_GRES_PER_USER = "QOSMaxGRESPerUser"
QOS_JOBS_PER_USER = "QOSMaxJobsPerUserLimit"
QOS_SUBMIT_PER_USER = "QOSMaxSubmitJobPerUserLimit"
ASSOC_SUBMIT_LIMIT = "AssocMaxSubmitJobLimit"


def qos_tres_reason(tres: str) -> str:
    """The reason when a user's jobs of a QOS hold as much of `tres` as they may."""
    return QOS_TRES_PER_USER.get(tres, QOS_GRES_PER_USER)
