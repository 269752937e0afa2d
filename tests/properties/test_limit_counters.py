"""Whatever happens to jobs, in any order and over a restart: the counters are what the jobs there are add up to."""

import contextlib
import copy
import random
import sys
from pathlib import Path

import pytest

from slurm_compat.controller.tally import Tally
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.states import PENDING

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))
from reference import ALICE, BOB
from test_controller_life import play

sys.path.pop(0)


def counted(tally: Tally):
    """As it is now: copies, for the tally goes on."""
    return {
        bucket: {name: copy.copy(getattr(counts, name)) for name in counts.__slots__}
        for bucket, counts in tally._counts.items()
    }


def recounted(world):
    fresh = Tally(world.controller.limiter._buckets)
    for job in world.controller.table.jobs.values():
        fresh.place(job)
    return counted(fresh)


async def something(world, dice, links):
    """One thing that may happen: a submission, an agent's word, a user's."""
    jobs = [job for job in world.controller.table.jobs.values() if not job.is_final]
    kind = dice.choice(("submit", "array", "start", "end", "cancel", "hold", "release", "requeue", "suspend", "resume"))
    if kind in ("submit", "array") or not jobs:
        array = "1-4" if kind == "array" else ""
        await world.submit(caller=dice.choice((ALICE, BOB)), array=array, tasks=dice.randint(1, 4), time_limit=10)
        return
    job = dice.choice(jobs)
    if kind == "start":
        if job.state == PENDING and job.staged and job.placements and not job.flags:
            links[job.job_id] = world.agent(job.job_id, node=dice.choice(("node01", "node02", "node03")))
    elif kind == "end":
        if job.job_id in links and job.is_running:
            link, _session = links.pop(job.job_id)
            world.says(link, "batch_ended", status=0, time=world.controller.now(), usage={})
    else:
        with contextlib.suppress(SlurmError):  # not in this state
            await world.call(kind, ALICE._replace(uid=0, operator=True, admin=True), targets=[str(job.job_id)])


@pytest.mark.parametrize("seed", range(4))
def test_counters_after_anything(tmp_path, seed):
    dice = random.Random(seed)

    async def story(world):
        world.controller.conf.accounting_storage_enforce = "limits"
        links = {}
        for _ in range(60):
            await something(world, dice, links)
            assert counted(world.controller.limiter.tally) == recounted(world)
        await world.store.stop()
        return counted(world.controller.limiter.tally)

    async def again(world):
        return counted(world.controller.limiter.tally), recounted(world)

    before = play(tmp_path, story)
    after, fresh = play(tmp_path, again)
    assert after == fresh
    # what was placed may have been handed over anew, but nobody has more or fewer jobs than before
    assert {bucket: one["submitted"] for bucket, one in after.items()} == {
        bucket: one["submitted"] for bucket, one in before.items()
    }
