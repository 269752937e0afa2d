"""Armada's events in the words of the job machine.

Source: docs/developer/job-lifecycle-events.md of Armada. An event is the dict that armada/messages.py makes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

LEASED, PENDING, RUNNING = "leased", "pending", "running"
SUCCEEDED, FAILED, CANCELLED, PREEMPTED = "succeeded", "failed", "cancelled", "preempted"
REJECTED, LOST, RETURNED = "rejected", "lost", "returned"

# causes of a failure, as the machine knows them
ERROR, OUT_OF_MEMORY, TIMEOUT, EVICTED = "error", "out of memory", "timeout", "evicted"
CAUSES = {"OOM": OUT_OF_MEMORY, "DeadlineExceeded": TIMEOUT, "Evicted": EVICTED}

# what Armada says of a pod whose node is gone, or that somebody took from under it
LOST_CATEGORIES = frozenset({"pod-missing", "lease-expired", "externally-deleted", "stuck-terminating"})


class Told(NamedTuple):
    """What happened. `facts` by name: node, cause, exit_code, reason; none is always there."""

    name: str
    facts: dict[str, Any]


def translate(event: dict[str, Any]) -> Told | None:
    """None for events that change nothing: submitted, queued, reprioritized, cancelling, utilisation …"""
    kind = event.get("kind", "")
    if kind in (LEASED, PENDING, SUCCEEDED, CANCELLED):
        return Told(kind, {})
    if kind == RUNNING:
        return Told(RUNNING, {"node": event.get("node_name", "")})
    if kind == "lease_returned":
        return Told(RETURNED, {"reason": event.get("reason", "")})
    if kind == "lease_expired":
        return Told(LOST, {"reason": "lease expired"})
    if kind == PREEMPTED:
        return Told(PREEMPTED, {"reason": event.get("reason", "")})
    if kind == FAILED:
        return _failed(event)
    return None


def _failed(event: dict[str, Any]) -> Told:
    reason = event.get("reason", "")
    if event.get("cause") == "Rejected":
        return Told(REJECTED, {"reason": first_line(reason)})
    facts = {"node": event.get("node_name", ""), "reason": reason}
    if event.get("failure_subcategory") in LOST_CATEGORIES:
        return Told(LOST, facts)
    ended = [status for status in event.get("container_statuses", ()) if status.get("exit_code")]
    cause = CAUSES.get(event.get("cause", ""), "")
    if not cause and ended:
        cause = CAUSES.get(ended[0].get("cause", ""), "")
    facts["cause"] = cause or ERROR
    facts["exit_code"] = ended[0]["exit_code"] if ended else 0
    return Told(FAILED, facts)


def first_line(text: str) -> str:
    """Armada explains a rejection in many lines; the first says why, the others node type by node type."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
