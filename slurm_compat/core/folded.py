"""Numbers and wait statuses as Slurm writes them. Standard library only: the agent reads this too."""

from __future__ import annotations

from collections.abc import Iterable


def folded(numbers: Iterable[int]) -> str:
    """Numbers by node: [4, 4, 2] is "4(x2),2"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][0] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    return ",".join(f"{number}(x{times})" if times > 1 else str(number) for number, times in runs)


def exit_text(status: int) -> str:
    """The exit code and the signal of a wait status: "1:0", "0:9"."""
    return f"{status >> 8 & 0xFF}:{status & 0x7F}"
