"""--x11 of srun and salloc, which is refused, and what Slurm says of it where there is no display to forward to."""

from __future__ import annotations

from slurm_compat.cli.batchopts import Parsed
from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CannotCarry, CommandError


def refuse_x11(ctx: Context, parsed: Parsed) -> None:
    """Raises CommandError when windows were asked for."""
    if not parsed.attrs.get("x11"):
        return
    if not ctx.env.get("DISPLAY"):
        text = "No DISPLAY variable set, cannot setup x11 forwarding."
        raise CommandError(f"{ctx.command}: error: {text}", code=255)
    raise CannotCarry(ctx.command, "--x11", "run the program under ssh -X")
