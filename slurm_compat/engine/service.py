"""Armada's gRPC services, thin: each call is checked, handed to the engine, and its answer or error put into words.

Codes are Armada's, oddities included: an unknown queue is PERMISSION_DENIED to SubmitJobs and UNKNOWN to the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from armada_client.armada import (
    event_pb2_grpc,
    health_pb2,
    job_pb2,
    job_pb2_grpc,
    submit_pb2,
    submit_pb2_grpc,
)  # fmt: skip
from google.protobuf.empty_pb2 import Empty

from slurm_compat.engine import events, queries
from slurm_compat.engine.engine import Engine, NotStored
from slurm_compat.engine.jobs import HAS_RUN, PENDING, QUEUED, RUNNING, Job
from slurm_compat.engine.queues import checked
from slurm_compat.engine.streams import BadMessageId, seq_of
from slurm_compat.engine.submission import priority_of
from slurm_compat.engine.validation import Invalid, check_job_set, check_reason

SERVER_OPTIONS = (
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # a client may ping every 10 s
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
)
MAX_QUEUES = 1 << 30


class Refused(Exception):
    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def unknown_queue(name: str) -> Refused:
    return Refused(grpc.StatusCode.UNKNOWN, f"could not find queue {name}")


def answered(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A unary method whose exceptions become status codes."""

    async def call(self: Any, request: Any, context: Any) -> Any:
        try:
            return await method(self, request)
        except Exception as problem:
            await abort(context, problem)

    return call


async def abort(context: Any, problem: Exception) -> NoReturn:
    code = grpc.StatusCode.UNKNOWN
    if isinstance(problem, Refused):
        code = problem.code
    elif isinstance(problem, Invalid | BadMessageId):
        code = grpc.StatusCode.INVALID_ARGUMENT
    elif isinstance(problem, NotStored):
        code = grpc.StatusCode.INTERNAL
    elif not isinstance(problem, queries.TooMany):
        raise problem
    await context.abort(code, str(problem)[:2000])
    raise problem


class Health:
    async def Health(self, request: Any, context: Any) -> Any:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class QueueCalls:
    """The queue methods, which Submit has as well for its oldest clients."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def _create(self, queue: Any) -> None:
        kept = checked(queue, self.engine.principal)
        if queue.name in self.engine.queues:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"queue {queue.name} already exists")
        await self.engine.store_queue(queue.name, kept)

    async def _update(self, queue: Any) -> None:
        kept = checked(queue, self.engine.principal)
        self._existing(queue.name)
        await self.engine.store_queue(queue.name, kept)

    def _existing(self, name: str) -> Any:
        queue = self.engine.queues.get(name)
        if queue is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"could not find queue {name}")
        return queue

    @answered
    async def CreateQueue(self, request: Any) -> Any:
        await self._create(request)
        return Empty()

    @answered
    async def UpdateQueue(self, request: Any) -> Any:
        await self._update(request)
        return Empty()

    @answered
    async def CreateQueues(self, request: Any) -> Any:
        answer = submit_pb2.BatchQueueCreateResponse()
        for queue in request.queues:
            try:
                await self._create(queue)
            except (Refused, Invalid) as problem:
                answer.failed_queues.add(queue=queue, error=str(problem))
        return answer

    @answered
    async def UpdateQueues(self, request: Any) -> Any:
        answer = submit_pb2.BatchQueueUpdateResponse()
        for queue in request.queues:
            try:
                await self._update(queue)
            except (Refused, Invalid) as problem:
                answer.failed_queues.add(queue=queue, error=str(problem))
        return answer

    @answered
    async def DeleteQueue(self, request: Any) -> Any:
        await self.engine.store_queue(request.name, None)
        return Empty()

    @answered
    async def GetQueue(self, request: Any) -> Any:
        return self._existing(request.name)

    async def GetQueues(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for number, queue in enumerate(self.engine.queues):
            if number >= (request.num or MAX_QUEUES):
                break
            yield submit_pb2.StreamingQueueMessage(queue=queue)
        yield submit_pb2.StreamingQueueMessage(end=submit_pb2.EndMarker())


class QueueService(QueueCalls, submit_pb2_grpc.QueueServiceServicer):  # type: ignore[misc]
    @answered
    async def CordonQueue(self, request: Any) -> Any:
        await self._cordon(request.name, True)
        return Empty()

    @answered
    async def UncordonQueue(self, request: Any) -> Any:
        await self._cordon(request.name, False)
        return Empty()

    async def _cordon(self, name: str, cordoned: bool) -> None:
        queue = submit_pb2.Queue()
        queue.CopyFrom(self._existing(name))
        queue.cordoned = cordoned
        await self.engine.store_queue(name, queue)

    @answered
    async def CancelOnQueue(self, request: Any) -> Any:
        self._existing(request.name)
        jobs = self._of_queue(request.name, request.priorityClasses, request.pools)
        states = set(request.jobStates)
        await self.engine.cancel([job for job in jobs if not states or job.state in states])
        return Empty()

    @answered
    async def PreemptOnQueue(self, request: Any) -> Any:
        self._existing(request.name)
        await self.engine.preempt(self._of_queue(request.name, request.priorityClasses, request.pools), "")
        return Empty()

    def _of_queue(self, name: str, classes: Any, pools: Any) -> list[Job]:
        if len(pools) and events.POOL not in pools:
            return []
        jobs = self.engine.scheduler.jobs.values()
        return [job for job in jobs if job.queue == name and (not len(classes) or job.shape.priority_class in classes)]


class Submit(QueueCalls, Health, submit_pb2_grpc.SubmitServicer):  # type: ignore[misc]
    @answered
    async def SubmitJobs(self, request: Any) -> Any:
        if request.queue and request.queue not in self.engine.queues:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"could not find queue {request.queue}")
        ids = await self.engine.submit(request)
        items = [submit_pb2.JobSubmitResponseItem(job_id=job_id) for job_id in ids]
        return submit_pb2.JobSubmitResponse(job_response_items=items)

    @answered
    async def CancelJobs(self, request: Any) -> Any:
        self._check(request)
        ids = list(request.job_ids) + ([request.job_id] if request.job_id else [])
        if not ids:
            await self.engine.cancel(self.engine.scheduler.of_set(request.queue, request.job_set_id))
            return submit_pb2.CancellationResult()
        await self.engine.cancel(self.engine.scheduler.chosen(request.queue, request.job_set_id, ids))
        return submit_pb2.CancellationResult(cancelled_ids=ids)

    @answered
    async def CancelJobSet(self, request: Any) -> Any:
        self._check(request)
        states = states_of_filter(request.filter.states)
        jobs = self.engine.scheduler.of_set(request.queue, request.job_set_id)
        await self.engine.cancel([job for job in jobs if job.state in states])
        return Empty()

    @answered
    async def ReprioritizeJobs(self, request: Any) -> Any:
        self._check(request, reason=False)
        scheduler = self.engine.scheduler
        if len(request.job_ids):
            jobs = scheduler.chosen(request.queue, request.job_set_id, request.job_ids)
            results = dict.fromkeys(request.job_ids, "")
        else:
            jobs = scheduler.of_set(request.queue, request.job_set_id)
            results = {f"all jobs in job set {request.job_set_id}": ""}
        await self.engine.reprioritize(jobs, priority_of(request.new_priority))
        return submit_pb2.JobReprioritizeResponse(reprioritization_results=results)

    @answered
    async def PreemptJobs(self, request: Any) -> Any:
        self._check(request)
        jobs = self.engine.scheduler.chosen(request.queue, request.job_set_id, request.job_ids)
        await self.engine.preempt(jobs, request.reason)
        return submit_pb2.PreemptionResult(preemption_results=dict.fromkeys(request.job_ids, ""))

    def _check(self, request: Any, reason: bool = True) -> None:
        if not request.queue:
            raise Invalid("queue name is missing")
        check_job_set(request.job_set_id)
        if reason:
            check_reason(request.reason)
        if request.queue not in self.engine.queues:
            raise unknown_queue(request.queue)


def states_of_filter(states: Any) -> frozenset[int]:
    """The job states that a JobSetFilter means. PENDING and RUNNING stand for all that has a run, and come together."""
    wanted = set(states)
    if not wanted:
        return HAS_RUN | {QUEUED}
    if (PENDING in wanted) != (RUNNING in wanted):
        raise Refused(grpc.StatusCode.UNKNOWN, "unsupported state filter: PENDING and RUNNING must be given together")
    chosen = HAS_RUN if PENDING in wanted else frozenset()
    # Armada takes any other state for QUEUED, its zero value
    return chosen | {QUEUED} if wanted - {PENDING, RUNNING} else chosen


class Event(Health, event_pb2_grpc.EventServicer):  # type: ignore[misc]
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def GetJobSetEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for message in self._events(
            request.queue, request.id, request.from_message_id, request.watch, request.errorIfMissing, context
        ):
            yield message

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for message in self._events(request.queue, request.job_set_id, request.from_id, True, True, context):
            yield message

    async def _events(
        self, queue: str, job_set: str, from_id: str, watch: bool, must_exist: bool, context: Any
    ) -> AsyncIterator[Any]:
        streams = self.engine.streams
        try:
            if queue not in self.engine.queues:
                raise Refused(grpc.StatusCode.NOT_FOUND, f"could not find queue {queue}")
            after = seq_of(from_id)
            if must_exist and (queue, job_set) not in streams.ids:
                raise Refused(grpc.StatusCode.NOT_FOUND, f"no events found for job set {job_set} in queue {queue}")
        except (Refused, BadMessageId) as problem:
            await abort(context, problem)
        async for message in streams.follow((queue, job_set), after, watch):
            yield message


class Jobs(job_pb2_grpc.JobsServicer):  # type: ignore[misc]
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @answered
    async def GetJobStatus(self, request: Any) -> Any:
        ids = queries.check_count(request.job_ids)
        return job_pb2.JobStatusResponse(job_states=queries.states(self.engine, ids))

    @answered
    async def GetJobStatusUsingExternalJobUri(self, request: Any) -> Any:
        ids = self.engine.log.jobs_of_uri(request.queue, request.jobset, request.external_job_uri)
        return job_pb2.JobStatusResponse(job_states=queries.states(self.engine, ids))

    @answered
    async def GetJobDetails(self, request: Any) -> Any:
        ids = queries.check_count(request.job_ids)
        found = queries.details(self.engine, ids, request.expand_job_spec, request.expand_job_run)
        return job_pb2.JobDetailsResponse(job_details=found)

    @answered
    async def GetJobErrors(self, request: Any) -> Any:
        ids = queries.check_count(request.job_ids)
        return job_pb2.JobErrorsResponse(job_errors=queries.errors(self.engine, ids))

    @answered
    async def GetJobRunDetails(self, request: Any) -> Any:
        ids = queries.check_count(request.run_ids)
        return job_pb2.JobRunDetailsResponse(job_run_details=queries.run_details(self.engine, ids))

    @answered
    async def GetActiveQueues(self, request: Any) -> Any:
        queues = queries.active_queues(self.engine)
        found = {events.POOL: job_pb2.ActiveQueues(queues=queues)} if queues else {}
        return job_pb2.GetActiveQueuesResponse(active_queues_by_pool=found)


def server(engine: Engine, address: str) -> Any:
    """A grpc.aio server of all services, not yet started. `address` as gRPC writes it: "unix:run/engine.sock"."""
    made = grpc.aio.server(options=SERVER_OPTIONS)
    submit_pb2_grpc.add_SubmitServicer_to_server(Submit(engine), made)
    submit_pb2_grpc.add_QueueServiceServicer_to_server(QueueService(engine), made)
    event_pb2_grpc.add_EventServicer_to_server(Event(engine), made)
    job_pb2_grpc.add_JobsServicer_to_server(Jobs(engine), made)
    made.add_insecure_port(address)
    return made
