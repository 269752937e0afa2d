"""Signals by Slurm's names. Standard library only: the agent reads this too."""

from __future__ import annotations

import signal

# The names Slurm takes, with or without SIG; others go by number. Observed: --signal and scancel -s on 26.05.
NUMBERS: dict[str, int] = {
    name: int(getattr(signal, "SIG" + name))
    for name in (
        "HUP", "INT", "QUIT", "ABRT", "KILL", "ALRM", "TERM", "USR1", "USR2", "URG", "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "PIPE", "CHLD", "XCPU",
    )
}  # fmt: skip
NAMES = {number: name for name, number in NUMBERS.items()}


def signal_number(text: str) -> int | None:
    """9 for "9", "KILL", "SIGKILL" and "sigkill"; None for what names no signal, "0" among them."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdigit():
        return int(text) or None
    word = text.upper()
    return NUMBERS.get(word[3:] if word.startswith("SIG") else word)


def signal_name(number: int) -> str:
    """ "KILL" for 9; the number where Slurm has no name for it."""
    return NAMES.get(number, str(number))


def signal_words(number: int) -> str:
    """What the C library calls it: "Terminated" for 15, as in RaisedSignal:15(Terminated)."""
    try:
        return signal.strsignal(number) or f"Unknown signal {number}"
    except ValueError:
        return f"Unknown signal {number}"
