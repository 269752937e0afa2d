"""What PMI-1 and PMI-2 have in common: a request, and a request that can't be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Garbled(Exception):
    """What came is no request; this task can't be heard any further."""


class Request(NamedTuple):
    """`wanted`: "get", "put", "fence", … whichever protocol; "" with a `complaint` for one that can't be served."""

    wanted: str
    fields: Mapping[str, str]
    complaint: str = ""
