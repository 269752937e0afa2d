"""The controller's heart: live jobs, what they wait for, and the one way in which a job changes.

Nothing here waits: memory changes at once, the store writes behind, and what others must hear (a client's answer, an
agent's launch, Armada's submission) goes out when the store has it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from slurm_compat.controller import arrays, deadlines, dependencies, het, machine, pending, placing
from slurm_compat.controller.agents import Agents
from slurm_compat.controller.authorization import People, Roles
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.dependencies import Watchers
from slurm_compat.controller.due import Due
from slurm_compat.controller.effects import Outbox
from slurm_compat.controller.jobs import ADMIN_HOLD, NO_HOLD, Job
from slurm_compat.controller.listeners import Listeners
from slurm_compat.controller.machine import Event
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.remembered import Remembered
from slurm_compat.controller.shares import Shares
from slurm_compat.controller.sluid import Numbers
from slurm_compat.controller.staging import Staging
from slurm_compat.controller.statistics import Statistics
from slurm_compat.controller.stepcalls import Steps
from slurm_compat.controller.submitting import Submissions
from slurm_compat.controller.table import Table, job_row
from slurm_compat.controller.texts import Texts
from slurm_compat.core import taskids
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.store.changes import Change
from slurm_compat.store.store import Store
from slurm_compat.translators.queues import queue_name

log = logging.getLogger(__name__)

LINGER = 10  # seconds past KillWait after which Armada is asked to remove what an agent did not end
MANY_TERMS = 100  # terms of a dependency, or tasks of an array, from which on each news isn't judged by itself
GATHER = 0.25  # seconds for which such a job's news are gathered
WAKE_AT_ONCE = 500  # jobs judged again before others have their turn
REASONS_EVERY = 1.0  # seconds; how long pending jobs' reasons are shown before they are worked out again


class Controller:
    def __init__(self, conf: ClusterConf, cluster: Cluster, store: Store, roles: Roles) -> None:
        self.conf = conf
        self.cluster = cluster
        self.store = store
        self.roles = roles
        self.people = People()
        self.table = Table()
        self.staging = Staging()
        self.watchers = Watchers()
        self.due = Due(self._fell_due)
        self.numbers = Numbers(conf.cluster_name)
        self.agents = Agents(self)
        self.outbox = Outbox(self)
        self.next_job_id = conf.first_job_id
        self.steps = Steps(self)
        self.submissions = Submissions()
        self.usage = Remembered(self.table)
        self.texts = Texts(store)
        self.listeners = Listeners(self.table)
        self.arriving = 0  # submissions on their way to the store
        self.hostname = conf.slurmctld_host or socket.gethostname().split(".")[0]
        self.cluster_file = ""
        self.state_folder = ""
        self.started_at = int(time.time())
        self.counters: dict[str, int] = {}
        self.statistics = Statistics(self.started_at)
        self.shares = Shares(conf, lambda: placing.running(self), self.now)
        cluster.fairshare = self.shares.factor
        self.follow: Callable[[str, str], None] = lambda queue, job_set: None  # watch this event stream; main sets it
        self._pumping = False
        self._retry_soon = False
        self._woken: dict[int, list[int]] = {}  # job that waits: jobs it waits for that started or ended
        self._woken_late: dict[int, list[int]] = {}  # the same of jobs that wait for very many
        self._out_of_turn = False  # the next round is of jobs that were blocked
        self._reasons_at = 0.0
        self._reasons_stale = True
        self._tasks: set[asyncio.Task[Any]] = set()

    def caller(self, uid: int, gid: int) -> Caller:
        """Who the kernel says is calling."""
        return self.roles.caller(self.people.person(uid, gid))

    # time, ids, texts

    def now(self) -> int:
        return int(time.time())

    def new_job_id(self) -> int:
        """The next free id; after MaxJobId they begin again."""
        for _ in range(len(self.table.jobs) + 2):
            job_id = self.next_job_id
            self.next_job_id = job_id + 1 if job_id < self.conf.max_job_id else max(self.conf.first_job_id, 1)
            if job_id not in self.table.jobs and job_id not in self.table.tasks:
                return job_id
        raise RuntimeError("no job id is free")

    def new_db_index(self) -> int:
        return self.numbers.next(time.time_ns() // 1_000_000)

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    def spawn(self, work: Awaitable[Any]) -> None:
        """Run in the background; a failure is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            log.error("background work failed", exc_info=problem)

    # changing

    def commit(self, change: Change, then: Callable[[], None] | None = None) -> asyncio.Future[None]:
        """Make it durable; `then` is called when it is."""
        if then is not None:
            change.then.append(then)
        future = self.store.commit(change)
        if change.then:
            future.add_done_callback(lambda done: _durable(change, done))
        return future

    def apply(self, job: Job, event: Event, change: Change | None = None, alone: bool = False) -> Job:
        """The job after the event, kept and (unless the caller brings its own change) on its way to the store."""
        after, effects = machine.advance(job, event)
        if after is job:
            return job
        own = change is None
        change = change if change is not None else Change()
        for effect in effects:
            if isinstance(effect, machine.Restarted):
                self._restarted(change, after, effect.before)
        self.table.place(after)
        self._reasons_stale = True
        if job.staged and not after.staged:
            self.staging.left(job.job_id, job.queue)
            self.agents.abandon(job.job_id, job.attempt)
            if job.array_job_id:
                self.offer_array(job.array_job_id)
        for effect in effects:
            EFFECTS[type(effect)](self, change, after, effect)
        self.table.put(change, after, event.name, event.at, event.reason or event.text)
        if after.het_job_id and not alone:
            het.follow(self, after, event, change)
        if own:
            self.commit(change)
        return after

    def apply_alone(self, job: Job, event: Event, change: Change) -> Job:
        """As `apply`, of one component of a heterogeneous job that follows another: that one tells the rest."""
        return self.apply(job, event, change, alone=True)

    def put(self, change: Change, job: Job, event: str = "", data: str = "") -> None:
        """A change of a job that is no transition: a new name, a hold."""
        self.table.put(change, job, event, self.now(), data)
        self._reasons_stale = True

    def _restarted(self, change: Change, job: Job, before: Job) -> None:
        self.shares.ended(before)
        change.put("jobs", before.db_index, job_row(before, live=False))
        job.db_index = self.new_db_index()

    def _terminate(self, change: Change, job: Job, effect: machine.Terminate) -> None:
        job_id = job.job_id
        if not self.agents.terminate(change, job_id, effect.reason):
            # no agent to tell: Armada takes the pods away
            self._withdraw(change, job, machine.Withdraw(job.queue, job.job_set, tuple(job.placements), effect.reason))
        self.linger(job)

    def linger(self, job: Job) -> None:
        """What the agents don't end in their time, Armada will."""
        self.due.at(time.time() + self.conf.kill_wait + LINGER, "linger", job.job_id)

    def withdraw(self, job: Job, change: Change, reason: str) -> None:
        self._withdraw(change, job, machine.Withdraw(job.queue, job.job_set, tuple(job.placements), reason))

    def _withdraw(self, change: Change, job: Job, effect: machine.Withdraw) -> None:
        if effect.placements:
            ids = [placement.armada_id for placement in effect.placements]
            self.outbox.cancel(change, job.job_id, effect.queue, effect.job_set, ids, effect.reason)

    def _release(self, change: Change, job: Job, effect: machine.Release) -> None:
        self.cluster.release(job.job_id)
        self.retry_blocked()
        if job.state == PENDING:  # a requeued job whose old run is gone
            job.resources = []
            job.placements = []
            self.consider(job, change)

    def _ended(self, change: Change, job: Job, effect: machine.Ended) -> None:
        job_id = job.job_id
        self.shares.ended(job)
        self.staging.retract(job_id)
        self.watchers.remove(job)
        self.due.at(job.end_time + max(self.conf.min_job_age, 1), "purge", job_id)
        self.listeners.tell(change, job_id, {"event": "ended", "job_state": job.state, "exit_code": job.exit_code})
        self.wake_dependents(job)
        if job.array_job_id:
            self.offer_array(job.array_job_id)
        self.retry_blocked()
        self.count(job.state)

    def _mail(self, change: Change, job: Job, effect: machine.Mail) -> None:
        if job.request.mail_type:
            self.outbox.mail(change, job, effect.kind)

    # becoming ready

    def admit(self, job: Job) -> None:
        """A job that the store has just taken: it may be seen from now on."""
        self.count("submitted")
        self.table.place(job)
        self._reasons_stale = True
        if not job.staged:
            change = Change()
            if not job.hold:
                job.priority = self.priority(job)
            self.consider(job, change)
            if change:
                self.commit(change)

    def consider(self, job: Job, change: Change, woken_by: list[int] | None = None) -> None:
        """A pending job's reason and what it waits for next; ready ones stand in line for Armada."""
        if job.state != PENDING or COMPLETING in job.flags or job.staged:
            return
        now = self.now()
        self.staging.retract(job.het_job_id or job.job_id)
        if job.deadline:
            self.due.at(deadlines.last_start(job) + 1, "deadline", job.job_id)
        if job.hold != NO_HOLD:
            job.priority = 0
            if job.reason not in ("BadConstraints",) and not job.description:
                job.reason = "JobHeldAdmin" if job.hold == ADMIN_HOLD else "JobHeldUser"
            return
        if job.dependency and not self._dependency_met(job, change, now, woken_by or []):
            return
        if job.begin_time > now:
            self.due.at(job.begin_time, "begin", job.job_id)
            job.reason, job.description = "BeginTime", ""
            job.eligible_time = job.begin_time
            return
        if job.reason in ("Dependency", "BeginTime"):
            job.waited_for = job.reason
        if job.reason in ("Dependency", "BeginTime", "JobHeldUser", "JobHeldAdmin", "BadConstraints"):
            job.reason, job.description = "None", ""
        job.eligible_time = job.eligible_time if 0 < job.eligible_time <= now else now
        job.accrue_time = job.accrue_time or job.eligible_time
        if not job.priority:
            job.priority = self.priority(job)
        if job.het_job_id:
            het.offer(self, job)
        else:
            self.staging.offer(job, self.queue_of(job))
        self.pump_soon()

    def _part_decided(self, record: Job, change: Change, woken_by: list[int]) -> None:
        """Tasks of an array whose counterparts have ended leave its record and go their own way."""
        if not any(term.kind == "aftercorr" for term in record.dependency):
            return
        for task in dependencies.decided_tasks(record, self.table, self.now(), woken_by):
            if taskids.count(record.array_ranges) == 1:
                record.array_task_id, record.array_ranges = task, []
                return
            job, _ = arrays.split(record, task, self.new_job_id(), self.new_db_index())
            record.array_ranges = arrays.without(record.array_ranges, [task])
            self.table.place(record)
            self.changed(job, change, "left the array's record")

    def _dependency_met(self, job: Job, change: Change, now: int, woken_by: list[int]) -> bool:
        self.watchers.remove(job)
        if job.is_array_record:
            self._part_decided(job, change, woken_by)
        verdict = dependencies.judge(job, self.table, now)
        job.dependency = verdict.left
        if not verdict.left:
            return True
        self.watchers.add(job)
        job.eligible_time = 0
        if verdict.never:
            job.reason, job.description = "DependencyNeverSatisfied", ""
            if job.request.kill_on_invalid_dependency or (
                job.request.kill_on_invalid_dependency is None
                and "kill_invalid_depend" in self.conf.scheduler_parameters
            ):
                asyncio.get_running_loop().call_soon(self._kill_never, job.job_id)
        else:
            job.reason, job.description = "Dependency", ""
            if verdict.ask_at:
                self.due.at(verdict.ask_at, "dependency", job.job_id)
        return False

    def _kill_never(self, job_id: int) -> None:
        job = self.table.jobs.get(job_id)
        if job is not None and job.state == PENDING:
            self.apply(job, Event("cancel", self.now(), uid=None, flag=True))

    def wake_dependents(self, job: Job) -> None:
        """The job started or ended: those that wait for it are judged again, soon and in one go."""
        loop = asyncio.get_running_loop()
        for job_id in self.watchers.of(job):
            waiting = self.table.jobs.get(job_id)
            many = waiting is not None and (
                len(waiting.dependency) > MANY_TERMS
                or (len(self.table.tasks.get(job.array_job_id, ())) > MANY_TERMS and not waiting.is_array_record)
            )
            woken = self._woken_late if many else self._woken
            if not woken:
                loop.call_later(GATHER if many else 0, self._wake, woken)
            woken.setdefault(job_id, []).append(job.job_id)

    def _wake(self, woken: dict[int, list[int]]) -> None:
        """Judge some of the woken again, and the others when somebody else had a turn."""
        change = Change()
        for job_id in list(woken)[:WAKE_AT_ONCE]:
            self._reconsider(job_id, change, woken.pop(job_id))
        if change:
            self.commit(change)
        if woken:
            asyncio.get_running_loop().call_soon(self._wake, woken)

    def reconsider(self, job_ids: list[int]) -> None:
        change = Change()
        for job_id in job_ids:
            self._reconsider(job_id, change)
        if change:
            self.commit(change)

    def _reconsider(self, job_id: int, change: Change, woken_by: list[int] | None = None) -> None:
        job = self.table.jobs.get(job_id)
        if job is None or job.state != PENDING or job.staged:
            return
        before = (job.reason, job.dependency, job.array_ranges)
        self.consider(job, change, woken_by)
        # most of those that are woken still wait as they did
        if before != (job.reason, job.dependency, job.array_ranges):
            self.put(change, job)

    def changed(self, job: Job, change: Change, event: str = "", data: str = "") -> Job:
        """Something of a pending job was set on the copy `job`: consider it anew and keep it."""
        self.consider(job, change)
        self.put(change, job, event, data)
        return job

    def priority(self, job: Job) -> int:
        if job.fixed_priority is not None:
            return job.fixed_priority
        return pending.priority(job, self.cluster, self.now())

    def queue_of(self, job: Job) -> str:
        return queue_name(self.conf.armada.queue, job)

    # handing over to Armada

    def pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        change = Change()
        began = time.perf_counter()
        depth = started = 0

        def pick(job_id: int, queue: str) -> bool | None:
            nonlocal depth, started
            depth += 1
            staged = self.staging.handed
            answer = self._pick(job_id, queue, change)
            started += self.staging.handed - staged
            return answer

        waiting = self.staging.waiting
        self.staging.take(pick)
        out_of_turn, self._out_of_turn = self._out_of_turn, False
        spent = time.perf_counter() - began
        self.statistics.round(out_of_turn, spent, depth, waiting, started, self.now())
        if change:
            self.commit(change)

    def _pick(self, job_id: int, queue: str, change: Change) -> bool | None:
        job = self.table.jobs.get(job_id)
        if job is None or job.state != PENDING or job.staged or job.hold or COMPLETING in job.flags:
            return None
        if job.dependency or job.begin_time > self.now():
            return None
        if job.het_job_id:
            return het.pick(self, job, queue, change)
        if job.array_max_tasks and len(self.table.active.get(job.array_job_id, ())) >= job.array_max_tasks:
            if job.reason != "JobArrayTaskLimit":
                job.reason, job.description = "JobArrayTaskLimit", ""
            self.staging.throttle(job.array_job_id, job.job_id)
            return None
        blocked = pending.blocked(job, self.cluster, self.now())
        if blocked is not None:
            if (job.reason, job.description) != blocked:
                job.reason, job.description = blocked
            return False
        if not placing.lay_out(self, job):
            job.reason, job.description = "Resources", ""
            return False
        if job.is_array_record:
            self._stage_task(job, queue, change)
            return True
        self.stage(job, queue, change)
        return None

    def _stage_task(self, record: Job, queue: str, change: Change) -> None:
        """The record's first task goes to Armada; it stays shown in the record until it starts."""
        task = record.array_ranges[0][0]
        if len(record.array_ranges) == 1 and record.array_ranges[0][0] == record.array_ranges[0][1]:
            self.stage(record, queue, change)
            return
        job, rest = arrays.split(record, task, self.new_job_id(), self.new_db_index())
        assert rest is not None
        job.folded = True
        rest.eligible_time = 0
        self.table.put(change, rest)
        self.stage(job, queue, change)

    def stage(self, job: Job, queue: str, change: Change) -> Job:
        """Hand the job to Armada: the outbox does it once this is durable."""
        self.prepare(job, queue)
        self.table.put(change, job, "staged", self.now())
        self.entered(job, change)
        return job

    def prepare(self, job: Job, queue: str) -> None:
        job.attempt += 1
        job.staged = True
        job.token = secrets.token_urlsafe(24)
        job.queue = queue
        job.job_set = f"slurm-{self.conf.cluster_name}-{time.strftime('%Y%m%d')}"
        job.placements = []

    def entered(self, job: Job, change: Change) -> None:
        self.staging.entered(job.job_id, job.queue)
        self.outbox.submit(change, job)
        self.follow(job.queue, job.job_set)

    def offer_array(self, array_job_id: int) -> None:
        """A slot of the array may have become free."""
        waiting = self.staging.throttled.pop(array_job_id, None)
        if waiting:
            asyncio.get_running_loop().call_soon(self.reoffer, list(waiting))

    def reoffer(self, job_ids: list[int]) -> None:
        for job_id in job_ids:
            job = self.table.jobs.get(job_id)
            if job is None or job.state != PENDING or job.staged or job.hold or COMPLETING in job.flags:
                continue
            if job.dependency or job.begin_time > self.now():
                continue
            self.staging.offer(job, self.queue_of(job))
        self.pump_soon()

    def retry_blocked(self) -> None:
        if self.staging.blocked and not self._retry_soon:
            self._retry_soon = True
            asyncio.get_running_loop().call_soon(self._retry)

    def _retry(self) -> None:
        self._retry_soon = False
        self._out_of_turn = True
        self.reoffer(self.staging.some_blocked())

    def take_back(self, job: Job, change: Change, why: str) -> Job:
        """A pending job that waits inside Armada waits here again."""
        if not job.staged or COMPLETING in job.flags:  # the old run of a requeued job ends by itself
            return job
        return self.apply(job, Event("withdrawn", self.now(), reason=why), change)

    # the cluster changed

    def qos_id(self, name: str) -> int:
        for number, qos in enumerate(self.conf.qos, 1):
            if qos.name == name:
                return number
        return 0

    # what fell due

    def _fell_due(self, kind: str, job_id: int) -> None:
        job = self.table.jobs.get(job_id)
        if job is not None:
            DUE[kind](self, job)

    def _begin(self, job: Job) -> None:
        if job.begin_time <= self.now():
            self.reconsider([job.job_id])

    def _judge_again(self, job: Job) -> None:
        self.reconsider([job.job_id])

    def _deadline(self, job: Job) -> None:
        if job.state != PENDING or COMPLETING in job.flags or not job.deadline:
            return
        if deadlines.last_start(job) < self.now():
            self.apply(job, Event("deadline", self.now()))

    def _linger(self, job: Job) -> None:
        """Agents had their time: Armada removes the pods, and what can't be heard of any more is given up."""
        if COMPLETING not in job.flags:
            return
        change = Change()
        self._withdraw(change, job, machine.Withdraw(job.queue, job.job_set, tuple(job.placements), "did not end"))
        self.commit(change)
        self.agents.give_up(job.job_id)
        self.apply(job, Event("all gone", self.now()))

    def _purge(self, job: Job) -> None:
        if not job.is_final or COMPLETING in job.flags:
            return
        if job.end_time + self.conf.min_job_age > self.now():
            self.due.at(job.end_time + self.conf.min_job_age, "purge", job.job_id)
            return
        change = Change()
        # the store has it as history before memory forgets it: a job is never in neither
        change.put("jobs", job.db_index, job_row(job, live=False))
        self.commit(change, lambda: self._forget(job.job_id, job.db_index))

    def _forget(self, job_id: int, db_index: int) -> None:
        job = self.table.jobs.get(job_id)
        if job is not None and job.db_index == db_index and job.is_final:
            self.table.forget(job)
            if job_id not in self.table.tasks:  # an array is waited for by the id its last task has
                self.listeners.forget(job_id)

    # reasons

    def stale_reasons(self) -> None:
        """What the reasons follow from has changed."""
        self._reasons_stale = True

    def refresh_reasons(self) -> None:
        """Why each pending job waits, as of the last second; asked for by those who show it."""
        clock = time.monotonic()
        if not self._reasons_stale or clock - self._reasons_at < REASONS_EVERY:
            return
        jobs = self.table.jobs
        waiting = [
            job
            for job in map(jobs.__getitem__, self.table.pending)
            if not job.hold and not job.folded and COMPLETING not in job.flags and not self._settled(job)
        ]
        waiting.sort(key=lambda job: (-job.priority, job.job_id))
        now = self.now()
        for job_id, (reason, description) in pending.reasons(waiting, self.cluster, now).items():
            job = jobs[job_id]
            job.reason, job.description = reason, description
            job.last_sched_evaluation = now
        self._reasons_at = time.monotonic()
        self._reasons_stale = False

    def _settled(self, job: Job) -> bool:
        return job.reason in ("Dependency", "DependencyNeverSatisfied", "BeginTime", "JobArrayTaskLimit")


def _durable(change: Change, done: asyncio.Future[None]) -> None:
    if not done.cancelled() and done.exception() is None:
        for call in change.then:
            call()


EFFECTS: dict[type, Callable[[Controller, Change, Job, Any], None]] = {
    machine.Terminate: Controller._terminate,
    machine.Withdraw: Controller._withdraw,
    machine.Release: Controller._release,
    machine.Ended: Controller._ended,
    machine.Mail: Controller._mail,
    machine.Restarted: lambda controller, change, job, effect: None,  # before the others, in apply
}

DUE: dict[str, Callable[[Controller, Job], None]] = {
    "begin": Controller._begin,
    "dependency": Controller._judge_again,
    "deadline": Controller._deadline,
    "linger": Controller._linger,
    "purge": Controller._purge,
    "step limit": lambda controller, job: controller.steps.past_limit(job),
}
