"""Every command starts here: the name it was called by chooses its module; one `except` turns errors into words."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from typing import NoReturn

from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CommandError, SlurmError, UsageError

# command: module, and whether it may run in a child of the warm host (else: in the caller's own process)
COMMANDS: dict[str, tuple[str, bool]] = {
    "sbatch": ("slurm_compat.cli.sbatch", True),
    "squeue": ("slurm_compat.cli.squeue", True),
    "scancel": ("slurm_compat.cli.scancel", True),
    "sacct": ("slurm_compat.cli.sacct", True),
    "scontrol": ("slurm_compat.cli.scontrol", True),
    "sinfo": ("slurm_compat.cli.sinfo", True),
    "sstat": ("slurm_compat.cli.sstat", True),
    "sshare": ("slurm_compat.cli.sshare", True),
    "sprio": ("slurm_compat.cli.sprio", True),
    "sdiag": ("slurm_compat.cli.sdiag", True),
    "sacctmgr": ("slurm_compat.cli.sacctmgr", True),
    "scrontab": ("slurm_compat.cli.scrontab", False),
    "strigger": ("slurm_compat.cli.strigger", True),
    "sreport": ("slurm_compat.cli.sreport", True),
    "seff": ("slurm_compat.cli.seff", True),
    "srun": ("slurm_compat.cli.srun", False),
    "salloc": ("slurm_compat.cli.salloc", False),
    "sattach": ("slurm_compat.cli.sattach", False),
    "sbcast": ("slurm_compat.cli.sbcast", False),
}

# commands that a vanished working directory stops at once, with this code; salloc goes on where --chdir says
NEED_A_FOLDER = {"sbatch": 255, "srun": 255, "salloc": 0}


def run(ctx: Context) -> int:
    """The command's exit code; what it printed went to ctx's streams."""
    module, _ = COMMANDS[ctx.command]
    if not ctx.cwd and ctx.command in NEED_A_FOLDER:
        ctx.error("getcwd failed: No such file or directory")
        if stopped := NEED_A_FOLDER[ctx.command]:
            return stopped
    try:
        code: int = importlib.import_module(module).main(ctx)
    except CommandError as problem:
        lines = problem.lines
        if isinstance(problem, UsageError) and ctx.called:
            lines = (ctx.called + lines[0].removeprefix(ctx.command), *lines[1:])
        for line in lines:
            ctx.err(line)
        return problem.code
    except SlurmError as problem:
        for note in problem.notes:
            ctx.error(note)
        ctx.error(problem.text)
        return 1
    return code


def context_of_process(argv: list[str], env: dict[str, str] | None = None) -> Context:
    """The context that this very process is.

    `argv[0]`: a command's name, or a path to it. `env`: its environment, where the caller has it at hand.
    """
    from slurm_compat.cli.controller import CONNECT_WAIT, connector

    # one that the caller closed is None: what would go there goes nowhere, as in a C program
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # names, comments and paths are bytes to Slurm: what is not UTF-8 goes through unchanged
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", line_buffering=False)  # type: ignore[union-attr]
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = ""
    if env is None:
        env = dict(os.environ)
    called = argv[0] if "/" in argv[0] else ""
    argv = [os.path.basename(argv[0]), *argv[1:]]
    # who asks whether it is there wants to know now
    wait = 0.0 if argv[:2] == ["scontrol", "ping"] else CONNECT_WAIT
    return Context(
        argv=argv, env=env, cwd=cwd, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr,
        connect=connector(env, wait), now=time.time, called=called, uid=os.getuid(), gid=os.getgid(), sid=os.getsid(0),
    )  # fmt: skip


def run_to_end(ctx: Context) -> int:
    """Run, and see the output delivered: a full disk or closed stream is an error, not a silence."""
    try:
        code = run(ctx)
        ctx.stderr.flush()  # first, for a C program's is not held back as what goes to a file or pipe is
        ctx.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        ctx.stderr.write(f"{ctx.command}: error: standard output: {problem.strerror}\n")
        ctx.stderr.flush()
        code = 1
    except Exception as problem:
        # ours, not the user's: one line that says so, and where to look when it is asked for
        if ctx.env.get("SLURM_COMPAT_TRACE"):
            raise
        ctx.error(f"internal error: {type(problem).__name__}: {problem} (SLURM_COMPAT_TRACE=1 shows where)")
        ctx.stderr.flush()
        code = 1
    return code


def main(argv: list[str] | None = None) -> NoReturn:
    """Run as a process: a reader that goes away or Ctrl-C ends us as it ends any C program."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = run_to_end(context_of_process(list(sys.argv if argv is None else argv)))
    # what is left of the interpreter's end takes longer than the command: nothing of it is needed
    os._exit(code)
