"""The documentation names what there is."""

import re
from pathlib import Path

import pytest

from slurm_compat.cli.main import COMMANDS

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), DOCS.parent / "README.md"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_row(command):
    assert f"\n| {command} |" in (DOCS / "commands.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
