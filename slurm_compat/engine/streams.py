"""Event streams: one for each queue and job set, in one order, from any place in it, live or only what is there.

Message ids are "milliseconds:sequence:0:1", in the shape of Armada's; clients must take them as opaque.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Iterable
from typing import Any

from armada_client.armada import event_pb2

from slurm_compat.engine.eventlog import EventLog, EventRow

CHUNK = 500  # events a read
KEPT = 4096  # events of a watched stream that are kept at hand; who is further behind reads from the store

StreamKey = tuple[str, str]  # queue, job set


class BadMessageId(ValueError):
    """A text that is no message id of ours."""


def message_id(created: float, seq: int) -> str:
    return f"{int(created * 1000)}:{seq}:0:1"


def seq_of(message: str) -> int:
    """The place of a message id, 0 for "": the beginning. Raises BadMessageId."""
    if not message:
        return 0
    parts = message.split(":")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        raise BadMessageId(f"message id {message!r} is invalid")
    return int(parts[1])


class Watched:
    """The newest events of a stream that somebody watches."""

    def __init__(self, floor: int) -> None:
        self.floor = floor  # every event after this is here
        self.seqs: list[int] = []
        self.messages: list[Any] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.watchers = 0

    def add(self, seq: int, message: Any) -> None:
        self.seqs.append(seq)
        self.messages.append(message)
        if len(self.seqs) > 2 * KEPT:
            self.floor = self.seqs[KEPT - 1]
            del self.seqs[:KEPT]
            del self.messages[:KEPT]

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Streams:
    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.committed = log.last_seq()
        self._next_seq = self.committed + 1
        self.ids: dict[StreamKey, int] = {(queue, job_set): number for number, queue, job_set in log.all_streams()}
        self._next_stream = max(self.ids.values(), default=0) + 1
        self._watched: dict[StreamKey, Watched] = {}

    def stream(self, key: StreamKey) -> tuple[int, bool]:
        """The number of a stream, and whether it is new."""
        number = self.ids.get(key)
        if number is not None:
            return number, False
        number, self._next_stream = self._next_stream, self._next_stream + 1
        self.ids[key] = number
        return number, True

    def next_seq(self) -> int:
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        return seq

    def publish(self, rows: Iterable[EventRow]) -> None:
        """Deliver events that are durable now."""
        woken: set[StreamKey] = set()
        for row in rows:
            self.committed = max(self.committed, row.seq)
            watched = self._watched.get(row.key)
            if watched is not None:
                watched.add(row.seq, stream_message(row.seq, row.created, row.message))
                woken.add(row.key)
        for key in woken:
            self._watched[key].wake()

    async def follow(self, key: StreamKey, after: int, watch: bool) -> AsyncIterator[Any]:
        """EventStreamMessages after a place; without `watch` only those that are there now."""
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = Watched(self.committed)
        watched.watchers += 1
        end = None if watch else self.committed
        try:
            while True:
                for seq, message in self._after(key, watched, after):
                    if end is not None and seq > end:
                        return
                    yield message
                    after = seq
                if self._is_behind(key, watched, after):
                    continue
                if end is not None:
                    return
                future = asyncio.get_running_loop().create_future()
                watched.waiting.append(future)
                await future
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                self._watched.pop(key, None)

    def _after(self, key: StreamKey, watched: Watched, after: int) -> list[tuple[int, Any]]:
        if after < watched.floor:
            number = self.ids.get(key)
            rows = self._log.events_after(number, after, CHUNK) if number is not None else []
            if rows:
                return [(seq, stored_message(seq, created, data)) for seq, created, data in rows]
        at = bisect.bisect_right(watched.seqs, after)
        return list(zip(watched.seqs[at : at + CHUNK], watched.messages[at : at + CHUNK], strict=True))

    def _is_behind(self, key: StreamKey, watched: Watched, after: int) -> bool:
        if watched.seqs and watched.seqs[-1] > after:
            return True
        number = self.ids.get(key)
        return after < watched.floor and number is not None and bool(self._log.events_after(number, after, 1))


def stream_message(seq: int, created: float, message: Any) -> Any:
    return event_pb2.EventStreamMessage(id=message_id(created, seq), message=message)


def stored_message(seq: int, created: float, data: bytes) -> Any:
    answer = event_pb2.EventStreamMessage(id=message_id(created, seq))
    answer.message.ParseFromString(data)
    return answer
