"""How a pod ended, in the words of Kubernetes and Armada. Pure."""

from __future__ import annotations

import time
from typing import Any

KILLED = 137  # 128 + SIGKILL


def ended_frame(
    record: dict[str, Any], said: dict[str, Any] | None, status: int | None, cause: str, oom_kills: int
) -> dict[str, Any]:
    """The kubelet's word to the engine.

    `said`: what the pod wrote at its end, None when it could not; `status`: its leader's exit code, negative for a
    signal, None when we were not its parent; `cause`: why we killed it, "" if we did not.
    """
    if said is not None:
        containers = [dict(container) for container in said["containers"]]
        at = said["at"]
    else:
        code = KILLED if status is None else status if status >= 0 else 128 - status
        containers = [{"name": c["name"], "exit_code": code, "message": ""} for c in record["containers"]]
        at = time.time()
    failed = [container for container in containers if container["exit_code"]]
    if not cause and failed and oom_kills:
        cause = "OOM"
    if not cause and failed:
        cause = "Error"
    category = subcategory = ""
    if cause == "DeadlineExceeded":
        reason = "Pod was active on the node longer than the specified deadline"
        category, subcategory = "internal", "active-deadline"
    elif said is None and status is None and cause == "Error":
        reason = "the pod ended while nobody watched it, and left no word of how"
        category, subcategory = "internal", "pod-missing"
    else:
        reason = "\n".join(failure(container, cause) for container in failed)
    for container in containers:
        bad = bool(container["exit_code"])
        container["reason"] = word(cause) if bad else "Completed"
        container["cause"] = cause if bad and cause else "Error"
    return {
        "op": "ended",
        "run_id": record["run_id"],
        "job_id": record["job_id"],
        "cause": cause,
        "reason": reason,
        "containers": containers,
        "started": record.get("started", 0.0),
        "at": at,
        "category": category,
        "subcategory": subcategory,
    }


def failure(container: dict[str, Any], cause: str) -> str:
    text = f"Container {container['name']} failed with exit code {container['exit_code']} because {word(cause)}"
    return f"{text}: {container['message']}" if container["message"] else text


def word(cause: str) -> str:
    """Kubernetes' word for why a container ended."""
    return {"OOM": "OOMKilled", "DeadlineExceeded": "DeadlineExceeded"}.get(cause, "Error")
