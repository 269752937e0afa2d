"""What Armada's scheduler tells in its metrics of each node: what may be given of it and what is.

Asked of the scheduler itself (a URL that ends in /metrics) or of a Prometheus that scrapes it. Source: the scheduler's
cycle metrics, armada_scheduler_node_allocatable_resource and _node_allocated_resource.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

from slurm_compat.armada.inventory import Allocation

ALLOCATABLE = "armada_scheduler_node_allocatable_resource"
ALLOCATED = "armada_scheduler_node_allocated_resource"
TIMEOUT = 10.0  # seconds
MOST = 256 << 20  # bytes of an answer

Sample = tuple[str, Mapping[str, str], float]  # metric, labels, value


def allocations(url: str) -> dict[str, Allocation]:
    """By node. Blocks; raises OSError for a source that doesn't answer, ValueError for one that talks nonsense."""
    if urllib.parse.urlparse(url).scheme not in ("http", "https"):
        raise ValueError(f"PrometheusURL {url}: not http or https")
    if url.endswith("/metrics"):
        return by_node(exposed(_fetch(url).decode()))
    samples: list[Sample] = []
    for metric in (ALLOCATABLE, ALLOCATED):
        query = urllib.parse.urlencode({"query": metric})
        samples += answered(_fetch(f"{url.rstrip('/')}/api/v1/query?{query}"))
    return by_node(samples)


def _fetch(url: str) -> bytes:
    import urllib.request  # heavy, and most controllers never ask

    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        data: bytes = answer.read(MOST)
        return data


def exposed(text: str) -> Iterator[Sample]:
    """The samples wanted of a page in Prometheus's format. Raises ValueError."""
    from prometheus_client.parser import text_string_to_metric_families

    # the page may have a million lines of others
    lines = [line for line in text.splitlines() if line.startswith((ALLOCATABLE, ALLOCATED))]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def answered(body: bytes) -> Iterator[Sample]:
    """The samples of Prometheus's own answer to a query. Raises ValueError."""
    answer = json.loads(body)
    if not isinstance(answer, dict) or answer.get("status") != "success":
        raise ValueError("Prometheus refused the query")
    for row in answer.get("data", {}).get("result", ()):
        labels = row["metric"]
        yield labels.get("__name__", ""), labels, float(row["value"][1])


def by_node(samples: Iterable[Sample]) -> dict[str, Allocation]:
    """Several samples of a node (it may be in several pools' rounds) count once: the largest."""
    found: dict[str, Allocation] = {}
    for metric, labels, value in samples:
        name = labels.get("node", "")
        if not name or metric not in (ALLOCATABLE, ALLOCATED):
            continue
        entry = found.setdefault(name, Allocation(cluster=labels.get("cluster", ""), pool=labels.get("pool", "")))
        if labels.get("schedulable", "true").lower() == "false":
            entry.schedulable = False
        _note(entry, labels.get("resource", ""), value, metric == ALLOCATED)
    return found


def _note(entry: Allocation, resource: str, value: float, used: bool) -> None:
    if resource == "cpu":
        if used:
            entry.used_cpus = max(entry.used_cpus, -(-int(value * 1000) // 1000))  # part of a CPU is one taken
        else:
            entry.cpus = max(entry.cpus, int(value))
    elif resource == "memory":
        mib = int(value) >> 20
        if used:
            entry.used_memory_mib = max(entry.used_memory_mib, mib)
        else:
            entry.memory_mib = max(entry.memory_mib, mib)
    elif resource == "nvidia.com/gpu" and not used:
        entry.gpus = max(entry.gpus, int(value))
