"""The controller's figures in OpenMetrics' text, page by page; metricnames.py has what is in them.

Jobs are walked in turns, so that a scrape of many holds nobody up, and a page is kept for a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slurm_compat.controller.diagnosing import figures
from slurm_compat.controller.metricnames import (
    EACH_NODE,
    EACH_PARTITION,
    JOBS,
    NODES,
    ON_JOBS,
    ON_PARTITIONS,
    SCHEDULER,
)
from slurm_compat.core import taskids

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.jobs import Job

KEPT = 1.0  # seconds
TURN = 2000  # jobs looked at before others have their turn

Families = Iterator[Any]


class Metrics:
    """Pages by path."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._kept: dict[str, tuple[float, bytes]] = {}
        self.pages: dict[str, Callable[[], Awaitable[Families]]] = {
            "/metrics/jobs": self._jobs,
            "/metrics/nodes": self._nodes,
            "/metrics/partitions": self._partitions,
            "/metrics/jobs-users-accts": self._users,
            "/metrics/scheduler": self._scheduler,
            "/metrics/controller": self._own,
        }

    async def page(self, path: str) -> bytes:
        """The text of one of `pages`."""
        from prometheus_client.exposition import generate_latest

        kept = self._kept.get(path)
        clock = time.monotonic()
        if kept is None or clock - kept[0] > KEPT:
            families = list(await self.pages[path]())
            kept = self._kept[path] = (clock, generate_latest(_Collected(families)))
        return kept[1]

    async def _tally(self, groups: Callable[[Job], tuple[str, ...]], whole_arrays: bool) -> dict[str, list[int]]:
        """Sums of JOBS by group. `whole_arrays`: an array's record counts as one, as a row of squeue does."""
        sums: dict[str, list[int]] = {}
        jobs = [job for job in self._controller.table.jobs.values() if not job.folded]
        for start in range(0, len(jobs), TURN):
            for job in jobs[start : start + TURN]:
                stands_for = taskids.count(job.array_ranges) if job.array_ranges else 1
                values = [metric.value(job, 1 if whole_arrays and not metric.suffix else stands_for) for metric in JOBS]
                for group in groups(job):
                    total = sums.get(group)
                    sums[group] = values if total is None else [a + b for a, b in zip(total, values, strict=True)]
            await asyncio.sleep(0)
        return sums

    async def _jobs(self) -> Families:
        sums = (await self._tally(lambda job: ("",), False)).get("") or [0] * len(JOBS)
        return (
            _gauge(_name("slurm_jobs", metric.suffix), ON_JOBS.get(metric.suffix) or metric.help, value)
            for metric, value in zip(JOBS, sums, strict=True)
        )

    async def _users(self) -> Families:
        users = await self._tally(lambda job: (job.user_name,), True)
        accounts = await self._tally(lambda job: (job.account,) if job.account else (), True)
        return _two(
            _by_group("slurm_user_jobs", "username", users, sorted(users)),
            _by_group("slurm_account_jobs", "account", accounts, sorted(accounts)),
        )

    async def _nodes(self) -> Families:
        cluster = self._controller.cluster
        nodes = list(cluster.nodes.values())
        free = self._free()
        return _two(
            (
                _gauges(f"slurm_node_{suffix}", text, "node", {node.name: value(node, free) for node in nodes})
                for suffix, text, value in EACH_NODE
            ),
            _two(
                iter([_gauge("slurm_nodes", "Total number of nodes", len(nodes))]),
                (_gauge(f"slurm_nodes_{row.suffix}", row.help, sum(map(row.test, nodes))) for row in NODES if row.help),
            ),
        )

    async def _partitions(self) -> Families:
        cluster = self._controller.cluster
        free = self._free()
        jobs = await self._tally(lambda job: tuple(job.partition.split(",")), True)
        names = list(cluster.partitions)
        members = {name: [cluster.nodes[node] for node in cluster.partitions[name].node_names] for name in names}
        waiting = self._waiting(names)
        of_nodes = (
            _gauges(
                f"slurm_partition_nodes_{row.partition or row.suffix}",
                row.partition_help,
                "partition",
                {name: sum(map(row.test, nodes)) for name, nodes in members.items()},
            )
            for row in NODES
        )
        sums = (
            _gauges(
                f"slurm_partition_{suffix}",
                text,
                "partition",
                {name: sum(value(node, free) for node in nodes) for name, nodes in members.items()},
            )
            for suffix, text, value in EACH_PARTITION
        )
        return _two(
            iter([_gauge("slurm_partitions", "Total number of partitions", len(names))]),
            _two(
                _by_group("slurm_partition_jobs", "partition", jobs, names, ON_PARTITIONS),
                _two(
                    (_gauges(f"slurm_partition_jobs_{key}", text, "partition", waiting[key]) for key, text in WAITING),
                    _two(of_nodes, sums),
                ),
            ),
        )

    def _waiting(self, names: list[str]) -> dict[str, dict[str, int]]:
        """The largest of what pending jobs ask for, by partition."""
        found: dict[str, dict[str, int]] = {key: dict.fromkeys(names, 0) for key, _ in WAITING}
        table = self._controller.table
        for job in map(table.jobs.__getitem__, table.pending):
            least = job.shape.minimum_nodes or 1
            most = job.request.maximum_nodes or least
            for name in job.partition.split(","):
                if name not in found["wait_part_node_limit"]:
                    continue
                asked = [("max_job_nodes", most), ("min_job_nodes", least)]
                if not job.hold:
                    asked += [("max_job_nodes_nohold", most), ("min_job_nodes_nohold", least)]
                for key, value in asked:
                    found[key][name] = max(found[key][name], value)
                found["wait_part_node_limit"][name] += job.reason == "PartitionNodeLimit"
        return found

    async def _scheduler(self) -> Families:
        now = figures(self._controller)
        return (_gauge(f"slurm_{suffix}", text, value(now)) for suffix, text, value in SCHEDULER)

    async def _own(self) -> Families:
        """What the real one has no figures of: the calls, the way to Armada, the store."""
        return _own_families(figures(self._controller))

    def _free(self) -> int:
        cluster = self._controller.cluster
        return (cluster.measure()[1] or 0) if not cluster.conf.armada.address else 0


# slurm_partition_jobs_SUFFIX of pending jobs
WAITING = (
    ("max_job_nodes", "Max of the max_nodes required of all pending jobs in that partition"),
    ("max_job_nodes_nohold", "Max of the max_nodes required of all pending jobs in that partition excluding Held jobs"),
    ("min_job_nodes", "Max of the min_nodes required of all pending jobs in that partition"),
    ("min_job_nodes_nohold", "Max of the min_nodes required of all pending jobs in that partition excluding Held jobs"),
    ("wait_part_node_limit", "Jobs wait partition node limit"),
)

# slurm_compat_SUFFIX: kind, text, figure
OWN: tuple[tuple[str, str, str, str], ...] = (
    ("outbox", "gauge", "Messages to Armada that are still to be sent", "outbox"),
    ("armada_failures", "gauge", "Attempts in a row that Armada did not answer; 0 while it does", "armada_failures"),
    ("armada_submissions", "counter", "Jobs handed to Armada", "submitted to Armada"),
    ("armada_reprioritize_calls", "counter", "Calls that reordered what waits inside Armada", "reprioritize calls"),
    ("store_queue", "gauge", "Changes that wait to be written", "store_queue"),
    ("store_commits", "counter", "Transactions of the store", "commits"),
    ("store_changes", "counter", "Changes written", "changes"),
    ("agents", "gauge", "Agents of jobs that are linked", "agents"),
    ("jobs_ready", "gauge", "Jobs in line for Armada", "waiting"),
    ("jobs_blocked", "gauge", "Jobs that could not go when they were looked at", "blocked"),
    ("jobs_inside", "gauge", "Jobs that wait inside Armada", "inside"),
    ("start_time_seconds", "gauge", "When the controller started", "started_at"),
)


def _own_families(now: Mapping[str, Any]) -> Families:
    from prometheus_client.core import CounterMetricFamily

    for suffix, kind, text, key in OWN:
        value = now[key] if key in now else now["counters"].get(key, 0)
        if kind == "gauge":
            yield _gauge(f"slurm_compat_{suffix}", text, value)
        else:
            yield CounterMetricFamily(f"slurm_compat_{suffix}", text, value)
    calls = CounterMetricFamily("slurm_compat_calls", "Calls answered since the last reset", labels=["call"])
    seconds = CounterMetricFamily("slurm_compat_call_seconds", "Seconds spent answering them", labels=["call"])
    total: dict[str, list[int]] = {}
    for name, _, count, micros in now["calls"]:
        entry = total.setdefault(name, [0, 0])
        entry[0] += count
        entry[1] += micros
    for name, (count, micros) in sorted(total.items()):
        calls.add_metric([name], count)
        seconds.add_metric([name], micros / 1e6)
    yield calls
    yield seconds
    sources = now.get("sources") or {}
    if sources:
        yield _gauges("slurm_compat_inventory_up", "Whether a source of nodes answers", "source", sources)


class _Collected:
    """Families made already, as generate_latest asks for them."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        return iter(self._families)


def _name(prefix: str, suffix: str) -> str:
    return f"{prefix}_{suffix}" if suffix else prefix


def _by_group(
    prefix: str, label: str, sums: Mapping[str, list[int]], names: list[str], words: Mapping[str, str | None] = {}
) -> Families:
    for place, metric in enumerate(JOBS):
        text = words.get(metric.suffix, metric.help)
        if text is None:
            continue
        values = {name: sums[name][place] if name in sums else 0 for name in names}
        yield _gauges(_name(prefix, metric.suffix), text, label, values)


def _gauge(name: str, text: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, text, value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _two(first: Families, second: Families) -> Families:
    yield from first
    yield from second
