"""What srun and salloc add to the environment: the allocation for the command, and srun's own words for its tasks.

What only the nodes know (task numbers, step layout, GPUs) is the agents' to add. Source: srun(1) and salloc(1), OUTPUT
ENVIRONMENT VARIABLES; recorded environments of 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slurm_compat.core.folded import folded
from slurm_compat.core.model import JobRequest

Job = Mapping[str, Any]
Environment = dict[str, str]


def of_request(request: JobRequest) -> Environment:
    """The options' own variables."""
    optional: dict[str, Any] = {
        "SLURM_CPUS_PER_TASK": request.cpus_per_task,
        "SLURM_TRES_PER_TASK": _tres_per_task(request),
        "SLURM_MEM_PER_NODE": request.memory_per_node,
        "SLURM_MEM_PER_CPU": request.memory_per_cpu,
        "SLURM_MEM_PER_GPU": request.memory_per_gpu,
        "SLURM_NTASKS_PER_NODE": request.tasks_per_node,
        "SLURM_NTASKS_PER_SOCKET": request.tasks_per_socket,
        "SLURM_NTASKS_PER_CORE": request.tasks_per_core,
        "SLURM_NTASKS_PER_GPU": request.tasks_per_gpu,
        "SLURM_THREADS_PER_CORE": request.threads_per_core,
        "SLURM_OVERCOMMIT": 1 if request.overcommit else None,
        "SLURM_GPUS": request.gpus or None,
        "SLURM_GPUS_PER_NODE": request.gpus_per_node or None,
        "SLURM_GPUS_PER_TASK": request.gpus_per_task or None,
        "SLURM_GPUS_PER_SOCKET": request.gpus_per_socket or None,
        "SLURM_CPUS_PER_GPU": request.cpus_per_gpu,
        "SLURM_HINT": request.hint or None,
    }
    return {name: str(value) for name, value in optional.items() if value is not None}


def _tres_per_task(request: JobRequest) -> str | None:
    said = [part.partition("=")[0] for part in request.tres_per_task.split(",")]
    if request.cpus_per_task is None or "cpu" in said:
        return request.tres_per_task or None
    cpus = f"cpu={request.cpus_per_task}"
    return f"{cpus},{request.tres_per_task}" if request.tres_per_task else cpus


def of_allocation(job: Job, tasks_per_node: Iterable[int]) -> Environment:
    """What an allocation turned out to be."""
    nodes = str(job["nodes"])
    count = str(job["node_count"])
    job_id = str(job["job_id"])
    env = {
        "SLURM_CLUSTER_NAME": str(job["cluster"]),
        "SLURM_JOBID": job_id,
        "SLURM_JOB_ID": job_id,
        "SLURM_JOB_NAME": str(job["name"]),
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_JOB_NUM_NODES": count,
        "SLURM_JOB_PARTITION": str(job["partition"]),
        "SLURM_JOB_CPUS_PER_NODE": folded(entry[1] for entry in job["job_resources"]),
        "SLURM_NNODES": count,
        "SLURM_NODELIST": nodes,
        "SLURM_TASKS_PER_NODE": folded(tasks_per_node),
    }
    optional = {
        "SLURM_JOB_ACCOUNT": job.get("account"),
        "SLURM_JOB_QOS": job.get("qos"),
        "SLURM_JOB_RESERVATION": job.get("resv_name"),
        "SLURM_JOB_LICENSES": job.get("licenses_allocated") or job.get("licenses"),
    }
    return env | {name: str(value) for name, value in optional.items() if value}


def of_submitter(cwd: str, host: str) -> Environment:
    return {"SLURM_SUBMIT_DIR": cwd, "SLURM_SUBMIT_HOST": host}


def of_step(host: str, port: int, verbose: int, quiet: int, umask: int, nice: int) -> Environment:
    """srun's own: where it is, how much it says, what it was started with."""
    return {
        "SLURM_PRIO_PROCESS": str(nice),
        "SLURM_UMASK": f"{umask:04o}",
        "SLURM_SRUN_COMM_HOST": host,
        "SLURM_SRUN_COMM_PORT": str(port),
        "SLURM_STEP_LAUNCHER_PORT": str(port),
        "SLURMD_DEBUG": "2",
        "SRUN_DEBUG": str(3 + verbose - quiet),
    }


def distribution(request: JobRequest, tasks: int, nodes: int, alone: bool) -> Environment:
    """SLURM_DISTRIBUTION: what was asked for; else, within an allocation or beside a memory option, what is done."""
    if request.distribution:
        layout, comma, pack = request.distribution.partition(",")
        word, _, plane = layout.partition("=")
        env = {"SLURM_DISTRIBUTION": f"{word}{comma}{pack}"}
        return env | ({"SLURM_DIST_PLANESIZE": plane} if plane else {})
    if alone and request.memory_per_node is None and request.memory_per_cpu is None:
        return {}
    return {"SLURM_DISTRIBUTION": "cyclic" if tasks <= nodes else "block"}
