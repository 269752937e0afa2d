"""Jobs for tests."""

from slurm_compat.controller.jobs import Job, Placement
from slurm_compat.core.model import JobRequest
from slurm_compat.translators.shapes import Member, Shape

PLACED = [Placement("q", "s", "01a")]


def job(job_id=7, **changes):
    values = {
        "job_id": job_id,
        "db_index": job_id,
        "request": JobRequest(batch=True),
        "shape": Shape(members=[Member(cpus=1, memory_mib=500)]),
        "user_id": 1000,
        "user_name": "alice",
        "group_id": 1000,
        "group_name": "alice",
        "name": "job",
        "partition": "compute",
        "submit_time": 1000,
        "priority": 10,
    }
    return Job(**values | changes)
