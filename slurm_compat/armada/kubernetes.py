"""A worker cluster's Kubernetes API: its nodes, and their cordons. The only module that knows the `kubernetes` client.

Everything here blocks and belongs in a thread. Errors are Unreachable, with words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from slurm_compat.armada.inventory import FEATURE, GPU, GPU_TYPE, HOSTNAME, OTHER_GRES, PARTITION, SeenNode
from slurm_compat.core.cluster import KubernetesConf

TIMEOUT = (5, 30)  # seconds to connect, to answer
PAGE = 500  # nodes of one answer
CORDON_REASON = "slurm-compat/cordon-reason"  # annotation
_UNITS = {
    "": Decimal(1), "m": Decimal(1) / 1000, "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "P": Decimal(10**15), "Ki": Decimal(1 << 10), "Mi": Decimal(1 << 20), "Gi": Decimal(1 << 30),
    "Ti": Decimal(1 << 40), "Pi": Decimal(1 << 50),
}  # fmt: skip


class Unreachable(Exception):
    pass


class Worker:
    """One cluster, as the cluster file names it."""

    def __init__(self, conf: KubernetesConf) -> None:
        self.conf = conf
        self._api: Any = None

    @property
    def name(self) -> str:
        return self.conf.cluster or self.conf.context or self.conf.kubeconfig or "kubernetes"

    def _core(self) -> Any:
        if self._api is None:
            try:
                from kubernetes import client, config
            except ImportError:
                raise Unreachable(
                    "Armada.Kubernetes needs the kubernetes client: install slurm-compat[kubernetes]"
                ) from None
            settings = client.Configuration()
            settings.retries = 0  # it is asked again anyway
            try:
                if self.conf.kubeconfig or self.conf.context:
                    config.load_kube_config(
                        self.conf.kubeconfig or None, self.conf.context or None, settings, persist_config=False
                    )
                else:
                    config.load_config(client_configuration=settings)
                api = client.ApiClient(settings)
            except Exception as problem:  # the client raises what its file, yaml and ssl raise
                raise Unreachable(f"{self.name}: {problem}") from None
            self._api = client.CoreV1Api(api)
        return self._api

    def nodes(self) -> list[SeenNode]:
        """Raises Unreachable."""
        core = self._core()
        selector = ",".join(f"{key}={value}" for key, value in self.conf.node_selector.items())
        found: list[SeenNode] = []
        more: str | None = None
        try:
            while True:
                answer = core.list_node(
                    label_selector=selector or None, limit=PAGE, _continue=more, _request_timeout=TIMEOUT
                )
                found += [seen(core.api_client.sanitize_for_serialization(item), self.name) for item in answer.items]
                more = answer.metadata._continue
                if not more:
                    return found
        except Exception as problem:
            self._api = None  # a file that was renewed is read again
            raise Unreachable(f"{self.name}: {_words(problem)}") from None

    def cordon(self, object_name: str, on: bool, reason: str = "") -> None:
        """Whether the node takes new pods. Raises Unreachable."""
        body = {
            "spec": {"unschedulable": True if on else None},
            "metadata": {"annotations": {CORDON_REASON: reason if on and reason else None}},
        }
        try:
            self._core().patch_node(object_name, body, _request_timeout=TIMEOUT)
        except Unreachable:
            raise
        except Exception as problem:
            raise Unreachable(f"{self.name}: {object_name}: {_words(problem)}") from None


def _words(problem: Exception) -> str:
    """What of a client's exception a log line can hold."""
    reason = getattr(problem, "reason", None)
    status = getattr(problem, "status", None)
    text = f"{status} {reason}" if status else str(reason or problem)
    return " ".join(text.split())[:200]


def seen(node: Mapping[str, Any], cluster: str) -> SeenNode:
    """A node of the API, as its JSON has it."""
    metadata, spec, status = node.get("metadata") or {}, node.get("spec") or {}, node.get("status") or {}
    labels: dict[str, str] = metadata.get("labels") or {}
    amounts: Mapping[str, str] = status.get("allocatable") or status.get("capacity") or {}
    about = status.get("nodeInfo") or {}
    name = metadata.get("name", "")
    ready, why = _readiness(status)
    return SeenNode(
        name=labels.get(HOSTNAME, name),
        object_name=name,
        cluster=cluster,
        cpus=int(quantity(amounts.get("cpu", "0"))),
        memory_mib=int(quantity(amounts.get("memory", "0"))) >> 20,
        gpus=int(quantity(amounts.get(GPU, "0"))),
        gpu_type=labels.get(GPU_TYPE, ""),
        others=dict(_others(amounts)),
        features=sorted(_words_after(FEATURE, labels)),
        partitions=sorted(_words_after(PARTITION, labels)),
        labels=dict(labels),
        address=next((a["address"] for a in status.get("addresses") or () if a.get("type") == "InternalIP"), ""),
        architecture=about.get("architecture", ""),
        operating_system=" ".join(filter(None, (about.get("osImage", ""), about.get("kernelVersion", "")))),
        ready=ready,
        cordoned=bool(spec.get("unschedulable")),
        reason=(metadata.get("annotations") or {}).get(CORDON_REASON, "") if ready else why,
    )


def _readiness(status: Mapping[str, Any]) -> tuple[bool, str]:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            good = condition.get("status") == "True"
            return good, "" if good else condition.get("reason") or "NotReady"
    return False, "NotReady"


def _others(amounts: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for key, amount in amounts.items():
        if key.startswith(OTHER_GRES):
            yield key[len(OTHER_GRES) :], int(quantity(amount))


def _words_after(prefix: str, labels: Mapping[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        if key.startswith(prefix) and value == "true":
            yield key[len(prefix) :]


def quantity(text: str) -> Decimal:
    """Kubernetes' amounts: "3920m", "16Gi", "1e3". 0 for what is none."""
    number = text.rstrip("".join(_LETTERS))
    try:
        return Decimal(number) * _UNITS[text[len(number) :]]
    except (InvalidOperation, KeyError):
        try:
            return Decimal(text)
        except InvalidOperation:
            return Decimal(0)


_LETTERS = {letter for unit in _UNITS for letter in unit}
