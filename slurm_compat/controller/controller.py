"""The controller's heart: live jobs, what they wait for, and the one way in which a job changes.

Nothing here waits: memory changes at once, the store writes behind, and what others must hear (a client's answer, an
agent's launch, Armada's submission) goes out when the store has it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from slurm_compat.controller import falldue, het, limitmail, machine, pending, placing
from slurm_compat.controller.agents import Agents
from slurm_compat.controller.authorization import People, Roles
from slurm_compat.controller.book import Book
from slurm_compat.controller.calendar import Calendar
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.crontabs import Crontabs
from slurm_compat.controller.debugging import Debugging
from slurm_compat.controller.dependencies import Watchers
from slurm_compat.controller.due import Due
from slurm_compat.controller.effects import Outbox
from slurm_compat.controller.handover import Handover
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.limiter import Limiter
from slurm_compat.controller.listeners import Listeners
from slurm_compat.controller.machine import Event
from slurm_compat.controller.nodeevents import Events
from slurm_compat.controller.nodekeeping import NodeKeeping
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.preempting import Preempting
from slurm_compat.controller.readiness import Readiness
from slurm_compat.controller.relaycalls import Relays
from slurm_compat.controller.remembered import Remembered
from slurm_compat.controller.reordering import Reordering
from slurm_compat.controller.rolling import Rolling
from slurm_compat.controller.shares import Shares
from slurm_compat.controller.shownreasons import Reasons
from slurm_compat.controller.siteinventory import Inventory
from slurm_compat.controller.sluid import Numbers
from slurm_compat.controller.staging import Staging
from slurm_compat.controller.statistics import Statistics
from slurm_compat.controller.stepcalls import Steps
from slurm_compat.controller.submitting import Submissions
from slurm_compat.controller.table import Table, job_row
from slurm_compat.controller.texts import Texts
from slurm_compat.controller.tls import Identity
from slurm_compat.controller.tokens import Tokens
from slurm_compat.controller.triggers import Triggers
from slurm_compat.core.cluster import ClusterConf, scheduler_parameter
from slurm_compat.core.states import PENDING
from slurm_compat.store.changes import Change
from slurm_compat.store.store import Store
from slurm_compat.translators.queues import queue_name

log = logging.getLogger(__name__)

REDIALLED = 10  # seconds after a start within which agents come back
LINGER = 10  # seconds past KillWait after which Armada is asked to remove what an agent did not end


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
        self.reordering = Reordering(self)
        self.next_job_id = conf.first_job_id
        self.relays = Relays()
        self.steps: Steps = Steps(self)
        self.submissions = Submissions()
        self.usage = Remembered(self.table)
        self.texts = Texts(store)
        self.inventory: Inventory | None = None  # of a site's nodes; outward sets it
        self.sources: Callable[[], dict[str, int]] = dict  # of the inventory: whether each answers; outward sets it
        self.identity: Identity | None = None  # of its TCP ports, where it has any
        self.authority = ""  # the certificate by which those who dial over TCP know this controller; main sets it
        self.tokens = Tokens()  # main sets those of the cluster file
        self.listeners = Listeners(self.table)
        self.node_events = Events()
        self.book = Book()  # `conf` as it is in force: restoring and every change of the book set it
        self.next_transaction = 1
        self.rolling = Rolling()
        self.crontabs = Crontabs()
        self.triggers = Triggers(self)
        self.arriving = 0  # submissions on their way to the store
        self.hostname = conf.slurmctld_host or socket.gethostname().split(".")[0]
        self.cluster_file = ""
        self.state_folder = ""
        self.started_at = int(time.time())
        self.counters: dict[str, int] = {}
        self.statistics = Statistics(self.started_at)
        self.debugging = Debugging()
        self.shares = Shares(conf, lambda: placing.running(self), self.now)
        cluster.fairshare = self.shares.factor
        self.limiter = cluster.limiter = Limiter(lambda: self.cluster.conf, lambda names: self.cluster.qos_of(names))
        self.limiter.fairshare = self.shares.factor
        self.limiter.consumption.running = lambda: placing.running(self)
        self.table.placed = self.limiter.tally.place
        self.preempting = Preempting(self)
        self.follow: Callable[[str, str], None] = lambda queue, job_set: None  # watch this event stream; main sets it
        self.calendar = Calendar(self)
        self.node_keeping = NodeKeeping(self)
        self.readiness = Readiness(self)
        self.handover = Handover(self)
        self.reasons = Reasons(self)
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
        self.reasons.stale()
        if job.staged and not after.staged:
            self.staging.left(job.job_id, job.queue)
            self.agents.abandon(job.job_id, job.attempt)
            if job.array_job_id:
                self.handover.offer_array(job.array_job_id)
        for effect in effects:
            EFFECTS[type(effect)](self, change, after, effect)
        self.table.put(change, after, event.name, event.at, event.reason or event.text)
        self.rolling.news(event.at, change)
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
        self.reasons.stale()

    def _restarted(self, change: Change, job: Job, before: Job) -> None:
        self.shares.ended(before, change)
        self.limiter.consumption.ended(before, change)
        change.put("jobs", before.db_index, job_row(before, live=False))
        job.db_index = self.new_db_index()

    def _terminate(self, change: Change, job: Job, effect: machine.Terminate) -> None:
        job_id = job.job_id
        if not self.agents.terminate(change, job_id, effect.reason):
            if self.now() - self.started_at < REDIALLED:
                # its agents still dial us anew, and then hear of it
                self.due.at(self.started_at + REDIALLED, "absent", job_id)
            else:
                # no agent to tell: Armada takes the pods away
                self.withdraw(job, change, effect.reason)
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
        self.calendar.ended(job)
        self.handover.retry_blocked()
        if job.state == PENDING:  # a requeued job whose old run is gone
            job.resources = []
            job.placements = []
            self.readiness.consider(job, change)

    def _ended(self, change: Change, job: Job, effect: machine.Ended) -> None:
        job_id = job.job_id
        self.shares.ended(job, change)
        self.limiter.consumption.ended(job, change)
        self.staging.retract(job_id)
        self.watchers.remove(job)
        self.due.at(job.end_time + max(self.conf.min_job_age, 1), "purge", job_id)
        self.listeners.tell(change, job_id, {"event": "ended", "job_state": job.state, "exit_code": job.exit_code})
        self.readiness.wake_dependents(job)
        if job.array_job_id:
            self.handover.offer_array(job.array_job_id)
        self.handover.retry_blocked()
        self.count(job.state)

    def _mail(self, change: Change, job: Job, effect: machine.Mail) -> None:
        if job.request.mail_type:
            self.outbox.mail(change, effect.of or job, effect.kind)
            if effect.kind == "BEGIN":
                limitmail.arm(self, job)

    # becoming ready

    def admit(self, job: Job) -> None:
        """A job that the store has just taken: it may be seen from now on."""
        self.count("submitted")
        self.table.place(job)
        self.reasons.stale()
        if not job.staged:
            change = Change()
            if not job.hold:
                job.priority = self.priority(job)
            if job.has_script and (delay := self.gathers):
                self.handover.gather(delay)
            self.readiness.consider(job, change)
            if change:
                self.commit(change)

    @property
    def gathers(self) -> int:
        """Seconds for which batch jobs are gathered before the first of them goes to Armada."""
        return int(scheduler_parameter(self.conf, "batch_sched_delay") or 0)

    def priority(self, job: Job) -> int:
        if job.fixed_priority is not None:
            return job.fixed_priority
        return pending.priority(job, self.cluster, self.now())

    def queue_of(self, job: Job) -> str:
        return queue_name(self.conf.armada.queue, job)

    def qos_id(self, name: str) -> int:
        for number, qos in enumerate(self.conf.qos, 1):
            if qos.name == name:
                return qos.number or number
        return 0

    def _fell_due(self, kind: str, job_id: int) -> None:
        job = self.table.jobs.get(job_id)
        if job is not None:
            falldue.DUE[kind](self, job)


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
