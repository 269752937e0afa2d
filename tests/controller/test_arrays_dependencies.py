"""Arrays as records that tasks leave, dependencies as events decide them, SLUIDs, ids as users write them."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.controller import arrays, dependencies, sluid
from slurm_compat.controller.table import Table
from slurm_compat.controller.tally import Tally
from slurm_compat.controller.targets import find
from slurm_compat.core import taskids
from slurm_compat.core.errors import INVALID_JOB_ID, SlurmError
from slurm_compat.core.model import Depend
from slurm_compat.store.changes import Change

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made

sys.path.pop(0)


def array(ranges, **changes):
    return made.job(100, array_job_id=100, array_ranges=ranges, **changes)


@given(st.sets(st.integers(0, 60), min_size=1), st.data())
def test_tasks_that_leave_are_gone_and_the_others_stay(ids, data):
    ranges = taskids.parse(",".join(map(str, sorted(ids))), 1000).ranges
    gone = data.draw(st.sets(st.sampled_from(sorted(ids))))
    assert set(taskids.each(arrays.without(ranges, gone))) == ids - gone


def test_a_stepped_range_is_cut_where_the_task_was():
    assert arrays.without([(0, 18, 3)], [6]) == [(0, 3, 3), (9, 18, 3)]


def test_the_record_keeps_the_arrays_id_for_its_last_task():
    record = array([(1, 2, 1)])
    first, rest = arrays.split(record, 1, 101, 501)
    assert (first.job_id, first.array_task_id, first.array_ranges) == (101, 1, [])
    assert (rest.job_id, rest.array_ranges) == (100, [(2, 2, 1)])
    last, nothing = arrays.split(rest, 2, 999, 999)
    assert (last.job_id, last.array_task_id, nothing) == (100, 2, None)


def test_tasks_in_armada_are_shown_in_the_record_until_they_start():
    table, change = Table(), Change()
    task, rest = arrays.split(array([(1, 3, 1)]), 1, 101, 501)
    task.folded = task.staged = True
    for job in (rest, task):
        table.put(change, job)
    assert table.tasks_waiting(rest) == "1-3"
    assert table.active[100] == {101}
    task.folded = False
    table.put(change, task)
    assert table.tasks_waiting(rest) == "2-3"
    assert [job.job_id for job in table.family(100)] == [100, 101]


def test_a_user_counts_each_task_that_has_not_ended():
    tally = Tally(lambda entry: [("qos user", entry.qos, entry.user_id)])
    job = array([(1, 5, 1)], qos="normal")
    tally.place(job)
    assert tally.of(("qos user", "normal", 1000)).submitted == 5
    job.state = "CANCELLED"
    tally.place(job)
    assert tally.of(("qos user", "normal", 1000)).submitted == 0


@pytest.mark.parametrize(
    "text, own, tasks",
    [("100", [101], [2, 3]), ("100_1", [101], []), ("100_[1-2]", [101], [2]), ("101", [101], []), ("100_3", [], [3])],
)
def test_what_an_expression_names(text, own, tasks):
    table, change = Table(), Change()
    task, rest = arrays.split(array([(1, 3, 1)]), 1, 101, 501)
    for job in (rest, task):
        table.put(change, job)
    found = find(table, text)
    assert ([job.job_id for job in found.jobs], found.tasks) == (own, tasks)


@pytest.mark.parametrize("text", ["", "x", "8", "100_9", "100+1"])
def test_what_names_nothing(text):
    table = Table()
    table.put(Change(), array([(1, 3, 1)]))
    with pytest.raises(SlurmError) as problem:
        find(table, text)
    assert problem.value.number == INVALID_JOB_ID


@pytest.mark.parametrize(
    "kind, other, want",
    [
        ("afterok", {"state": "PENDING"}, "waits"),
        ("afterok", {"state": "RUNNING"}, "waits"),
        ("afterok", {"state": "COMPLETED", "flags": ["COMPLETING"]}, "waits"),
        ("afterok", {"state": "COMPLETED"}, "met"),
        ("afterok", {"state": "FAILED", "exit_code": 256}, "never"),
        ("afterok", {"state": "CANCELLED"}, "never"),
        ("afternotok", {"state": "FAILED", "exit_code": 256}, "met"),
        ("afternotok", {"state": "COMPLETED"}, "never"),
        ("afterany", {"state": "TIMEOUT"}, "met"),
        ("afterany", {"state": "RUNNING"}, "waits"),
        ("after", {"state": "PENDING"}, "waits"),
        ("after", {"state": "RUNNING", "start_time": 1000}, "met"),
        ("after", {"state": "CANCELLED", "start_time": 1000}, "met"),
    ],
)
def test_what_another_jobs_state_means(kind, other, want):
    table = Table()
    table.put(Change(), made.job(7, **other))
    verdict = dependencies.judge(made.job(8, dependency=[Depend(kind, 7)]), table, 2000)
    assert ("never" if verdict.never else "waits" if verdict.left else "met") == want


def test_after_with_minutes_asks_again_when_they_are_over():
    table = Table()
    table.put(Change(), made.job(7, state="RUNNING", start_time=1000))
    verdict = dependencies.judge(made.job(8, dependency=[Depend("after", 7, delay=10)]), table, 1100)
    assert (bool(verdict.left), verdict.ask_at) == (True, 1600)


def test_one_of_several_is_enough_with_a_question_mark():
    table = Table()
    table.put(Change(), made.job(7, state="FAILED", exit_code=256))
    table.put(Change(), made.job(9, state="RUNNING"))
    job = made.job(8, dependency=[Depend("afterok", 7), Depend("afterany", 9)], dependency_any=True)
    verdict = dependencies.judge(job, table, 2000)
    assert (len(verdict.left), verdict.never) == (2, False)
    assert dependencies.shown(verdict.left, True, table) == "afterok:7(failed)?afterany:9(unfulfilled)"


def test_singleton_waits_for_earlier_jobs_of_the_name():
    table = Table()
    table.put(Change(), made.job(7, name="x"))
    table.put(Change(), made.job(9, name="y", state="RUNNING"))
    waiting = made.job(10, name="x", dependency=[Depend("singleton")])
    assert dependencies.judge(waiting, table, 2000).left
    assert not dependencies.judge(made.job(10, name="z", dependency=[Depend("singleton")]), table, 2000).left
    watchers = dependencies.Watchers()
    watchers.add(waiting)
    assert watchers.of(table.jobs[7]) == [10]
    watchers.remove(waiting)
    assert watchers.of(table.jobs[7]) == []


@given(st.integers(0, (1 << 63) - 1))
def test_a_sluid_reads_as_it_is_written(number):
    assert sluid.number(sluid.text(number)) == number


def test_a_sluid_as_slurm_writes_it():
    assert sluid.text(17228106839476357120) == "sEY5M7WHFQEJ00"
    assert sluid.number("sEY5M7WHFQEJ0") is None
    assert sluid.number("xEY5M7WHFQEJ00") is None


def test_sluids_only_grow_whatever_the_clock_does():
    numbers = sluid.Numbers("oracle")
    given_out = [numbers.next(moment) for moment in (5000, 5000, 4000, 6000)]
    assert given_out == sorted(set(given_out))
