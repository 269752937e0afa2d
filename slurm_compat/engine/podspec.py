"""What the kubelet is told to run: a job's pod spec, with every reference in its environment resolved."""

from __future__ import annotations

import re
from typing import Any

from armada_client.armada import submit_pb2

from slurm_compat.engine.events import pod_name
from slurm_compat.engine.gangs import CARDINALITY, GANG_ID, UNIFORMITY, gang_of
from slurm_compat.engine.jobs import Job, Run
from slurm_compat.engine.nodes import GPU, Node
from slurm_compat.engine.quantity import milli

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)")
_KEYED_FIELD = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")


class CannotRun(ValueError):
    """A pod that this engine has no way to run. The text says what stands in the way."""


def start_frame(job: Job, run: Run, node: Node) -> dict[str, Any]:
    """The kubelet's order for one pod. Raises CannotRun."""
    spec = submit_pb2.Job.FromString(job.spec)
    pod = spec.pod_spec
    if not len(pod.containers):
        raise CannotRun("the pod has no containers")
    for volume in pod.volumes:
        if not (volume.volumeSource.HasField("hostPath") or volume.volumeSource.HasField("emptyDir")):
            raise CannotRun(f"volume {volume.name}: the embedded engine has this machine's files and no other volumes")
    return {
        "op": "start",
        "pod": {
            "run_id": run.run_id,
            "job_id": job.id,
            "node": node.name,
            "address": node.address,
            "containers": [container_of(spec, c, run, node) for c in pod.containers],
            "init": [container_of(spec, c, run, node) for c in pod.initContainers],
            "cpus": -(-job.shape.asks().get("cpu", 0) // 1000),
            "memory": job.shape.asks().get("memory", 0) // 1000 if node.keeps_memory else 0,
            "gpus": job.shape.asks().get(GPU, 0) // 1000,
            "grace": pod.terminationGracePeriodSeconds,
            "deadline": max(pod.activeDeadlineSeconds, 0) if pod.HasField("activeDeadlineSeconds") else 0,
            "amounts": dict(job.shape.asks()),
        },
    }


def container_of(spec: Any, container: Any, run: Run, node: Node) -> dict[str, Any]:
    if not len(container.command):
        raise CannotRun(
            f"container {container.name} names no command: the embedded engine runs commands of this machine and has "
            "no images whose entry point it could take"
        )
    if len(container.envFrom):
        raise CannotRun(f"container {container.name}: envFrom needs a Kubernetes cluster; use env")
    environment = injected(spec, node)
    for variable in container.env:
        if variable.HasField("valueFrom"):
            environment[variable.name] = value_from(variable, spec, container, run, node)
        else:
            environment[variable.name] = expanded(variable.value, environment)
    return {
        "name": container.name,
        "command": [expanded(word, environment) for word in [*container.command, *container.args]],
        "env": environment,
        "cwd": container.workingDir or "/",
    }


def injected(spec: Any, node: Node) -> dict[str, str]:
    """What Armada's executor puts into every container; the spec's own variables come after and win."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": node.name,
        "ARMADA_JOB_ID": spec.id,
        "ARMADA_QUEUE": spec.queue,
        "ARMADA_JOB_SET_ID": spec.job_set_id,
    }
    gang = gang_of(spec.annotations)
    if gang is not None:
        environment["ARMADA_GANG_ID"] = spec.annotations[GANG_ID]
        environment["ARMADA_GANG_CARDINALITY"] = spec.annotations[CARDINALITY]
        if gang.uniformity:
            environment["ARMADA_GANG_NODE_UNIFORMITY_LABEL_NAME"] = spec.annotations[UNIFORMITY]
            environment["ARMADA_GANG_NODE_UNIFORMITY_LABEL_VALUE"] = node.labels.get(gang.uniformity, "")
    return environment


def value_from(variable: Any, spec: Any, container: Any, run: Run, node: Node) -> str:
    source = variable.valueFrom
    if source.HasField("fieldRef"):
        return field_value(source.fieldRef.fieldPath, spec, run, node)
    if source.HasField("resourceFieldRef"):
        kind, _, name = source.resourceFieldRef.resource.partition(".")
        amounts = container.resources.limits if kind == "limits" else container.resources.requests
        divisor = milli(source.resourceFieldRef.divisor.string or "1") or 1000
        return str(-(-milli(amounts[name].string) // divisor)) if name in amounts else "0"
    raise CannotRun(
        f"variable {variable.name}: secrets and config maps need a Kubernetes cluster; give the value itself"
    )


def field_value(path: str, spec: Any, run: Run, node: Node) -> str:
    if keyed := _KEYED_FIELD.match(path):
        source = spec.labels if keyed[1] == "labels" else spec.annotations
        return str(source.get(keyed[2], ""))
    fields = {
        "spec.nodeName": node.name,
        "status.podIP": node.address,
        "status.podIPs": node.address,
        "status.hostIP": node.address,
        "status.hostIPs": node.address,
        "metadata.name": pod_name(spec.id),
        "metadata.namespace": spec.namespace,
        "metadata.uid": run.run_id,
        "spec.serviceAccountName": spec.pod_spec.serviceAccountName or "default",
    }
    if path not in fields:
        raise CannotRun(f"field {path} is none that a variable can refer to")
    return str(fields[path])


def expanded(text: str, environment: dict[str, str]) -> str:
    """$(NAME) by its value where there is one, $$ as a dollar: the rules of Kubernetes."""
    if "$" not in text:
        return text
    return _REFERENCE.sub(lambda m: "$" if m[1] is None else environment.get(m[1], m[0]), text)
