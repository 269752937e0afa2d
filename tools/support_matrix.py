"""Writes docs/options.md from the tables of options: what becomes of each option of sbatch, srun and salloc.

`python tools/support_matrix.py` writes it; with --check it says whether the file is what the tables give.
"""

from __future__ import annotations

import sys
from pathlib import Path

from slurm_compat.core.optionrows import OF, ROWS, SWITCH_VARIABLES
from slurm_compat.core.options import COMMANDS, HONOURED, MAPPED, NO_EFFECT, NONE, OPTIONAL, REFUSED, Option

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"

HEAD = """\
# Options of sbatch, srun and salloc

Made from the tables by `tools/support_matrix.py`. Every option of Slurm 26.05 has a row; none is dropped in silence:

- **honoured**: does what it does in Slurm.
- **mapped**: done in another way, which the row tells.
- **no effect here**: taken; the row tells why that is harmless.
- **refused**: an error that names the option and says what to do instead.

`b` is sbatch, `s` srun, `a` salloc. The command line wins over the environment, and that over `#SBATCH` lines.
"""


def page() -> str:
    counts = ", ".join(f"{command} {len(OF[command])}" for command in COMMANDS.values())
    by_fate = ", ".join(f"{sum(row.fate == fate for row in ROWS)} {fate}" for fate in FATES)
    lines = [HEAD, f"Rows: {counts}; of them all {by_fate}.", ""]
    lines += ["| option | commands | environment | what becomes of it |", "|---|---|---|---|"]
    lines += [entry(row) for row in sorted(ROWS, key=lambda row: (row.name, row.commands))]
    lines += ["", "## Variables that say a part of an option", ""]
    for command, (count, wait) in SWITCH_VARIABLES.items():
        lines.append(f"- {command}: `{count}` is the count and `{wait}` the time of `--switches`")
    return "\n".join([*lines, ""])


FATES = (HONOURED, MAPPED, NO_EFFECT, REFUSED)


def entry(row: Option) -> str:
    argument = {NONE: "", OPTIONAL: f"[={row.value or 'value'}]"}.get(row.argument, f"={row.value or 'value'}")
    shown = f"`--{row.name}{argument}`".replace("|", "\\|") + (f" `-{row.short}`" if row.short else "")
    variables = " ".join(
        f"`{name}`" for command in COMMANDS.values() for name in row.variables(command) if command_has(row, command)
    )
    fate = f"the same as `--{row.same_as}`" if row.same_as else row.fate + (f": {row.why}" if row.why else "")
    return f"| {shown} | {' '.join(row.commands)} | {variables} | {fate} |"


def command_has(row: Option, command: str) -> bool:
    return row in OF[command]


def main() -> int:
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write("docs/options.md is not what the tables give: run python tools/support_matrix.py\n")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
