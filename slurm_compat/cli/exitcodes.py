"""SLURM_EXIT_ERROR: the exit code of what fails once the options of sbatch, srun and salloc are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CommandError


def error_code(ctx: Context) -> int:
    text = ctx.env.get("SLURM_EXIT_ERROR", "")
    return int(text) & 0xFF if text.isascii() and text.isdigit() else 1


@contextmanager
def own_error_code(ctx: Context) -> Iterator[None]:
    """Errors in here end the command with that code; what Slurm calls fatal ends it with 1 all the same."""
    try:
        yield
    except CommandError as problem:
        if problem.code == 1 and not any(": fatal: " in line for line in problem.lines):
            problem.code = error_code(ctx)
        raise
