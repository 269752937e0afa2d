"""What a batch script and a step's task find in their environment.

Who sets what, as in Slurm: the submitting command puts the request's own words into the environment it sends
(SLURM_SUBMIT_*, SLURM_NTASKS, SLURM_NPROCS, SLURM_CPUS_PER_TASK, SLURM_TRES_PER_TASK, SLURM_NTASKS_PER_*, SLURM_GPUS*,
SLURM_DISTRIBUTION, SLURM_HINT, SLURM_THREADS_PER_CORE, SLURM_EXPORT_ENV, SLURM_GET_USER_ENV, SLURM_PRIO_PROCESS,
SLURM_JOB_DEPENDENCY, *_MCA_plm_slurm_args, HYDRA_*, I_MPI_*); what the allocation turned out to be is added here.
Everything is taken from the launch packet, nothing from this process. Source: sbatch(1) and srun(1), OUTPUT ENVIRONMENT
VARIABLES; recorded environments of 26.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slurm_compat.core.folded import folded

UNLIMITED = 0xFFFFFFFF  # minutes; core/model.py
YEAR = 365 * 24 * 3600  # the end Slurm tells a job without limit, after its start
BATCH_STEP = -5  # what SLURM_STEP_ID is in a batch script

# Read from the submitted environment and then taken out of it, so that jobs don't hand them on.
CONSUMED = ("SLURM_UMASK", "SLURM_GPUS_ON_NODE", "SLURM_JOB_GPUS")
TASKS_KEEP = ("SLURM_UMASK", "SLURM_JOB_GPUS")  # a step's tasks find these of the job's own
# how the job's commands reach a controller on another machine, and what they show it; a token is its submitter's alone
REMOTE = ("SLURM_COMPAT_CONTROLLER", "SLURM_COMPAT_AUTHORITY", "SLURM_COMPAT_WORD", "SLURM_JWT")
COMMAND_HOST = "_SLURM_COMPAT_HOST"  # names the socket at which launchers find this job's agent; commands.py
OWN_ADDRESS = "_SLURM_COMPAT_ADDRESS"  # where this pod can be reached, for the sruns in it
GPU_LISTS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL")

Launch = Mapping[str, Any]


def split(block: bytes) -> dict[str, str]:
    """The variables of a NUL-separated block; entries without a name are dropped, the last of a name counts."""
    pairs = (entry.partition("=") for entry in block.decode("utf-8", "surrogateescape").split("\0"))
    return {name: value for name, equals, value in pairs if name and equals}


def gpu_indices(ids: Sequence[str]) -> str:
    """What *_VISIBLE_DEVICES says: indices as they are; UUIDs mean that only these are visible, numbered anew."""
    if all(gpu.isdigit() for gpu in ids):
        return ",".join(ids)
    return ",".join(str(index) for index in range(len(ids)))


def batch_environment(launch: Launch, submitted: Mapping[str, str], login: Mapping[str, str]) -> dict[str, str]:
    """The batch script's whole environment, without SLURM_TASK_PID, which its own process adds.

    `submitted` is what the command sent, `login` the user's login environment where that was asked for ({} else); what
    was sent wins over it.
    """
    job = launch["job"]
    node = launch["nodes"][launch["rank"]]
    env = {**login, **{name: value for name, value in submitted.items() if not _consumed(name)}}
    env.update(_from_request(launch))
    env.update(_job_shape(launch))
    env["ENVIRONMENT"] = "BATCH"
    env["HOSTNAME"] = node["name"]
    env.update(_gpus(node))
    env.update(_identity(launch))
    env.update(
        SLURM_TASK_PID="",
        SLURM_NODEID=str(launch["rank"]),
        SLURM_PROCID="0",
        SLURM_LOCALID="0",
        SLURM_STEP_ID=str(BATCH_STEP),
        SLURM_STEPID=str(BATCH_STEP),
        SLURM_GTIDS="0",
    )
    env.update(_owner(launch))
    env.update(_het_groups(launch))
    if "SLURM_CPUS_PER_TASK" in submitted and job.get("cpus_per_task"):
        env["SLURM_CPUS_PER_TASK"] = str(job["cpus_per_task"])
    if "SLURM_NTASKS" not in submitted and job.get("tasks_given"):
        env["SLURM_NTASKS"] = env["SLURM_NPROCS"] = str(job["tasks"])
    return _with_commands(env, launch)


def task_environment(
    launch: Launch,
    submitted: Mapping[str, str],
    *,
    step_id: str,
    layout: Sequence[Sequence[Any]],
    node_rank: int,
    local_id: int,
    launch_address: str = "",
    gpus: Sequence[str] | None = None,
) -> dict[str, str]:
    """One task's environment in a step: what srun sent, and what only the node can add.

    `layout` is the step's [[node, [ranks], cpus], …]; `node_rank` this node's place in it; `local_id` the task's place
    on the node; `launch_address` where srun is; `gpus` those of the node's that the step got, None: all.
    SLURM_TASK_PID is left empty for the task's own process to fill.
    """
    node_name, ranks, cpus = layout[node_rank][:3]
    nodes = launch["nodes"]
    node = next((one for one in nodes if one["name"] == node_name), nodes[launch["rank"]])
    env = {name: value for name, value in submitted.items() if name in TASKS_KEEP or not _consumed(name)}
    env["SLURM_CLUSTER_NAME"] = launch["config"]["cluster_name"]
    env["SLURM_JOB_ID"] = env["SLURM_JOBID"] = str(launch["job"].get("het_job_id") or launch["job"]["job_id"])
    env.update(_gpus(node if gpus is None else {"gpus": gpus}, step=True))
    if launch_address:
        env["SLURM_LAUNCH_NODE_IPADDR"] = launch_address
    env.update(_identity(launch) | {"SLURM_CPUS_ON_NODE": str(cpus)})
    env.update(
        SLURM_TOPOLOGY_ADDR=node_name,
        SLURM_TASK_PID="",
        SLURM_NODEID=str(node_rank),
        SLURM_PROCID=str(ranks[local_id]),
        SLURM_LOCALID=str(local_id),
        SLURM_STEP_ID=step_id,
        SLURM_STEPID=step_id,
        SLURM_GTIDS=",".join(str(rank) for rank in ranks),
    )
    env.update(_owner(launch))
    env["SLURM_JOB_GROUP"] = launch["user"]["group"]
    env["SLURMD_NODENAME"] = node_name
    return _with_commands(env, launch)


def _with_commands(env: dict[str, str], launch: Launch) -> dict[str, str]:
    """The environment with this node's own command host, and never that of the job it was submitted from."""
    for name in (COMMAND_HOST, OWN_ADDRESS, *REMOTE):
        env.pop(name, None)
    if address := launch["config"].get("pod_address"):
        env[OWN_ADDRESS] = address
    env.update(launch["config"].get("remote") or {})
    if host := launch["config"].get("command_host"):
        env[COMMAND_HOST] = host
    return env


def _consumed(name: str) -> bool:
    return name in CONSUMED or name.startswith("SLURM_RLIMIT_")


def _from_request(launch: Launch) -> dict[str, str]:
    """Options that only the job's record knows."""
    job, request = launch["job"], launch.get("request") or {}
    env = {}
    if launch["config"].get("slurm_conf"):
        env["SLURM_CONF"] = launch["config"]["slurm_conf"]
    env["SLURM_JOB_NAME"] = job["name"]
    if launch.get("open_mode"):
        env["SLURM_OPEN_MODE"] = launch["open_mode"][0]
    if request.get("acctg_freq"):
        env["SLURM_ACCTG_FREQ"] = str(request["acctg_freq"])
    if request.get("cpu_freq"):
        env["SLURM_CPU_FREQ_REQ"] = str(request["cpu_freq"])
    if job.get("network"):
        env["SLURM_NETWORK"] = job["network"]
    env["SLURM_JOB_OVERSUBSCRIBE"] = "YES" if job.get("shared") == "YES" else "NO"
    env["SLURM_JOB_EXCLUSIVE"] = (
        {"YES": "NODE"}.get(job["exclusive"], job["exclusive"]) if job.get("exclusive") else "NO"
    )
    if job.get("array_job_id") and job.get("array_task_id") is not None:
        env.update(_array(launch))
    return env


def _array(launch: Launch) -> dict[str, str]:
    """`array` of the packet tells of the whole array: count, min, max and step of its task ids."""
    job = launch["job"]
    task = job["array_task_id"]
    whole = launch.get("array") or {}
    return {
        "SLURM_ARRAY_JOB_ID": str(job["array_job_id"]),
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_ARRAY_TASK_COUNT": str(whole.get("count", 1)),
        "SLURM_ARRAY_TASK_MIN": str(whole.get("min", task)),
        "SLURM_ARRAY_TASK_MAX": str(whole.get("max", task)),
        "SLURM_ARRAY_TASK_STEP": str(whole.get("step", 1)),
    }


def _job_shape(launch: Launch) -> dict[str, str]:
    """The allocation: nodes, CPUs, memory, and what the job is charged to."""
    job, nodes = launch["job"], launch["nodes"]
    node_list, node_count = job["nodes"], str(len(nodes))
    cpus_on_node = str(nodes[launch["rank"]]["cpus"])
    env = {
        "SLURM_TASKS_PER_NODE": folded(_tasks_on(node, job) for node in nodes),
        "SLURM_CLUSTER_NAME": launch["config"]["cluster_name"],
        "SLURM_JOB_ID": str(job["job_id"]),
        "SLURM_JOB_NUM_NODES": node_count,
        "SLURM_JOB_NODELIST": node_list,
        "SLURM_JOB_PARTITION": job["partition"],
        "SLURM_JOB_CPUS_PER_NODE": folded(node["cpus"] for node in nodes),
        "SLURM_JOBID": str(job["job_id"]),
        "SLURM_NNODES": node_count,
        "SLURM_NODELIST": node_list,
    }
    if not job.get("memory_per_tres"):
        if job.get("memory_per_cpu"):
            env["SLURM_MEM_PER_CPU"] = str(job["memory_per_cpu"])
        elif job.get("memory_per_node"):
            env["SLURM_MEM_PER_NODE"] = str(job["memory_per_node"])
    optional = {
        "SLURM_JOB_ACCOUNT": job.get("account"),
        "SLURM_JOB_QOS": job.get("qos"),
        "SLURM_JOB_RESERVATION": job.get("resv_name"),
        "SLURM_JOB_LICENSES": job.get("licenses_allocated") or job.get("licenses"),
        "SLURM_OVERCOMMIT": "1" if job.get("overcommit") else "",
        "SLURM_RESTART_COUNT": str(job.get("restart_cnt") or ""),
        "SLURM_PROFILE": job.get("profile"),
    }
    env.update((name, value) for name, value in optional.items() if value)
    env["SLURM_CPUS_ON_NODE"] = cpus_on_node
    return env


def _het_groups(launch: Launch) -> dict[str, str]:
    """What the script of a heterogeneous job finds of each component, by today's name and by the old one."""
    groups = launch.get("het") or []
    if not groups:
        return {}
    env = {"SLURM_HET_SIZE": str(len(groups)), "SLURM_PACK_SIZE": str(len(groups))}
    for number, group in enumerate(groups):
        for name, text in group.items():
            env[f"SLURM_{name}_HET_GROUP_{number}"] = env[f"SLURM_{name}_PACK_GROUP_{number}"] = text
    return env


def _tasks_on(node: Mapping[str, Any], job: Mapping[str, Any]) -> int:
    """Without a task count as many as there are CPUs for: an exclusive node of four CPUs has room for four."""
    if job.get("tasks_given"):
        return int(node["tasks"])
    return max(1, int(node["cpus"]) // max(1, job.get("cpus_per_task") or 1))


def _identity(launch: Launch) -> dict[str, str]:
    """Which run of which job this is, and where."""
    job = launch["job"]
    node = launch["nodes"][launch["rank"]]
    start = int(job.get("start_time") or 0)
    unlimited = job.get("time_limit", UNLIMITED) == UNLIMITED
    end = start + YEAR if unlimited else int(launch.get("end_time") or start + job["time_limit"] * 60)
    oom = (launch.get("request") or {}).get("oom_kill_step")
    return {
        "SLURM_TOPOLOGY_ADDR": node["name"],
        "SLURM_TOPOLOGY_ADDR_PATTERN": "node",
        "SLURM_CPUS_ON_NODE": str(node["cpus"]),
        "SLURM_OOM_KILL_STEP": str(int(oom or 0)),
        "SLURM_JOB_END_TIME": str(end),
        "SLURM_JOB_SLUID": job["sluid"],
        "SLURM_JOB_START_TIME": str(start),
    }


def _owner(launch: Launch) -> dict[str, str]:
    user = launch["user"]
    return {
        "SLURM_JOB_UID": str(user["uid"]),
        "SLURM_JOB_USER": user["name"],
        "SLURM_JOB_GID": str(user["gid"]),
        "SLURMD_NODENAME": launch["nodes"][launch["rank"]]["name"],
    }


def _gpus(node: Mapping[str, Any], step: bool = False) -> dict[str, str]:
    ids = [str(gpu) for gpu in node.get("gpus") or ()]
    if not ids:
        return {}
    env = {"SLURM_GPUS_ON_NODE": str(len(ids)), "SLURM_STEP_GPUS" if step else "SLURM_JOB_GPUS": ",".join(ids)}
    return env | dict.fromkeys(GPU_LISTS, gpu_indices(ids))
