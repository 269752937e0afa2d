"""What a job that waits costs in memory beyond its script: ten thousand of them are megabytes, not more."""

import asyncio
import gc
import sys
import tracemalloc
from pathlib import Path

from slurm_compat.core.model import JobRequest

sys.path.insert(0, str(Path(__file__).parent))
from test_controller_life import ALICE, SCRIPT, play

sys.path.pop(0)

JOBS = 300
MOST = 2000  # bytes each; a record of ninety fields is nearly half of it


def test_a_waiting_job_costs_little(tmp_path):
    async def story(world):
        async def one(number):
            request = JobRequest(
                batch=True, name="job", hold=True, current_working_directory="/tmp", submit_line="sbatch x"
            )
            answer = await world.call(
                "submit", ALICE, request=request, script=SCRIPT, environment=b"A=1", key=f"{number:036d}"
            )
            return answer["job_id"]

        async def many(start):
            for number in range(start, start + JOBS, 100):
                await asyncio.gather(*map(one, range(number, number + 100)))

        world.controller.conf.max_job_count = 10 * JOBS
        await many(0)
        tracemalloc.start()
        rounds = []
        for number in range(1, 4):  # what grows by leaps, a dictionary say, grows in one of them
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            await many(number * JOBS)
            gc.collect()
            rounds.append((tracemalloc.get_traced_memory()[0] - before) / JOBS)
        tracemalloc.stop()
        jobs = list(world.controller.table.jobs.values())
        # what is shared stays empty
        assert all(not job.flags and not job.dependency and not job.placements for job in jobs)
        assert len({id(job.flags) for job in jobs}) == 1
        return min(rounds)

    assert play(tmp_path, story) < MOST
