"""Whatever order, repetition, loss or restart: jobs end the same, and none starts before it may.

The controller, its store and its books are real; Armada and the agents are played. A script of steps, drawn by
hypothesis, lets agents come, speak, stammer and hang up, Armada tell its tale late and twice, and the controller die
between any two of them. Then all that is owed is delivered, and what became of each job is compared with what its
script's end alone would make of it.
"""

import asyncio
import contextlib
import queue
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))
from test_controller_life import PlayedArmada, World

sys.path.pop(0)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PATIENT = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


class Pod:
    """What a pod of the played cluster has to say until somebody has written it down."""

    def __init__(self, job_id, attempt, token, status):
        self.job_id, self.attempt, self.token, self.status = job_id, attempt, token, status
        self.launched = self.bye = self.ended = False
        self.unacknowledged = []


class Play:
    def __init__(self, path, armada):
        self.path, self.armada = path, armada
        self.world = None
        self.pods = {}  # (job id, attempt)
        self.links = {}
        self.statuses = {}
        self.started = {}  # job id: the attempts that started, a start that was lost included
        self.most_active = {}
        self.ahead = 0  # seconds that the played clock is ahead of the machine's

    async def open(self):
        self.world = World(self.path, self.armada)
        self.world.controller.now = lambda: int(time.time()) + self.ahead
        await self.world.open()
        self.links.clear()
        self._watch_starts()

    def _watch_starts(self):
        controller = self.world.controller
        apply = controller.apply

        def watched(job, event, change=None):
            after = apply(job, event, change)
            if event.name == "started" and after is not job:
                self._check_start(after)
            return after

        controller.apply = watched

    def _check_start(self, job):
        table = self.world.controller.table
        self.started.setdefault(job.job_id, set()).add(job.attempt)
        assert not job.dependency, "it started before what it depends on"
        assert job.begin_time <= self.world.controller.now()
        assert not job.hold
        for term in self.asked.get(job.array_job_id or job.job_id, ()):
            for other in table.family(term):
                assert other.is_final and not other.flags, f"{job.job_id} started before {term} was over"
        if job.array_job_id and job.array_max_tasks:
            running = [other for other in table.family(job.array_job_id) if other.is_running]
            assert len(running) <= job.array_max_tasks, "more tasks than the throttle lets run"

    async def restart(self):
        await self.world.close()
        await self.open()

    async def crash(self):
        """kill -9: what the store has not written is lost, with all that was to be said when it had."""
        waiting = self.world.store._queue
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        await self.restart()

    def later(self):
        """Time goes by; what falls due is looked at."""
        self.ahead += 40
        controller = self.world.controller
        for job_id in list(controller.table.pending):
            controller.readiness.reconsider([job_id])

    async def settle(self):
        for _ in range(6):
            await asyncio.sleep(0.002)

    # what may happen, in any order

    def come(self):
        """Each job that was placed has a pod, whose agent says hello, or hello again."""
        for job in list(self.world.controller.table.jobs.values()):
            if not job.placements:
                continue
            key = (job.job_id, job.attempt)
            pod = self.pods.setdefault(key, Pod(*key, job.token, self.status_of(job)))
            if not pod.bye and (key not in self.links or self.links[key][1].closed):
                try:
                    self.links[key] = self.world.agent(job.job_id, token=pod.token, attempt=pod.attempt)
                except Exception:
                    continue

    def status_of(self, job):
        return self.statuses.get(job.array_job_id or job.job_id, 0)

    def listen(self):
        for key, (_, session) in self.links.items():
            pod = self.pods[key]
            pod.launched = pod.launched or "launch" in session.events()
            if "terminate" in session.events():
                pod.launched, pod.status = True, 15
            pod.bye = pod.bye or "bye" in session.events()

    def end(self):
        """Scripts that run come to their end."""
        self.listen()
        for pod in self.pods.values():
            pod.ended = pod.ended or pod.launched

    def say(self, repeat=1):
        """Agents tell of their script's end; nobody has acknowledged it, so they may say it again."""
        self.listen()
        for key, (link, session) in self.links.items():
            pod = self.pods[key]
            if pod.ended and not pod.bye and not session.closed:
                for _ in range(repeat):
                    self.world.says(
                        link, "batch_ended", status=pod.status, time=self.world.controller.now(), usage={}, reason=""
                    )

    def hang_up(self):
        for link, session in self.links.values():
            session.closed = True
            self.world.controller.agents.gone(link)
        self.links.clear()

    def armada_tells(self, repeat=1):
        """The pods whose agents are gone for good are over; Armada says so once more than it has to."""
        self.listen()
        by_id = {}
        for job in self.world.controller.table.jobs.values():
            for placement in job.placements:
                by_id[placement.armada_id] = (job.job_id, job.attempt)
        for armada_id, key in by_id.items():
            pod = self.pods.get(key)
            if pod is not None and pod.bye:
                for _ in range(repeat):
                    kind = "failed" if pod.status else "succeeded"
                    self.world.watch._heard({"kind": kind, "job_id": armada_id, "created": 5.0, "exit_code": 1})

    def armada_repeats_itself(self):
        for job in list(self.world.controller.table.jobs.values()):
            for placement in job.placements:
                for kind in ("submitted", "queued", "leased", "pending", "running"):
                    self.world.watch._heard({"kind": kind, "job_id": placement.armada_id, "created": 5.0})


STEPS = ("come", "come", "end", "say", "stammer", "hang_up", "armada", "repeats", "restart", "crash", "settle")


async def act(play, step):
    if step in ("restart", "crash"):
        await getattr(play, step)()
    elif step == "stammer":
        play.say(repeat=3)
    elif step == "armada":
        play.armada_tells(repeat=2)
    elif step == "repeats":
        play.armada_repeats_itself()
    elif step == "settle":
        await play.settle()
    else:
        getattr(play, step)()
    await asyncio.sleep(0)


async def finish(play, done):
    """All that is owed is delivered."""
    for _ in range(400):
        if done():
            return
        play.come()
        await play.settle()
        play.end()
        play.say()
        await play.settle()
        play.armada_tells()
    raise AssertionError({job.job_id: (job.state, job.reason, job.flags) for job in play.jobs()})


def over(play):
    return lambda: all(job.is_final and not job.flags for job in play.jobs() if job.job_id not in play.never)


def run(submissions, steps, check):
    """`submissions`: (name, what is asked, exit status, names it waits for)."""

    async def story():
        with tempfile.TemporaryDirectory() as folder:
            play = Play(Path(folder), PlayedArmada())
            play.asked, play.never = {}, set()
            play.jobs = lambda: list(play.world.controller.table.jobs.values())
            await play.open()
            try:
                ids = {}
                for name, asked, status, before in submissions:
                    known = {f"{{{other}}}": str(job_id) for other, job_id in ids.items()}
                    asked = {key: _filled(value, known) for key, value in asked.items()}
                    ids[name] = await play.world.submit(key=name, **asked)
                    play.statuses[ids[name]] = status
                    play.asked[ids[name]] = [ids[other] for other in before]
                for step in steps:
                    await act(play, step)
                await check(play, ids)
            finally:
                await play.world.close()

    asyncio.run(story())


def _filled(value, known):
    """The text with the ids of the jobs it names."""
    if isinstance(value, str):
        for name, job_id in known.items():
            value = value.replace(name, job_id)
    return value


@PATIENT
@given(st.lists(st.sampled_from(STEPS), max_size=14), st.sampled_from([0, 3 << 8, 9]))
def test_a_job_ends_as_its_script_did_whatever_is_lost_or_said_twice(steps, status):
    async def check(play, ids):
        await finish(play, over(play))
        job = play.world.job(ids["a"])
        assert (job.state, job.exit_code) == ("FAILED" if status else "COMPLETED", status)
        assert job.restart_cnt == 0
        assert len(play.armada.items) == 1, "it was handed to Armada once"
        nodes = play.world.controller.cluster.nodes.values()
        assert sum(node.allocated_cpus for node in nodes) == 0

    run([("a", {}, status, [])], steps, check)


@PATIENT
@given(st.lists(st.sampled_from(STEPS), max_size=14), st.sampled_from([0, 3 << 8]))
def test_no_job_starts_before_what_it_depends_on(steps, status):
    async def check(play, ids):
        play.never = {ids["never"]}
        await finish(play, over(play))
        states = {name: play.world.job(job_id).state for name, job_id in ids.items()}
        assert play.world.job(ids["never"]).reason == "DependencyNeverSatisfied"
        assert states["any"] == states["last"] == states["decided"] == "COMPLETED"

    good, bad = ("afterok", "afternotok") if not status else ("afternotok", "afterok")
    run(
        [
            ("a", {}, status, []),
            ("any", {"dependency": "afterany:{a}"}, 0, ["a"]),
            ("decided", {"dependency": good + ":{a}"}, 0, ["a"]),
            ("never", {"dependency": bad + ":{a}"}, 0, ["a"]),
            ("last", {"dependency": "afterok:{decided},afterany:{any}"}, 0, ["decided", "any"]),
        ],
        steps,
        check,
    )


@PATIENT
@given(st.lists(st.sampled_from([*STEPS, "later"]), max_size=14), st.lists(st.integers(1, 200), min_size=2, max_size=3))
def test_no_job_starts_before_its_begin_time(steps, delays):
    """Nor before what it waits for besides; `_check_start` looks at every start."""

    async def check(play, ids):
        play.ahead += max(delays) + 1
        play.later()
        await finish(play, over(play))
        assert {play.world.job(job_id).state for job_id in ids.values()} == {"COMPLETED"}
        assert all(len(play.started[job_id]) == 1 for job_id in ids.values())

    now = int(time.time())
    jobs = [(str(number), {"begin_time": now + delay}, 0, []) for number, delay in enumerate(delays)]
    last = ("last", {"begin_time": now + delays[0], "dependency": "afterok:{0}"}, 0, ["0"])
    run([*((name, asked, status, before) for name, asked, status, before in jobs), last], steps, check)


@PATIENT
@given(st.lists(st.sampled_from(STEPS), max_size=14), st.integers(1, 3), st.integers(2, 5))
def test_an_array_never_runs_more_tasks_than_its_throttle(steps, throttle, tasks):
    async def check(play, ids):
        await finish(play, over(play))
        found = {job.array_task_id: job.state for job in play.jobs() if job.array_job_id == ids["a"]}
        assert found == {task: "COMPLETED" for task in range(tasks)}
        assert play.world.job(ids["b"]).state == "COMPLETED"

    run(
        [
            ("a", {"array": f"0-{tasks - 1}%{throttle}"}, 0, []),
            ("b", {"dependency": "afterok:{a}"}, 0, ["a"]),
        ],
        steps,
        check,
    )


@PATIENT
@given(st.lists(st.sampled_from(STEPS), max_size=10), st.lists(st.sampled_from(STEPS), max_size=6))
def test_tasks_correspond_one_by_one(steps, more):
    async def check(play, ids):
        for step in more:
            await act(play, step)
        await finish(play, over(play))
        found = {job.array_task_id for job in play.jobs() if job.array_job_id == ids["b"]}
        assert found == {1, 2, 3}
        assert all(job.state == "COMPLETED" for job in play.jobs())

    run([("a", {"array": "1-3"}, 0, []), ("b", {"array": "1-3", "dependency": "aftercorr:{a}"}, 0, [])], steps, check)


@PATIENT
@example(["come", "come", "requeue"])
@example(["come", "come", "requeue", "hold"])
@given(
    st.lists(st.sampled_from([*STEPS, "hold", "release", "requeue", "cancel"]), max_size=16),
)
def test_users_who_change_their_minds_leave_nothing_behind(steps):
    """Holds, releases, requeues and cancels between all that: in the end the job is over and holds nothing."""

    async def check(play, ids):
        for step in steps:
            if step in ("hold", "release", "requeue", "cancel"):
                await play.world.call(step, targets=[str(ids["a"])])
            else:
                await act(play, step)
        job = play.world.job(ids["a"])
        if not job.is_final:
            await play.world.call("cancel", targets=[str(ids["a"])])
        await finish(play, over(play))
        assert play.world.job(ids["a"]).is_final
        assert not play.world.controller.cluster.used_licenses().get("matlab", 0)
        nodes = play.world.controller.cluster.nodes.values()
        assert sum(node.allocated_cpus for node in nodes) == 0

    run([("a", {"licenses": "matlab:2"}, 0, [])], [], check)
