"""`scontrol create` and `scontrol delete`: partitions made by hand, and reservations.

Words and codes as 26.05 has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurm_compat.cli import scontrol_nodes, scontrol_partition, scontrol_reservation
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError

if TYPE_CHECKING:
    from slurm_compat.cli.scontrol_session import Session

FORMAT = "Proper format is 'delete <ENTITY>=<ID>' or 'delete <ENTITY> <ID>'"
KINDS = ("partition", "reservation", "node")
LEAST = 3  # letters of a kind that suffice


def kind_of(word: str) -> str:
    """One of KINDS by "partition", "PartitionName" or a beginning of either; "" for none."""
    lower = word.lower()
    for kind in KINDS:
        if len(lower) >= LEAST and f"{kind}name".startswith(lower):
            return kind
    return ""


def create(session: Session, words: list[str]) -> bool:
    if not words:
        return session.fail("too few arguments for create keyword")
    kinds = [(word, kind_of(word.partition("=")[0])) for word in words]
    entity = next((kind for _, kind in kinds if kind), "")
    if not entity:
        session.ctx.error(f"Invalid creation entity: {words[0]}")
        return False
    if entity == "node":
        return scontrol_nodes.create(session, words)
    if entity == "reservation":
        return scontrol_reservation.create(session, words)
    for word, kind in kinds:
        if "=" not in word:
            session.ctx.error(f"Invalid input: {word}  Request aborted")
            return False
        if kind == "partition" and not word.partition("=")[2]:
            # slurmctld makes a partition without a name of this, which nobody can get rid of
            return session.fail(f"Error creating the partition: {errors.TEXT[errors.INVALID_PARTITION_NAME]}")
    name = next(word.partition("=")[2] for word, kind in kinds if kind)
    rest = [word for word, kind in kinds if not kind]
    changes = scontrol_partition.changes(rest)
    try:
        session.ctx.controller.call("update_partition", name=name, changes=changes | {"create": True})
    except SlurmError as problem:
        return session.fail(f"Error creating the partition: {problem.text}")
    return True


def delete(session: Session, words: list[str]) -> bool:
    """`delete partition=NAME`, or `delete partition NAME`."""
    if not words:
        return session.fail("too few arguments for delete keyword")
    text = words[0] if "=" in words[0] else "=".join(words[:2])
    entity, equals, name = text.partition("=")
    if not equals:
        session.ctx.error(FORMAT)
        return False
    kind = kind_of(entity)
    if not kind:
        return session.fail(f"Invalid deletion entity: {text}")
    if kind == "node":
        return scontrol_nodes.delete(session, text, name)
    if kind == "reservation":
        return scontrol_reservation.delete(session, text, name)
    try:
        session.ctx.controller.call("update_partition", name=name, changes={"delete": True})
    except SlurmError as problem:
        return session.fail(f"delete_partition {text}: {problem.text}")
    return True
