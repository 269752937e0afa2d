"""A job's life through the controller itself: store and books are real, Armada and the agents are played here."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from slurm_compat.armada.client import Away, NotYet, Refused
from slurm_compat.controller import falldue, restoring
from slurm_compat.controller.agents import Link
from slurm_compat.controller.authorization import Roles
from slurm_compat.controller.calls import Calls
from slurm_compat.controller.controller import Controller
from slurm_compat.controller.placing import live
from slurm_compat.controller.reconfiguring import reconfigure
from slurm_compat.controller.watch import Watch
from slurm_compat.core import calls, stepargs
from slurm_compat.core.errors import ACCESS_DENIED, SlurmError
from slurm_compat.core.model import JobRequest, StepRequest
from slurm_compat.core.stepargs import AgentHello
from slurm_compat.store.store import Store

sys.path.insert(0, str(Path(__file__).parent))
from reference import ALICE, BOB, ROOT_USER, reference_cluster, reference_conf

sys.path.pop(0)

SCRIPT = b"#!/bin/sh\ntrue\n"


class PlayedArmada:
    """Takes what it is given; `problems` are raised first, one a call."""

    def __init__(self):
        self.items = {}  # Armada id: item
        self.by_client = {}  # client_id: Armada id
        self.cancelled = []
        self.problems = []
        self.queues = set()

    def _trouble(self):
        if self.problems:
            raise self.problems.pop(0)

    async def submit(self, request):
        self._trouble()
        ids = []
        for item in request.job_request_items:
            known = self.by_client.setdefault(item.client_id, f"id{len(self.by_client)}")
            self.items[known] = item
            ids.append(known)
        return ids

    async def cancel(self, queue, job_set, ids, reason):
        self._trouble()
        self.cancelled.extend(ids)

    async def create_queue(self, name, factor=1.0):
        self.queues.add(name)

    async def statuses(self, ids):
        return {armada_id: "RUNNING" if armada_id in self.items else "UNKNOWN" for armada_id in ids}

    async def events(self, queue, job_set, after):
        await asyncio.Event().wait()
        yield "", {}


class PlayedSession:
    """A connection: what was sent to it."""

    def __init__(self, caller=ALICE):
        self.caller = caller
        self.sent = []
        self.on_message = self.on_close = None
        self.closed = False

    def send(self, message):
        self.sent.append(message)

    def send_error(self, problem):
        self.sent.append({"error": problem.number})

    def end(self):
        self.sent.append({"result": {}})

    def close(self):
        self.closed = True

    def events(self):
        return [message.get("event", message.get("msg", "")) for message in self.sent]


class World:
    def __init__(self, path, armada):
        cluster = reference_cluster()
        self.store = Store(str(path / "store.sqlite"))
        self.store.start()
        self.controller = Controller(cluster.conf, cluster, self.store, Roles(cluster.conf, 0))
        cluster.live = lambda: live(self.controller)
        self.armada = armada
        self.controller.outbox.armada = armada
        self.watch = Watch(self.controller, armada)
        self.controller.follow = self.watch.follow
        self.controller.outbox.learn = self.watch.learn
        self.calls = Calls(self.controller, lambda: None, lambda: None)
        self.tasks = []

    async def open(self):
        await restoring.restore(self.controller, self.watch)
        self.tasks.append(asyncio.ensure_future(self.controller.outbox.run()))
        return self

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await self.watch.stop()
        self.controller.due.stop()
        await self.store.stop()

    async def call(self, name, caller=ALICE, **args):
        """The result of a call, as a client would get it."""
        session = PlayedSession(caller)
        answer = self.calls.answer(session, calls.CALLS[name], calls.CALLS[name].args(**args))
        return await answer if hasattr(answer, "__await__") else answer

    async def submit(self, caller=ALICE, key="", **asked):
        request = JobRequest(batch=True, name="job", current_working_directory="/tmp", **asked)
        key = key or f"key{self.controller.next_job_id}"
        answer = await self.call("submit", caller, request=request, script=SCRIPT, environment=b"A=1", key=key)
        return answer["job_id"]

    def job(self, job_id):
        return self.controller.table.jobs[job_id]

    async def until(self, condition):
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.002)
        raise AssertionError("it did not come about")

    async def placed(self, job_id):
        await self.until(lambda: self.job(job_id).placements)

    def agent(self, job_id, rank=0, node="node01", token=None, attempt=None):
        job = self.job(job_id)
        hello = AgentHello(
            job_id=job_id, token=job.token if token is None else token, restart=attempt or job.attempt, rank=rank,
            node=node, address="127.0.0.1", pid=1, cpu_ids=[0], gpus=[],
        )  # fmt: skip
        session = PlayedSession()
        link = Link(hello, session.send, session.close)
        self.controller.agents.hello(link)
        return link, session

    async def started(self, job_id, node="node01"):
        await self.placed(job_id)
        link, session = self.agent(job_id, node=node)
        await self.until(lambda: "launch" in session.events())
        return link, session

    def says(self, link, name, seq=1, **fields):
        self.controller.agents.heard(link, {"msg": name, "seq": seq, **fields})

    async def ended(self, link, session, status=0, reason=""):
        self.says(link, "batch_ended", status=status, time=self.controller.now(), usage={"user_cpu": 5}, reason=reason)
        await self.until(lambda: "bye" in session.events())


def play(tmp_path, story, armada=None):
    async def run():
        world = await World(tmp_path, armada or PlayedArmada()).open()
        try:
            return await story(world)
        finally:
            await world.close()

    return asyncio.run(run())


def test_a_job_from_submission_to_its_end(tmp_path):
    async def story(world):
        job_id = await world.submit()
        link, session = await world.started(job_id)
        launch = next(message for message in session.sent if message["msg"] == "launch")
        running = world.job(job_id)
        await world.ended(link, session, status=3 << 8)
        return launch, running, world.job(job_id), list(world.controller.table.steps_of(world.job(job_id)))

    launch, running, job, steps = play(tmp_path, story)
    assert (launch["rank"], launch["role"], launch["job"]["nodes"]) == (0, "batch", "node01")
    assert (running.state, running.tres_alloc_str) == ("RUNNING", "cpu=1,mem=500M,node=1,billing=1")
    assert (job.state, job.flags, job.exit_code, job.reason) == ("FAILED", [], 3 << 8, "NonZeroExitCode")
    assert {step.step_id: step.state for step in steps} == {"extern": "COMPLETED", "batch": "FAILED"}


def test_acknowledgements_come_after_the_store_has_it_and_repeats_change_nothing(tmp_path):
    async def story(world):
        job_id = await world.submit()
        link, session = await world.started(job_id)
        await world.ended(link, session)
        world.says(link, "batch_ended", status=9, time=1, usage={})
        await world.until(lambda: session.events().count("ack") == 2)
        return world.job(job_id)

    assert play(tmp_path, story).exit_code == 0


def test_the_same_key_makes_one_job(tmp_path):
    async def story(world):
        first, second = await asyncio.gather(world.submit(key="k"), world.submit(key="k"))
        return first, second, await world.submit(key="k"), await world.submit(caller=BOB, key="k")

    first, second, third, others = play(tmp_path, story)
    assert first == second == third != others


def test_a_restart_goes_on_where_it_was(tmp_path):
    armada = PlayedArmada()

    async def before(world):
        running = await world.submit(key="r")
        await world.started(running)
        held = await world.submit(hold=True)
        array = await world.submit(array="1-3", hold=True)
        return running, held, array

    running, held, array = play(tmp_path, before, armada)

    async def after(world):
        assert await world.submit(key="r") == running
        assert world.job(running).state == "RUNNING"
        assert world.job(held).reason == "JobHeldUser"
        assert world.controller.table.tasks_waiting(world.job(array)) == "1-3"
        assert world.controller.cluster.nodes["node01"].allocated_cpus == 1
        link, session = world.agent(running)
        await world.until(lambda: "launch" in session.events())
        await world.ended(link, session)
        return world.job(running).state, await world.submit()

    state, new = play(tmp_path, after, armada)
    assert state == "COMPLETED"
    assert new > array


@pytest.mark.parametrize("trouble", [Away("UNAVAILABLE", ""), NotYet("PERMISSION_DENIED", "could not find queue")])
def test_armada_that_is_away_gets_the_job_later_and_once(tmp_path, trouble, monkeypatch):
    monkeypatch.setattr("slurm_compat.controller.effects.FIRST_RETRY", 0.01)
    armada = PlayedArmada()
    armada.problems = [trouble, trouble]

    async def story(world):
        job_id = await world.submit()
        await world.placed(job_id)
        return [item.client_id for item in armada.items.values()], job_id

    clients, job_id = play(tmp_path, story, armada)
    assert clients == [f"oracle-{job_id}-1-0"]


def test_what_armada_refuses_is_held_and_says_why(tmp_path):
    armada = PlayedArmada()
    armada.problems = [Refused("INVALID_ARGUMENT", "namespace is empty")]

    async def story(world):
        job_id = await world.submit()
        await world.until(lambda: world.job(job_id).hold)
        return world.job(job_id)

    job = play(tmp_path, story, armada)
    assert (job.state, job.reason, job.system_comment) == ("PENDING", "BadConstraints", "namespace is empty")


def test_a_held_job_is_taken_back_and_its_release_is_another_attempt(tmp_path):
    async def story(world):
        job_id = await world.submit()
        await world.placed(job_id)
        first = world.job(job_id).placements[0].armada_id
        await world.call("hold", targets=[str(job_id)])
        await world.until(lambda: first in world.armada.cancelled)
        held = world.job(job_id).reason
        _, late = world.agent(job_id, attempt=1)  # it was started all the same
        await world.call("release", targets=[str(job_id)])
        await world.placed(job_id)
        _, old = world.agent(job_id, attempt=1)
        return held, late.events(), old.events(), world.job(job_id).attempt

    held, late, old, attempt = play(tmp_path, story)
    assert (held, late, old, attempt) == ("JobHeldUser", ["bye"], ["bye"], 2)


def test_an_agent_needs_the_jobs_token(tmp_path):
    async def story(world):
        job_id = await world.submit()
        await world.placed(job_id)
        with pytest.raises(SlurmError) as problem:
            world.agent(job_id, token="guess")
        return problem.value.number

    assert play(tmp_path, story) == ACCESS_DENIED


def test_a_gang_starts_when_all_its_agents_are_there_in_the_nodes_order(tmp_path):
    async def story(world):
        job_id = await world.submit(minimum_nodes=2, tasks=2)
        await world.placed(job_id)
        _, second = world.agent(job_id, rank=0, node="node02")
        assert world.job(job_id).state == "PENDING"
        _, first = world.agent(job_id, rank=1, node="node01")
        await world.until(lambda: "launch" in first.events() and "launch" in second.events())
        return world.job(job_id).nodes, first.sent[0]["rank"], second.sent[0]["rank"]

    assert play(tmp_path, story) == ("node[01-02]", 0, 1)


def test_a_cancelled_job_is_completing_until_its_agent_is_done(tmp_path):
    async def story(world):
        job_id = await world.submit()
        link, session = await world.started(job_id)
        refused = await world.call("cancel", BOB, targets=[str(job_id)])
        await world.call("cancel", targets=[str(job_id)])
        between = (world.job(job_id).state, world.job(job_id).flags)
        await world.until(lambda: "terminate" in session.events())
        await world.ended(link, session, status=15, reason="CANCELLED")
        twice = await world.call("cancel", targets=[str(job_id)])
        return refused["errors"][0][1], between, world.job(job_id), twice["errors"][0][2]

    denied, between, job, twice = play(tmp_path, story)
    assert denied == ACCESS_DENIED
    assert between == ("CANCELLED", ["COMPLETING"])
    assert (job.state, job.flags, job.exit_code, job.cancelled_by) == ("CANCELLED", [], 15, ALICE.uid)
    assert twice == "Job/step already completing or completed"


def test_an_array_runs_as_many_tasks_as_its_throttle_lets_it(tmp_path):
    async def story(world):
        array = await world.submit(array="1-3%1")
        table = world.controller.table
        await world.until(lambda: table.tasks.get(array))
        first = table.jobs[table.tasks[array][1]]
        waiting = (table.tasks_waiting(world.job(array)), world.job(array).reason)
        link, session = await world.started(first.job_id)
        shown = table.tasks_waiting(world.job(array))
        await world.ended(link, session)
        await world.until(lambda: 2 in table.tasks[array])
        return waiting, shown, world.job(first.job_id).array_task_id, len(world.armada.items)

    waiting, shown, task, items = play(tmp_path, story)
    assert waiting == ("1-3", "JobArrayTaskLimit")
    assert (shown, task) == ("2-3", 1)
    assert items <= 2


def test_a_dependent_job_goes_when_the_other_ended_well(tmp_path):
    async def story(world):
        first = await world.submit()
        second = await world.submit(dependency=f"afterok:{first}")
        third = await world.submit(dependency=f"afternotok:{first}")
        before = world.job(second).reason
        await world.ended(*await world.started(first))
        await world.placed(second)
        return before, world.job(third).reason

    assert play(tmp_path, story) == ("Dependency", "DependencyNeverSatisfied")


def test_a_lost_pod_is_a_failed_node(tmp_path):
    async def story(world):
        job_id = await world.submit(requeue=False)
        await world.started(job_id)
        world.watch._heard({"kind": "failed", "job_id": "id0", "created": 5.0, "reason": "gone", "cause": "Error"})
        await world.until(lambda: not world.job(job_id).flags)
        return world.job(job_id).state

    assert play(tmp_path, story) == "NODE_FAIL"


def test_rows_come_in_the_order_of_the_fields(tmp_path):
    async def story(world):
        await world.submit(hold=True)
        rows = [row for chunk in await world.call("jobs", fields=["job_state", "job_id", "user_name"]) for row in chunk]
        with pytest.raises(SlurmError):
            await world.call("jobs", fields=["no_such_field"])
        with pytest.raises(SlurmError):
            await world.call("jobs", fields=["job_id"], job_ids=[999])
        return rows

    assert play(tmp_path, story) == [["PENDING", 20001, "alice"]]


def test_accounting_tells_of_jobs_with_their_steps(tmp_path):
    async def story(world):
        job_id = await world.submit()
        await world.ended(*await world.started(job_id))
        chunks = await world.call("accounting", fields=["step_id", "job_state", "usage"], targets=[str(job_id)])
        first = [row async for chunk in chunks for row in chunk]
        # the same once the job is history
        job = world.job(job_id)
        world.controller.conf.min_job_age = 0
        job.end_time -= 10
        falldue.DUE["purge"](world.controller, job)
        await world.until(lambda: job_id not in world.controller.table.jobs)
        later = await world.call("accounting", fields=["step_id", "job_state", "usage"], targets=[str(job_id)])
        return first, [row async for chunk in later for row in chunk]

    now, later = play(tmp_path, story)
    assert now == [["", "COMPLETED", {}], ["batch", "COMPLETED", {"user_cpu": 5}], ["extern", "COMPLETED", {}]]
    assert later == now


def test_a_suspended_job_goes_on(tmp_path):
    async def story(world):
        job_id = await world.submit()
        _, session = await world.started(job_id)
        await world.call("suspend", ROOT_USER, targets=[str(job_id)])
        state = world.job(job_id).state
        await world.call("resume", ROOT_USER, targets=[str(job_id)])
        await world.until(lambda: "resume" in session.events())
        return state, world.job(job_id).state

    assert play(tmp_path, story) == ("SUSPENDED", "RUNNING")


def test_a_step_is_granted_told_to_its_agents_and_ends_with_its_tasks(tmp_path):
    async def story(world):
        job_id = await world.submit()
        link, agent = await world.started(job_id)
        srun = PlayedSession()
        asked = stepargs.StepCreate(
            job_id=job_id, request=StepRequest(tasks=1, argv=["true"]), addresses=["127.0.0.1:1"], secret="s"
        )
        world.controller.steps.create(srun, asked)
        await world.until(lambda: "launch_step" in agent.events())
        world.says(link, "step_ended", seq=9, step_id="0", tasks=[[0, 2 << 8]], usage=[], time=world.controller.now())
        await world.until(lambda: "done" in srun.events())
        step = world.controller.table.steps[world.job(job_id).db_index]["0"]
        return srun.events(), step.state, world.job(job_id).derived_exit_code

    events, state, worst = play(tmp_path, story)
    assert events == ["granted", "agent", "done", ""]
    assert (state, worst) == ("FAILED", 2 << 8)


def test_a_cluster_file_read_again_keeps_jobs_and_drained_nodes(tmp_path):
    async def story(world):
        job_id = await world.submit()
        await world.started(job_id)
        await world.call("update_node", ROOT_USER, names=["node02"], changes={"state": "DRAIN", "reason": "disk"})
        conf = msgspec.structs.replace(reference_conf(), max_job_count=7, cluster_name="other")
        reconfigure(world.controller, conf, 0)
        nodes = world.controller.cluster.nodes
        names = (world.controller.conf.cluster_name, world.controller.conf.max_job_count)
        return names, nodes["node01"].allocated_cpus, nodes["node02"].state_flags, nodes["node02"].reason

    assert play(tmp_path, story) == (("oracle", 7), 1, ["DRAIN"], "disk")


@pytest.mark.parametrize("trusted, token", [(False, None), (True, "forged"), (True, "é"), (True, "")])
def test_an_agent_on_this_machine_needs_the_token_and_to_be_of_our_own_pods(tmp_path, trusted, token):
    async def story(world):
        job_id = await world.submit()
        await world.placed(job_id)
        job = world.job(job_id)
        hello = AgentHello(
            job_id=job_id, token=job.token if token is None else token, restart=job.attempt, rank=0, node="node01",
            address="127.0.0.1", pid=1, cpu_ids=[0], gpus=[],
        )  # fmt: skip
        session = PlayedSession()
        with pytest.raises(SlurmError) as refused:
            world.controller.agents.hello(Link(hello, session.send, session.close, trusted))
        return refused.value.number, session.sent

    assert play(tmp_path, story) == (2002, [])


def test_an_agent_whose_time_is_over_can_say_what_it_likes(tmp_path):
    async def story(world):
        job_id = await world.submit()
        await world.placed(job_id)
        link, session = world.agent(job_id, token="anything", attempt=world.job(job_id).attempt + 1)
        world.says(link, "batch_ended", seq=4, status=0, time=1, usage={})
        return session.sent, world.job(job_id).state

    assert play(tmp_path, story) == ([{"msg": "bye"}, {"msg": "ack", "seq": 4}], "PENDING")


@pytest.mark.parametrize("asked", [{"group_id": 0}, {"user_id": 0}, {"user_id": ALICE.uid, "group_id": 42}])
def test_nobody_gives_himself_a_group_or_another_name(tmp_path, asked):
    async def story(world):
        with pytest.raises(SlurmError) as refused:
            await world.submit(**asked)
        return refused.value.number

    assert play(tmp_path, story) == 2002


@pytest.mark.parametrize(
    "asked, refused",
    [
        ({"comment": "x" * 1024}, 0),
        ({"comment": "x" * 1025}, 2012),
        ({"mail_user": "x" * 1025}, 2012),
        ({"extra": "x" * 1025}, 2012),
        ({"network": "x" * 1025}, 2012),
        ({"standard_output": "x" * 1025}, 0),
        ({"standard_output": "x" * 4097}, 2012),
        ({"argv": ["/bin/true", *map(str, range(100_000))]}, 0),
        ({"argv": ["x" * (5 << 20)]}, 2012),
        ({"rlimits": {"x" * (1 << 20): 1}}, 2012),
        ({"rlimits": {"NOFILE": 1 << 70}}, 3001),
        ({"rlimits": {"NOFILE": -1, "AS": (1 << 63) - 1}}, 0),
        ({"het_components": [JobRequest()] * 200}, 2036),
    ],
)
def test_texts_have_the_lengths_that_slurm_allows(tmp_path, asked, refused):
    async def story(world):
        try:
            await world.submit(**asked)
        except SlurmError as problem:
            return problem.number
        return 0

    assert play(tmp_path, story) == refused


def test_no_update_makes_a_text_longer_than_it_may_be(tmp_path):
    async def story(world):
        job_id = await world.submit(hold=True)
        long = await world.call("update_job", targets=[str(job_id)], changes={"comment": "x" * 1025})
        short = await world.call("update_job", targets=[str(job_id)], changes={"comment": "x" * 1024})
        return long["errors"], short["errors"], len(world.job(job_id).comment)

    (error,), none, length = play(tmp_path, story)
    assert (error[1], none, length) == (2012, [], 1024)


LARGE = [1 << 32, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63) - 1]


@pytest.mark.parametrize("value", LARGE)
@pytest.mark.parametrize("name", ["time_limit", "nice", "tasks", "immediate", "kill_warning_delay"])
def test_no_number_is_kept_that_nobody_can_be_shown(tmp_path, name, value):
    """One job whose times no calendar has would end everybody's scontrol show job."""

    async def story(world):
        numbers = []
        job_id = await world.submit(hold=True)
        for asked in (world.submit(**{name: value}), world.submit(begin_time=1 << 62), world.submit(group_id=value)):
            try:
                await asked
            except SlurmError as problem:
                numbers.append(problem.number)
        update = await world.call("update_job", targets=[str(job_id)], changes={name: value})
        return numbers, update["errors"][0][1], await world.submit()

    numbers, update, another = play(tmp_path, story)
    assert (numbers, update) == ([3001, 3001, 2002], 3001) and another


@pytest.mark.parametrize(
    "changes",
    [{"nice": []}, {"time_limit": {}}, {"nodes_range": 5}, {"minimum_cpus": {}}, {"priority": None}, {"nice": "x"}],
    ids=str,
)
def test_changes_of_another_kind_are_bad_arguments(tmp_path, changes):
    async def story(world):
        job_id = await world.submit(hold=True)
        with pytest.raises(SlurmError) as refused:
            await world.call("update_job", targets=[str(job_id)], changes=changes)
        return refused.value.number

    assert play(tmp_path, story) == 3001


@pytest.mark.parametrize("asked", [{"memory_per_node": 1 << 31}, {"tasks": -1}, {"cpus_per_task": -1}], ids=str)
def test_amounts_that_no_machine_has_are_refused_as_such(tmp_path, asked):
    async def story(world):
        with pytest.raises(SlurmError) as refused:
            await world.submit(**asked)
        return refused.value.number

    assert play(tmp_path, story) == 2014
