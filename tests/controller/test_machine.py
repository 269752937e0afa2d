"""The job machine: each event in each state, and any order and repetition of what agents and Armada tell."""

import copy
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.controller import machine
from slurm_compat.controller.accounting import recorded_start
from slurm_compat.controller.machine import BadTransition, Ended, Event, Mail, Release, Restarted, Terminate, Withdraw
from slurm_compat.core import states
from slurm_compat.core.states import CANCELLED, COMPLETED, COMPLETING, FAILED, PENDING, REQUEUED, RUNNING, SUSPENDED

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made

sys.path.pop(0)


def running(**changes):
    values = {"state": RUNNING, "start_time": 1010, "staged": True, "attempt": 1, "nodes": "node01"}
    return made.job(**values | {"placements": made.PLACED} | changes)


@pytest.mark.parametrize(
    "status, reason, state, word, code",
    [
        (0, "", "COMPLETED", "None", ""),
        (3 << 8, "", "FAILED", "NonZeroExitCode", ""),
        (9, "", "FAILED", "RaisedSignal", "RaisedSignal:9(Killed)"),
        (15, "TIME LIMIT", "TIMEOUT", "TimeLimit", ""),
        (0, "OUT OF MEMORY", "OUT_OF_MEMORY", "OutOfMemory", ""),
    ],
)
def test_how_a_script_ended_is_how_the_job_ended(status, reason, state, word, code):
    after, _ = machine.advance(running(), Event("ended", 1020, status, reason))
    assert (after.state, after.reason, after.description, after.end_time) == (state, word, code, 1020)
    assert after.flags == [COMPLETING]


def test_a_job_is_complete_when_nothing_of_it_runs():
    ended, _ = machine.advance(running(), Event("ended", 1020))
    gone, effects = machine.advance(ended, Event("all gone", 1021))
    assert gone.flags == []
    assert effects == [Release(), Ended(), Mail("END")]
    assert machine.advance(gone, Event("all gone", 1022)) == (gone, [])


def test_a_cancelled_job_ends_at_once_and_its_script_later():
    cancelled, effects = machine.advance(running(), Event("cancel", 1020, uid=5))
    assert (cancelled.state, cancelled.cancelled_by, effects) == (CANCELLED, 5, [Terminate("CANCELLED")])
    late, _ = machine.advance(cancelled, Event("ended", 1023, 15))
    assert (late.state, late.exit_code, late.end_time) == (CANCELLED, 15, 1020)


def test_a_pending_job_in_armada_is_withdrawn_when_cancelled():
    job = made.job(staged=True, attempt=1, queue="q", job_set="s", placements=made.PLACED)
    after, effects = machine.advance(job, Event("cancel", 1020, uid=5))
    assert (after.state, after.staged, after.placements) == (CANCELLED, False, [])
    assert Withdraw("q", "s", tuple(made.PLACED), "cancelled by user") in effects


def test_a_requeued_job_waits_anew_and_its_run_is_history():
    after, effects = machine.advance(running(), Event("requeue", 1030))
    assert (after.state, after.flags, after.restart_cnt) == (PENDING, [COMPLETING, REQUEUED], 1)
    assert after.begin_time == 1030 + machine.REQUEUE_DELAY
    before = next(effect.before for effect in effects if isinstance(effect, Restarted))
    assert (before.nodes, before.start_time, before.end_time) == ("node01", 1010, 1030)
    gone, effects = machine.advance(after, Event("all gone", 1031))
    assert (gone.flags, gone.staged, effects) == ([], False, [Release()])


def test_a_requeued_job_gives_no_reason_yet_and_its_agents_hear_slurms_word():
    after, effects = machine.advance(running(), Event("requeue", 1030))
    assert after.reason == "None"
    assert effects[0] == Terminate("JOB REQUEUE")
    ended, _ = machine.advance(running(state=COMPLETED, end_time=1020), Event("requeue", 1030))
    assert (ended.state, ended.flags, ended.reason) == (PENDING, [], "None")


@pytest.mark.parametrize("reason, shown", [("JobArrayTaskLimit", "None"), ("JobHeldUser", "JobHeldUser")])
def test_a_cancelled_task_no_longer_waits_for_its_throttle(reason, shown):
    after, _ = machine.advance(made.job(reason=reason), Event("cancel", 1020, uid=5))
    assert after.reason == shown


def test_a_job_the_controller_cancels_is_nobodys_cancel():
    after, _ = machine.advance(made.job(), Event("cancel", 1020, uid=None))
    assert (after.state, after.cancelled_by) == (CANCELLED, None)
    assert recorded_start(after) == 1020
    assert recorded_start(machine.advance(made.job(), Event("cancel", 1020, uid=5))[0]) == 0


def test_a_lost_node_requeues_unless_told_not_to():
    event = Event("lost", 1030, reason="NODE FAILURE")
    again, _ = machine.advance(running(), event)
    assert (again.state, again.restart_cnt) == (PENDING, 1)
    lost, _ = machine.advance(running(requeue=False), event)
    assert (lost.state, lost.reason) == ("NODE_FAIL", "NodeDown")


def test_what_armada_rejects_is_held_with_its_reason():
    job = made.job(staged=True, attempt=1, placements=made.PLACED)
    after, _ = machine.advance(job, Event("rejected", 1020, text="no node has 900 CPUs"))
    assert (after.state, after.hold, after.reason, after.staged) == (PENDING, "admin", "BadConstraints", False)
    assert after.system_comment == "no node has 900 CPUs"


def test_time_suspended_is_not_time_run():
    stopped, _ = machine.advance(running(), Event("suspend", 1020))
    assert (stopped.state, stopped.pre_sus_time) == (SUSPENDED, 10)
    resumed, _ = machine.advance(stopped, Event("resume", 1050))
    assert (resumed.state, resumed.suspended_for) == (RUNNING, 30)


@pytest.mark.parametrize("state, name", [(PENDING, "suspend"), (COMPLETED, "resume"), (PENDING, "requeue")])
def test_nonsense_is_an_error(state, name):
    with pytest.raises(BadTransition):
        machine.advance(made.job(state=state), Event(name, 1000))


TOLD = st.sampled_from(
    [
        Event("started", 1010),
        Event("ended", 1020),
        Event("ended", 1020, 3 << 8),
        Event("lost", 1021, reason="NODE FAILURE"),
        Event("lost", 1021, reason="OUT OF MEMORY"),
        Event("taken away", 1022),
        Event("rejected", 1022, text="x"),
        Event("all gone", 1023),
        Event("cancel", 1024, uid=5),
        Event("withdrawn", 1025),
    ]
)


@given(st.lists(TOLD, max_size=12), st.booleans())
def test_any_order_and_repetition_ends_in_a_state_that_stays(events, requeue):
    job = made.job(requeue=requeue, staged=True, attempt=1, placements=made.PLACED)
    for event in events:
        before = copy.deepcopy(job)
        after, effects = machine.advance(job, event)
        assert job == before, "advance alters what it is given"
        if job.state in states.FINAL:
            assert after.state == job.state
            assert not any(isinstance(effect, (Withdraw, Restarted)) for effect in effects)
        if after.state in states.FINAL and COMPLETING not in after.flags and after is not job:
            assert Ended() in effects or job.is_final
        again, effects = machine.advance(after, event)
        if after.state in states.FINAL and COMPLETING not in after.flags:
            assert again.state == after.state
            assert Ended() not in effects
        job = after


def test_an_ended_job_ends_once():
    job = running()
    ends = 0
    for event in [Event("ended", 1020), Event("lost", 1021), Event("all gone", 1022), Event("all gone", 1023)]:
        job, effects = machine.advance(job, event)
        ends += effects.count(Ended())
    assert (job.state, ends) == (COMPLETED, 1)
    assert job.state != FAILED
