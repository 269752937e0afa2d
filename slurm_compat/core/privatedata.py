"""PrivateData: what users may not see of others. Source: slurm.conf(5); observed on 26.05."""

from __future__ import annotations

from functools import lru_cache

from slurm_compat.core.errors import BadValue

ACCOUNTS, EVENTS, JOBS, NODES, PARTITIONS, RESERVATIONS, USAGE, USERS = (
    "accounts", "events", "jobs", "nodes", "partitions", "reservations", "usage", "users",
)  # fmt: skip
WORDS = (ACCOUNTS, EVENTS, JOBS, NODES, PARTITIONS, RESERVATIONS, USAGE, USERS)


@lru_cache(16)
def words(text: str) -> frozenset[str]:
    """The words of the key; none for "" and "none". "all" is all of them. Raises BadValue."""
    found: set[str] = set()
    for word in filter(None, text.lower().replace(" ", "").split(",")):
        if word == "all":
            found.update(WORDS)
        elif word in WORDS:
            found.add(word)
        elif word != "none":
            raise BadValue(f"PrivateData={word} is not known; it may be {', '.join(WORDS)}")
    return frozenset(found)
