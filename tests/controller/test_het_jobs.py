"""Heterogeneous jobs: components that wait, start and end together."""

import sys
from pathlib import Path

import pytest

from slurm_compat.controller.targets import find
from slurm_compat.core import calls, errors, jobargs
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import JobRequest

sys.path.insert(0, str(Path(__file__).parent))
from test_controller_life import PlayedSession, play

sys.path.pop(0)

GANG, SIZE = "armadaproject.io/gangId", "armadaproject.io/gangCardinality"


def asked(**more):
    other = JobRequest(batch=True, name="other", current_working_directory="/tmp", minimum_nodes=2, tasks=2, **more)
    return {"tasks": 1, "het_components": [other], **more}


def rows(world, job_id, *fields):
    chunks = world.calls.answer(
        PlayedSession(), calls.CALLS["jobs"], jobargs.Jobs(fields=list(fields), job_ids=[job_id])
    )
    return [row for chunk in chunks for row in chunk]


async def cancelled(world, *targets):
    return (await world.call("cancel", targets=list(targets)))["errors"]


def test_the_components_are_one_gang_that_starts_when_all_are_there(tmp_path):
    async def story(world):
        first = await world.submit(**asked())
        second = first + 1
        await world.placed(second)
        items = list(world.armada.items.values())
        assert len(items) == 3
        assert {(item.annotations[GANG], item.annotations[SIZE]) for item in items} == {(f"oracle-{first}-1", "3")}
        assert rows(world, first, "job_id", "het_job_id", "het_job_offset", "het_job_id_set") == [
            [first, first, 0, f"{first}-{second}"],
            [second, first, 1, f"{first}-{second}"],
        ]
        leader, told = world.agent(first, node="node01")
        one, _ = world.agent(second, 0, "node02")
        assert world.job(first).state == world.job(second).state == "PENDING"
        other, told_other = world.agent(second, 1, "node03")
        await world.until(lambda: "launch" in told.events() and "launch" in told_other.events())
        packet = next(message for message in told.sent if message.get("msg") == "launch")
        assert packet["role"] == "batch"
        assert [group["JOB_ID"] for group in packet["het"]] == [str(first), str(second)]
        assert packet["het"][1]["JOB_NODELIST"] == "node[02-03]"
        packet = next(message for message in told_other.sent if message.get("msg") == "launch")
        assert (packet["role"], packet["het"]) == ("allocation", [])
        # the script's end is the end of all
        await world.ended(leader, told, status=3 << 8)
        await world.until(lambda: "bye" in told_other.events())
        assert [world.job(job_id).state for job_id in (first, second)] == ["FAILED", "FAILED"]
        assert world.job(second).exit_code == 3 << 8
        del one, other

    play(tmp_path, story)


def test_a_waiting_component_is_not_cancelled_alone_and_all_wait_for_the_last(tmp_path):
    async def story(world):
        first = await world.submit(**asked(hold=True))
        second = first + 1
        await world.until(lambda: second in world.controller.table.jobs)
        for target in (f"{first}+1", str(second)):
            assert (await cancelled(world, target))[0][:2] == [target, errors.NOT_WHOLE_HET_JOB]
        await world.call("release", targets=[str(second)])
        assert world.job(second).hold == "" and not world.job(second).staged
        await world.call("release", targets=[str(first)])
        await world.placed(first)
        assert world.job(second).placements
        # held again, all of it comes back from Armada
        await world.call("hold", targets=[f"{first}+1"])
        assert not world.job(first).staged and not world.job(second).staged
        assert await cancelled(world, str(first)) == []
        assert [world.job(job_id).state for job_id in (first, second)] == ["CANCELLED", "CANCELLED"]

    play(tmp_path, story)


def test_a_running_component_may_be_cancelled_alone(tmp_path):
    async def story(world):
        first = await world.submit(**asked())
        second = first + 1
        await world.placed(second)
        world.agent(first, node="node01")
        world.agent(second, 0, "node02")
        world.agent(second, 1, "node03")
        await world.until(lambda: world.job(first).is_running)
        assert await cancelled(world, f"{first}+1") == []
        assert (world.job(first).state, world.job(second).state) == ("RUNNING", "CANCELLED")

    play(tmp_path, story)


def test_what_a_component_may_not_be(tmp_path):
    async def story(world):
        for wrong, number in (
            ({"array": "1-2"}, errors.INVALID_ARRAY),
            ({"partition": "nosuch"}, errors.INVALID_PARTITION_NAME),
        ):
            other = JobRequest(batch=True, current_working_directory="/tmp", **wrong)
            with pytest.raises(SlurmError) as refused:
                await world.submit(het_components=[other])
            assert refused.value.number == number
        assert not world.controller.table.jobs

    play(tmp_path, story)


def test_ids_of_components(tmp_path):
    async def story(world):
        first = await world.submit(**asked(hold=True))
        await world.until(lambda: first + 1 in world.controller.table.jobs)
        table = world.controller.table
        for text, want in ((f"{first}", [0, 1]), (f"{first}+1", [1]), (f"{first + 1}", [1]), (f"{first}+0", [0])):
            assert [job.het_offset for job in find(table, text).jobs] == want
        with pytest.raises(SlurmError):
            find(table, f"{first}+2")

    play(tmp_path, story)
