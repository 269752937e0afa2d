"""The links of agents: who is there, what each is told, what each tells. See docs/architecture.md, Agent link.

A job runs when the agents of all its pods are there. What an agent reports is acknowledged once the store has it, so an
agent that outlives this process says again what was not kept.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import arrays, deadlines, het, launching, placing, stepkeeping
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import Event
from slurm_compat.controller.tokens import same
from slurm_compat.core.errors import ACCESS_DENIED, INVALID_JOB_ID, SlurmError
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.core.stepargs import AgentHello
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

STOP_EXPLAINED = 15.0  # seconds in which Armada's word on a pod that was stopped is waited for

log = logging.getLogger(__name__)


class Link:
    """One agent's connection. `send` takes a message; `close` ends the connection. `trusted`: the kernel says that a
    process of the controller's own user is at the other end."""

    def __init__(
        self,
        hello: AgentHello,
        send: Callable[[dict[str, Any]], None],
        close: Callable[[], None],
        trusted: bool = True,
    ) -> None:
        self.hello = hello
        self.send = send
        self.close = close
        self.trusted = trusted
        self.node = hello.node
        self.run: Run | None = None


class Run:
    """One attempt of a job, and its agents by the rank of their pods."""

    def __init__(self, job_id: int, attempt: int, db_index: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.db_index = db_index  # of the run of the job that this attempt became
        self.links: dict[int, Link] = {}
        self.batch_over = False
        self.ending = ""  # reason, once terminate was said
        self.step_sessions: dict[str, Session] = {}  # step id: the srun that made it


class Agents:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.runs: dict[int, Run] = {}  # by job id

    # coming and going

    def hello(self, link: Link) -> None:
        """An agent says who it is. Raises SlurmError when it is nobody's, and sends `bye` when its time is over."""
        hello = link.hello
        job = self._controller.table.jobs.get(hello.job_id)
        if job is None:
            raise SlurmError(INVALID_JOB_ID)
        if hello.restart != job.attempt:
            link.send({"msg": "bye"})  # a pod that was taken back, but came up all the same
            return
        if not job.token or not same(job.token, hello.token):
            raise SlurmError(ACCESS_DENIED)
        if not link.trusted and not self._controller.conf.tokens_travel:
            raise SlurmError(ACCESS_DENIED)  # a token that somebody found: our own pods' agents are our user's
        over = job.is_final and COMPLETING not in job.flags
        if over or (job.state == PENDING and not job.staged and COMPLETING not in job.flags):
            link.send({"msg": "bye"})
            return
        run = self.runs.get(job.job_id)
        if run is None or run.attempt != job.attempt:
            run = self.runs[job.job_id] = Run(job.job_id, job.attempt, job.db_index)
            batch = self._controller.table.steps.get(job.db_index, {}).get("batch")
            run.batch_over = batch is not None and batch.end_time != 0
        link.run = run
        inventory = self._controller.inventory
        if inventory is not None:
            link.node = inventory.name_of(hello.node)
        run.links[hello.rank] = link
        if COMPLETING in job.flags:
            link.send(self._terminate_message(run.ending or _reason_of(job)))
        elif job.state == PENDING:
            jobs = het.components(self._controller.table, job)
            if all(map(self._all_here, jobs)):
                self._start(jobs)
        else:
            self._controller.spawn(self._launch(job.job_id, run, [link]))
            self._controller.steps.freed(job.job_id)

    def gone(self, link: Link) -> None:
        """The connection ended. The agent may dial again; if it can't, Armada tells of its pod."""
        run = link.run
        if run is not None and run.links.get(link.hello.rank) is link:
            del run.links[link.hello.rank]

    def abandon(self, job_id: int, attempt: int) -> None:
        """This attempt is over or was taken back: agents that are there, or come, may go."""
        run = self.runs.get(job_id)
        if run is not None and run.attempt == attempt:
            del self.runs[job_id]
            for link in list(run.links.values()):
                link.send({"msg": "bye"})

    def give_up(self, job_id: int) -> None:
        run = self.runs.pop(job_id, None)
        if run is not None:
            for link in list(run.links.values()):
                link.close()

    # starting

    def _all_here(self, job: Job) -> bool:
        run = self.runs.get(job.job_id)
        there = run is not None and run.attempt == job.attempt and len(run.links) >= len(job.shape.members)
        return there and job.state == PENDING and job.staged

    def _start(self, jobs: list[Job]) -> None:
        """All agents are there: the job, all components of it, runs."""
        controller = self._controller
        change = Change()
        starts = [self._begin(job, self.runs[job.job_id], change) for job in jobs]

        def launch() -> None:
            for job_id, run, links in starts:
                controller.spawn(self._launch(job_id, run, links))

        controller.commit(change, launch)
        controller.handover.pump_soon()

    def _begin(self, job: Job, run: Run, change: Change) -> tuple[int, Run, list[Link]]:
        controller = self._controller
        now = controller.now()
        job = copy.copy(job)
        if job.is_array_record:
            job, _ = arrays.split(job, job.array_ranges[0][0], job.job_id, job.db_index)
        links = list(run.links.values())
        placing.book(controller, job, links)
        job.time_limit = deadlines.limit_at(job, now)
        run.db_index = job.db_index
        job = controller.apply(job, Event("started", now), change)
        stepkeeping.begin(controller, job, change)
        controller.staging.left(job.job_id, job.queue)
        controller.readiness.wake_dependents(job)
        controller.listeners.tell(change, job.job_id, {"event": "started"})
        controller.count("started")
        return job.job_id, run, links

    async def _launch(self, job_id: int, run: Run, links: list[Link]) -> None:
        controller = self._controller
        job = controller.table.jobs.get(job_id)
        if job is None or not job.is_running:
            return
        script = await controller.texts.get(job.script)
        environment = await controller.texts.get(job.environment)
        job = controller.table.jobs.get(job_id)
        if job is None or not job.is_running or job.attempt != run.attempt:
            return
        packet = launching.packet(controller, job, script, environment)
        # ranks follow the nodes' order, whatever pod Armada put where
        ranks = {entry[0]: rank for rank, entry in enumerate(job.resources)}
        for link in links:
            link.send(packet | {"rank": ranks.get(link.node, 0)})

    # telling

    def terminate(self, change: Change, job_id: int, reason: str) -> bool:
        """End the job's processes; False when no agent is there to be told."""
        run = self.runs.get(job_id)
        if run is None or not run.links:
            return False
        run.ending = run.ending or reason
        change.then.append(lambda: self._send(run, self._terminate_message(reason)))
        change.then.append(lambda: self._let_idle_go(job_id))
        return True

    def _let_idle_go(self, job_id: int) -> None:
        """An allocation in which nothing runs has nobody's end to wait for."""
        change = Change()
        self.finish_if_over(job_id, change)
        if change:
            self._controller.commit(change)

    def _terminate_message(self, reason: str) -> dict[str, Any]:
        return {"msg": "terminate", "reason": reason, "text": "", "kill_wait": self._controller.conf.kill_wait}

    def _send(self, run: Run, message: dict[str, Any]) -> None:
        for link in list(run.links.values()):
            link.send(message)

    def say(self, job_id: int, message: dict[str, Any]) -> None:
        """To all agents of the job, whoever is there."""
        self.tell(job_id, message)

    def tell(self, job_id: int, message: dict[str, Any], nodes: list[str] | None = None) -> bool:
        """Say it to the job's agents, or to those on some nodes; False when none is there."""
        run = self.runs.get(job_id)
        if run is None:
            return False
        told = False
        for link in list(run.links.values()):
            if nodes is None or link.node in nodes:
                link.send(message)
                told = True
        return told

    # hearing

    def heard(self, link: Link, message: dict[str, Any]) -> None:
        """A message of an agent. What carries `seq` is acknowledged when durable; nonsense is acknowledged, too."""
        name = message.get("msg")
        change = Change()
        job = self._controller.table.jobs.get(link.hello.job_id)
        run = link.run
        if job is not None and run is not None and isinstance(name, str) and name in HEARD:
            try:
                HEARD[name](self, link, run, job, message, change)
            except (KeyError, TypeError, ValueError, IndexError) as problem:
                log.warning("job %d: the agent's %s makes no sense: %r", link.hello.job_id, name, problem)
        seq = message.get("seq")
        if run is None:  # of a pod whose time is over: nothing is kept
            link.send({"msg": "ack", "seq": seq})
            return
        if not change:
            if seq is not None:
                # what is already so may still be on its way to the disk: an empty change waits for it
                change.then.append(lambda: link.send({"msg": "ack", "seq": seq}))
                self._controller.commit(change)
            return
        if seq is not None:
            change.then.insert(0, lambda: link.send({"msg": "ack", "seq": seq}))
        self._controller.commit(change)

    def _batch_started(self, link: Link, run: Run, job: Job, message: dict[str, Any], change: Change) -> None:
        stepkeeping.batch_started(self._controller, run.db_index, link.node, int(message["pid"]), change)

    def _batch_ended(self, link: Link, run: Run, job: Job, message: dict[str, Any], change: Change) -> None:
        if run.batch_over:
            return
        run.batch_over = True
        controller = self._controller
        status = int(message["status"])
        reason = str(message.get("reason") or "")
        at = int(message.get("time") or controller.now())
        stepkeeping.batch_ended(controller, run.db_index, status, reason, at, message.get("usage"), change)
        if reason == "CANCELLED" and not run.ending and COMPLETING not in job.flags:
            # its pod was told to stop, and by whom Armada knows: preempted, cancelled there, a node that is emptied
            later = asyncio.get_running_loop().call_later
            later(STOP_EXPLAINED, self._stopped, run, Event("ended", at, status))
            return
        if COMPLETING not in job.flags:
            known = "" if reason in ("CANCELLED",) else reason
            job = controller.apply(job, Event("ended", at, status, known, str(message.get("error") or "")), change)
        elif job.is_final:
            job = controller.apply(job, Event("ended", at, status), change)
        self.finish_if_over(job.job_id, change)

    def _stopped(self, run: Run, event: Event) -> None:
        """Armada has not said why the job's pod was stopped: it ended as its script did."""
        job = self._controller.table.jobs.get(run.job_id)
        if job is None or not job.is_running or job.attempt != run.attempt or self.runs.get(run.job_id) is not run:
            return
        change = Change()
        job = self._controller.apply(job, event, change)
        self.finish_if_over(job.job_id, change)
        self._controller.commit(change)

    def _step_started(self, link: Link, run: Run, job: Job, message: dict[str, Any], change: Change) -> None:
        step = stepkeeping.started(self._controller, run.db_index, link.node, message, change)
        if step is not None:
            self._pass_on(run, step.step_id, link, message)

    def _step_ended(self, link: Link, run: Run, job: Job, message: dict[str, Any], change: Change) -> None:
        step_id = str(message["step_id"])
        self._pass_on(run, step_id, link, message)
        step = stepkeeping.tasks_ended(self._controller, job, run.db_index, message, change)
        if step is not None and step.end_time:
            self.step_over(run, step.step_id, step.exit_code, change)

    def step_over(self, run: Run, step_id: str, exit_code: int, change: Change) -> None:
        session = run.step_sessions.pop(step_id, None)
        if session is not None:
            last = self._controller.steps.part_over(session)
            if last:
                session.on_close = None

            def done() -> None:
                session.send({"event": "done", "exit_code": exit_code, "job_id": run.job_id})
                if last:
                    session.end()

            change.then.append(done)
        change.then.append(lambda: self._controller.steps.freed(run.job_id))
        self.finish_if_over(run.job_id, change)

    def _pass_on(self, run: Run, step_id: str, link: Link, message: dict[str, Any]) -> None:
        session = run.step_sessions.get(step_id)
        if session is not None:
            told = {key: value for key, value in message.items() if key != "seq"}
            session.send({"event": "agent", "node": link.node, "message": told})

    def _usage(self, link: Link, run: Run, job: Job, message: dict[str, Any], change: Change) -> None:
        stepkeeping.sampled(self._controller, run.db_index, message)

    def _extern_ended(self, link: Link, run: Run, job: Job, message: dict[str, Any], change: Change) -> None:
        stepkeeping.extern_ended(self._controller, run.db_index, message, change)

    def pods_over(self, job: Job, change: Change) -> None:
        """Armada says that all pods of an ending job are gone: nothing more will be heard of it."""
        run = self.runs.pop(job.job_id, None)
        index = run.db_index if run is not None else job.db_index
        stepkeeping.close_all(self._controller, index, self._controller.now(), change)
        self._controller.apply(job, Event("all gone", self._controller.now()), change)

    def finish_or_terminate(self, job: Job, change: Change) -> None:
        """The job just ended by its user's word: agents end what still runs of it."""
        self.finish_if_over(job.job_id, change)
        if self.runs.get(job.job_id) is not None:
            self._controller.linger(job)
        elif COMPLETING in self._controller.table.jobs[job.job_id].flags:
            # its agents are away just now: Armada takes the pods back
            self._controller.withdraw(job, change, "ended")
            self._controller.linger(job)

    def finish_if_over(self, job_id: int, change: Change) -> None:
        """The job is ending and nothing of it runs any more: agents may go, the job is complete."""
        controller = self._controller
        job = controller.table.jobs.get(job_id)
        run = self.runs.get(job_id)
        if job is None or run is None or COMPLETING not in job.flags:
            return
        if job.has_script and not run.batch_over:
            return
        if stepkeeping.any_running(controller, run.db_index):
            if not run.ending:
                run.ending = "CANCELLED"
                change.then.append(lambda: self._send(run, self._terminate_message("CANCELLED")))
            return
        stepkeeping.close_all(controller, run.db_index, controller.now(), change)
        change.then.append(lambda: self._send(run, {"msg": "bye"}))
        self.runs.pop(job_id, None)
        controller.apply(job, Event("all gone", controller.now()), change)


def _reason_of(job: Job) -> str:
    return {"TIMEOUT": "TIME LIMIT", "PREEMPTED": "PREEMPTION", "NODE_FAIL": "NODE FAILURE"}.get(job.state, "CANCELLED")


HEARD: dict[str, Callable[[Agents, Link, Run, Job, dict[str, Any], Change], None]] = {
    "batch_started": Agents._batch_started,
    "batch_ended": Agents._batch_ended,
    "step_started": Agents._step_started,
    "step_ended": Agents._step_ended,
    "usage": Agents._usage,
    "extern_ended": Agents._extern_ended,
}
