"""What SubmitJobs checks before it takes anything: rules in Armada's order; the first failure refuses it all.

Source: Armada's submit request validators; the limits are those of its shipped configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from slurm_compat.engine.gangs import BadGang, Gang, gang_of
from slurm_compat.engine.quantity import BadQuantity, milli, show
from slurm_compat.engine.shape import BadExpression, term_of

MAX_JOB_SET_ID = 1024  # characters; the limit itself is too long
MAX_POD_SPEC = 65535  # bytes, serialized
MAX_CLIENT_ID = 100
MAX_REASON = 50  # bytes
MIN_GRACE, MAX_GRACE = 1, 300  # seconds
MIN_RESOURCES = {"memory": milli("1Mi")}
PRICE_BAND = "armadaproject.io/priceBand"
PRICE_BANDS = frozenset("ABCDEFGH")

# name: priority, whether its jobs may be preempted
PRIORITY_CLASSES: dict[str, tuple[int, bool]] = {
    "armada-default": (1000, False),
    "armada-preemptible": (1000, True),
}
DEFAULT_PRIORITY_CLASS = "armada-default"
ALLOWED_PRIORITY_CLASSES = frozenset(
    {*PRIORITY_CLASSES, "armada-resilient"}
)  # the last is allowed, yet nowhere defined


class Invalid(ValueError):
    """A request that Armada would refuse with INVALID_ARGUMENT. The text is the answer's."""


def check_request(request: Any) -> None:
    """Raises Invalid for the first rule that a JobSubmitRequest breaks."""
    if not request.queue:
        raise Invalid("queue name is missing")
    check_job_set(request.job_set_id)
    check_gangs(request.job_request_items)
    for item in request.job_request_items:
        for rule in ITEM_RULES:
            rule(item)


def check_job_set(job_set_id: str) -> None:
    if not job_set_id:
        raise Invalid("job set id is missing")
    if len(job_set_id) >= MAX_JOB_SET_ID:
        raise Invalid(f"job set id is too long: max length is {MAX_JOB_SET_ID}, provided length is {len(job_set_id)}")


def check_reason(reason: str) -> None:
    size = len(reason.encode())
    if size > MAX_REASON:
        raise Invalid(f"reason is too long: max length is {MAX_REASON}, provided length is {size}")


def check_gangs(items: Iterable[Any]) -> None:
    seen: dict[str, tuple[Gang, str]] = {}
    for item in items:
        try:
            gang = gang_of(item.annotations)
        except BadGang as problem:
            raise Invalid(f"invalid gang annotations: {problem}") from None
        if gang is None:
            continue
        priority_class = pod_of(item).priorityClassName
        first, first_class = seen.setdefault(gang.id, (gang, priority_class))
        if first.cardinality != gang.cardinality:
            raise Invalid(
                f"inconsistent gang cardinality in gang {gang.id}: expected {first.cardinality} but got "
                f"{gang.cardinality}"
            )
        if first_class != priority_class:
            raise Invalid(
                f"inconsistent PriorityClassName in gang {gang.id}: expected {first_class} but got {priority_class}"
            )
        if first.uniformity != gang.uniformity:
            raise Invalid(
                f"inconsistent nodeUniformityLabel in gang {gang.id}: expected {first.uniformity} but got "
                f"{gang.uniformity}"
            )


def pod_of(item: Any) -> Any:
    """The item's one pod spec, wherever it stands."""
    return item.pod_specs[0] if len(item.pod_specs) else item.pod_spec


def has_namespace(item: Any) -> None:
    if not item.namespace:
        raise Invalid("namespace is a required field")


def has_one_pod(item: Any) -> None:
    if item.HasField("pod_spec") and len(item.pod_specs):
        raise Invalid("PodSpec and PodSpecs cannot be set together")
    if not item.HasField("pod_spec") and not len(item.pod_specs):
        raise Invalid("no podspecs provided")
    if len(item.pod_specs) > 1:
        raise Invalid("multiple pods are not supported")


def pod_is_small(item: Any) -> None:
    size = pod_of(item).ByteSize()
    if size > MAX_POD_SPEC:
        raise Invalid(
            f"pod spec has a size of {size} bytes which is greater than the maximum allowed size of {MAX_POD_SPEC}"
        )


def affinity_is_required(item: Any) -> None:
    pod = pod_of(item)
    if not pod.HasField("affinity") or not pod.affinity.HasField("nodeAffinity"):
        return
    node = pod.affinity.nodeAffinity
    if len(node.preferredDuringSchedulingIgnoredDuringExecution):
        raise Invalid("preferredDuringSchedulingIgnoredDuringExecution node affinity is not supported")
    if node.HasField("requiredDuringSchedulingIgnoredDuringExecution"):
        for term in node.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms:
            try:
                term_of(term)
            except BadExpression as problem:
                raise Invalid(
                    f"invalid RequiredDuringSchedulingIgnoredDuringExecution node affinity: {problem}"
                ) from None


def resources_are_exact(item: Any) -> None:
    """Requests equal limits, for nothing here may be oversubscribed."""
    pod = pod_of(item)
    for container in [*pod.initContainers, *pod.containers]:
        requests, limits = container.resources.requests, container.resources.limits
        if not len(requests) and not len(limits):
            raise Invalid(f"container {container.name} has no resources specified")
        if set(requests) != set(limits):
            raise Invalid(f"container {container.name} defines different resources for requests and limits")
        for name in sorted(requests):
            try:
                request, limit = milli(requests[name].string), milli(limits[name].string)
            except BadQuantity as problem:
                raise Invalid(f"container {container.name}: {name}: {problem}") from None
            if request < 0 or limit < 0:
                raise Invalid(f"container {container.name} defines negative resources for {name}")
            if limit != request:
                raise Invalid(
                    f"container {container.name} defines {name} with limit {show(limit)} and request {show(request)}: "
                    "they must be equal"
                )
            if request < MIN_RESOURCES.get(name, 0):
                raise Invalid(
                    f"container {container.name} {name} requests ({show(request)}) below server minimum "
                    f"({show(MIN_RESOURCES[name])})"
                )


def init_containers_ask_fractions(item: Any) -> None:
    for container in pod_of(item).initContainers:
        cpu = container.resources.requests["cpu"].string if "cpu" in container.resources.requests else ""
        if cpu and milli(cpu) % 1000 == 0:
            raise Invalid(f"init container {container.name} must request fractional cpu, got {cpu}")


def priority_class_is_allowed(item: Any) -> None:
    name = pod_of(item).priorityClassName
    if name and name not in ALLOWED_PRIORITY_CLASSES:
        raise Invalid(f"priority class {name} is not supported")


def grace_is_bounded(item: Any) -> None:
    pod = pod_of(item)
    grace = pod.terminationGracePeriodSeconds
    if grace and not MIN_GRACE <= grace <= MAX_GRACE:
        raise Invalid(f"terminationGracePeriodSeconds of {grace}s must be between {MIN_GRACE}s and {MAX_GRACE}s")


def ingresses_have_ports(item: Any) -> None:
    seen: set[int] = set()
    for ingress in item.ingress:
        if not len(ingress.ports):
            raise Invalid("ingress contains zero ports: each ingress must have at least one port")
        for port in ingress.ports:
            if port in seen:
                raise Invalid(f"port {port} has two ingress configurations")
            seen.add(port)


def ports_are_unique(item: Any) -> None:
    seen: set[int] = set()
    for container in pod_of(item).containers:
        for port in container.ports:
            if port.containerPort in seen:
                raise Invalid(f"container port {port.containerPort} is exposed more than once")
            seen.add(port.containerPort)


def client_id_is_short(item: Any) -> None:
    if len(item.client_id) > MAX_CLIENT_ID:
        raise Invalid(
            f"client id of length {len(item.client_id)} is greater than max allowed length of {MAX_CLIENT_ID}"
        )


def price_band_is_known(item: Any) -> None:
    band = item.annotations.get(PRICE_BAND)
    if band is not None and band not in PRICE_BANDS:
        raise Invalid(f"price band {band} is not known")


ITEM_RULES: tuple[Callable[[Any], None], ...] = (
    has_namespace,
    has_one_pod,
    pod_is_small,
    affinity_is_required,
    resources_are_exact,
    init_containers_ask_fractions,
    priority_class_is_allowed,
    grace_is_bounded,
    ingresses_have_ports,
    ports_are_unique,
    client_id_is_short,
    price_band_is_known,
)
