"""#PBS and #BSUB lines as options of sbatch: those that have a counterpart, as the real sbatch reads them."""

from __future__ import annotations


def options(body: bytes) -> list[str]:
    return []
