"""What is told to Armada so that it starts a queue's jobs in the order of their priorities."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.controller.armadaorder import HIGHEST, Waiting, moves
from slurm_compat.controller.jobs import Placement
from slurm_compat.controller.reordering import MOST_CALLS, Reordering
from slurm_compat.store.changes import Change
from slurm_compat.translators.jobspec import armada_priority, slurm_priority

sys.path.insert(0, str(Path(__file__).parent))
from jobsmade import job

sys.path.pop(0)


def waiting(*told, ages=""):
    """Jobs 0, 1, 2 … in the order they should start; `ages`: a letter each, as they were handed over."""
    ages = ages or [f"{place:05}" for place in range(len(told))]
    return [Waiting(place, number, age) for place, (number, age) in enumerate(zip(told, ages, strict=True))]


def starts(jobs, told):
    """Ids in the order Armada starts them, after it was told."""
    numbers = {job.job_id: job.told for job in jobs} | {one: move.number for move in told for one in move.job_ids}
    return [job.job_id for job in sorted(jobs, key=lambda job: (-numbers[job.job_id], job.age))]


@pytest.mark.parametrize("told", [(), (5,), (9, 5, 1), (5, 5, 5)])
def test_what_stands_right_is_not_told(told):
    assert moves(waiting(*told)) == []


@pytest.mark.parametrize(
    "told, words",
    [
        ((100, 300, 200), [[0]]),  # the first goes before both, which stay
        ((300, 200, 400), [[2]]),  # the last goes behind
        ((100, 10, 90, 80, 20), [[1]]),
        ((5, 90, 80, 70), [[0]]),
        ((1, 2, 3, 4), [[0], [1], [2]]),  # all but one, and younger ones go first: a number each
    ],
)
def test_the_fewest_jobs_are_told(told, words):
    jobs = waiting(*told, ages="dcba" if told == (1, 2, 3, 4) else "")
    found = moves(jobs)
    assert [move.job_ids for move in found] == words
    assert starts(jobs, found) == sorted(job.job_id for job in jobs)


def test_those_that_go_to_one_place_share_a_call():
    jobs = waiting(*[10] * 500, *[20] * 500)
    (move,) = moves(jobs)
    assert len(move.job_ids) == 500


def test_where_numbers_leave_no_room_all_are_told_anew():
    jobs = waiting(10, 30, 9, ages="abc")
    crowded = [jobs[0], Waiting(1, 3, "b"), Waiting(2, 9, "c")]
    found = moves(crowded)
    assert starts(crowded, found) == [0, 1, 2]
    assert all(0 < move.number <= HIGHEST for move in found)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 40)), max_size=60), st.data())
def test_the_order_is_right_afterwards(rows, data):
    ages = data.draw(st.permutations(range(len(rows))))
    jobs = [Waiting(place, told, f"{age:03}") for place, ((told, _), age) in enumerate(zip(rows, ages, strict=True))]
    found = moves(jobs)
    assert starts(jobs, found) == list(range(len(jobs)))
    assert all(0 <= move.number <= HIGHEST for move in found)
    again = {one: move.number for move in found for one in move.job_ids}
    assert moves([job._replace(told=again.get(job.job_id, job.told)) for job in jobs]) == []


@given(st.integers(0, HIGHEST))
def test_armadas_number_leads_back(priority):
    assert slurm_priority(armada_priority(priority)) == priority


class PlayedController:
    """Ten thousand jobs that wait inside Armada, and an outbox that counts."""

    def __init__(self, jobs):
        self.jobs = {one.job_id: one for one in jobs}
        self.table = self
        self.outbox = self
        self.told = []

    def put(self, change, job):
        pass

    def reprioritize(self, change, queue, job_set, ids, priority):
        self.told.append((queue, job_set, len(ids), priority))


def jobs_inside(count, priority):
    return [
        job(n, priority=priority(n), told_priority=1000, staged=True, placements=[Placement("q", "set", f"{n:06}")])
        for n in range(1, count + 1)
    ]


def test_ten_thousand_jobs_that_all_change_take_a_bounded_number_of_calls():
    controller = PlayedController(jobs_inside(10_000, lambda n: 10_000 + n * 7919 % 10_007))
    order = Reordering(controller)
    calls = order.reorder("q", list(controller.jobs), Change())
    assert calls == len(controller.told) <= MOST_CALLS
    best = max(controller.jobs.values(), key=lambda one: one.priority)
    assert best.told_priority == max(one.told_priority for one in controller.jobs.values())


def test_many_queues_share_a_round_and_each_has_its_turn():
    controller = PlayedController(jobs_inside(400, lambda n: 1000 - n if n % 2 else 1000 + n))
    queues = [(f"q{n}", list(range(n * 40 + 1, n * 40 + 41))) for n in range(10)]
    controller.staging = SimpleNamespace(by_queue=lambda: iter(queues), has_inside=True)
    controller.commit = lambda change: None
    order = Reordering(controller)
    rounds = []
    for _ in range(40):
        before = len(controller.told)
        order._round()
        rounds.append(len(controller.told) - before)
        if not rounds[-1]:
            break
    assert max(rounds) <= MOST_CALLS and rounds[-1] == 0
    assert {queue for queue, *_ in controller.told} == {queue for queue, _ in queues}


def test_ages_that_grow_together_cost_no_call():
    controller = PlayedController(jobs_inside(10_000, lambda n: 500_000))
    assert Reordering(controller).reorder("q", list(controller.jobs), Change()) == 0


def test_a_job_that_is_on_its_way_is_told_with_its_submission():
    jobs = jobs_inside(3, lambda n: n)
    jobs[2].placements = []
    controller = PlayedController(jobs)
    assert Reordering(controller).reorder("q", [1, 2, 3], Change()) == 1
    assert controller.told == [("q", "set", 1, armada_priority(jobs[1].told_priority))]


def test_components_of_a_heterogeneous_job_are_told_together():
    jobs = jobs_inside(3, lambda n: 10)
    jobs[1].het_job_id = jobs[2].het_job_id = 2
    jobs[1].priority = jobs[2].priority = 99
    controller = PlayedController(jobs)
    Reordering(controller).reorder("q", [1, 2, 3], Change())
    assert [ids for _, _, ids, _ in controller.told] == [2]
