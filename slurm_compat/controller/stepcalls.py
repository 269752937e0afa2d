"""srun's calls: a step is laid out, its agents are told, its connection is its life."""

from __future__ import annotations

import base64
import signal
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from slurm_compat.controller import het, hetstep, stepkeeping
from slurm_compat.controller.authorization import require_self
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.controller.nodes import gres_of_text
from slurm_compat.controller.server import Session
from slurm_compat.controller.steps import Busy, Granted, plan
from slurm_compat.controller.textlengths import check_texts
from slurm_compat.controller.views import job_fields
from slurm_compat.core import errors, tres
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.hostlist import compress
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.states import COMPLETING, PENDING, RUNNING, SUSPENDED
from slurm_compat.core.stepargs import StepComplete, StepComponent, StepCreate
from slurm_compat.store.changes import Change
from slurm_compat.translators import gres

if TYPE_CHECKING:
    from slurm_compat.controller.agents import Run
    from slurm_compat.controller.controller import Controller

Part = tuple[Job, StepCreate | StepComponent]


class Steps:
    """Steps on the way: those that wait for others of their job, and those whose srun listens."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._waiting: dict[int, deque[tuple[Session, StepCreate]]] = {}
        self._parts: WeakKeyDictionary[Session, int] = WeakKeyDictionary()  # of a step, those that have not ended

    def create(self, session: Session, args: StepCreate) -> None:
        """A stream: granted at once, or waiting and granted later."""
        parts = self._parts_of(session, args)
        for _, part in parts:
            check_texts(part.request)
        try:
            self._grant(parts, session)
        except Busy as busy:
            if any(part.request.immediate is not None for _, part in parts):
                raise
            session.send({"event": "waiting", "error": [busy.number, busy.text]})
            self._wait(parts[0][0], session, args)

    def _parts_of(self, session: Session, args: StepCreate) -> list[Part]:
        """Each component's job, which must be one's own and of one heterogeneous job, and what is asked of it."""
        parts: list[Part] = [(self._job(session, args.job_id), args)]
        parts += [(self._job(session, part.job_id), part) for part in args.components]
        if len(parts) > 1:
            leader = parts[0][0].het_job_id
            ids = {job.job_id for job, _ in parts}
            if not leader or len(ids) < len(parts) or any(job.het_job_id != leader for job, _ in parts):
                raise SlurmError(errors.INVALID_JOB_ID)
        return parts

    def _wait(self, job: Job, session: Session, args: StepCreate) -> None:
        entry = (session, args)
        queue = self._waiting.setdefault(_counted_with(job), deque())
        queue.append(entry)

        def give_up() -> None:
            if entry in queue:
                queue.remove(entry)

        session.on_close = give_up

    def _job(self, session: Session, job_id: int) -> Job:
        job = self._controller.table.jobs.get(job_id)
        if job is None:
            raise SlurmError(errors.INVALID_JOB_ID)
        assert session.caller is not None
        require_self(session.caller, job)
        if job.state == PENDING:
            raise SlurmError(errors.JOB_PENDING)
        if job.is_final or COMPLETING in job.flags:
            raise SlurmError(errors.ALREADY_DONE)
        if job.state == SUSPENDED:
            raise SlurmError(errors.JOB_SUSPENDED)
        return job

    def freed(self, job_id: int) -> None:
        """A step of the job ended: those that wait are tried again, in their order."""
        job = self._controller.table.jobs.get(job_id)
        queue = self._waiting.pop(_counted_with(job) if job else job_id, None)
        while queue:
            session, args = queue.popleft()
            if session.closed:
                continue
            session.on_close = None
            try:
                parts = self._parts_of(session, args)
                try:
                    self._grant(parts, session)
                except Busy:
                    self._wait(parts[0][0], session, args)
            except SlurmError as problem:
                session.send_error(problem)

    def _grant(self, parts: list[Part], session: Session) -> None:
        """Lay out, number and record the step, all of its components or none, and tell their agents."""
        controller = self._controller
        planned: list[tuple[Job, StepCreate | StepComponent, Run, Granted]] = []
        for job, part in parts:
            run = controller.agents.runs.get(job.job_id)
            if run is None or len(run.links) < len(job.shape.members):
                raise Busy  # after a restart its agents still dial; each that comes has those that wait tried again
            running = [step for step in controller.table.steps_of(job) if not step.end_time]
            try:
                planned.append((job, part, run, plan(job, running, part.request)))
            except SlurmError as problem:
                problem.notes = [str(job.job_id)]  # which component it is that can't
                raise
        change = Change()
        step_id = self._number(parts, change)
        whole = hetstep.offsets([(granted.layout, job.het_offset) for job, _, _, granted in planned])
        events, launches, steps = [], [], []
        for (job, part, run, granted), het_part in zip(planned, whole, strict=True):
            step = _record(controller, job, step_id, granted, part)
            controller.table.put_step(change, step)
            controller.put(change, job)
            run.step_sessions[step_id] = session
            controller.relays.listen(session, part.addresses)
            steps.append(step)
            events.append(_granted_event(controller, job, step_id, granted))
            launches.append((job.job_id, _launch(controller, step_id, granted, part) | het_part))
        if len(events) > 1:
            events[0]["components"] = events[1:]
            self._parts[session] = len(events)

        def dropped() -> None:
            for step in steps:
                self._dropped(step.job_id, step.db_index, step_id)

        session.on_close = dropped

        def go() -> None:
            session.send(events[0])
            for job_id, launch in launches:
                controller.agents.tell(job_id, launch, [entry[0] for entry in launch["layout"]])

        for step in steps:
            self.keep_limit(step)
        controller.commit(change, go)

    def _number(self, parts: list[Part], change: Change) -> str:
        """The step's id. A heterogeneous job's steps are counted together."""
        job, part = parts[0]
        if part.request.interactive:
            return "interactive"
        counter = het.components(self._controller.table, job)[0]
        number = counter.next_step
        counter.next_step += 1
        if counter is not job:
            self._controller.put(change, counter)
        return str(number)

    def part_over(self, session: Session) -> bool:
        """One component's part of the session's step has ended; whether it was the last."""
        left = self._parts.get(session, 1) - 1
        self._parts[session] = left
        return left <= 0

    def keep_limit(self, step: Step) -> None:
        """A step's own time limit is kept here, as slurmctld does."""
        if step.time_limit != UNLIMITED:
            self._controller.due.at(step.start_time + step.time_limit * 60, "step limit", step.job_id)

    def past_limit(self, job: Job) -> None:
        """End the steps whose time is over."""
        now = self._controller.now()
        for step in list(self._controller.table.steps_of(job)):
            over = step.time_limit != UNLIMITED and step.start_time + step.time_limit * 60 <= now
            if over and not step.end_time and not step.timed_out:
                self.end(job, step)

    def end(self, job: Job, step: Step) -> None:
        """The step's time is over: its agents tell its tasks, and kill them after KillWait."""
        change = Change()
        step.timed_out = True
        self._controller.table.put_step(change, step)
        message = {"msg": "signal", "to": step.step_id, "signal": signal.SIGTERM, "reason": "TIME LIMIT"}
        self._controller.commit(change, lambda: self._controller.agents.say(job.job_id, message))

    def _dropped(self, job_id: int, db_index: int, step_id: str) -> None:
        """srun is gone: its tasks go, too."""
        controller = self._controller
        run = controller.agents.runs.get(job_id)
        if run is not None:
            run.step_sessions.pop(step_id, None)
        step = controller.table.steps.get(db_index, {}).get(step_id)
        if run is not None and run.ending:
            return  # its agents end it, and leave it its KillWait
        if step is not None and not step.end_time:
            nodes = [entry[0] for entry in step.layout]
            controller.agents.tell(job_id, {"msg": "signal", "to": step_id, "signal": signal.SIGKILL}, nodes)

    def complete(self, session: Session, args: StepComplete) -> dict[str, Any]:
        """srun's word on how its step ended: what the agents said of their tasks counts, where they did."""
        controller = self._controller
        job = controller.table.jobs.get(args.job_id)
        if job is None:
            raise SlurmError(errors.INVALID_JOB_ID)
        assert session.caller is not None
        require_self(session.caller, job)
        step = controller.table.steps.get(job.db_index, {}).get(args.step_id)
        if step is None:
            raise SlurmError(errors.INVALID_JOB_ID)
        run = controller.agents.runs.get(job.job_id)
        if step.end_time or (run is not None and run.ending and run.links):
            return {}  # of a job that ends the agents tell
        nodes = [entry[0] for entry in step.layout]
        kill = {"msg": "signal", "to": args.step_id, "signal": signal.SIGKILL}
        told = controller.agents.tell(job.job_id, kill, nodes)
        if not told:
            change = Change()
            stepkeeping.finish(controller, job, step, args.exit_code, controller.now(), change)
            controller.commit(change)
            self.freed(job.job_id)
        return {}


def _counted_with(job: Job) -> int:
    """Whose steps' ends may make room for a step of this job."""
    return job.het_job_id or job.job_id


def _granted_event(controller: Controller, job: Job, step_id: str, granted: Granted) -> dict[str, Any]:
    return {
        "event": "granted",
        "step_id": step_id,
        "layout": granted.layout,
        "kill_wait": controller.conf.kill_wait,
        "resources": granted.resources,
        "tasks": granted.tasks,
        "cpus": granted.cpus,
        "distribution": granted.distribution,
        "environment": {},
        "job": job_fields(controller, job),
    }


def _launch(controller: Controller, step_id: str, granted: Granted, part: StepCreate | StepComponent) -> dict[str, Any]:
    """What the agents are told."""
    return {
        "msg": "launch_step",
        "step_id": step_id,
        "request": _as_json(part.request) | {"mpi": part.request.mpi or controller.conf.mpi_default},
        "layout": granted.layout,
        "resources": granted.resources,
        "addresses": part.addresses,
        "secret": part.secret,
        "launch_address": _host_of(part.addresses),
        "job": {},
    }


def _record(controller: Controller, job: Job, step_id: str, granted: Granted, args: StepCreate | StepComponent) -> Step:
    request = args.request
    names = [entry[0] for entry in granted.layout]
    amounts = {"cpu": granted.cpus, "mem": granted.memory_mib, "node": len(names)}
    gres_amounts: dict[str, int] = {}
    for entry in granted.resources:
        tres.add(gres_amounts, gres_of_text(entry[4])[0])
    return Step(
        job_id=job.job_id,
        db_index=job.db_index,
        step_id=step_id,
        name=request.name or (request.argv[0].rpartition("/")[2] if request.argv else step_id),
        state=RUNNING,
        start_time=controller.now(),
        time_limit=granted.time_limit,
        nodes=compress(names),
        node_count=len(names),
        cpus=granted.cpus,
        tasks=granted.tasks,
        layout=granted.layout,
        resources=granted.resources,
        overlap=granted.overlap or request.interactive,
        tres_alloc_str=tres.show(amounts | gres.as_tres(gres_amounts, controller.cluster.tres_listed)),
        distribution=granted.distribution,
        submit_line=request.submit_line,
        srun_host=request.srun_host,
        srun_pid=request.srun_pid,
        current_working_directory=request.current_working_directory,
        standard_input=request.standard_input,
        standard_output=request.standard_output,
        standard_error=request.standard_error,
    )


def _as_json(request: Any) -> dict[str, Any]:
    """The request with all its fields, as the agent reads them."""
    values = msgspec.structs.asdict(request)
    values["environment"] = base64.b64encode(request.environment).decode()
    return values


def _host_of(addresses: list[str]) -> str:
    """Where srun is, for its tasks' SLURM_LAUNCH_NODE_IPADDR; "" when it can be reached by a path alone."""
    for address in addresses:
        if not address.startswith("unix:"):
            return address.rpartition(":")[0]
    return ""
