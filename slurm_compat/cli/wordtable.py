"""Tables of words that may be cut short, as sacctmgr and sreport read them."""

from __future__ import annotations


def table(text: str) -> tuple[tuple[int, str, str], ...]:
    """ "acc|ounts:accounts" -> (3, "accounts", "accounts"): letters needed, the word, where it goes."""
    rows = []
    for entry in text.split():
        word, _, key = entry.partition(":")
        rows.append((word.index("|"), word.replace("|", ""), key or word.replace("|", "")))
    return tuple(rows)
