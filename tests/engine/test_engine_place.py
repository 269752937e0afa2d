"""Placement and fairness, without processes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from armada_client.armada import submit_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import BadValue
from slurm_compat.engine.devices import Devices
from slurm_compat.engine.fairness import Shares
from slurm_compat.engine.gangs import BadGang, Gang, gang_of
from slurm_compat.engine.jobs import CANCELLED, FAILED, HAS_RUN, QUEUED, REJECTED, SUCCEEDED, Job
from slurm_compat.engine.nodes import Machine, Node, nodes_of
from slurm_compat.engine.place import Pool, distinct
from slurm_compat.engine.quantity import BadQuantity, milli, show
from slurm_compat.engine.scheduler import Ended, Outcome, QueueFacts, Scheduler
from slurm_compat.engine.shape import BadExpression, Expression, Shape, check, holds, matches
from slurm_compat.engine.ulid import Ulids

MACHINE = Machine(hostname="laptop", cpus=8, memory_mib=16000, disk_bytes=1 << 40)


def node(name, cpus=4, weight=1, schedulable=True, **labels):
    return Node(name, {"cpu": cpus * 1000}, {"kubernetes.io/hostname": name, **labels}, weight, schedulable)


def shape(cpus=1, selector=(), terms=None):
    return Shape((("cpu", cpus * 1000),), tuple(selector), terms, "armada-default")


ids = itertools.count(1)


def job(cpus=1, queue="q", priority=0, gang=None, selector=(), at=0.0, preemptible=False):
    number = f"{next(ids):026d}"
    spec = submit_pb2.Job(id=number, queue=queue, job_set_id="s").SerializeToString()
    return Job(number, queue, "s", "default", priority, at, spec, shape(cpus, selector), 1000, preemptible, gang)


def world(*nodes, **factors):
    scheduler = Scheduler(Pool(nodes))
    scheduler.queues = {name: QueueFacts(factor) for name, factor in (factors or {"q": 1.0}).items()}
    return scheduler


def placed(scheduler, jobs):
    out = Outcome()
    scheduler.submit(jobs, 1.0, out)
    scheduler.schedule(1.0, out)
    return {job.id: run.node for job, run in out.starts}


@pytest.mark.parametrize(
    "text, want",
    [("4", 4000), ("500m", 500), ("0.5", 500), ("1Gi", (1 << 30) * 1000), ("1k", 10**6), ("1e3", 10**6), ("-1", -1000),
     (".5", 500), ("1.", 1000), ("1n", 1), ("+2", 2000), ("5E", 5 * 10**21)],
)  # fmt: skip
def test_amounts_as_kubernetes_reads_them(text, want):
    assert milli(text) == want


@pytest.mark.parametrize("text", ["", "x", "1GiB", "1 Gi", "--1", "0x10", "1e", "1kk"])
def test_what_is_no_amount(text):
    with pytest.raises(BadQuantity):
        milli(text)


@given(st.integers(0, 10**15))
def test_an_amount_shown_is_the_amount_read(number):
    assert milli(show(number)) == number


@pytest.mark.parametrize(
    "operator, values, labels, want",
    [
        ("In", ("a", "b"), {"k": "b"}, True),
        ("In", ("a",), {}, False),
        ("NotIn", ("a",), {}, True),
        ("NotIn", ("a",), {"k": "a"}, False),
        ("Exists", (), {"k": ""}, True),
        ("Exists", (), {}, False),
        ("DoesNotExist", (), {}, True),
        ("Gt", ("3",), {"k": "4"}, True),
        ("Gt", ("4",), {"k": "4"}, False),
        ("Lt", ("4",), {"k": "3"}, True),
        ("Lt", ("4",), {"k": "many"}, False),
        ("Lt", ("4",), {}, False),
    ],
)
def test_node_selector_operators(operator, values, labels, want):
    expression = Expression("k", operator, values)
    check(expression)
    assert holds(expression, labels) is want


@pytest.mark.parametrize(
    "operator, values", [("In", ()), ("Exists", ("a",)), ("Gt", ("x",)), ("Gt", ()), ("Like", ("a",))]
)
def test_bad_node_selector_requirements(operator, values):
    with pytest.raises(BadExpression):
        check(Expression("k", operator, values))


def test_terms_are_alternatives_and_an_empty_one_matches_nothing():
    a, b = Expression("a", "Exists", ()), Expression("b", "Exists", ())
    assert matches(shape(terms=((a,), (b,))), {"b": "1"})
    assert not matches(shape(terms=((a, b),)), {"b": "1"})
    assert not matches(shape(terms=((),)), {"b": "1"})
    assert not matches(shape(terms=()), {"b": "1"})
    assert matches(shape(), {})


def test_nodes_are_tried_by_weight_then_name():
    pool = Pool([node("b"), node("a", weight=5), node("c"), node("a0", schedulable=False)])
    taken = []
    for number in range(3):
        (name,) = pool.place([shape(4)])
        pool.take(str(number), name, shape(4).asks())
        taken.append(name)
    assert taken == ["b", "c", "a"]
    assert pool.place([shape(1)]) is None
    assert pool.release("1") == "c" and pool.release("1") is None
    assert pool.place([shape(1)]) == ["c"]


def test_a_member_with_one_choice_gets_it():
    pool = Pool([node("a"), node("b")])
    only_a = shape(2, [("kubernetes.io/hostname", "a")])
    assert pool.place([shape(2), only_a]) == ["b", "a"]
    assert pool.place([only_a, only_a]) is None


def test_a_gang_shares_the_value_of_its_uniformity_label():
    pool = Pool([node("a", rack="1"), node("b", rack="2"), node("c", rack="2"), node("d")])
    assert pool.place([shape(), shape()], "rack") == ["b", "c"]
    assert pool.place([shape(), shape(), shape()], "rack") is None
    assert pool.place([shape(), shape(), shape()]) == ["a", "b", "c"]


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=6))
def test_distinct_choices_are_found_if_there_are_any(options):
    found = distinct(options)
    possible = any(len(set(choice)) == len(choice) for choice in itertools.product(*options))
    assert (found is not None) == possible
    if found is not None:
        assert len(set(found)) == len(found)
        assert all(choice in allowed for choice, allowed in zip(found, options, strict=True))


def test_inside_a_queue_low_priority_numbers_go_first_then_age():
    scheduler = world(node("a", 1))
    jobs = [job(priority=5), job(priority=1, at=2.0), job(priority=1, at=1.0)]
    order = []
    placed_now = placed(scheduler, jobs)
    while placed_now:
        (job_id,) = placed_now
        order.append(job_id)
        out = Outcome()
        scheduler.pod_ended(job_id, scheduler.jobs[job_id].run.run_id, Ended(), 2.0, out)
        scheduler.schedule(2.0, out)
        placed_now = {j.id: run.node for j, run in out.starts}
    assert order == [jobs[2].id, jobs[1].id, jobs[0].id]


def test_queues_take_turns_by_weight():
    scheduler = world(node("a", 6), light=1.0, heavy=2.0)
    jobs = [job(queue=name) for name in ("light", "heavy") for _ in range(6)]
    ran = [scheduler.jobs[job_id].queue for job_id in placed(scheduler, jobs)]
    assert (ran.count("light"), ran.count("heavy")) == (4, 2)


def test_cost_is_the_dearest_resource():
    shares = Shares({"cpu": 10_000, "memory": 100_000})
    shares.add("q", {"cpu": 1000, "memory": 50_000})
    assert shares.cost("q", 1) == 0.5
    assert shares.cost("q", 2, {"cpu": 8000}) == 1.8
    shares.remove("q", {"cpu": 1000, "memory": 50_000})
    assert shares.cost("q", 1) == 0 and not shares.held


def test_a_gang_waits_for_its_last_member_and_for_room():
    scheduler = world(node("a", 2), node("b", 2))
    gang = Gang("g", 2)
    first, second, small = job(2, gang=gang), job(2, gang=gang), job(1)
    assert placed(scheduler, [first]) == {}
    assert placed(scheduler, [small]) == {small.id: "a"}
    assert placed(scheduler, [second]) == {}
    out = Outcome()
    scheduler.pod_ended(small.id, small.run.run_id, Ended(), 2.0, out)
    scheduler.schedule(2.0, out)
    assert {j.id: run.node for j, run in out.starts} == {first.id: "a", second.id: "b"}


def test_a_gang_that_lost_a_member_never_starts():
    scheduler = world(node("a"), node("b"))
    gang = Gang("g", 2)
    first, second, blocker = job(4, gang=gang), job(4, gang=gang), job(4)
    placed(scheduler, [blocker])
    placed(scheduler, [first, second])
    out = Outcome()
    scheduler.cancel([second], "me", 2.0, out)
    scheduler.pod_ended(blocker.id, blocker.run.run_id, Ended(), 2.0, out)
    scheduler.schedule(2.0, out)
    assert not out.starts and first.state == QUEUED and second.state == CANCELLED


def test_faulty_gangs_are_rejected():
    scheduler = world(node("a"), node("b"), node("c"))
    running = [job(gang=Gang("g", 2)) for _ in range(2)]
    assert len(placed(scheduler, running)) == 2
    late = job(gang=Gang("g", 2))
    assert placed(scheduler, [late]) == {} and late.state == REJECTED
    crowd = [job(gang=Gang("h", 2)) for _ in range(3)]
    assert placed(scheduler, crowd) == {} and {j.state for j in crowd} == {REJECTED}
    odd = [job(gang=Gang("i", 2)), job(gang=Gang("i", 3))]
    assert placed(scheduler, odd) == {} and {j.state for j in odd} == {REJECTED}


@pytest.mark.parametrize(
    "annotations, want",
    [
        ({}, None),
        ({"armadaproject.io/gangId": "g", "armadaproject.io/gangCardinality": "1"}, None),
        ({"armadaproject.io/gangId": "g", "armadaproject.io/gangCardinality": "2"}, Gang("g", 2)),
        (
            {
                "armadaproject.io/gangId": "g",
                "armadaproject.io/gangCardinality": "2",
                "armadaproject.io/gangNodeUniformityLabel": "rack",
            },
            Gang("g", 2, "rack"),
        ),
    ],
)
def test_gang_annotations(annotations, want):
    assert gang_of(annotations) == want


@pytest.mark.parametrize(
    "more", [{}, {"gangCardinality": "0"}, {"gangCardinality": "two"}, {"gangCardinality": "2", "failFast": "no"}]
)
def test_bad_gang_annotations(more):
    with pytest.raises(BadGang):
        gang_of({"armadaproject.io/gangId": "g", **{f"armadaproject.io/{key}": value for key, value in more.items()}})


def test_a_cancelled_pod_keeps_its_place_until_it_is_gone():
    scheduler = world(node("a"))
    first, second = job(4), job(4)
    placed(scheduler, [first])
    out = Outcome()
    scheduler.cancel([first], "me", 2.0, out)
    assert out.kills == [first]
    assert placed(scheduler, [second]) == {}
    out = Outcome()
    scheduler.pod_ended(first.id, first.run.run_id, Ended("Error", "killed"), 3.0, out)
    scheduler.schedule(3.0, out)
    assert [j.id for j, _ in out.starts] == [second.id]
    assert first.state == CANCELLED and not [m for j, m in out.events if j is first]


def test_a_lease_that_keeps_coming_back_fails_the_job():
    scheduler = world(node("a"))
    unlucky = job()
    placed(scheduler, [unlucky])
    kinds = []
    for _ in range(10):
        if unlucky.state not in HAS_RUN:
            break
        out = Outcome()
        scheduler.pod_not_started(unlucky.id, unlucky.run.run_id, "no processes left", 2.0, out)
        kinds += [message.WhichOneof("events") for _, message in out.events]
        scheduler.schedule(2.0, out)
    assert kinds == ["lease_returned"] * 3 + ["failed"]
    assert unlucky.state == FAILED and len(unlucky.runs) == 4


def test_reprioritize_moves_a_queued_job():
    scheduler = world(node("a", 1))
    blocker, first, second = job(at=0.0), job(at=1.0, priority=5), job(at=2.0, priority=5)
    placed(scheduler, [blocker])
    placed(scheduler, [first, second])
    out = Outcome()
    scheduler.reprioritize([second], 1, "me", 2.0, out)
    assert [message.WhichOneof("events") for _, message in out.events] == ["reprioritizing", "reprioritized"]
    scheduler.pod_ended(blocker.id, blocker.run.run_id, Ended(), 3.0, out)
    scheduler.schedule(3.0, out)
    assert [j.id for j, _ in out.starts] == [second.id]


def test_ten_thousand_waiting_jobs_are_one_question(monkeypatch):
    scheduler = world(node("a", 1))
    placed(scheduler, [job() for _ in range(10_000)])
    asked = []
    place = Pool.place
    monkeypatch.setattr(Pool, "place", lambda self, *args: asked.append(1) or place(self, *args))
    for _ in range(5):
        placed(scheduler, [job()])
    assert not asked


class Model:
    """The rules that hold after every step, whatever the steps are."""

    def __init__(self):
        self.scheduler = world(node("a", 4), node("b", 4), node("c", 2, weight=3), q=1.0, r=2.0)
        self.all = []
        self.running_pods = {}

    def check(self):
        used = {}
        for job_id, (run_id, cpus, name) in self.running_pods.items():
            used[name] = used.get(name, 0) + cpus
            assert run_id in self.scheduler.pool.taken, job_id
        for name, cpus in used.items():
            assert cpus <= self.scheduler.pool.by_name[name].total["cpu"], "a node is over-committed"
            assert self.scheduler.pool.free[name]["cpu"] == self.scheduler.pool.by_name[name].total["cpu"] - cpus
        for one in self.all:
            assert (one.id in self.scheduler.jobs) == (one.state in HAS_RUN or one.state == QUEUED)

    def took(self, out):
        by_gang = {}
        for started, run in out.starts:
            assert started.id not in self.running_pods
            self.running_pods[started.id] = (run.run_id, started.shape.asks()["cpu"], run.node)
            if started.gang:
                by_gang.setdefault(started.gang.id, []).append((started, run.node))
        for members in by_gang.values():
            assert len(members) == members[0][0].gang.cardinality, "a gang started in part"
            assert len({name for _, name in members}) == len(members), "a gang shares a node"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(1, 5), st.sampled_from("qr"), st.integers(0, 3)),
        st.tuples(st.just("gang"), st.integers(2, 4), st.integers(1, 4), st.sampled_from("qr")),
        st.tuples(st.just("end"), st.integers(0, 50), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("reprioritize"), st.integers(0, 50), st.integers(0, 3)),
        st.tuples(st.just("close"), st.sampled_from("abc"), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_no_node_is_over_committed_and_gangs_are_whole(plan):
    model = Model()
    scheduler = model.scheduler
    for number, (kind, *args) in enumerate(plan):
        out = Outcome()
        now = float(number)
        if kind == "submit":
            cpus, queue, priority = args
            model.all.append(job(cpus, queue, priority, at=now))
            scheduler.submit(model.all[-1:], now, out)
        elif kind == "gang":
            count, cpus, queue = args
            gang = Gang(f"g{number}", count)
            members = [job(cpus, queue, gang=gang, at=now) for _ in range(count)]
            model.all += members
            for member in members:
                scheduler.submit([member], now, out)
        elif kind == "end" and model.running_pods:
            job_id = sorted(model.running_pods)[args[0] % len(model.running_pods)]
            run_id, _, _ = model.running_pods.pop(job_id)
            ended = Ended() if args[1] else Ended("Error", "x")
            scheduler.pod_ended(job_id, run_id, ended, now, out)
            scheduler.pod_ended(job_id, run_id, ended, now, out)
        elif kind in ("cancel", "reprioritize") and model.all:
            one = model.all[args[0] % len(model.all)]
            chosen = scheduler.chosen(one.queue, "s", [one.id])
            if kind == "cancel":
                scheduler.cancel(chosen, "me", now, out)
            else:
                scheduler.reprioritize(chosen, args[1], "me", now, out)
        elif kind == "close":
            name, is_open = args
            scheduler.renew([replace(n, schedulable=is_open) if n.name == name else n for n in scheduler.pool.nodes])
        scheduler.schedule(now, out)
        model.took(out)
        model.check()
    # in the end everything that can run has run, and nothing is held
    out = Outcome()
    scheduler.renew([replace(node, schedulable=True) for node in scheduler.pool.nodes])
    scheduler.schedule(99.0, out)
    model.took(out)
    while model.running_pods:
        job_id, (run_id, _, _) = model.running_pods.popitem()
        out = Outcome()
        scheduler.pod_ended(job_id, run_id, Ended(), 99.0, out)
        scheduler.schedule(99.0, out)
        model.took(out)
        model.check()
    assert not scheduler.pool.taken and not scheduler.shares.held
    broken = {one.gang.id for one in model.all if one.gang and one.state in (CANCELLED, REJECTED)}
    for one in model.all:
        assert one.state in (SUCCEEDED, FAILED, CANCELLED, REJECTED) or (one.gang and one.gang.id in broken)


def test_nodes_of_a_cluster_file():
    conf = cluster_conf(
        {
            "Nodes": [
                {"NodeName": "n[1-2]", "CPUs": 2, "RealMemory": 1000, "Feature": "a,b", "Gres": "gpu:a100:2,shard:8"},
                {"NodeName": "n3", "CPUs": 4, "RealMemory": 500, "State": "DRAIN", "Weight": 7},
            ],
            "Partitions": [
                {"PartitionName": "p", "Nodes": "n[1-2]", "NodeSelector": {"pool": "x"}},
                {"PartitionName": "all"},
            ],
        }
    )
    one, two, three = nodes_of(conf, MACHINE)
    assert one.total == {
        "cpu": 2000, "memory": (1000 << 20) * 1000, "ephemeral-storage": (1 << 40) * 1000, "nvidia.com/gpu": 2000,
        "slurm-compat/shard": 8000,
    }  # fmt: skip
    assert one.labels == {
        "kubernetes.io/hostname": "n1", "slurm-compat/feature-a": "true", "slurm-compat/feature-b": "true",
        "slurm-compat/partition-p": "true", "pool": "x", "slurm-compat/partition-all": "true",
        "slurm-compat/gpu-type": "a100",
    }  # fmt: skip
    assert (one.address, two.address, three.address) == ("127.90.0.1", "127.90.0.2", "127.90.0.3")
    assert (three.schedulable, three.weight) == (False, 7)
    assert [n.first_cpu for n in (one, two, three)] == [0, 2, 4]


def test_no_nodes_declared_means_this_machine():
    (only,) = nodes_of(cluster_conf({}), MACHINE)
    assert (only.name, only.total["cpu"], only.first_cpu, only.address) == ("laptop", 8000, 0, "127.0.0.1")


def test_more_cpus_declared_than_there_are_means_no_binding():
    conf = cluster_conf({"Nodes": [{"NodeName": "n[1-3]", "CPUs": 4}]})
    assert [n.first_cpu for n in nodes_of(conf, MACHINE)] == [None] * 3


@pytest.mark.parametrize("gres", ["gpu:-1", ":2", "9x"])
def test_bad_gres(gres):
    with pytest.raises(BadValue):
        nodes_of(cluster_conf({"Nodes": [{"NodeName": "n", "Gres": gres}]}), MACHINE)


def test_devices_are_handed_out_once():
    devices = Devices([0, 1, 2, 3, 8, 9])
    devices.set_nodes(
        [{"name": "a", "cpus": 4, "first_cpu": 0, "gpus": 2}, {"name": "b", "cpus": 2, "first_cpu": 4, "gpus": 0}]
    )
    assert devices.hand_out("r1", "a", 3, 1) == ([0, 1, 2], [0])
    assert devices.hand_out("r2", "b", 2, 0) == ([8, 9], [])
    assert devices.hand_out("r3", "a", 1, 1) == ([3], [1])
    devices.take_back("r1")
    devices.take_back("r1")
    devices.reserve("r4", "a", [0], [])
    assert devices.hand_out("r5", "a", 2, 1) == ([1, 2], [0])
    assert devices.hand_out("r6", "a", 1, 0) == ([], [])


def test_ids_rise_even_when_the_clock_does_not():
    ulids = Ulids()
    made = [ulids.next(moment) for moment in (5.0, 5.0, 4.0, 6.0)]
    assert made == sorted(set(made))
    assert all(len(one) == 26 and one == one.lower() for one in made)


def test_preemption_to_fair_share():
    scheduler = world(node("a", 4), node("b", 4), greedy=1.0, late=1.0)
    loose = [job(2, "greedy", at=float(n), preemptible=True) for n in range(3)]
    fixed = job(2, "greedy", at=9.0)
    assert len(placed(scheduler, [*loose, fixed])) == 4
    wanted = [job(2, "late"), job(2, "late"), job(2, "late")]
    out = Outcome()
    scheduler.submit(wanted, 5.0, out)
    scheduler.schedule(5.0, out)
    # the newest of the queue above its share goes; the second is asked for only when its turn comes
    assert [j.id for j in out.kills] == [loose[2].id]
    assert not out.starts
    starts, kills = [], []
    for _ in range(5):
        pods = [one for one in loose if one.state not in HAS_RUN and one.run.run_id in scheduler.pool.taken]
        out = Outcome()
        for one in pods:
            scheduler.pod_ended(one.id, one.run.run_id, Ended("Error", "gone"), 6.0, out)
        scheduler.schedule(6.0, out)
        starts += out.starts
        kills += out.kills
    # half of the cluster is due to the late queue, and no more than that
    assert len(starts) == 2 and len(kills) == 1
    assert fixed.state in HAS_RUN


def test_nobody_is_preempted_for_what_fits_anyway_or_is_over_its_share():
    scheduler = world(node("a", 4), greedy=1.0, late=1.0)
    loose = job(4, "greedy", preemptible=True)
    placed(scheduler, [loose])
    out = Outcome()
    scheduler.submit([job(3, "late")], 2.0, out)
    scheduler.schedule(2.0, out)
    assert not out.kills, "three of four is more than half"
    scheduler.submit([job(2, "late")], 2.0, out)
    scheduler.schedule(2.0, out)
    assert out.kills == [loose]
    out = Outcome()
    scheduler.submit([job(1, "late")], 2.0, out)
    scheduler.schedule(2.0, out)
    assert not out.kills
