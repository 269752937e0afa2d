"""--cpu-bind and --mem-bind as srun reads them, and the variables that tell a task of them. Standard library only.

`parse_cpu(text)` and `parse_mem(text)` give a Binding; both raise ValueError with the word nobody knows. Source:
srun(1); observed on 26.05.
"""

from __future__ import annotations

import re
from typing import NamedTuple

CPU_KINDS = {
    "no": "none", "none": "none", "rank": "rank", "rank_ldom": "rank_ldom", "socket": "sockets", "sockets": "sockets",
    "core": "cores", "cores": "cores", "thread": "threads", "threads": "threads", "ldom": "ldoms", "ldoms": "ldoms",
}  # fmt: skip
CPU_LISTS = ("map_cpu", "mask_cpu", "map_ldom", "mask_ldom")
MEM_KINDS = {"no": "none", "none": "none", "rank": "rank", "local": "local"}
MEM_LISTS = ("map_mem", "mask_mem")
MEM_FLAGS = ("p", "prefer", "sort", "nosort")
# the next comma of a list is followed by another of its numbers
_NUMBER = re.compile(r"(?:0x)?[0-9a-f]+(?:\*\d+)?$", re.I)
MOST_REPEATS = 4096


class Binding(NamedTuple):
    kind: str = ""  # "" when nothing was said but how much to say
    values: tuple[str, ...] = ()  # of a list: numbers, or masks in hexadecimal without 0x; each maybe "3*2"
    verbose: bool | None = None  # None: not said
    prefer: bool = False  # of memory: elsewhere too when there is none

    @property
    def given(self) -> bool:
        return bool(self.kind) or bool(self.verbose)

    @property
    def text(self) -> str:
        """As SLURM_CPU_BIND has it: "quiet,mask_cpu:1,2"; "" when nothing was said."""
        if not self.given:
            return ""
        words = ["verbose" if self.verbose else "quiet"]
        if self.prefer:
            words.append("prefer")
        if self.kind:
            words.append(self.type + ",".join(self.values))
        return ",".join(words)

    @property
    def type(self) -> str:
        return f"{self.kind}:" if self.values else self.kind

    def expanded(self) -> list[str]:
        """The list with "3*2" as 3, 3."""
        found = []
        for value in self.values:
            number, _, times = value.partition("*")
            found += [number] * min(int(times or 1), MOST_REPEATS)
        return found


def parse_cpu(text: str) -> Binding:
    return _parse(text, CPU_KINDS, CPU_LISTS, ())


def parse_mem(text: str) -> Binding:
    return _parse(text, MEM_KINDS, MEM_LISTS, MEM_FLAGS)


def _parse(text: str, kinds: dict[str, str], lists: tuple[str, ...], flags: tuple[str, ...]) -> Binding:
    found = Binding()
    words = text.split(",")
    while words:
        word = words.pop(0)
        name, colon, first = word.partition(":")
        low = word.lower()
        if low in ("q", "quiet", "v", "verbose"):
            found = found._replace(verbose=low.startswith("v"))
        elif low in flags:
            found = found._replace(prefer=found.prefer or low.startswith("p"))
        elif low in kinds:
            found = found._replace(kind=kinds[low], values=())
        elif colon and name.lower() in lists:
            values = [first]
            while words and _NUMBER.match(words[0]):
                values.append(words.pop(0))
            if not all(_NUMBER.match(value) for value in values):
                raise ValueError(word)
            mask = name.lower().startswith("mask")
            clean = [value.lower().removeprefix("0x") if mask else value for value in values]
            found = found._replace(kind=name.lower(), values=tuple(clean))
        elif word:
            raise ValueError(word)
    return found


def environment(prefix: str, binding: Binding) -> dict[str, str]:
    """`prefix` is SLURM_CPU_BIND or SLURM_MEM_BIND."""
    if not binding.given:
        return {}
    return {
        prefix: binding.text,
        f"{prefix}_LIST": ",".join(binding.values),
        f"{prefix}_TYPE": binding.type,
        f"{prefix}_VERBOSE": "verbose" if binding.verbose else "quiet",
    }
