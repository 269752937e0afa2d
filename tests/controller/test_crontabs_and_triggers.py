"""Crontabs and triggers through the controller: what runs again, what is kept over a restart, who may."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest

from slurm_compat.controller import triggers
from slurm_compat.controller.caller import Caller
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.jobargs import CronEntry
from slurm_compat.core.model import JobRequest
from slurm_compat.store.changes import Change

sys.path.insert(0, str(Path(__file__).parent))
from test_controller_life import SCRIPT, PlayedArmada, World, play

sys.path.pop(0)

ALICE = Caller(2001, 2001, "alice", "alice", False, False)
BOB = Caller(2002, 2002, "bob", "bob", False, False)
ROOT = Caller(0, 0, "root", "root", True, True)
TABLE = "# mine\n#SCRON -t 5\n* * * * * true\n0 0 1 1 * false\n"


def entry(spec="* * * * *", first=1, last=2, **asked):
    request = JobRequest(name="job", current_working_directory="/tmp", **asked)
    return CronEntry(request=request, script=SCRIPT, environment=b"A=1", spec=spec, first=first, last=last)


ENTRIES = [entry(), entry("0 0 1 1 *", 3, 3)]


async def install(world, entries=ENTRIES, text=TABLE, uid=2001, caller=ALICE):
    return await world.call("update_crontab", caller, user_id=uid, text=text, entries=entries)


async def cron_world(world):
    world.controller.conf.scron_parameters = "enable"
    return (await install(world))["job_ids"]


def now_is(world, moment):
    world.controller.now = lambda: moment


def due(world, job_id):
    """Its time has come."""
    begin = world.job(job_id).begin_time
    now_is(world, begin)
    world.controller.readiness.reconsider([job_id])


def test_an_entry_runs_at_its_time_and_waits_for_the_next(tmp_path):
    async def story(world):
        minutely, yearly = await cron_world(world)
        waiting = world.job(minutely)
        assert (waiting.state, waiting.reason, waiting.cron, waiting.name) == ("PENDING", "BeginTime", True, "job")
        assert waiting.begin_time % 60 == 0 and world.job(yearly).begin_time > waiting.begin_time
        due(world, minutely)
        link, session = await world.started(minutely)
        assert world.job(minutely).state == "RUNNING"
        await world.ended(link, session, status=3 << 8)
        again = world.job(minutely)
        assert (again.state, again.reason, again.restart_cnt, again.exit_code) == ("PENDING", "BeginTime", 1, 3 << 8)
        assert again.begin_time == waiting.begin_time + 60
        assert again.db_index != waiting.db_index  # the run is history of its own

    play(tmp_path, story)


def test_a_cancelled_entry_is_disabled_and_ends(tmp_path):
    async def story(world):
        minutely, _ = await cron_world(world)
        assert not (await world.call("cancel", ALICE, targets=[str(minutely)]))["errors"]
        job = world.job(minutely)
        assert (job.state, job.cron, job.crontab_spec) == ("CANCELLED", False, "* * * * *")
        shown = (await world.call("crontab", ALICE, user_id=2001))["text"]
        assert shown == "# mine\n#DISABLED: #SCRON -t 5\n#DISABLED: * * * * * true\n0 0 1 1 * false\n"

    play(tmp_path, story)


def test_a_running_entry_that_leaves_its_table_ends_for_good(tmp_path):
    async def story(world):
        minutely, yearly = await cron_world(world)
        due(world, minutely)
        link, session = await world.started(minutely)
        [other] = (await install(world, [entry("5 * * * *", 0, 0)], "5 * * * * x\n"))["job_ids"]
        assert world.job(yearly).state == "CANCELLED" and world.job(minutely).state == "RUNNING"
        await world.ended(link, session)
        assert world.job(minutely).state == "COMPLETED"
        await world.call("update_crontab", ALICE, user_id=2001, text=None)
        assert world.job(other).state == "CANCELLED"
        assert (await world.call("crontab", ALICE, user_id=2001))["text"] is None

    play(tmp_path, story)


def test_all_of_a_table_is_taken_or_nothing(tmp_path):
    async def story(world):
        ids = await cron_world(world)
        answer = await install(world, [entry(), entry(partition="nosuch")], "other\n")
        assert answer["failed"]["entry"] == 1
        assert answer["failed"]["message"] == "invalid partition specified: nosuch"
        assert (await world.call("crontab", ALICE, user_id=2001))["text"] == TABLE
        assert all(world.job(job_id).state == "PENDING" for job_id in ids)

    play(tmp_path, story)


@pytest.mark.parametrize("call, args", [("crontab", {}), ("update_crontab", {"text": None})])
def test_another_s_table_is_root_s_to_change(tmp_path, call, args):
    async def story(world):
        await cron_world(world)
        with pytest.raises(SlurmError) as refused:
            await world.call(call, BOB, user_id=2001, **args)
        assert refused.value.number == 2010  # Invalid user id
        await world.call(call, ROOT, user_id=2001, **args)

    play(tmp_path, story)


def test_scontrol_does_not_change_an_entry_s_job(tmp_path):
    async def story(world):
        minutely, _ = await cron_world(world)
        for call, more in (("update_job", {"changes": {"comment": "x"}}), ("hold", {}), ("release", {})):
            [refused] = (await world.call(call, ALICE, targets=[str(minutely)], **more))["errors"]
            assert refused[1:] == [2096, "Cannot modify scrontab jobs through scontrol"]

    play(tmp_path, story)


def test_tables_and_their_jobs_outlive_the_controller(tmp_path):
    async def story(world):
        minutely, yearly = await cron_world(world)
        # a table that was replaced a moment before the end: its job is not in the one that is kept
        world.controller.crontabs.of[2001].jobs.pop(yearly)
        change = Change()
        world.controller.crontabs.put(change, 2001, world.controller.crontabs.of[2001])
        await world.controller.commit(change)
        await world.close()
        again = await World(tmp_path, PlayedArmada()).open()
        try:
            again.controller.conf.scron_parameters = "enable"
            assert (await again.call("crontab", ALICE, user_id=2001))["text"] == TABLE
            assert again.job(minutely).cron and again.job(minutely).reason == "BeginTime"
            assert again.job(yearly).state == "CANCELLED"
        finally:
            await again.close()
        return world

    async def run():
        world = await World(tmp_path, PlayedArmada()).open()
        await story(world)

    asyncio.run(run())


# triggers

OWN = Caller(os.getuid(), os.getgid(), "me", "me", False, os.getuid() == 0)


async def set_trigger(world, caller=OWN, kind="node", target="*", events=("down",), offset=0, **more):
    values = {"permanent": False, "program": "/bin/true"} | more
    world.controller.conf.slurm_user = ""
    return (
        await world.call(
            "set_trigger", caller, kind=kind, target=target, events=list(events), offset=offset, **values
        )
    )["trigger_id"]  # fmt: skip


class Runs:
    """Instead of programs: their words."""

    def __init__(self, monkeypatch):
        self.seen = []
        monkeypatch.setattr(triggers, "run_as", self._run)

    async def _run(self, uid, argv, folder, patience):
        self.seen.append(argv)


@pytest.fixture
def runs(monkeypatch):
    return Runs(monkeypatch)


async def looked(world, seconds=0):
    now = world.controller.now() + seconds
    world.controller.now = lambda: now
    world.controller.triggers.look()
    await world.until(lambda: not world.controller.triggers.running)


def test_a_job_s_end_runs_its_program(tmp_path, runs):
    async def story(world):
        job_id = await world.submit()
        await set_trigger(world, kind="job", target=str(job_id), events=["fini"], program="/bin/a x")
        await set_trigger(world, kind="job", target=str(job_id), events=["fini"], offset=10, program="/bin/b")
        await looked(world)
        assert runs.seen == []
        await world.ended(*await world.started(job_id))
        await looked(world)
        assert runs.seen == [["/bin/a", "x", str(job_id)]]
        await looked(world, 10)
        assert runs.seen[1:] == [["/bin/b", str(job_id)]]
        assert not world.controller.triggers.kept

    play(tmp_path, story)


def test_node_changes(tmp_path, runs):
    async def story(world):
        for events, program in ((["down"], "/d"), (["drained"], "/D"), (["resume"], "/r"), (["reconfig"], "/c")):
            await set_trigger(world, events=events, program=program)
        await set_trigger(world, events=["down"], target="node03", program="/three")
        nodes = world.controller.cluster.nodes
        nodes["node01"].down = nodes["node02"].down = True
        nodes["node03"].flags.add("DRAIN")
        await looked(world)
        assert sorted(runs.seen) == [["/D", "node03"], ["/d", "node[01-02]"]]
        nodes["node01"].down = False
        await looked(world)
        assert runs.seen[2:] == [["/r", "node01"]]
        world.controller.triggers.happened("reconfig")
        await looked(world)
        assert runs.seen[3:] == [["/c", "reconfig"]]

    play(tmp_path, story)


def test_a_time_trigger_comes_before_the_limit_and_a_permanent_one_stays(tmp_path, runs):
    async def story(world):
        job_id = await world.submit(time_limit=1)
        await world.started(job_id)
        await set_trigger(world, kind="job", target=str(job_id), events=["time"], offset=-45)
        permanent = await set_trigger(world, events=["reconfig"], permanent=True, program="/c")
        await looked(world)
        assert runs.seen == []
        await looked(world, 16)
        assert runs.seen == [["/bin/true", str(job_id)]]
        for _ in range(2):
            world.controller.triggers.happened("reconfig")
            await looked(world)
        assert runs.seen[1:] == [["/c", "reconfig"]] * 2
        assert list(world.controller.triggers.kept) == [permanent]

    play(tmp_path, story)


def test_who_may_and_what_is_refused(tmp_path):
    async def story(world):
        number = await set_trigger(world)
        for caller, more, refusal in (
            (BOB, {}, 2002),
            (OWN, {}, 2089),  # Duplicate event trigger
            (OWN, {"kind": "job", "target": "99999", "events": ["fini"]}, 2017),
            (OWN, {"target": "nosuch"}, 2018),
            (OWN, {"program": "relative"}, 3001),
        ):
            with pytest.raises(SlurmError) as refused:
                await set_trigger(world, caller, **more)
            assert refused.value.number == refusal
        with pytest.raises(SlurmError) as refused:
            await world.call("clear_triggers", BOB, trigger_id=number)
        assert refused.value.number == 2002
        await world.call("clear_triggers", OWN, user_id=OWN.uid)
        with pytest.raises(SlurmError, match="No such process"):
            await world.call("clear_triggers", OWN, trigger_id=number)

    play(tmp_path, story)


def test_triggers_outlive_the_controller_and_numbers_go_on(tmp_path, runs):
    async def run():
        world = await World(tmp_path, PlayedArmada()).open()
        await set_trigger(world)
        await world.call("clear_triggers", OWN, trigger_id=1)
        kept = await set_trigger(world, events=["primary_slurmctld_resumed_operation"], kind="slurmctld")
        await world.close()
        again = await World(tmp_path, PlayedArmada()).open()
        try:
            assert list(again.controller.triggers.kept) == [kept] == [2]
            await looked(again)
            assert runs.seen == [["/bin/true", "primary_slurmctld_resumed_operation"]]
            assert await set_trigger(again, events=["up"]) == 3
            assert msgspec.json.encode((await again.call("triggers", ALICE))["triggers"][0]["events"]) == b'["up"]'
        finally:
            await again.close()

    asyncio.run(run())
