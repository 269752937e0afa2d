"""What sbcast is asked for, by its options and its environment; each option's row is in OPTIONS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from slurm_compat.cli.optiontable import NONE, OPERAND, OPTIONAL, REQUIRED, Opt, parsed
from slurm_compat.cli.selected import selected
from slurm_compat.core.errors import CannotCarry, CommandError
from slurm_compat.core.jobid import JobExpression

OPTIONS = (
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("compress", "C", OPTIONAL, "no effect: the file arrives the same, sent as it is", "METHOD"),
    Opt("exclude", "exclude", REQUIRED, "no effect: it is for --send-libs", "PATHS"),
    Opt("fanout", "F", REQUIRED),
    Opt("force", "f", NONE, "write over a file that is there"),
    Opt("help", "help", NONE, "show this text, and end"),
    Opt("jobid", "j", REQUIRED, "the job, #[+#][.#]: with a component, and a step to\nwhose nodes alone it goes", "ID"),
    Opt("send-libs", "send-libs", OPTIONAL, "not supported here", "YES|NO"),
    Opt("preserve", "p", NONE, "keep times and modes"),
    Opt("size", "s", REQUIRED, "no effect: how much is sent at once is found by itself", "BYTES"),
    Opt("timeout", "t", REQUIRED, "seconds to wait for a node", "SECONDS"),
    Opt("treewidth", "F", REQUIRED, "no effect: each node is sent the file directly", "NUMBER"),
    Opt("usage", "usage", NONE, "show a line of usage, and end"),
    Opt("verbose", "v", NONE, "tell of the file and the job"),
    Opt("version", "V", NONE, "show the version, and end"),
)
TRY = 'Try "sbcast --help" for more information'
BLOCK_SIZE = 8 << 20  # bytes, what is told of when -s is not given
METHODS = {"": 2, "lz4": 2, "none": 0}  # of --compress, and the number -v shows
UNITS = {"k": 10, "m": 20, "g": 30}
DEFAULT_EXCLUDE = "/lib,/usr/lib,/lib64,/usr/lib64"
NO_JOB = "Need a job id to run this command.  Run from within a Slurm job or use the --jobid option."


@dataclass
class Asked:
    action: str = ""
    source: str = ""
    path: str = ""  # absolute
    job: JobExpression | None = None
    compress: int = 0
    exclude: str = DEFAULT_EXCLUDE
    force: bool = False
    preserve: bool = False
    size: int = BLOCK_SIZE
    timeout: int = 0  # seconds, 0: not given
    treewidth: int = 0
    verbose: int = 0


@dataclass
class Reader:
    """Options as they come; what they have wrong is told through `say`, and does no harm, unless it raises."""

    asked: Asked
    lines: list[str]

    def option(self, key: str, text: str) -> None:
        asked = self.asked
        if key == "C":
            self._compress(text)
        elif key == "exclude":
            asked.exclude = text
        elif key == "F":
            asked.treewidth = leading_number(text)
        elif key == "f":
            asked.force = True
        elif key == "j":
            asked.job = selected("sbcast", text)
        elif key == "p":
            asked.preserve = True
        elif key == "s":
            self._size(text)
        elif key == "send-libs":
            self._send_libs(text)
        elif key == "t":
            asked.timeout = leading_number(text)
        elif key == "v":
            asked.verbose += 1

    def _compress(self, text: str) -> None:
        method = METHODS.get(text.lower())
        if method is None:
            self.lines.append(
                f"sbcast: error: Compression type '{text}' unknown, disabling compression support."
            )  # fmt: skip
        self.asked.compress = method or 0

    def _send_libs(self, text: str) -> None:
        if text.lower() in ("", "yes", "true"):
            raise CannotCarry("sbcast", "--send-libs", "send each library that the nodes lack by itself")
        if text.lower() not in ("no", "false"):
            self.lines.append(f"sbcast: error: Ignoring unrecognized --send-libs value '{text}'")

    def _size(self, text: str) -> None:
        digits = text[: len(text) - len(text.lstrip("0123456789"))]
        unit = text[len(digits) :][:1].lower()
        if unit and unit not in UNITS:
            self.lines.append("size specification is invalid, ignored")
            self.asked.size = 0
            return
        self.asked.size = int(digits or "0") << UNITS.get(unit, 0)


def leading_number(text: str) -> int:
    """As atoi reads it: 0 for what begins with none."""
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return int(digits or "0")


# variable, option, its argument when the variable's value is none
ENVIRONMENT = (
    ("SBCAST_COMPRESS", "C", None),
    ("SBCAST_EXCLUDE", "exclude", None),
    ("SBCAST_FORCE", "f", ""),
    ("SBCAST_PRESERVE", "p", ""),
    ("SBCAST_SEND_LIBS", "send-libs", None),
    ("SBCAST_SIZE", "s", None),
    ("SBCAST_TIMEOUT", "t", None),
)


def asked_for(argv: list[str], env: Mapping[str, str], cwd: str) -> tuple[Asked, list[str]]:
    """What is asked, and lines for the user. Raises CommandError for what sbcast refuses before it asks anybody."""
    reader = Reader(Asked(), [])
    asked = reader.asked
    for name, key, fixed in ENVIRONMENT:
        if name in env:
            reader.option(key, env[name] if fixed is None else fixed)
    operands = []
    for key, text in parsed("sbcast", argv, OPTIONS, [TRY]):
        if key in ("help", "usage", "V", "autocomplete"):
            asked.action = key
            return asked, []
        if key == OPERAND:
            operands.append(text)
        else:
            reader.option(key, text)
    if len(operands) != 2:
        raise CommandError(*reader.lines, f"Need two file names, have {len(operands)} names", TRY)
    if asked.job is None and (own := env.get("SLURM_JOB_ID")):
        asked.job = selected("sbcast", own)
    if asked.job is None:
        raise CommandError(*reader.lines, f"sbcast: error: {NO_JOB}")
    asked.source, path = operands
    if path.endswith("/"):
        raise CommandError(*reader.lines, "sbcast: error: Target filename cannot be a directory.")
    asked.path = os.path.join(cwd, path)
    return asked, reader.lines
