"""Which ready jobs are handed to Armada, and when: in order of priority, a window's worth at a time.

What is not handed over can still be held, changed and reordered for free, and a million-task array stays one record.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from slurm_compat.controller.jobs import Job

WINDOW = (
    1000  # jobs of one queue that wait inside Armada; a burst it may start at once (maximumPerQueueSchedulingBurst)
)
KEPT = 1000  # places of a line that may be void before it is tidied
RETRIES = 200  # blocked jobs looked at again when something was freed


class Staging:
    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self._heaps: dict[str, list[tuple[int, int, int]]] = {}  # queue: (-priority, first id, job id)
        self._offered: dict[int, tuple[str, int]] = {}  # job id: queue, priority it is in the heap with
        self._inside: dict[str, set[int]] = {}
        self.blocked: dict[int, str] = {}  # job id: queue; ready, but may not go now
        self.throttled: dict[int, dict[int, None]] = {}  # array job id: its record and tasks that wait for its throttle
        self.handed = 0  # jobs that ever went to Armada

    def offer(self, job: Job, queue: str) -> None:
        """The job is ready; an earlier offer with another priority no longer counts."""
        place = (queue, job.priority)
        self.blocked.pop(job.job_id, None)
        if self._offered.get(job.job_id) == place:
            return
        self._offered[job.job_id] = place
        heapq.heappush(self._heaps.setdefault(queue, []), (-job.priority, job.array_job_id or job.job_id, job.job_id))

    def reorder(self, job: Job, queue: str) -> None:
        """Its priority is another; it keeps standing in line if it did."""
        if job.job_id in self._offered:
            self.offer(job, queue)
            heap = self._heaps[queue]
            if len(heap) > 2 * len(self._offered) + KEPT:
                current = self._offered
                heap[:] = [entry for entry in heap if current.get(entry[2]) == (queue, -entry[0])]
                heapq.heapify(heap)

    def retract(self, job_id: int) -> None:
        self._offered.pop(job_id, None)
        self.blocked.pop(job_id, None)

    def throttle(self, array_job_id: int, job_id: int) -> None:
        self.throttled.setdefault(array_job_id, {})[job_id] = None

    def room(self, queue: str) -> bool:
        return len(self._inside.get(queue, ())) < self.window

    def goes_first(self, job: Job, queue: str) -> bool:
        """Whether a job that is ready just now may go at once: there is room, and nobody waits before it."""
        heap = self._heaps.get(queue)
        return self.room(queue) and (not heap or heap[0][:2] > (-job.priority, job.array_job_id or job.job_id))

    def entered(self, job_id: int, queue: str) -> None:
        self.handed += 1
        self._inside.setdefault(queue, set()).add(job_id)

    def left(self, job_id: int, queue: str) -> None:
        """It runs, ended, or was taken back."""
        inside = self._inside.get(queue)
        if inside is not None:
            inside.discard(job_id)

    def some_blocked(self) -> list[int]:
        """The first of the blocked, to be offered again because something was freed."""
        return list(self.blocked)[:RETRIES]

    def take(self, pick: Callable[[int, str], bool | None]) -> None:
        """Give ready jobs, best first, to `pick` while there is room.

        pick(job_id, queue) answers True: it went, and is asked again for the same job, as an array has more tasks;
        False: it is blocked; None: it isn't ready any more, or has nothing left to hand over.
        """
        heads: list[tuple[int, int, str]] = []  # of each queue with room: its best job, as in its own line

        def line_up(queue: str) -> None:
            heap = self._heaps[queue]
            while heap and self._offered.get(heap[0][2]) != (queue, -heap[0][0]):
                heapq.heappop(heap)  # retracted, or offered anew with another priority
            if heap and self.room(queue):
                heapq.heappush(heads, (*heap[0][:2], queue))

        for queue in list(self._heaps):
            line_up(queue)
        while heads:
            queue = heapq.heappop(heads)[2]
            heap = self._heaps[queue]
            if not heap or self._offered.get(heap[0][2]) != (queue, -heap[0][0]):  # retracted for another's sake
                line_up(queue)
                continue
            job_id = heap[0][2]
            answer = pick(job_id, queue)
            if not answer:
                heapq.heappop(heap)
                self._offered.pop(job_id, None)
                if answer is False:
                    self.blocked[job_id] = queue
            line_up(queue)

    @property
    def inside(self) -> Iterator[int]:
        """Ids of the jobs that wait inside Armada."""
        for some in self._inside.values():
            yield from some

    @property
    def has_inside(self) -> bool:
        return any(self._inside.values())

    def by_queue(self) -> Iterator[tuple[str, list[int]]]:
        """Queue, ids of its jobs that wait inside Armada."""
        for queue, some in self._inside.items():
            if some:
                yield queue, list(some)

    @property
    def waiting(self) -> int:
        return len(self._offered)
