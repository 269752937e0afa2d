"""What an administrator may set of a node, and which states follow which. Source: scontrol(1), update node; observed
on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slurm_compat.controller.node import Node
from slurm_compat.core.errors import (
    INVALID_GRES,
    INVALID_NODE_STATE,
    INVALID_NODE_STATE_TRANSITION,
    NOT_SUPPORTED,
    SlurmError,
)
from slurm_compat.core.nodestates import DRAIN, FAIL, NOT_RESPONDING

ACTIVE_FEATURES_NOT_AVAILABLE = 2031
INVALID_POWER_ACTION = 2187

PLAIN = frozenset({"weight", "comment", "extra"})
FIELDS = PLAIN | {"state", "reason", "features", "active_features", "gres", "resume_after"}
RESUMABLE = ("DOWN", "DRAIN")  # states that ResumeAfter may end
POWER = ("POWER_DOWN", "POWER_DOWN_ASAP", "POWER_DOWN_FORCE", "POWER_UP")


def _down(node: Node) -> None:
    node.down = True


def _drain(node: Node) -> None:
    node.flags.discard(FAIL)
    node.flags.add(DRAIN)


def _fail(node: Node) -> None:
    node.flags.discard(DRAIN)
    node.flags.add(FAIL)


def _future(node: Node) -> None:
    node.future = True
    _no_reason(node)


def _open(node: Node) -> None:
    node.down = node.future = False
    node.flags -= {DRAIN, FAIL, NOT_RESPONDING}
    node.resume_after = 0
    _no_reason(node)


def _resume(node: Node) -> None:
    """Open again, and silent until it is heard of."""
    _open(node)
    node.silent = True


def _undrain(node: Node) -> None:
    node.silent = node.silent or DRAIN in node.flags
    node.flags -= {DRAIN}
    if not node.down:
        _no_reason(node)


def _not_responding(node: Node) -> None:
    node.silent = True


def _no_reason(node: Node) -> None:
    node.reason, node.reason_user, node.reason_at = "", "", 0


def _closed(node: Node) -> bool:
    return node.down or node.future or bool(node.flags & {DRAIN, FAIL, NOT_RESPONDING})


def _is_down(node: Node) -> bool:
    return node.down


def _unused(node: Node) -> bool:
    return not node.held


def _any(node: Node) -> bool:
    return True


# state asked for: whether the node may take it, what it does
STATES: dict[str, tuple[Callable[[Node], bool], Callable[[Node], None]]] = {
    "DOWN": (_any, _down),
    "DRAIN": (_any, _drain),
    "FAIL": (_any, _fail),
    "NORESP": (_any, _not_responding),
    "NO_RESPOND": (_any, _not_responding),
    "FUTURE": (_unused, _future),
    "RESUME": (_closed, _resume),
    "IDLE": (_is_down, _open),
    "UNDRAIN": (_any, _undrain),
}


def check(node: Node, changes: Mapping[str, Any]) -> None:
    """Raises SlurmError for what this node can't be given."""
    for name in changes:
        if name not in FIELDS:
            raise SlurmError(NOT_SUPPORTED)
    if "state" in changes:
        state = str(changes["state"]).upper()
        if state in POWER:
            raise SlurmError(INVALID_POWER_ACTION)
        if state == "CANCEL_REBOOT":  # none is ever asked for
            raise SlurmError(INVALID_NODE_STATE_TRANSITION)
        if state not in STATES:
            raise SlurmError(INVALID_NODE_STATE)
        if not STATES[state][0](node):
            raise SlurmError(INVALID_NODE_STATE_TRANSITION)
    available, active = _features(node, changes)
    if not set(active) <= set(available):
        raise SlurmError(ACTIVE_FEATURES_NOT_AVAILABLE)
    if "gres" in changes and changes["gres"] != node.gres_text:
        raise SlurmError(INVALID_GRES)  # a node has the GRES that the cluster file says


def apply(node: Node, changes: Mapping[str, Any], user_name: str, now: int) -> None:
    """Set what `check` let pass. A reason stays only with a node that is down, drained or failing."""
    node.features, node.active_features = _features(node, changes)
    for name in PLAIN & changes.keys():
        setattr(node, name, changes[name])
    if "state" in changes:
        state = str(changes["state"]).upper()
        STATES[state][1](node)
        if state in RESUMABLE and changes.get("resume_after"):
            node.resume_after = now + int(changes["resume_after"])
    if changes.get("reason") and (node.down or node.flags & {DRAIN, FAIL}):
        node.reason, node.reason_user, node.reason_at = changes["reason"], user_name, now


def _features(node: Node, changes: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    available, active = node.features, node.active_features
    if "features" in changes:
        available = _words(changes["features"])
    if "active_features" in changes:
        active = _words(changes["active_features"])
    return available, active


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


_SAVED = (
    "down", "reason", "reason_user", "reason_at", "comment", "extra", "weight", "resume_after", "features",
    "active_features", "future",
)  # fmt: skip


def saved(node: Node) -> dict[str, Any]:
    return {name: getattr(node, name) for name in _SAVED} | {"flags": sorted(node.flags)}


def restore(node: Node, values: Mapping[str, Any]) -> None:
    for name in _SAVED:
        if name in values:
            setattr(node, name, values[name])
    node.flags = set(values.get("flags", ()))
