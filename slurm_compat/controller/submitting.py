"""Submission: from a request to a job that is kept, its id told once the store has it.

The same key again, by the same user, gives the same answer and makes no job: in this process by what is remembered,
after a restart by what the store has.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import het, pending, placing, reserved
from slurm_compat.controller.jobs import NO_HOLD, USER_HOLD, Job, slim
from slurm_compat.controller.server import Session
from slurm_compat.controller.submission import Accepted, Caller, check
from slurm_compat.controller.table import job_row
from slurm_compat.controller.textlengths import ENVIRONMENT, MOST_COMPONENTS, check_texts
from slurm_compat.core import errors, hostlist, taskids
from slurm_compat.core.errors import BAD_ARGUMENT, BadValue, SlurmError
from slurm_compat.core.jobargs import Submit, WillRun
from slurm_compat.core.model import JobRequest
from slurm_compat.store.changes import Change
from slurm_compat.store.store import StoreFull

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

REMEMBERED = 20_000  # answers kept in memory
WRITE_FAILED = 2019  # "I/O error writing script/environment to file": slurmctld's words for a full disk
INTERNED = 4096
NOBODYS_NUMBER = (1 << 32) - 1  # as a uid or gid it means "leave it as it is"

Answer = dict[str, Any]


class Interned:
    """Equal requests and shapes are one object: jobs of one script share them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Any] = OrderedDict()

    def one(self, value: Any) -> Any:
        key = type(value).__name__.encode() + msgspec.msgpack.encode(value)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        self._kept[key] = value
        if len(self._kept) > INTERNED:
            self._kept.popitem(last=False)
        return value


class Submissions:
    """Answers by submission key; a future while the first of them is on its way to the store."""

    def __init__(self) -> None:
        # an answer without messages is kept as its job id
        self._answers: OrderedDict[str, int | Answer | asyncio.Future[Answer]] = OrderedDict()
        self.interned = Interned()

    def known(self, key: str) -> Answer | asyncio.Future[Answer] | None:
        kept = self._answers.get(key)
        return {"job_id": kept, "messages": []} if isinstance(kept, int) else kept

    def keep(self, key: str, answer: Answer | asyncio.Future[Answer]) -> None:
        plain = isinstance(answer, dict) and not answer["messages"]
        self._answers[key] = answer["job_id"] if plain else answer  # type: ignore[index]
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def drop(self, key: str) -> None:
        self._answers.pop(key, None)


def effective_caller(controller: Controller, caller: Caller, request: JobRequest) -> Caller:
    """Who the job is for: the peer, or whom root names with --uid and --gid."""
    uid = caller.uid if request.user_id is None else request.user_id
    gid = caller.gid if request.group_id is None else request.group_id
    if not caller.may_act_as(uid) or not all(0 <= number < NOBODYS_NUMBER for number in (uid, gid)):
        raise SlurmError(errors.ACCESS_DENIED)
    person = controller.people.person(uid, gid)
    # asked without the group: of a group that is named getgrouplist() says that the user is in it
    own_groups = {caller.gid, *controller.people.person(caller.uid).groups}
    if gid not in own_groups and not (caller.uid == 0 or caller.slurm_user):
        raise SlurmError(errors.ACCESS_DENIED)
    other = controller.roles.caller(person)
    # what root may ask for, root may ask for in another's name
    return other._replace(operator=other.operator or caller.operator, admin=other.admin or caller.admin)


def accept(controller: Controller, caller: Caller, request: JobRequest, script: bytes) -> Accepted:
    """The request with everything resolved. Raises SlurmError as slurmctld would."""
    if request.batch and not script:
        raise SlurmError(errors.JOB_SCRIPT_MISSING)
    if len(script) > controller.conf.max_script_size:
        raise SlurmError(errors.PATHNAME_TOO_LONG)
    check_texts(request)
    try:
        return check(request, caller, controller.cluster, controller.now(), controller.usage)
    except BadValue:  # amounts that no machine has: 2 PiB of memory, -1 CPUs
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE) from None


def made_job(controller: Controller, caller: Caller, request: JobRequest, accepted: Accepted) -> Job:
    """The job of an accepted request, not yet kept anywhere."""
    now = controller.now()
    interned = controller.submissions.interned
    job_id = controller.new_job_id()
    job = Job(
        job_id=job_id,
        db_index=controller.new_db_index(),
        request=interned.one(msgspec.structs.replace(request, name="", submit_line="", comment="")),
        shape=interned.one(accepted.shape),
        user_id=caller.uid,
        user_name=caller.user_name,
        group_id=caller.gid,
        group_name=caller.group_name,
        name=request.name or ("" if request.batch else "sbatch"),
        account=accepted.account,
        association_id=accepted.association_id,
        partition=accepted.partition,
        qos=accepted.qos,
        time_limit=accepted.time_limit,
        time_minimum=accepted.time_minimum or 0,
        nice=accepted.nice,
        requeue=bool(controller.conf.job_requeue) if request.requeue is None else request.requeue,
        tres_req_str=accepted.tres_req_str,
        submit_line=request.submit_line,
        comment=request.comment,
        admin_comment=request.admin_comment,
        extra=request.extra,
        hold=USER_HOLD if accepted.hold else NO_HOLD,
        submit_time=now,
        begin_time=accepted.begin_time,
        deadline=request.deadline,
        last_sched_evaluation=now,
        dependency=accepted.dependency,
        dependency_any=accepted.dependency_any,
    )
    if request.priority is not None and not accepted.hold:
        job.fixed_priority = request.priority
    if accepted.array_ids:
        ranges = list(accepted.array_ids)
        job.array_job_id = job_id
        job.array_ranges = ranges
        job.array_max_tasks = accepted.throttle
        job.array_task_count = taskids.count(ranges)
        job.array_task_min = ranges[0][0]
        job.array_task_max = ranges[-1][1]
        job.array_task_step = ranges[0][2] if len(ranges) == 1 else 1
    return slim(job)


def keep_texts(controller: Controller, job: Job, script: bytes, environment: bytes, change: Change) -> None:
    """Script and environment, each content once. They travel with the change that first names them."""
    now = controller.now()
    for kind, data in (("script", script), ("environment", environment)):
        if not data:
            continue
        key = sys.intern(hashlib.blake2b(data, digest_size=16).hexdigest())
        change.put("texts", key, {"hash": key, "kind": kind, "used": now, "data": data})
        controller.texts.keep(key, data)
        if kind == "script":
            job.script = key
        else:
            job.environment = key


async def enter(
    controller: Controller, caller: Caller, request: JobRequest, script: bytes, environment: bytes, key: str
) -> Answer:
    """Check, make and keep a job; {job_id, messages} once it is durable."""
    if len(controller.table.jobs) + controller.arriving >= controller.conf.max_job_count:
        raise SlurmError(errors.MAX_JOB_COUNT)
    if len(environment) > ENVIRONMENT:
        raise SlurmError(errors.PATHNAME_TOO_LONG)
    requests = parts(request)
    accepted = [accept(controller, caller, one, script) for one in requests]
    if len(requests) > 1:
        het.check_together(controller, [one.partition for one in accepted])
        if any(one.array_ids for one in accepted):
            raise SlurmError(errors.INVALID_ARRAY)
    jobs = [made_job(controller, caller, one, found) for one, found in zip(requests, accepted, strict=True)]
    if len(jobs) > 1:
        het.bind(jobs)
    job = jobs[0]
    change = Change(refusable=True)
    for one in jobs:
        keep_texts(controller, one, script, environment, change)
    answer: Answer = {"job_id": job.job_id, "messages": [text for found in accepted for text in found.messages]}
    row = {"key": key, "at": job.submit_time, "answer": json.dumps(answer)}
    change.put("submissions", key, row)
    queue = _straight(controller, job)
    if queue:
        controller.handover.prepare(job, queue)
        controller.handover.entered(job, change)
    controller.arriving += len(jobs)
    for one in jobs:
        controller.limiter.tally.place(one)
        change.put("jobs", one.db_index, job_row(one))
        change.event(one.db_index, one.submit_time, "submitted")
    # the job must be there when the outbox looks for it
    change.then.insert(0, lambda: _admit(controller, jobs))
    try:
        await controller.commit(change)
    except StoreFull:
        for one in jobs:
            controller.limiter.tally.forget(one.job_id)
        if queue:
            controller.staging.left(job.job_id, queue)
        raise SlurmError(WRITE_FAILED) from None
    finally:
        controller.arriving -= len(jobs)
    return answer


def parts(request: JobRequest) -> list[JobRequest]:
    """The request of each component; of a plain job its own."""
    if not request.het_components:
        return [request]
    if len(request.het_components) >= MOST_COMPONENTS or any(one.het_components for one in request.het_components):
        raise SlurmError(errors.NOT_SUPPORTED)
    whole = [msgspec.structs.replace(request, het_components=[]), *request.het_components]
    # who asks is said once
    return [msgspec.structs.replace(one, user_id=request.user_id, group_id=request.group_id) for one in whole]


def _admit(controller: Controller, jobs: list[Job]) -> None:
    for job in jobs[1:]:
        controller.table.place(job)
    for job in jobs:
        controller.admit(job)


def _straight(controller: Controller, job: Job) -> str:
    """The queue of a job that may go to Armada in the same breath, for nothing holds it and nobody waits before it.

    "" for the others.
    """
    now = controller.now()
    if job.hold or job.array_job_id or job.het_job_id or job.dependency or job.begin_time > now:
        return ""
    if job.has_script and controller.gathers:
        return ""  # it goes with those that come within that time
    if reserved.magnets(controller.cluster):
        return ""  # it may be attracted
    job.priority = controller.priority(job)
    queue = controller.queue_of(job)
    if not controller.staging.goes_first(job, queue) or pending.blocked(job, controller.cluster, now) is not None:
        return ""
    if controller.preempting.holds_back(job) or not placing.lay_out(controller, job):
        return ""
    job.eligible_time = job.accrue_time = now
    return queue


async def submit_once(
    controller: Controller, caller: Caller, request: JobRequest, script: bytes, environment: bytes, key: str
) -> Answer:
    """As `enter`, unless this key was answered before."""
    own = f"{caller.uid} {key}"
    known = controller.submissions.known(own)
    if known is not None:
        return known if isinstance(known, dict) else await asyncio.shield(known)
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    controller.submissions.keep(own, future)
    try:
        target = effective_caller(controller, caller, request)
        answer = await enter(controller, target, request, script, environment, own)
    except BaseException as problem:
        controller.submissions.drop(own)
        if not future.done():
            future.set_exception(problem if isinstance(problem, Exception) else SlurmError(errors.INTERNAL))
            future.exception()  # nobody else may be waiting for it
        raise
    future.set_result(answer)
    controller.submissions.keep(own, answer)
    return answer


async def submit(controller: Controller, session: Session, args: Submit) -> Answer:
    assert session.caller is not None
    controller.count("submit")
    return await submit_once(
        controller, session.caller, args.request, args.script, args.environment, checked_key(args.key)
    )


def checked_key(key: str) -> str:
    if not 0 < len(key) <= 200:
        raise SlurmError(BAD_ARGUMENT, "Bad submission key")
    return key


def will_run(controller: Controller, session: Session, args: WillRun) -> Answer:
    """When and where a job like this would start; refusals as submit's."""
    assert session.caller is not None
    caller = effective_caller(controller, session.caller, args.request)
    told = []
    for request in parts(args.request):
        accepted = check(request, caller, controller.cluster, controller.now(), controller.usage, will_run=True)
        told.append(placing.estimate(controller, made_job(controller, caller, request, accepted)))
    names = [name for one in told for name in hostlist.expand(one["nodes"])]
    return told[0] | {
        "start_time": max(one["start_time"] for one in told),
        "cpus": sum(one["cpus"] for one in told),
        "nodes": hostlist.compress(names),
        "node_count": sum(one["node_count"] for one in told),
    }
