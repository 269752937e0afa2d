"""--gres, --gpus and their kin: how many of what, for each node, task, socket or the whole job.

Amounts are {name or name:type: count} ("gpu:a100": 2). Source: sbatch(1), --gres and --gpus*; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slurm_compat.core.errors import INVALID_GRES, INVALID_GRES_TYPE, SlurmError

Amounts = dict[str, int]
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def amounts(text: str, known: Iterable[str] = ("gpu",)) -> Amounts:
    """What a --gres text asks for: "gpu:a100:2,shard:1", "gres/gpu=1", "none". A part without a number means one.

    Raises SlurmError for a name that is not of `known`, or one that stands with and without a type.
    """
    found: Amounts = {}
    for part in filter(None, text.split(",")):
        if part.lower() == "none":
            continue
        key, number = _part(part.removeprefix("gres/"))
        if key.partition(":")[0] not in known:
            raise SlurmError(INVALID_GRES)
        found[key] = max(found.get(key, 0), number)  # said twice, the most counts
    untyped = {key for key in found if ":" not in key}
    if any(":" in key and key.partition(":")[0] in untyped for key in found):
        raise SlurmError(INVALID_GRES_TYPE)
    return found


def gpus(text: str) -> Amounts:
    """The same for --gpus, where the name goes without saying: "2", "a100:2", "a100" (one of them)."""
    return amounts(",".join(gpu_parts(text)))


def gpu_parts(text: str) -> list[str]:
    """Each part of a --gpus text with its name put before it, as Slurm shows it: "gpu:a100:2"."""
    parts = [part.strip() for part in text.split(",")]
    return [part if part.startswith("gpu:") else f"gpu:{part}" for part in parts if part]


def _part(part: str) -> tuple[str, int]:
    """ "gpu:a100:2" -> ("gpu:a100", 2). A last word that is no number is part of the type."""
    name, _, rest = part.replace("=", ":").partition(":")
    if not rest:
        return name, 1
    before, _, last = rest.rpartition(":")
    number = _number(last)
    if number is None:
        return f"{name}:{rest}", 1
    return (f"{name}:{before}" if before else name), number


def _number(text: str) -> int | None:
    unit = _UNITS.get(text[-1:].lower(), 0)
    digits = text[:-1] if unit else text
    return int(digits) * (unit or 1) if digits.isascii() and digits.isdigit() else None


def total(some: Mapping[str, int], name: str) -> int:
    """Of all types together."""
    return sum(number for key, number in some.items() if key.partition(":")[0] == name)


def times(some: Mapping[str, int], factor: int) -> Amounts:
    return {key: number * factor for key, number in some.items()}


def fits(asked: Mapping[str, int], there: Mapping[str, int]) -> bool:
    """Whether what is `there` covers what is `asked`; one without a type is served by any type."""
    return all(available(key, there) >= number for key, number in asked.items())


def available(key: str, there: Mapping[str, int]) -> int:
    return there.get(key, 0) if ":" in key else total(there, key)


def as_tres(some: Mapping[str, int], listed: Iterable[str] = ()) -> dict[str, int]:
    """As TRES: {"gres/gpu": 2}; only what is `listed` (AccountingStorageTRES), types of their own included."""
    wanted = set(listed)
    found: dict[str, int] = {}
    for name in dict.fromkeys(key.partition(":")[0] for key in some):
        if f"gres/{name}" in wanted:
            found[f"gres/{name}"] = total(some, name)
    for key, number in some.items():
        if ":" in key and f"gres/{key}" in wanted:
            found[f"gres/{key}"] = number
    return found


def shown(text: str) -> str:
    """A --gres text as scontrol shows it: every part begins with gres/."""
    parts = [part for part in text.split(",") if part and part.lower() != "none"]
    return ",".join(part if part.startswith("gres/") else f"gres/{part}" for part in parts)
