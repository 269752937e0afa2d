"""scontrol's verbs on what the controller logs, on its scheduler and on powers it does not have.

setdebug, setdebugflags, schedloglevel, fsdampeningfactor, power, takeover. Words and codes as 26.05 has them.
"""

from __future__ import annotations

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import debugflags, hostlist
from slurm_compat.core.errors import BadValue

DAMPENING_BITS = 0xFFFF  # what the real one keeps of the factor
SCHEDULER_LEVELS = {"0": 0, "1": 1, "disable": 0, "enable": 1}


def _on_nodes(session: Session, nodes: str) -> bool:
    """Agents have no level of their own, so that there is none to change on a node: a node must be there, though."""
    known = {row["name"] for row in session.rows("nodes", ["name"])}
    try:
        missing = [name for name in hostlist.expand(nodes) if name not in known]
    except BadValue:
        missing = [nodes]
    for name in missing:
        session.ctx.error(f"_fwd_tree_get_addr: can't find address for host {name}, check slurm.conf")
    if missing:
        end = "Failed to change debug level on one or more nodes.:Data has not changed since time specified"
        return session.fail(end)
    if session.ctx.uid:
        return session.fail("Failed to change debug level on one or more nodes.")
    return True


def setdebug(session: Session, words: list[str]) -> bool:
    try:
        level = debugflags.level(words[0])
    except BadValue:
        return session.fail(f"invalid debug level: {words[0]}")
    for word in words[1:]:
        key, equals, nodes = word.partition("=")
        if not equals or not "nodes".startswith(key.lower()):
            return session.fail(f"Invalid option: {words[0]}")
        return _on_nodes(session, nodes)
    return session.ordered("slurm_set_debug_level", "set_debug", level=level)


def setdebugflags(session: Session, words: list[str]) -> bool:
    on: list[str] = []
    off: list[str] = []
    nodes = ""
    for word in words:
        key, equals, value = word.partition("=")
        if equals and "nodes".startswith(key.lower()):
            nodes = value
            continue
        if word[:1] not in ("+", "-"):
            session.fail(f"invalid debug flag: {word}")
            return session.fail("Usage: setdebugflags {+|-}NAME [{+|-}NAME] [nodes=<NODES>]")
        try:
            (on if word[0] == "+" else off).extend(debugflags.flags(word[1:]))
        except BadValue as problem:
            session.ctx.error(f"Invalid DebugFlag: {problem}")
            return session.fail(f"invalid debug flag: {word}")
    if nodes:
        return _on_nodes(session, nodes)
    return session.ordered("slurm_set_debug_flags", "set_debug", flags_on=on, flags_off=off)


def schedloglevel(session: Session, words: list[str]) -> bool:
    level = SCHEDULER_LEVELS.get(words[0].lower())
    if level is None:
        return session.fail(f"invalid schedlog level: {words[0]}")
    return session.ordered("slurm_set_schedlog_level", "set_debug", scheduler=level)


def fsdampeningfactor(session: Session, words: list[str]) -> bool:
    """A fair tree of shares, the only kind here, has no use for the factor; it is kept, and shown."""
    if not (words[0].isascii() and words[0].isdigit() and int(words[0])):
        return session.fail(f"invalid dampening factor: {words[0]}")
    return session.ordered("slurm_set_fs_dampeningfactor", "set_debug", dampening=int(words[0]) & DAMPENING_BITS)


def power(session: Session, words: list[str]) -> bool:
    if words[0].lower() not in ("up", "down"):
        return session.fail(f"unexpected argument: '{words[0]}'")
    how = ("asap", "force") if words[0].lower() == "down" else ()
    if not [word for word in words[1:] if word.lower() not in how and "=" not in word]:
        return session.fail("Mandatory argument {ALL|<NodeList>|<NodeSet>} missing")
    return session.ordered("scontrol_power_nodes", "power")


def takeover(session: Session, words: list[str]) -> bool:
    """There is no backup controller to take over."""
    if words:
        index = int(words[0]) if words[0].isascii() and words[0].isdigit() else 0
        return session.fail(f"takeover: invalid backup controller index ({index})")
    return session.fail("slurm_takeover error: Unable to contact slurm controller (connect failure)")
