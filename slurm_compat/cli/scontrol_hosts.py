"""scontrol show hostnames, hostlist and hostlistsorted: names in and out of host lists."""

from __future__ import annotations

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import hostlist
from slurm_compat.core.errors import BadValue

MAX_FILE = 64 * 1024  # characters of a file of names


def show_hostnames(session: Session, words: list[str]) -> bool:
    text = words[0] if words else session.ctx.env.get("SLURM_NODELIST", "")
    if not words and not text:
        session.ctx.error("host list is empty")
        return True
    for name in _hosts(session, text) or ():
        session.ctx.out(name)
    return True  # Slurm counts what is no host list as done, too


def show_hostlist(session: Session, words: list[str], ordered: bool = False) -> bool:
    if not words:
        from slurm_compat.cli.scontrol_help import print_help

        session.fail("invalid encode argument")
        print_help(session, [])
        return False
    text = words[0]
    if text.startswith("/"):  # a file of names
        try:
            with open(text, encoding="utf-8", errors="surrogateescape") as file:
                text = ",".join(file.read(MAX_FILE).split())
        except OSError:
            return session.fail(f"Can not open {text}")
    names = _hosts(session, text)
    if names is None:
        return False
    session.ctx.out(hostlist.compress_sorted(names) if ordered else hostlist.compress_as_given(names))
    return True


def show_hostlistsorted(session: Session, words: list[str]) -> bool:
    return show_hostlist(session, words, ordered=True)


def _hosts(session: Session, text: str) -> list[str] | None:
    """The names of a host list; None, and Slurm's words, when it is none."""
    try:
        return hostlist.expand(text)
    except hostlist.BadRange as problem:
        session.ctx.error(f"_parse_single_range: Invalid range: `{problem.text}'")
    except BadValue:
        pass
    session.fail(f"Invalid hostlist: {text}")
    return None
