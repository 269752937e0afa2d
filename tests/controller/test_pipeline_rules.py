"""What pipelines lean on: arrays, dependencies, deadlines, signals and preemption through the controller itself."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.controller import agents, arrays, deadlines, dependencies
from slurm_compat.controller.table import Table
from slurm_compat.core import errors, taskids
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import UNLIMITED, Depend
from slurm_compat.store.changes import Change

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made
from reference import BOB, ROOT_USER
from test_controller_life import play

sys.path.pop(0)


def told(answer):
    return [f"{target}: {text}" for target, _, text in answer["errors"]]


# --- arrays


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(1, 4), st.data())
def test_many_gaps_leave_what_few_would(ids, step, data):
    ranges = taskids.parse(",".join(str(task * step) for task in sorted(ids)), 2000).ranges
    gone = data.draw(st.sets(st.sampled_from([task * step for task in sorted(ids)])))
    assert set(taskids.each(arrays.without(ranges, gone))) == {task * step for task in ids} - gone


def test_a_hole_in_a_million_tasks_costs_no_list_of_them():
    assert arrays.without([(0, 999_999, 1)], range(1000, 2000)) == [(0, 999, 1), (2000, 999_999, 1)]


def test_tasks_that_left_the_record_keep_to_the_throttle(tmp_path):
    async def story(world):
        array = await world.submit(array="0-5%1")
        table = world.controller.table
        await world.until(lambda: table.tasks.get(array))
        link, session = await world.started(table.tasks[array][0])
        await world.call("hold", targets=[f"{array}_[3-4]"])
        await world.call("release", targets=[f"{array}_[3-4]"])
        await world.until(lambda: table.task(array, 3).reason == "JobArrayTaskLimit")
        before = len(table.active[array])
        await world.ended(link, session)
        await world.until(lambda: len(table.active[array]) == 1)
        return before

    assert play(tmp_path, story) == 1


def test_a_requeued_task_makes_room_for_another(tmp_path):
    async def story(world):
        array = await world.submit(array="0-2%1")
        table = world.controller.table
        await world.until(lambda: table.tasks.get(array))
        first = table.tasks[array][0]
        link, session = await world.started(first)
        await world.call("requeue", targets=[f"{array}_0"])
        await world.ended(link, session, status=15, reason="JOB REQUEUE")
        await world.until(lambda: table.active[array] and first not in table.active[array])
        return world.job(first).reason

    assert play(tmp_path, story) == "BeginTime"


@pytest.mark.parametrize(
    "call, target, want",
    [
        ("hold", "{a}", []),
        ("hold", "{a}_9", ["{a}_[9]: Invalid job id specified"]),
        ("hold", "{a}_[2-9]", ["{a}_[2-3]: No error", "{a}_[4-9]: Invalid job id specified"]),
        ("requeue", "{a}", ["{a}_[0-3]: Job is pending execution"]),
        ("requeue", "{a}_1", ["{a}_[1]: Job is pending execution"]),
        ("resume", "{a}_[1-2]", ["{a}_[1-2]: Job is pending execution"]),
    ],
)
def test_each_task_of_an_array_has_its_answer(tmp_path, call, target, want):
    async def story(world):
        array = await world.submit(array="0-3", hold=True)
        answer = await world.call(call, targets=[target.format(a=array)])
        return told(answer), [line.format(a=array) for line in want]

    found, wanted = play(tmp_path, story)
    assert found == wanted


def test_strangers_are_refused_task_by_task_but_suspend_at_once(tmp_path):
    async def story(world):
        array = await world.submit(array="0-3", hold=True)
        held = await world.call("hold", BOB, targets=[str(array)])
        suspended = await world.call("suspend", BOB, targets=[f"{array}_[1-2]"])
        return [line.replace(str(array), "A") for line in told(held) + told(suspended)]

    assert play(tmp_path, story) == ["A_[0-3]: Invalid user id", "A_1-2: Access/permission denied"]


def test_the_throttle_is_the_arrays(tmp_path):
    async def story(world):
        array = await world.submit(array="0-3%1", hold=True)
        of_task = await world.call("update_job", targets=[f"{array}_2"], changes={"array_max_tasks": 2})
        of_array = await world.call("update_job", targets=[str(array)], changes={"array_max_tasks": 3})
        return told(of_task), told(of_array), world.job(array).array_max_tasks

    of_task, of_array, throttle = play(tmp_path, story)
    assert of_task[0].endswith("(Update of ArrayTaskThrottle is only allowed on ArrayJobId)")
    assert (of_array, throttle) == ([], 3)


# --- dependencies


def test_tasks_without_a_counterpart_can_never_run_once_the_other_array_is_over():
    table = Table()
    for task in (1, 2):
        done = made.job(100 + task, array_job_id=100, array_task_id=task, state="COMPLETED")
        table.put(Change(), done)
    record = made.job(200, array_job_id=200, array_ranges=[(1, 3, 1)], dependency=[Depend("aftercorr", 100)])
    table.put(Change(), record)
    assert dependencies.decided_tasks(record, table, 2000, [101]) == [1, 2, 3]
    assert dependencies.decided_tasks(record, table, 2000) == [1, 2, 3]
    alone = made.job(203, array_job_id=200, array_task_id=3, dependency=[Depend("aftercorr", 100)])
    assert dependencies.judge(alone, table, 2000).never


@pytest.mark.parametrize("waits_for, number", [("a", errors.DEPENDENCY), ("c", errors.CIRCULAR_DEPENDENCY)])
def test_circles_are_refused(tmp_path, waits_for, number):
    async def story(world):
        ids = {"a": await world.submit(hold=True)}
        ids["b"] = await world.submit(dependency=f"afterok:{ids['a']}")
        ids["c"] = await world.submit(dependency=f"afterany:{ids['b']}")
        changes = {"dependency": f"afterok:{ids[waits_for]}"}
        answer = await world.call("update_job", targets=[str(ids["a"])], changes=changes)
        return answer["errors"][0][1], world.job(ids["a"]).dependency

    assert play(tmp_path, story) == (number, [])


def test_a_task_that_is_not_there_can_not_be_waited_for(tmp_path):
    async def story(world):
        array = await world.submit(array="1-3", hold=True)
        job = await world.submit(hold=True)
        found = []
        for text in (f"afterok:{array}_3", f"afterok:{array}_9", f"afterok:{job}_1"):
            try:
                await world.submit(dependency=text, key=text)
                found.append(0)
            except SlurmError as problem:
                found.append(problem.number)
        return found

    assert play(tmp_path, story) == [0, errors.DEPENDENCY, errors.DEPENDENCY]


def test_a_chain_of_singletons_wakes_the_next_alone():
    table, watchers = Table(), dependencies.Watchers()
    jobs = [made.job(number, name="x", dependency=[Depend("singleton")]) for number in range(1, 50)]
    for job in jobs:
        table.put(Change(), job)
        watchers.add(job)
    watchers.remove(jobs[0])
    assert watchers.of(jobs[0]) == [2]
    assert not dependencies.judge(jobs[0], table, 5).left
    assert dependencies.judge(jobs[1], table, 5).left


# --- when


@pytest.mark.parametrize(
    "job, last, limit",
    [
        ({"deadline": 5000, "time_limit": 10}, 4400, 10),
        ({"deadline": 5000, "time_limit": 10, "time_minimum": 2}, 4880, 10),
        ({"deadline": 5000, "time_limit": 60, "time_minimum": 1}, 4940, 16),
        ({"deadline": 5000, "time_limit": UNLIMITED}, 5000, 16),
        ({"time_limit": UNLIMITED}, 0, UNLIMITED),
    ],
)
def test_a_deadline_is_passed_when_too_little_time_is_left(job, last, limit):
    job = made.job(**job)
    assert (deadlines.last_start(job), deadlines.limit_at(job, 4000)) == (last, limit)


def test_a_job_that_can_not_end_in_time_ends_now(tmp_path):
    async def story(world):
        now = world.controller.now()
        job_id = await world.submit(hold=True, deadline=now + 60, time_limit=1)
        await world.until(lambda: world.job(job_id).is_final)
        return world.job(job_id).state, world.job(job_id).reason

    assert play(tmp_path, story) == ("DEADLINE", "DeadLine")


# --- order, signals, preemption


def test_top_lowers_the_others(tmp_path):
    async def story(world):
        ids = [await world.submit(required_nodes="node05") for _ in range(3)]
        base = world.job(ids[0]).priority
        seen = []
        for targets in (ids[2:], [ids[1], ids[0]]):
            await world.call("update_job", ROOT_USER, targets=list(map(str, targets)), changes={"top": True})
            seen.append([world.job(job_id).priority - base for job_id in ids])
        refused = await world.call("update_job", BOB, targets=[str(ids[0])], changes={"top": True})
        return seen, refused["errors"][0][1]

    assert play(tmp_path, story) == ([[-1, -1, 0], [-1, 0, -2]], errors.ACCESS_DENIED)


@pytest.mark.parametrize(
    "how, state", [({"signal": 9, "full": True}, "CANCELLED"), ({"signal": 9, "batch": True}, "RUNNING")]
)
def test_a_kill_for_all_is_a_cancel(tmp_path, how, state):
    async def story(world):
        job_id = await world.submit()
        await world.started(job_id)
        await world.call("cancel", targets=[str(job_id)], **how)
        return world.job(job_id).state

    assert play(tmp_path, story) == state


def test_r_signals_take_preemption(tmp_path):
    async def story(world):
        with pytest.raises(SlurmError) as refusal:
            await world.submit(kill_warning_flags=["RESERVATION"], kill_warning_signal=10)
        return refusal.value.number

    assert play(tmp_path, story) == 2179


@pytest.mark.parametrize(
    "kind, requeue, mode, want",
    [
        ("preempted", True, "REQUEUE", "PENDING"),
        ("preempted", True, "CANCEL", "PREEMPTED"),
        ("preempted", False, "REQUEUE", "PREEMPTED"),
        ("cancelled", True, "REQUEUE", "CANCELLED"),
    ],
)
def test_a_pod_that_is_stopped_is_what_armada_says(tmp_path, kind, requeue, mode, want):
    """Its agent is quicker to tell of the script's end than Armada to tell why."""

    async def story(world):
        world.controller.conf.preempt_mode = mode
        job_id = await world.submit(requeue=requeue)
        link, session = await world.started(job_id)
        world.says(link, "batch_ended", status=15, time=world.controller.now(), usage={}, reason="CANCELLED")
        await world.until(lambda: "ack" in session.events())
        between = world.job(job_id).state
        placement = world.job(job_id).placements[0].armada_id
        world.watch._heard({"kind": kind, "job_id": placement, "created": 5.0})
        await world.until(lambda: world.job(job_id).state == want and not world.job(job_id).flags)
        return between

    assert play(tmp_path, story) == "RUNNING"


def test_without_a_word_of_armada_a_stopped_job_ended_as_its_script(tmp_path, monkeypatch):
    monkeypatch.setattr(agents, "STOP_EXPLAINED", 0.0)

    async def story(world):
        job_id = await world.submit()
        link, session = await world.started(job_id)
        await world.ended(link, session, status=15, reason="CANCELLED")
        return world.job(job_id).state, world.job(job_id).exit_code

    assert play(tmp_path, story) == ("FAILED", 15)
