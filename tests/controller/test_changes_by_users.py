"""scontrol's changes of jobs, steps and partitions through the controller's calls, as observed on 26.05."""

import sys
from pathlib import Path

import pytest

from slurm_compat.controller import accounting
from slurm_compat.core import calls, clusterargs, errors, jobargs
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import UNLIMITED

sys.path.insert(0, str(Path(__file__).parent))
from reference import BOB, ROOT_USER
from test_controller_life import PlayedSession, play

sys.path.pop(0)


@pytest.mark.parametrize(
    "call, args, number",
    [
        ("hold", {}, errors.USER_ID_MISSING),
        ("release", {}, errors.USER_ID_MISSING),
        ("update_job", {"changes": {"nice": 5}}, errors.USER_ID_MISSING),
        ("requeue", {}, errors.ACCESS_DENIED),
        ("suspend", {}, errors.ACCESS_DENIED),
        ("resume", {}, errors.ACCESS_DENIED),
    ],
)
def test_others_jobs_are_refused_in_the_words_of_each_call(tmp_path, call, args, number):
    async def story(world):
        job_id = await world.submit(hold=True)
        return await world.call(call, BOB, targets=[str(job_id)], **args)

    assert [row[1] for row in play(tmp_path, story)["errors"]] == [number]


@pytest.mark.parametrize("call, number", [("suspend", errors.UNEXPECTED_MESSAGE), ("requeue", errors.INVALID_JOB_ID)])
def test_a_job_nobody_knows(tmp_path, call, number):
    async def story(world):
        return await world.call(call, targets=["999999"])

    assert play(tmp_path, story)["errors"] == [["999999", number, errors.TEXT[number]]]


@pytest.mark.parametrize("hold", [False, True])
def test_a_pending_job_is_not_requeued(tmp_path, hold):
    async def story(world):
        job_id = await world.submit(hold=True)
        return await world.call("requeue", targets=[str(job_id)], hold=hold)

    assert [row[1] for row in play(tmp_path, story)["errors"]] == [errors.JOB_PENDING]


@pytest.mark.parametrize(
    "changes, number, limit, partition",
    [
        ({"time_limit": 20}, 0, 20, "compute"),
        ({"time_limit": "+5"}, 0, 15, "compute"),
        ({"time_limit": "-4"}, 0, 6, "compute"),
        ({"time_limit": 120, "partition": "debug"}, 0, 120, "debug"),
        # the new partition's limit counts, and the partition is changed all the same
        ({"time_limit": 1440, "partition": "debug"}, errors.ACCESS_DENIED, 10, "debug"),
        ({"partition": "nosuch"}, errors.INVALID_PARTITION_NAME, 10, "compute"),
    ],
)
def test_time_limits_of_pending_jobs(tmp_path, changes, number, limit, partition):
    async def story(world):
        job_id = await world.submit(hold=True, time_limit=10)
        answer = await world.call("update_job", targets=[str(job_id)], changes=changes)
        return answer["errors"], world.job(job_id)

    refused, job = play(tmp_path, story)
    assert [row[1] for row in refused] == ([number] if number else [])
    assert (job.time_limit, job.partition) == (limit, partition)


def test_what_no_node_could_take_is_a_change_all_the_same(tmp_path):
    async def story(world):
        job_id = await world.submit(hold=True, required_nodes="node01")
        for changes in ({"constraints": "rome"}, {"nodes_range": [2, 2]}, {"minimum_cpus": [4, 4]}):
            assert (await world.call("update_job", targets=[str(job_id)], changes=changes))["errors"] == []
        return world.job(job_id)

    job = play(tmp_path, story)
    assert (job.shape.node_count, job.shape.cpus, job.request.constraints) == (2, 4, "rome")


def test_the_two_kinds_of_memory_take_each_others_place(tmp_path):
    async def story(world):
        job_id = await world.submit(hold=True)
        for changes in ({"memory_per_node": 1000}, {"memory_per_cpu": 100}):
            await world.call("update_job", targets=[str(job_id)], changes=changes)
        return world.job(job_id)

    job = play(tmp_path, story)
    assert (job.shape.memory_per_cpu, job.shape.memory_per_node) == (100, None)


def test_a_start_time_of_now_makes_a_held_job_eligible(tmp_path):
    async def story(world):
        job_id = await world.submit(hold=True, begin_time=world.controller.now() + 3600)
        now = world.controller.now()
        await world.call("update_job", targets=[str(job_id)], changes={"begin_time": now})
        return world.job(job_id), now

    job, now = play(tmp_path, story)
    assert (job.begin_time, job.eligible_time) == (0, now)


def test_top_is_for_operators(tmp_path):
    async def story(world):
        first, last = await world.submit(priority=500), await world.submit(begin_time=world.controller.now() + 60)
        denied = await world.call("update_job", targets=[str(last)], changes={"top": True})
        done = await world.call("update_job", ROOT_USER, targets=[str(last)], changes={"top": True})
        return denied, done, world.job(first).priority, world.job(last).priority

    denied, done, first, last = play(tmp_path, story)
    assert [row[1] for row in denied["errors"]] == [errors.ACCESS_DENIED]
    assert done["errors"] == []
    assert last > first


def test_partitions_made_by_hand(tmp_path):
    async def story(world):
        async def update(name, caller=ROOT_USER, **changes):
            try:
                args = clusterargs.UpdatePartition(name=name, changes=changes)
                await world.calls.answer(PlayedSession(caller), calls.CALLS["update_partition"], args)
            except SlurmError as problem:
                return problem.number
            return 0

        numbers = [
            await update("new", BOB, create=True, nodes="node01"),
            await update("new", create=True, nodes="node[02-03]", max_time=60),
            await update("new", create=True, nodes="node01"),
            await update("other", create=True, nodes="nosuch"),
        ]
        job_id = await world.submit(partition="new")
        await world.placed(job_id)
        affinity = str(next(iter(world.armada.items.values())))
        numbers.append(await update("new", delete=True))
        await world.call("cancel", targets=[str(job_id)])
        numbers += [await update("new", delete=True), await update("new", delete=True)]
        return numbers, affinity

    numbers, affinity = play(tmp_path, story)
    assert numbers == [
        errors.USER_ID_MISSING, 0, errors.INVALID_PARTITION_NAME, errors.INVALID_NODE_NAME, errors.PARTITION_IN_USE, 0,
        errors.INVALID_PARTITION_NAME,
    ]  # fmt: skip
    # nodes carry no label of a partition that was made after they started: they are named
    assert "partition-new" not in affinity
    assert "node03" in affinity


def test_sacct_knows_what_a_job_waited_for_and_that_it_gave_no_limit(tmp_path):
    async def story(world):
        first = await world.submit()
        waits = await world.submit(dependency=f"after:{first}", time_limit=5)
        held = await world.submit(hold=True)
        await world.started(first)
        await world.started(waits)

        async def record(job_id):
            args = jobargs.Accounting(fields=["state_reason", "time_limit"], targets=[str(job_id)], steps=False)
            answer = accounting.accounting(world.controller, PlayedSession(), args)
            return [row async for chunk in await answer for row in chunk]

        return [await record(job_id) for job_id in (first, waits, held)]

    assert play(tmp_path, story) == [[["None", UNLIMITED]], [["Dependency", 5]], [["None", None]]]
