"""Standard input, output and error of a batch script: which files, opened how, and slurmstepd's own lines in them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from slurm_compat.core import patterns

# Both ways append each write; they differ in what happens to what is there. Observed on 26.05 (fdinfo of a script).
WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
NEW_FOLDER = 0o755
UNOPENED = 53  # the wait status Slurm gives a job whose files can't be opened: ExitCode 0:53


class CannotOpen(Exception):
    """One of a job's files can't be opened. `which`: STDIN, STDOUT or STDERR."""

    def __init__(self, which: str, path: str, problem: OSError) -> None:
        super().__init__(f"Could not open {which.lower()} file {path}: {problem.strerror}")
        self.which = which


class Streams(NamedTuple):
    stdin: int
    stdout: int
    stderr: int

    def close(self) -> None:
        for fd in set(self):
            os.close(fd)


class Files(NamedTuple):
    """Absolute paths."""

    stdin: str
    stdout: str
    stderr: str


def batch_files(job: Mapping[str, Any], node: str) -> Files:
    """Where a batch script reads and writes on `node`. `job`: JOB_FIELDS."""
    values = patterns.job_values(job, node)

    def path(pattern: str) -> str:
        return os.path.join(job["current_working_directory"], patterns.expand(pattern, values))

    given_input = job.get("standard_input_given")
    stdout = path(job.get("standard_output_given") or patterns.default_output(job))
    given_error = job.get("standard_error_given")
    return Files(
        path(given_input) if given_input else "/dev/null", stdout, path(given_error) if given_error else stdout
    )


def open_files(files: Files, open_mode: str) -> Streams:
    """Open them with the rights this process has just now, making folders that are missing. Raises CannotOpen."""
    opened: list[int] = []
    keep_content = open_mode.startswith("a")
    try:
        opened.append(_open("STDIN", files.stdin, os.O_RDONLY | os.O_CLOEXEC))
        opened.append(_open("STDOUT", files.stdout, WRITE if keep_content else WRITE | os.O_TRUNC))
        opened.append(_open("STDERR", files.stderr, WRITE if keep_content else WRITE | os.O_TRUNC))
    except CannotOpen:
        for fd in opened:
            os.close(fd)
        raise
    return Streams(*opened)


def _open(which: str, path: str, flags: int) -> int:
    try:
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            os.makedirs(os.path.dirname(path), NEW_FOLDER, exist_ok=True)
            return os.open(path, flags, 0o666)
    except ValueError as problem:  # a NUL byte in the name
        raise CannotOpen(which, path, OSError(22, str(problem))) from None
    except OSError as problem:
        raise CannotOpen(which, path, problem) from None


def error_line(text: str, now: float | None = None) -> bytes:
    """ "[2026-08-01T10:00:00.123] error: …": how slurmstepd writes into a job's error file."""
    now = time.time() if now is None else now
    whole = int(now)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(whole))
    line = f"[{stamp}.{int((now - whole) * 1000):03d}] error: {text}\n"
    return line.encode("utf-8", "surrogateescape")
