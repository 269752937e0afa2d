"""Armada's gRPC API, as few async functions. The only module of the controller's side that knows grpc.

Errors come as one of three: `Away` (try again later), `NotYet` (a queue that Armada's caches don't know yet: try
again soon), `Refused` (this request will never be taken).
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import grpc.aio
from armada_client.armada import event_pb2, event_pb2_grpc, job_pb2, job_pb2_grpc, submit_pb2, submit_pb2_grpc

from slurm_compat.armada import messages
from slurm_compat.core.cluster import ArmadaConf

CALL_TIMEOUT = 30.0  # seconds
MAX_REASON = 50  # bytes of a cancellation's reason that Armada takes
_OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_http_proxy", 0),
]


class ArmadaError(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Away(ArmadaError):
    pass


class NotYet(ArmadaError):
    pass


class Refused(ArmadaError):
    pass


_KINDS: dict[grpc.StatusCode, type[ArmadaError]] = {
    grpc.StatusCode.PERMISSION_DENIED: NotYet,
    grpc.StatusCode.NOT_FOUND: NotYet,
    grpc.StatusCode.INVALID_ARGUMENT: Refused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Refused,
    grpc.StatusCode.UNIMPLEMENTED: Refused,
    grpc.StatusCode.ALREADY_EXISTS: Refused,
}


def _error(problem: Any) -> ArmadaError:
    code = problem.code()
    return _KINDS.get(code, Away)(code.name, problem.details() or "")


class Armada:
    """One channel to Armada, or to the embedded engine."""

    def __init__(self, conf: ArmadaConf, engine_socket: str) -> None:
        self._metadata = _authorization(conf)
        self._directory = -1
        if conf.address:
            target = conf.address
        else:
            target = "unix:" + self._short(engine_socket)
        if conf.tls:
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._submit = submit_pb2_grpc.SubmitStub(self._channel)
        self._queues = submit_pb2_grpc.QueueServiceStub(self._channel)
        self._events = event_pb2_grpc.EventStub(self._channel)
        self._jobs = job_pb2_grpc.JobsStub(self._channel)

    def _short(self, path: str) -> str:
        """The path, or a short link to it: a Unix socket's address holds 107 bytes."""
        if len(os.fsencode(path)) <= 100:
            return path
        self._directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._directory}/{os.path.basename(path)}"

    async def close(self) -> None:
        await self._channel.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    async def _call(self, method: Any, request: Any, timeout: float = CALL_TIMEOUT) -> Any:
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as problem:
            raise _error(problem) from None

    async def submit(self, request: Any) -> list[str]:
        """The Armada ids of a JobSubmitRequest's items, in their order. All of them are taken, or none."""
        answer = await self._call(self._submit.SubmitJobs, request)
        return [item.job_id for item in answer.job_response_items]

    async def cancel(self, queue: str, job_set: str, armada_ids: Sequence[str], reason: str) -> None:
        """Ask for the end of these; those that have ended or never were are passed over."""
        if not armada_ids:  # without ids Armada would cancel the whole job set
            return
        request = submit_pb2.JobCancelRequest(queue=queue, job_set_id=job_set, reason=_cut(reason))
        request.job_ids.extend(armada_ids)
        await self._call(self._submit.CancelJobs, request)

    async def reprioritize(self, queue: str, job_set: str, armada_ids: Sequence[str], priority: float) -> None:
        if not armada_ids:
            return
        request = submit_pb2.JobReprioritizeRequest(queue=queue, job_set_id=job_set, new_priority=priority)
        request.job_ids.extend(armada_ids)
        await self._call(self._submit.ReprioritizeJobs, request)

    async def create_queue(self, name: str, priority_factor: float = 1.0) -> None:
        """Make the queue; one that exists stays as it is."""
        try:
            await self._call(self._queues.CreateQueue, submit_pb2.Queue(name=name, priority_factor=priority_factor))
        except Refused as problem:
            if problem.code != "ALREADY_EXISTS":
                raise

    async def set_priority_factor(self, name: str, priority_factor: float) -> None:
        """Give a queue its weight and leave the rest of it; one that isn't there is made."""
        try:
            queue = await self._call(self._queues.GetQueue, submit_pb2.QueueGetRequest(name=name))
        except (NotYet, Refused):
            await self.create_queue(name, priority_factor)
            return
        if queue.priority_factor != priority_factor:
            queue.priority_factor = priority_factor
            await self._call(self._queues.UpdateQueue, queue)

    async def statuses(self, armada_ids: Sequence[str]) -> dict[str, str]:
        """{Armada id: state name}; UNKNOWN for those Armada doesn't know."""
        found: dict[str, str] = {}
        for start in range(0, len(armada_ids), 500):  # Armada's bound on one question
            request = job_pb2.JobStatusRequest(job_ids=armada_ids[start : start + 500])
            answer = await self._call(self._jobs.GetJobStatus, request)
            found.update({armada_id: messages.job_state_name(state) for armada_id, state in answer.job_states.items()})
        return found

    async def health(self, timeout: float = 2.0) -> bool:
        """Whether it answers at all, whatever it says."""
        try:
            await self._call(self._jobs.GetJobStatus, job_pb2.JobStatusRequest(), timeout)
        except Away as problem:
            return problem.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        except ArmadaError:
            return True
        return True

    async def events(self, queue: str, job_set: str, after: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(message id, event) of one job set from the message behind `after` on, for ever. Ends by an ArmadaError."""
        request = event_pb2.JobSetRequest(
            id=job_set, queue=queue, watch=True, from_message_id=after, errorIfMissing=False
        )
        stream = self._events.GetJobSetEvents(request, metadata=self._metadata)
        try:
            async for message in stream:
                yield messages.event_values(message)
        except grpc.aio.AioRpcError as problem:
            raise _error(problem) from None
        finally:
            stream.cancel()


def _cut(reason: str) -> str:
    return reason.encode()[:MAX_REASON].decode(errors="ignore")


def _authorization(conf: ArmadaConf) -> tuple[tuple[str, str], ...]:
    """The metadata of each call. Raises OSError for a file that can't be read."""
    if conf.token_file:
        with open(conf.token_file, encoding="utf-8") as file:
            return (("authorization", f"Bearer {file.read().strip()}"),)
    if conf.basic_auth_file:
        with open(conf.basic_auth_file, "rb") as file:
            return (("authorization", "Basic " + base64.b64encode(file.read().strip()).decode()),)
    return ()
