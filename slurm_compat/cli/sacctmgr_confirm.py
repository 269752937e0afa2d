"""sacctmgr's question before a change: half a minute for a y, read letter by letter as the real one does."""

from __future__ import annotations

import select

from slurm_compat.cli.sacctmgr_settings import Settings

PATIENCE = 30  # seconds for an answer
COMMIT = "Would you like to commit changes?"
SURE = "Are you sure you want to continue?"
DISCARDED = " Changes Discarded"


def confirmed(settings: Settings, question: str = COMMIT) -> bool:
    """Ask, unless -i was given. Nobody there to answer is no."""
    if settings.immediate:
        return True
    ctx = settings.ctx
    ctx.out(f"{question} (You have {PATIENCE} seconds to decide)")
    letter = ""
    while True:
        if letter:
            ctx.out("Y or N please")
        ctx.stdout.write("(N/y): ")
        ctx.stdout.flush()
        if not _ready(settings):
            ctx.out("timeout")
            return False
        letter = ctx.stdin.read(1)
        ctx.out("")
        if not letter or letter in "yYnN\n":
            break
    if not letter:
        ctx.out("error: Inappropriate ioctl for device")  # what errno happens to say there
    elif letter != "\n" and ctx.stdin.isatty():
        ctx.stdin.readline()  # the rest of the line is no answer to the next question
    return letter in ("y", "Y")


def sure(settings: Settings, warning: str) -> bool:
    """Whether to go on in spite of this."""
    if settings.immediate:
        return True
    settings.ctx.out(warning)
    return confirmed(settings, SURE)


def committed(settings: Settings) -> bool:
    """Ask, and tell what a no means."""
    if confirmed(settings):
        return True
    settings.ctx.out(DISCARDED)
    return False


def _ready(settings: Settings) -> bool:
    try:
        return bool(select.select([settings.ctx.stdin], [], [], PATIENCE)[0])
    except (OSError, ValueError):  # no file: what there is can be read at once
        return True
