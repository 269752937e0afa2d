"""The formatter, the linter and the type checker are tests like any other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CHECKS = {
    "format": ["ruff", "format", "--check", "slurm_compat", "translators", "tests", "tools"],
    "lint": ["ruff", "check", "slurm_compat", "translators", "tests", "tools"],
    "types": ["mypy"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_code_is_clean(name):
    tool, *rest = CHECKS[name]
    done = subprocess.run([sys.executable, "-m", tool, *rest], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
