"""scontrol's verbs about nodes themselves: reboot, create and delete.

Nodes here are the cluster file's, and nobody reboots them: the answers are those of a Slurm without RebootProgram
and room for dynamic nodes, as 26.05 gives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError

if TYPE_CHECKING:
    from slurm_compat.cli.scontrol_session import Session

TABLE_FULL = 2169
MADE_BY_HAND = ("FUTURE", "CLOUD", "EXTERNAL")


def reboot(session: Session, words: list[str]) -> bool:
    options = ("asap", "nextstate", "reason")
    names = [word for word in words if word.partition("=")[0].lower() not in options]
    if not names:
        session.ctx.stderr.write("Missing node list. Specify ALL|<NodeList>")  # with no end to the line
        return False
    session.ctx.error("RebootProgram isn't defined")
    return session.fail("scontrol_reboot_nodes error:Unspecified error")


def cancel_reboot(session: Session, words: list[str]) -> bool:
    if not words:
        return session.fail("missing argument for keyword:cancel_reboot")
    if problem := _not_ours(session):
        return session.fail(f"slurm_update error: {problem}")
    return session.fail(f"slurm_update error: {errors.TEXT[errors.INVALID_NODE_STATE_TRANSITION]}")


def _not_ours(session: Session) -> str:
    """Why this user may change no nodes; "" for one who may. A change of no nodes is asked for."""
    try:
        session.ctx.controller.call("update_node", names=[], changes={})
    except SlurmError as problem:
        return "" if problem.number == errors.INVALID_NODE_NAME else problem.text
    return ""


def create(session: Session, words: list[str]) -> bool:
    if problem := _not_ours(session):
        return session.fail(f"Error creating node(s): {problem}")
    given = {name.lower(): value for name, _, value in (word.partition("=") for word in words)}
    name = next((value for key, value in given.items() if key.startswith("node")), "")
    if not any(state.startswith(given.get("state", "?").upper()) for state in MADE_BY_HAND):
        session.ctx.error("Only State=FUTURE, CLOUD, or EXTERNAL allowed for nodes created by scontrol")
        return session.fail(f"Error creating node(s): {errors.TEXT[errors.INVALID_NODE_STATE]}")
    text = errors.TEXT[TABLE_FULL]
    session.ctx.error(f"{text} ({name})")
    return session.fail(f"Error creating node(s): {text}")


def delete(session: Session, text: str, name: str) -> bool:
    if problem := _not_ours(session):
        return session.fail(f"delete_node {text}: {problem}")
    known = {row["name"] for row in session.rows("nodes", ["name"])}
    number = errors.INVALID_NODE_STATE if name in known else errors.INVALID_NODE_NAME
    session.ctx.error(f"failed to delete nodes {name}")
    return session.fail(f"delete_node {text}: {errors.TEXT[number]}")
