"""The stores that the tests of this folder run on: SQLite, and a PostgreSQL of their own."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import postgresql

sys.path.pop(0)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL, for the whole session."""
    try:
        with postgresql.running() as url:
            yield url
    except postgresql.Missing as problem:
        pytest.skip(str(problem))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty store."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.sqlite")
        return
    with postgresql.database(request.getfixturevalue("server"), f"t{uuid.uuid4().hex[:12]}") as own:
        yield own
