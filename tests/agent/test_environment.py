"""The batch script's environment, shape by shape, as recorded from Slurm 26.05."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.agent.environment import UNLIMITED, batch_environment, gpu_indices, split, task_environment
from slurm_compat.core.folded import folded

PLAIN = """\
ENVIRONMENT=BATCH
HOSTNAME=node01
SLURMD_NODENAME=node01
SLURM_CLUSTER_NAME=oracle
SLURM_CONF=/etc/slurm/slurm.conf
SLURM_CPUS_ON_NODE=1
SLURM_GTIDS=0
SLURM_JOBID=20199
SLURM_JOB_ACCOUNT=project1
SLURM_JOB_CPUS_PER_NODE=1
SLURM_JOB_END_TIME=1826716328
SLURM_JOB_EXCLUSIVE=NO
SLURM_JOB_GID=2001
SLURM_JOB_ID=20199
SLURM_JOB_NAME=e.sh
SLURM_JOB_NODELIST=node01
SLURM_JOB_NUM_NODES=1
SLURM_JOB_OVERSUBSCRIBE=NO
SLURM_JOB_PARTITION=compute
SLURM_JOB_QOS=normal
SLURM_JOB_SLUID=sEY5M7WHBXK600
SLURM_JOB_START_TIME=1795180328
SLURM_JOB_UID=2001
SLURM_JOB_USER=alice
SLURM_LOCALID=0
SLURM_MEM_PER_CPU=500
SLURM_NNODES=1
SLURM_NODEID=0
SLURM_NODELIST=node01
SLURM_OOM_KILL_STEP=0
SLURM_PRIO_PROCESS=0
SLURM_PROCID=0
SLURM_STEPID=-5
SLURM_STEP_ID=-5
SLURM_SUBMIT_DIR=/home/alice
SLURM_SUBMIT_HOST=vm
SLURM_TASKS_PER_NODE=1
SLURM_TASK_PID=
SLURM_TOPOLOGY_ADDR=node01
SLURM_TOPOLOGY_ADDR_PATTERN=node
"""
# what sbatch sends with every job
SENT = {
    "SLURM_PRIO_PROCESS": "0",
    "SLURM_SUBMIT_DIR": "/home/alice",
    "SLURM_SUBMIT_HOST": "vm",
    "SLURM_UMASK": "0022",
    "SLURM_RLIMIT_NOFILE": "1024",
}
PARTS = ("SLURM", "ENVIRONMENT", "HOSTNAME", "CUDA", "GPU", "ROCR", "ZE_")


def packet(cpus=(1,), tasks=None, names=None, gpus=(), rank=0, job=None, **more):
    names = names or [f"node{place + 1:02d}" for place in range(len(cpus))]
    tasks = cpus if tasks is None else tasks
    record = {
        "job_id": 20199, "array_job_id": 0, "array_task_id": None, "sluid": "sEY5M7WHBXK600", "name": "e.sh",
        "account": "project1", "qos": "normal", "partition": "compute", "nodes": "node01", "tasks": sum(tasks),
        "tasks_given": False, "cpus_per_task": 1, "memory_per_cpu": 500, "memory_per_node": None,
        "start_time": 1795180328, "time_limit": UNLIMITED, "restart_cnt": 0, "shared": "NO", "exclusive": "NO",
        "licenses": "", "resv_name": "", "network": "", "profile": "", "overcommit": False, "memory_per_tres": "",
        **(job or {}),
    }  # fmt: skip
    return {
        "job": record,
        "nodes": [
            {"name": name, "cpus": cpu, "tasks": task, "memory": 500, "gpus": list(gpus)}
            for name, cpu, task in zip(names, cpus, tasks, strict=True)
        ],
        "rank": rank,
        "user": {"name": "alice", "uid": 2001, "gid": 2001, "group": "alice"},
        "config": {"cluster_name": "oracle", "slurm_conf": "/etc/slurm/slurm.conf"},
        "end_time": 0,
        "open_mode": "",
        **more,
    }


def differences(launch, sent=None):
    """What is new or other than in the plain job, and which names are gone."""
    plain = split(PLAIN.replace("\n", "\0").encode())
    env = batch_environment(launch, {"FOO": "bar", **SENT, **(sent or {})}, {})
    assert env.pop("FOO") == "bar"
    assert all(name.startswith(PARTS) for name in env)
    return {name: value for name, value in env.items() if plain.get(name) != value}, sorted(set(plain) - set(env))


def test_the_plain_job():
    assert differences(packet()) == ({}, [])


N2 = {"SLURM_JOB_NODELIST": "node[01-02]", "SLURM_NODELIST": "node[01-02]", "SLURM_NNODES": "2",
      "SLURM_JOB_NUM_NODES": "2"}  # fmt: skip
GPUS = {
    "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_GPUS": "0,1", "CUDA_VISIBLE_DEVICES": "0,1", "ROCR_VISIBLE_DEVICES": "0,1",
    "ZE_AFFINITY_MASK": "0,1", "GPU_DEVICE_ORDINAL": "0,1",
}  # fmt: skip
ARRAY = {
    "SLURM_ARRAY_JOB_ID": "20199", "SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "2",
    "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "9", "SLURM_ARRAY_TASK_STEP": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    "launch, new, gone",
    [
        (packet((1, 1), job={"nodes": "node[01-02]"}),
         N2 | {"SLURM_JOB_CPUS_PER_NODE": "1(x2)", "SLURM_TASKS_PER_NODE": "1(x2)"}, []),
        (packet((4, 2), (2, 1), job={"nodes": "node[01-02]", "cpus_per_task": 2}),
         N2 | {"SLURM_CPUS_ON_NODE": "4", "SLURM_JOB_CPUS_PER_NODE": "4,2", "SLURM_TASKS_PER_NODE": "2,1"}, []),
        (packet((4, 4), (1, 1), job={"nodes": "node[01-02]", "exclusive": "NODE"}),
         N2 | {"SLURM_JOB_EXCLUSIVE": "NODE", "SLURM_JOB_CPUS_PER_NODE": "4(x2)", "SLURM_TASKS_PER_NODE": "4(x2)",
               "SLURM_CPUS_ON_NODE": "4"}, []),
        (packet((1, 1), (5, 3), job={"nodes": "node[01-02]", "tasks_given": True, "overcommit": True}),
         N2 | {"SLURM_JOB_CPUS_PER_NODE": "1(x2)", "SLURM_TASKS_PER_NODE": "5,3", "SLURM_OVERCOMMIT": "1",
               "SLURM_NTASKS": "8", "SLURM_NPROCS": "8"}, []),
        (packet(job={"memory_per_cpu": None, "memory_per_node": 700}), {"SLURM_MEM_PER_NODE": "700"},
         ["SLURM_MEM_PER_CPU"]),
        (packet(job={"memory_per_cpu": None, "memory_per_node": 0}), {}, ["SLURM_MEM_PER_CPU"]),
        (packet(job={"memory_per_cpu": None, "memory_per_tres": "gres/gpu:200"}), {}, ["SLURM_MEM_PER_CPU"]),
        (packet(gpus=["0", "1"]), GPUS, []),
        (packet(job={"array_job_id": 20199, "array_task_id": 9}, array={"count": 2, "min": 3, "max": 9, "step": 1}),
         ARRAY, []),
        (packet(job={"licenses": "matlab:2"}), {"SLURM_JOB_LICENSES": "matlab:2"}, []),
        (packet(job={"restart_cnt": 2}), {"SLURM_RESTART_COUNT": "2"}, []),
        (packet(job={"overcommit": True}), {"SLURM_OVERCOMMIT": "1"}, []),
        (packet(job={"shared": "YES"}), {"SLURM_JOB_OVERSUBSCRIBE": "YES"}, []),
        (packet(job={"exclusive": "NODE"}), {"SLURM_JOB_EXCLUSIVE": "NODE"}, []),
        (packet(job={"exclusive": "USER"}), {"SLURM_JOB_EXCLUSIVE": "USER"}, []),
        (packet(job={"network": "x", "profile": "None"}), {"SLURM_NETWORK": "x", "SLURM_PROFILE": "None"}, []),
        (packet(open_mode="append"), {"SLURM_OPEN_MODE": "a"}, []),
        (packet(request={"acctg_freq": "30", "cpu_freq": "High", "oom_kill_step": 1}),
         {"SLURM_ACCTG_FREQ": "30", "SLURM_CPU_FREQ_REQ": "High", "SLURM_OOM_KILL_STEP": "1"}, []),
        (packet(job={"time_limit": 15}), {"SLURM_JOB_END_TIME": "1795181228"}, []),
        (packet(job={"time_limit": 15}, end_time=1795181000), {"SLURM_JOB_END_TIME": "1795181000"}, []),
    ],
)  # fmt: skip
def test_shapes(launch, new, gone):
    assert differences(launch) == (new, gone)


def test_what_only_the_allocation_knows_of_tasks_per_node():
    new, gone = differences(packet((3,), job={"tasks_given": True}), {"SLURM_NTASKS_PER_NODE": "3"})
    assert (new["SLURM_NTASKS"], new["SLURM_NPROCS"], gone) == ("3", "3", [])


def test_an_enclosing_jobs_variables():
    sent = {
        "SLURM_JOB_ID": "5", "SLURM_JOB_GPUS": "3", "SLURM_GPUS_ON_NODE": "7", "SLURM_CPUS_PER_TASK": "3",
        "CUDA_VISIBLE_DEVICES": "7", "SLURM_FOO": "1", "SLURM_ARRAY_TASK_ID": "9",
    }  # fmt: skip
    new, _ = differences(packet(), sent)
    assert new == {
        "SLURM_CPUS_PER_TASK": "1", "CUDA_VISIBLE_DEVICES": "7", "SLURM_FOO": "1", "SLURM_ARRAY_TASK_ID": "9",
    }  # fmt: skip


def test_what_was_sent_wins_over_the_login_environment():
    env = batch_environment(packet(), {"PATH": "/mine"} | SENT, {"PATH": "/usr/bin", "SHELL": "/bin/bash"})
    assert (env["PATH"], env["SHELL"]) == ("/mine", "/bin/bash")
    assert next(iter(env)) == "PATH"


def test_the_second_node_of_an_exclusive_pair():
    env = batch_environment(packet((4, 4), job={"nodes": "node[01-02]"}, rank=1), SENT, {})
    assert (env["SLURM_NODEID"], env["SLURMD_NODENAME"], env["SLURM_TOPOLOGY_ADDR"]) == ("1", "node02", "node02")


def test_a_task_of_a_step():
    launch = packet((3, 1), job={"nodes": "node[01-02]"}, rank=1)
    sent = {"SLURM_STEP_NODELIST": "node[01-02]", "SLURM_UMASK": "0022", "SLURM_RLIMIT_CORE": "0"}
    env = task_environment(
        launch, sent, step_id="0", layout=[["node01", [0, 1, 2], 3], ["node02", [3], 1]], node_rank=1, local_id=0,
        launch_address="10.77.1.1",
    )  # fmt: skip
    assert env == {
        "SLURM_STEP_NODELIST": "node[01-02]", "SLURM_UMASK": "0022", "SLURM_CLUSTER_NAME": "oracle",
        "SLURM_JOB_ID": "20199", "SLURM_JOBID": "20199", "SLURM_LAUNCH_NODE_IPADDR": "10.77.1.1",
        "SLURM_TOPOLOGY_ADDR": "node02", "SLURM_TOPOLOGY_ADDR_PATTERN": "node", "SLURM_CPUS_ON_NODE": "1",
        "SLURM_OOM_KILL_STEP": "0", "SLURM_JOB_END_TIME": "1826716328", "SLURM_JOB_SLUID": "sEY5M7WHBXK600",
        "SLURM_JOB_START_TIME": "1795180328", "SLURM_TASK_PID": "", "SLURM_NODEID": "1", "SLURM_PROCID": "3",
        "SLURM_LOCALID": "0", "SLURM_STEP_ID": "0", "SLURM_STEPID": "0", "SLURM_GTIDS": "3", "SLURM_JOB_UID": "2001",
        "SLURM_JOB_USER": "alice", "SLURM_JOB_GID": "2001", "SLURM_JOB_GROUP": "alice", "SLURMD_NODENAME": "node02",
    }  # fmt: skip


@pytest.mark.parametrize(
    "numbers, want",
    [([1], "1"), ([3, 1], "3,1"), ([4, 4], "4(x2)"), ([1, 3, 1], "1,3,1"), ([2, 2, 1, 1], "2(x2),1(x2)")],
)
def test_numbers_by_node(numbers, want):
    assert folded(numbers) == want


@pytest.mark.parametrize("ids, want", [(["0", "3"], "0,3"), (["GPU-aa", "GPU-bb"], "0,1")])
def test_visible_gpus(ids, want):
    assert gpu_indices(ids) == want


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda t: not set("=\0") & set(t)), st.text().filter(lambda t: "\0" not in t)
    )
)
def test_a_block_of_variables_comes_apart_as_it_was_made(env):
    def clean(text):
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")

    block = b"\0".join(f"{name}={value}".encode("utf-8", "surrogatepass") for name, value in env.items())
    assert split(block + b"\0junk") == {clean(name): clean(value) for name, value in env.items()}
    assert split(base64.b64decode(base64.b64encode(block))) == split(block)
