"""Who gives way to whom, and how many: words, choices and rules, without a cluster."""

import sys
from pathlib import Path

import pytest

from slurm_compat.controller.makingroom import choose, given_back, place, taken, with_freed
from slurm_compat.core import preemption, privatedata
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import BadValue
from slurm_compat.core.model import JobRequest
from slurm_compat.translators.asked import Defaults
from slurm_compat.translators.shapes import Room

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made
from reference import ALICE
from test_controller_life import play

sys.path.pop(0)

DEFAULTS = Defaults(
    memory_per_cpu=100, memory_per_node=None, maximum_memory_per_cpu=None, maximum_cpus_per_node=None, node_cpus=4,
    node_memory=4000, total_cpus=8,
)  # fmt: skip


@pytest.mark.parametrize(
    "text, want",
    [("", ""), ("cluster", ""), ("off", "OFF"), ("Requeue", "REQUEUE"), ("CANCEL", "CANCEL")],
)
def test_modes(text, want):
    assert preemption.mode_of(text) == want


@pytest.mark.parametrize(
    "key, text, told",
    [
        ("PreemptMode", "SUSPEND,GANG", "PreemptMode=SUSPEND is not supported here: "),
        ("PreemptMode", "GANG", "PreemptMode=GANG is not supported here: "),
        ("PreemptMode", "WITHIN,CANCEL", "PreemptMode=WITHIN is not supported here: "),
        ("PreemptMode", "MAYBE", "PreemptMode=MAYBE is not known"),
        ("PreemptType", "preempt/job_prio", "PreemptType=preempt/job_prio is not known"),
        ("PrivateData", "jobs,secrets", "PrivateData=secrets is not known"),
        ("Partitions", [{"PartitionName": "a", "QOS": "none"}], "partition a: its QOS none is not declared"),
        ("QOS", [{"Name": "a", "Preempt": ["b"]}], "QOS a: Preempt names b, which is not declared"),
        ("QOS", [{"Name": "a", "PreemptMode": "SUSPEND"}], "PreemptMode=SUSPEND is not supported here: "),
    ],
)
def test_what_can_not_be_kept_is_refused_by_name(key, text, told):
    with pytest.raises(BadValue) as refusal:
        cluster_conf({key: text})
    assert str(refusal.value).startswith(told)


@pytest.mark.parametrize("text, want", [("", 0), ("00:00:20", 20), ("5", 300), ("-1", 0), ("word", 0)])
def test_exempt_times(text, want):
    assert preemption.seconds(text) == want


def test_all_private_data():
    assert privatedata.words("all") == set(privatedata.WORDS) and privatedata.words("none") == frozenset()


def room(name, cpus=0, memory=0, gres=None, total=4):
    return Room(name, cpus, memory, gres or {}, total_cpus=total, total_memory_mib=4000)


def running(job_id, node="node01", cpus=4, memory=400, gres=""):
    resources = [(node, cpus, "0", memory, gres)]
    return made.job(job_id, state="RUNNING", nodes=node, node_count=1, resources=resources)


FULL = [room("node01"), room("node02")]


@pytest.mark.parametrize(
    "asked, candidates, want",
    [
        ({"tasks": 1}, [running(1), running(2, "node02")], [1]),
        ({"tasks": 6}, [running(1), running(2, "node02")], [1, 2]),
        ({"tasks": 4, "minimum_nodes": 1, "maximum_nodes": 1},
         [running(1, cpus=2), running(2, "node02", cpus=2), running(3, cpus=2)], [1, 3]),
        ({"tasks": 1}, [], []),
        ({"tasks": 9}, [running(1), running(2, "node02")], []),
        ({"tasks": 1, "gres": "gpu:1"}, [running(1), running(2, "node02", gres="gpu:1(IDX:0)")], [2]),
    ],
)  # fmt: skip
def test_the_fewest_that_make_room(asked, candidates, want):
    chosen = choose(JobRequest(**asked), DEFAULTS, FULL, [], candidates)
    assert [job.job_id for job in chosen] == want


def test_what_is_going_already_need_not_go_twice():
    going = [given_back(running(1))]
    assert choose(JobRequest(tasks=6), DEFAULTS, FULL, going, [running(2, "node02")])[0].job_id == 2
    rooms = with_freed(FULL, going)
    placed = place(JobRequest(tasks=3), DEFAULTS, rooms)
    assert [(name, member.cpus) for name, member in placed] == [("node01", 3)]
    assert [one.cpus for one in taken(rooms, placed)] == [1, 0]


QOS = {"normal": {}, "high": {"preempt": ["normal"], "priority": 100}, "small": {"preempt_mode": "CANCEL"}}


def configured(world, **keys):
    conf = world.controller.conf
    conf.preempt_type, conf.preempt_mode = "preempt/qos", "REQUEUE"
    for qos in conf.qos:
        for name, value in QOS[qos.name].items():
            setattr(qos, name, value)
    for name, value in keys.items():
        setattr(conf, name, value)


@pytest.mark.parametrize(
    "keys, of, want",
    [
        ({}, {"qos": "normal"}, True),
        ({}, {"qos": "small"}, False),  # it is not among those that high preempts
        ({}, {"qos": "high"}, False),
        ({}, {"qos": "normal", "state": "SUSPENDED"}, False),
        ({}, {"qos": "normal", "flags": ["COMPLETING"]}, False),
        ({"preempt_mode": "OFF"}, {"qos": "normal"}, False),
        ({"preempt_type": ""}, {"qos": "normal"}, False),
        ({"preempt_type": "preempt/partition_prio"}, {"qos": "normal"}, False),
        ({"preempt_type": "preempt/partition_prio"}, {"qos": "high", "partition": "debug"}, True),
    ],
)
def test_who_may_be_preempted_for_one_of_qos_high(tmp_path, keys, of, want):
    async def story(world):
        configured(world, **keys)
        world.controller.cluster.partitions["debug"].priority_tier = 0
        mine = made.job(1, qos="high")
        other = made.job(2, **{"state": "RUNNING", "start_time": 1} | of)
        return world.controller.preempting.may(mine, other)

    assert play(tmp_path, story) is want


@pytest.mark.parametrize(
    "qos, requeue, want",
    [("normal", True, "REQUEUE"), ("normal", False, "CANCEL"), ("small", True, "CANCEL"), ("high", True, "REQUEUE")],
)
def test_how_a_job_goes(tmp_path, qos, requeue, want):
    async def story(world):
        configured(world)
        return world.controller.preempting.mode_of(made.job(1, qos=qos, requeue=requeue))

    assert play(tmp_path, story) == want


def test_a_job_that_runs_gives_way_after_its_exempt_time(tmp_path):
    async def story(world):
        configured(world, preempt_exempt_time="00:10:00")
        for node in world.controller.cluster.nodes.values():
            if node.name != "node01":
                node.down = True
        job_id = await world.submit(tasks=4, memory_per_cpu=900)
        _link, session = await world.started(job_id)
        high = await world.submit(qos="high", tasks=4, memory_per_cpu=900)
        await world.placed(high)
        world.controller.preempting.look()
        exempt = world.job(job_id).state
        world.controller.conf.preempt_exempt_time = ""
        world.controller.preempting.look()
        await world.until(lambda: "terminate" in session.events())
        again = world.job(job_id)
        behind = await world.submit(caller=ALICE, qos="normal")
        kept = world.controller.preempting.holds_back(world.job(behind))
        reason = next(message["reason"] for message in session.sent if message.get("msg") == "terminate")
        return exempt, (again.state, again.flags, again.preempt_time), reason, kept

    exempt, after, reason, kept = play(tmp_path, story)
    assert exempt == "RUNNING"
    assert after == ("PENDING", ["COMPLETING", "REQUEUED"], 0)
    assert reason == "PREEMPTION" and kept
