"""What a pod asks of a node: amounts, labels, affinity. Equal shapes fit alike: a shape is the skip-cache's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slurm_compat.engine.quantity import milli

Amounts = Mapping[str, int]  # resource name: thousandths

HOSTNAME_LABEL = "kubernetes.io/hostname"
TENANT, EXCLUSIVE = "slurm-compat/user", "slurm-compat/exclusive"


@dataclass(frozen=True, slots=True)
class Expression:
    """One matchExpressions entry of a node selector term."""

    key: str
    operator: str
    values: tuple[str, ...]


Term = tuple[Expression, ...]  # all must hold


@dataclass(frozen=True, slots=True)
class Shape:
    amounts: tuple[tuple[str, int], ...]  # sorted by name
    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] | None = None  # any may hold; None: no affinity was asked for
    priority_class: str = ""
    tenant: str = ""  # whose it is
    alone: bool = False  # it shares its node with its tenant's pods only
    _amounts: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._amounts.update(self.amounts)

    def asks(self) -> dict[str, int]:
        return self._amounts


class BadExpression(ValueError):
    """A node selector requirement that Kubernetes would not take."""


def shape_of(pod: Any) -> Shape:
    """The shape of a validated api.core.v1.PodSpec. Raises BadExpression, BadQuantity."""
    affinity = None
    if pod.HasField("affinity") and pod.affinity.HasField("nodeAffinity"):
        node = pod.affinity.nodeAffinity
        if node.HasField("requiredDuringSchedulingIgnoredDuringExecution"):
            terms = node.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
            affinity = tuple(term_of(term) for term in terms)
    return Shape(
        amounts=tuple(sorted(amounts_of(pod).items())),
        selector=tuple(sorted(pod.nodeSelector.items())),
        terms=affinity,
        priority_class=pod.priorityClassName,
    )


def with_tenant(shape: Shape, annotations: Mapping[str, str]) -> Shape:
    """The shape of one of slurm-compat's jobs: annotations say whose it is, and whether others are to keep away."""
    tenant = annotations.get(TENANT, "")
    return replace(shape, tenant=tenant, alone=annotations.get(EXCLUSIVE) == "user") if tenant else shape


def amounts_of(pod: Any) -> dict[str, int]:
    """A pod's requests: the sum of its containers', or an init container's where that is more."""
    total: dict[str, int] = {}
    for container in pod.containers:
        for name, quantity in container.resources.requests.items():
            total[name] = total.get(name, 0) + milli(quantity.string)
    for container in pod.initContainers:
        for name, quantity in container.resources.requests.items():
            total[name] = max(total.get(name, 0), milli(quantity.string))
    return total


def term_of(term: Any) -> Term:
    expressions = [Expression(e.key, e.operator, tuple(e.values)) for e in term.matchExpressions]
    for field_ in term.matchFields:
        if field_.key != "metadata.name":
            raise BadExpression(f'"{field_.key}" is not a valid field selector key')
        expressions.append(Expression(HOSTNAME_LABEL, field_.operator, tuple(field_.values)))
    for expression in expressions:
        check(expression)
    return tuple(expressions)


def check(expression: Expression) -> None:
    """Kubernetes' rules for a requirement: the operator, and how many values it takes."""
    operator, values = expression.operator, expression.values
    if not expression.key:
        raise BadExpression("a node selector requirement has no key")
    if operator in ("In", "NotIn"):
        if not values:
            raise BadExpression(f"for '{operator}' operator, values set can't be empty")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            raise BadExpression(f"values set must be empty for '{operator}'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1 or not is_integer(values[0]):
            raise BadExpression(f"for '{operator}' operator, exactly one value that is an integer is required")
    else:
        raise BadExpression(f'"{operator}" is not a valid node selector operator')


def holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    operator = expression.operator
    if operator == "In":
        return value in expression.values
    if operator == "NotIn":
        return value not in expression.values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not is_integer(value):
        return False
    bound = int(expression.values[0])
    return int(value) > bound if operator == "Gt" else int(value) < bound


def matches(shape: Shape, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels is one the shape allows. A term without expressions matches nothing."""
    for key, value in shape.selector:
        if labels.get(key) != value:
            return False
    if shape.terms is None:
        return True
    return any(term and all(holds(expression, labels) for expression in term) for term in shape.terms)


def is_integer(text: str) -> bool:
    return text.lstrip("+-").isdigit() and len(text) < 20
