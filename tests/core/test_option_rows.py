"""The tables of options: complete, in order, and documented."""

import importlib.util
import re
from pathlib import Path

import pytest

from slurm_compat.cli import help
from slurm_compat.core.model import JobRequest
from slurm_compat.core.optionrows import OF, ROWS
from slurm_compat.core.options import HONOURED, NO_EFFECT, NONE, REFUSED, Where, completions

ROOT = Path(__file__).resolve().parents[2]


def test_the_support_matrix_is_what_the_tables_give():
    spec = importlib.util.spec_from_file_location("support_matrix", ROOT / "tools" / "support_matrix.py")
    matrix = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(matrix)
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page()


@pytest.mark.parametrize("command, count", [("sbatch", 120), ("srun", 147), ("salloc", 105)])
def test_every_option_of_the_real_command_has_a_row(command, count):
    assert len(OF[command]) == count


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.commands}")
def test_what_does_not_simply_work_says_why(row):
    assert bool(row.why) == (row.fate not in (HONOURED,)) or row.same_as
    if row.same_as:
        assert any(other.name == row.same_as for other in ROWS)


# refused by the controller, or by the command when it has read all its options
ELSEWHERE = ("reboot", "resources", "het-group", "external-launcher", "x11")


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.fate == REFUSED and row.name not in ELSEWHERE])
def test_refusals_name_the_option(name):
    row = next(row for row in ROWS if row.name == name)
    with pytest.raises(Exception, match=f"--{row.name} is not supported here; "):
        row.reader("x", Where("sbatch", row.name))


@pytest.mark.parametrize("command", OF)
def test_short_options_are_unique(command):
    shorts = [row.short for row in OF[command] if row.short]
    assert len(shorts) == len(set(shorts))


@pytest.mark.parametrize("command", OF)
def test_help_and_usage_name_the_same_options(command):
    said = set(re.findall(r"--[a-z][a-z0-9-]+", help.text(command)))
    assert {f"--{row.name}" for row in help.listed(command)} | {f"--{name}" for name in help.GONE[command]} == said
    assert help.usage(command).startswith(f"Usage: {command} ")


def test_flags_fill_fields_of_the_request():
    row = next(row for row in ROWS if row.name == "overcommit")
    assert row.argument == NONE
    assert JobRequest(**row.reader(None, Where("sbatch", "overcommit"))).overcommit


def test_completion_shows_how_an_option_is_given():
    assert completions(OF["sbatch"], "--ex")[:3] == ["--exclude=", "--exclusive=", "--exclusive "]
    assert completions(OF["sbatch"], "--ho") == ["--hold"]


def test_no_effect_is_rare_and_explained():
    rows = [row for row in ROWS if row.fate == NO_EFFECT]
    assert all(len(row.why) > 20 for row in rows)
