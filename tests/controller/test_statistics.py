"""What sdiag's figures are made of, and the line of jobs that priorities reorder."""

import sys
from pathlib import Path

from slurm_compat.controller.staging import KEPT, Staging
from slurm_compat.controller.statistics import Statistics, form_of
from slurm_compat.core.bookargs import ChangeBook
from slurm_compat.core.callargs import Nothing
from slurm_compat.core.clusterargs import UpdatePartition, UpdateReservation
from slurm_compat.core.jobargs import Jobs, UpdateJob

sys.path.insert(0, str(Path(__file__).parent))
from jobsmade import job

sys.path.pop(0)


def test_calls_are_counted_by_kind_and_user():
    statistics = Statistics(100)
    statistics.answered("jobs", Jobs(fields=[], job_ids=[7]), 2001, "alice", 0.001)
    statistics.answered("jobs", Jobs(fields=[]), 2001, "alice", 0.002)
    statistics.answered("ping", Nothing(), 0, "root", 0.0005)
    figures = statistics.figures({})
    assert figures["calls"] == [["jobs", "one", 1, 1000], ["jobs", "", 1, 2000], ["ping", "", 1, 500]]
    assert figures["users"] == [["alice", 2001, 2, 3000], ["root", 0, 1, 500]]


def test_a_question_about_one_job_is_a_message_of_its_own():
    assert form_of(Jobs(fields=[], job_ids=[1])) == "one"
    assert form_of(Jobs(fields=[], user_ids=[1])) == "users"
    assert form_of(Jobs(fields=[], job_ids=[1, 2])) == ""
    assert form_of(Nothing()) == ""


def test_what_a_call_changes_shows_in_its_form_and_no_users_words_do():
    assert form_of(ChangeBook(verb="add", entity="qos")) == "add qos"
    assert form_of(ChangeBook(verb="add", entity="x" * 1000)) == ""
    assert form_of(UpdateReservation(action="create")) == "create"
    assert form_of(UpdateReservation(action="bogus")) == ""
    assert form_of(UpdatePartition(name="p", changes={"delete": True})) == "delete"
    assert form_of(UpdateJob(targets=["1"], changes={"top": True})) == "top"


def test_a_reset_begins_anew_and_keeps_what_was_last():
    statistics = Statistics(100)
    statistics.round(False, 0.001, depth=4, queue=6, started=2, at=105)
    statistics.round(True, 0.002, depth=3, queue=3, started=1, at=106)
    counters = {"submitted": 5, "COMPLETED": 2, "TIMEOUT": 1, "CANCELLED": 1, "started": 4}
    before = statistics.figures(counters)
    assert (before["jobs_submitted"], before["jobs_completed"], before["jobs_failed"]) == (5, 2, 1)
    assert (before["main"]["cycles"], before["main"]["total"], before["backfill"]["started_ever"]) == (1, 1000, 1)
    statistics.reset(200, counters)
    after = statistics.figures(counters | {"submitted": 7})
    assert after["since"] == 200
    assert (after["jobs_submitted"], after["jobs_completed"], after["calls"]) == (2, 0, [])
    assert (after["main"]["cycles"], after["main"]["last"]) == (0, 1000)
    assert (after["backfill"]["started"], after["backfill"]["started_ever"]) == (0, 1)


def test_a_line_that_is_reordered_for_ever_stays_short():
    staging = Staging()
    for number in range(1, 4):
        staging.offer(job(number), "q")
    for turn in range(3 * KEPT):
        staging.reorder(job(1 + turn % 3, priority=turn), "q")
    taken = []
    staging.take(lambda job_id, queue: taken.append(job_id))
    assert taken == [3, 2, 1]
    assert staging.waiting == 0


def test_only_who_stands_in_line_is_reordered():
    staging = Staging()
    staging.reorder(job(1, priority=5), "q")
    assert staging.waiting == 0
