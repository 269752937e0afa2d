"""Gangs: jobs that start together or not at all, told apart by annotations.

Armada's identity of a gang is queue and gangId; members may come in several requests. Fewer members than the
cardinality wait for ever, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GANG_ID = "armadaproject.io/gangId"
CARDINALITY = "armadaproject.io/gangCardinality"
UNIFORMITY = "armadaproject.io/gangNodeUniformityLabel"
FAIL_FAST = "armadaproject.io/failFast"


class BadGang(ValueError):
    """Annotations that make no gang."""


@dataclass(frozen=True)
class Gang:
    id: str
    cardinality: int
    uniformity: str = ""  # label whose value all nodes of the gang share


def gang_of(annotations: Mapping[str, str]) -> Gang | None:
    """The gang of these annotations; None for a job of its own. Raises BadGang."""
    if GANG_ID not in annotations:
        return None
    gang_id = annotations[GANG_ID]
    if not gang_id:
        raise BadGang("empty gang id")
    text = annotations.get(CARDINALITY)
    if text is None:
        raise BadGang(f"annotation {CARDINALITY} must be set")
    if not (text.isascii() and text.lstrip("+-").isdigit()):
        raise BadGang(f"gang cardinality is not an integer: {text}")
    cardinality = int(text)
    if cardinality <= 0:
        raise BadGang(f"gang cardinality is non-positive {cardinality}")
    if annotations.get(FAIL_FAST, "true") != "true":
        raise BadGang(f"gang jobs must have {FAIL_FAST} unset or set to true")
    if cardinality == 1:
        return None
    return Gang(gang_id, cardinality, annotations.get(UNIFORMITY, ""))
