"""CPU numbers as Slurm and the kernel list them: "0-3,7". Standard library only."""

from __future__ import annotations

from collections.abc import Iterable


def cpu_numbers(text: str) -> list[int]:
    """ "0-2,5" -> [0, 1, 2, 5]; "" -> []. The text is our own or the kernel's, so it is not checked."""
    numbers: list[int] = []
    for part in text.split(","):
        if part:
            first, _, last = part.partition("-")
            numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def cpu_text(numbers: Iterable[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"; sorted, once each."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
