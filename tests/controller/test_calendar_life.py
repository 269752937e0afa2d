"""Reservations, nodes and partitions in the controller itself: what becomes of jobs, and what a restart finds."""

import grp
import json
import pwd

import msgspec
import pytest

from slurm_compat.controller import partitionkeeping, reserving
from slurm_compat.core import calls
from slurm_compat.core.clusterargs import ReservationChanges
from slurm_compat.core.errors import SlurmError
from slurm_compat.store import questions
from tests.controller.test_controller_life import ALICE, BOB, ROOT_USER, PlayedArmada, PlayedSession, play

UIDS = {"alice": 2001, "bob": 2002, "root": 0}
HOUR = 3600


@pytest.fixture(autouse=True)
def people(monkeypatch):
    def named(name):
        return pwd.struct_passwd((name, "x", UIDS[name], UIDS[name], "", "/", "/bin/sh"))

    monkeypatch.setattr(reserving.pwd, "getpwnam", named)
    monkeypatch.setattr(reserving.grp, "getgrnam", lambda name: grp.struct_group((name, "x", UIDS[name], [])))


async def ask(world, call, caller, /, **args):
    """As World.call, of calls that have a name among their arguments."""
    return await world.calls.answer(PlayedSession(caller), calls.CALLS[call], calls.CALLS[call].args(**args))


async def reserve(world, name="r", caller=ROOT_USER, **changes):
    known = {"start_time": world.controller.now(), "duration": 60, "users": "alice", "nodes": "node01"}
    given = msgspec.convert(known | changes, ReservationChanges)
    return (await ask(world, "update_reservation", caller, action="create", name=name, changes=given))["name"]


async def change(world, name="r", action="update", caller=ROOT_USER, **changes):
    given = msgspec.convert(changes, ReservationChanges)
    return await ask(world, "update_reservation", caller, action=action, name=name, changes=given)


def later(world, seconds):
    """The clock goes on, and the calendar looks at it."""
    now = world.controller.now() + seconds
    world.controller.now = lambda: now
    world.controller.calendar.tick()


async def things(world, kind):
    saved = await world.store.read(questions.saved)
    return {name: data for there, name, data in saved.things if there == kind}


def hosts(armada):
    """What the items say of host names: (operator, names) each."""
    found = []
    for item in armada.items.values():
        node = item.pod_specs[0].affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
        for each in node.nodeSelectorTerms[0].matchExpressions:
            if each.key == "kubernetes.io/hostname":
                found.append((each.operator, list(each.values)))
    return found


def test_a_job_waits_for_its_reservation_and_is_held_when_that_is_over(tmp_path):
    async def story(world):
        await reserve(world, start_time=world.controller.now() + HOUR)
        job_id = await world.submit(reservation="r")
        await world.until(lambda: world.job(job_id).reason == "Reservation")
        later(world, HOUR)
        await world.placed(job_id)
        later(world, HOUR)
        await world.until(lambda: not world.job(job_id).staged)
        job = world.job(job_id)
        held = (job.state, job.flags, job.hold, job.priority, job.description, job.request.reservation)
        await world.call("release", ALICE, targets=[str(job_id)])
        await world.placed(job_id)
        return held, world.job(job_id).flags, await things(world, "reservation"), hosts(world.armada)

    held, flags, kept, said = play(tmp_path, story, armada := PlayedArmada())
    assert held == ("PENDING", ["RESV_DEL_HOLD"], "user", 0, "Reservation r was deleted", "")
    assert flags == []
    ((name, past),) = kept.items()
    assert name == f"1 {past['start_time']}" and past["past"] and past["tres"] == "cpu=4"
    assert said[0] == ("In", ["node01"]) and ("In", ["node01"]) not in said[1:]
    assert len(armada.items) == 2


def test_without_a_hold_it_runs_anywhere_after_the_end(tmp_path):
    async def story(world):
        await reserve(world, start_time=world.controller.now() + HOUR, flags="no_hold_jobs_after_end")
        job_id = await world.submit(reservation="r")
        later(world, 3 * HOUR)
        await world.placed(job_id)
        return world.job(job_id)

    job = play(tmp_path, story)
    assert (job.request.reservation, job.hold, job.flags) == ("", "", [])


def test_jobs_inside_armada_come_back_when_their_nodes_are_reserved(tmp_path):
    async def story(world):
        job_id = await world.submit(BOB, time_limit=30)
        await world.placed(job_id)
        first = world.job(job_id).barred
        await reserve(world, start_time=world.controller.now() + HOUR)
        still = world.job(job_id).attempt
        later(world, HOUR // 2 + 2)  # now it would run into it
        await world.placed(job_id)
        job = world.job(job_id)
        return first, still, job.attempt, job.barred

    assert play(tmp_path, story) == ([], 1, 2, ["node01"])


def test_a_running_job_is_told_when_its_reservation_ends(tmp_path):
    async def story(world):
        now = world.controller.now()
        await reserve(world, start_time=now, duration=60)
        job_id = await world.submit(reservation="r", time_limit=600)
        link, session = await world.started(job_id)
        launch = next(message for message in session.sent if message["msg"] == "launch")
        await change(world, duration=30)
        await world.until(lambda: any(message["msg"] == "update" for message in session.sent))
        update = next(message for message in session.sent if message["msg"] == "update")
        with pytest.raises(SlurmError) as used:
            await change(world, action="delete")
        number = world.job(job_id).resv_id
        await world.ended(link, session)
        await change(world, action="delete")
        return launch["end_time"] - now, update["end_time"] - now, used.value.number, number

    assert play(tmp_path, story) == (HOUR, HOUR // 2, 2055, 1)


@pytest.mark.parametrize("action, caller, number", [
    ("create", ALICE, 2010), ("update", ALICE, 2010), ("delete", BOB, 2010), ("delete", ALICE, 0),
])  # fmt: skip
def test_who_may_change_reservations(tmp_path, action, caller, number):
    async def story(world):
        await reserve(world, flags="user_delete")
        try:
            if action == "create":
                await reserve(world, name="other", caller=caller, nodes="node02")
            else:
                await change(world, action=action, caller=caller)
        except SlurmError as problem:
            return problem.number
        return 0

    assert play(tmp_path, story) == number


def test_one_that_recurs_goes_on_and_keeps_its_past(tmp_path):
    async def story(world):
        start = world.controller.now()
        await reserve(world, flags="daily")
        later(world, 2 * HOUR)
        (one,) = world.controller.calendar.all.values()
        await change(world, comment="after it")  # durable, so what was before it is as well
        return one.start_time - start, sorted(await things(world, "reservation"))

    moved, kept = play(tmp_path, story)
    assert moved in (23 * HOUR, 24 * HOUR, 25 * HOUR)  # the same time of day
    assert kept[0] == "1" and kept[1].startswith("1 ")


def test_one_that_nobody_uses_is_purged(tmp_path):
    async def story(world):
        await reserve(world, flags="purge_comp=5:00")
        later(world, 200)
        before = list(world.controller.calendar.all)
        later(world, 200)
        return before, list(world.controller.calendar.all)

    assert play(tmp_path, story) == (["r"], [])


def test_a_magnetic_one_takes_what_has_no_room_outside(tmp_path):
    async def story(world):
        await reserve(world, nodes="node01", flags="magnetic")
        outside = await world.submit()
        inside = await world.submit(partition="debug", minimum_nodes=2, exclusive="exclusive")
        required = await world.submit(required_nodes="node01")
        await world.placed(outside)
        await world.placed(required)
        return [world.job(job_id).request.reservation for job_id in (outside, inside, required)]

    assert play(tmp_path, story) == ["", "", "r"]


def test_nodes_that_go_down_are_replaced(tmp_path):
    async def story(world):
        now = world.controller.now()
        for name, flags in (("plain", ""), ("named", ""), ("fills", "replace_down")):
            more = {"nodes": "node04"} if name == "named" else {"nodes": None, "node_count": 1}
            await reserve(world, name=name, start_time=now, flags=flags, **more)
        before = {name: one.nodes for name, one in world.controller.calendar.all.items()}
        await change(world, name="named", action="delete")
        args = {"state": "DOWN", "reason": "x"}
        await world.call("update_node", ROOT_USER, names=["node01", "node02"], changes=args)
        return before, {name: one.nodes for name, one in world.controller.calendar.all.items()}

    before, after = play(tmp_path, story)
    assert before == {"plain": ["node01"], "named": ["node04"], "fills": ["node02"]}
    assert after == {"plain": ["node01"], "fills": ["node03"]}


def test_a_restart_finds_reservations_and_partitions_as_they_were(tmp_path):
    async def before(world):
        await reserve(world, name="keep", start_time=world.controller.now() + HOUR, flags="daily,maint")
        await ask(world, "update_partition", ROOT_USER, name="new", changes={"create": True, "nodes": "node03"})
        await ask(world, "update_partition", ROOT_USER, name="debug", changes={"max_time": 5, "state": "DRAIN"})
        await ask(world, "update_partition", ROOT_USER, name="gpu", changes={"delete": True})
        return shown(world)

    async def after(world):
        found = shown(world)
        made = await reserve(world, name="", nodes="node04")
        partitionkeeping.forget(world.controller.cluster)
        return found, made, sorted(world.controller.cluster.partitions)

    def shown(world):
        parts = world.controller.cluster.partitions
        return (
            {name: msgspec.to_builtins(one) for name, one in world.controller.calendar.all.items()},
            {name: (part.node_names, part.max_time, part.state, part.labelled) for name, part in parts.items()},
        )

    first = play(tmp_path, before)
    found, made, forgotten = play(tmp_path, after)
    assert json.dumps(found, sort_keys=True) == json.dumps(first, sort_keys=True)
    assert made == "alice_2"
    assert found[1]["new"][0] == ["node03"] and "gpu" not in found[1] and found[1]["debug"][1:3] == (5, "DRAIN")
    assert forgotten == ["compute", "debug", "gpu"]


def test_states_of_nodes_are_recorded_as_events(tmp_path):
    async def story(world):
        for changes in ({"state": "DRAIN", "reason": "disk"}, {"state": "DOWN", "reason": "gone"}, {"state": "RESUME"}):
            await world.call("update_node", ROOT_USER, names=["node02"], changes=changes)
        opened = dict(world.controller.node_events.open)
        return "node02" in opened, world.controller.cluster.nodes["node02"].silent

    assert play(tmp_path, story) == (False, True)


def test_all_stands_for_every_node_and_none_for_nothing(tmp_path):
    async def story(world):
        await world.call("update_node", ROOT_USER, names=["ALL"], changes={"comment": "seen"})
        with pytest.raises(SlurmError) as refusal:
            await world.call("update_node", ROOT_USER, names=[], changes={"comment": "seen"})
        return {node.comment for node in world.controller.cluster.nodes.values()}, refusal.value.number

    assert play(tmp_path, story) == ({"seen"}, 2018)


@pytest.mark.parametrize("answers", [True, False])
def test_a_sites_node_is_cordoned_first(tmp_path, answers):
    """Where Kubernetes would not, nothing is changed here either."""

    class Inventory:
        def __init__(self):
            self.asked = []

        async def cordon(self, names, on, reason):
            self.asked.append((names, on, reason))
            if not answers:
                raise SlurmError(2036, "cordon: away")

    async def story(world):
        world.controller.inventory = inventory = Inventory()
        changes = {"state": "DRAIN", "reason": "disk"}
        try:
            await world.call("update_node", ROOT_USER, names=["node02"], changes=changes)
            await world.call("update_node", ROOT_USER, names=["node02"], changes={"comment": "no cordon"})
            await world.call("update_node", ROOT_USER, names=["node02"], changes={"state": "RESUME"})
        except SlurmError as problem:
            assert problem.text == "cordon: away"
        return inventory.asked, world.controller.cluster.nodes["node02"].reason

    asked, reason = play(tmp_path, story)
    assert asked == [(["node02"], True, "disk"), (["node02"], False, "")][: 1 + answers]
    assert reason == ""
