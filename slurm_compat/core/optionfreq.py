"""Readers of --cpu-freq and --gpu-freq: text in, the fields it fills out. Messages as observed on 26.05."""

from __future__ import annotations

import re
from typing import Any

from slurm_compat.core.errors import CommandError
from slurm_compat.core.options import Where

_LEVEL = r"(?:low|medium|high|highm1|\d+)"
_GPU_FREQ = re.compile(rf"(?:(?:memory=)?{_LEVEL}|verbose)(?:,(?:(?:memory=)?{_LEVEL}|verbose))*", re.I | re.A)
_GOVERNOR = r"(?:conservative|ondemand|performance|powersave|schedutil|userspace)"
_CPU_FREQ = re.compile(rf"{_LEVEL}(?:-{_LEVEL})?(?::{_GOVERNOR})?|{_GOVERNOR}", re.I | re.A)


def gpu_freq(text: str | None, where: Where) -> dict[str, Any]:
    if not _GPU_FREQ.fullmatch(text or ""):
        raise where.error(f"Invalid --gpu-freq argument: gpu:{text}")
    return {"gpu_freq": text}


def cpu_freq(text: str | None, where: Where) -> dict[str, Any]:
    if problem := _cpu_freq_problem(text or ""):
        lines = [f"{where.command}: error: {problem}"] if problem != _UNSAID else []
        raise CommandError(*lines, f"{where.command}: error: Invalid --cpu-freq argument", code=255)
    return {"cpu_freq": re.sub(r"[a-z]\w*", lambda word: _FREQ_NAMES[word[0].lower()], text or "", flags=re.I)}


# the ones that the cluster's CpuFreqGovernors has when nobody names any
_ALLOWED_GOVERNORS = ("ondemand", "performance", "userspace")
_FREQ_NAMES = {
    "low": "Low", "medium": "Medium", "high": "High", "highm1": "Highm1", "conservative": "Conservative",
    "ondemand": "OnDemand", "performance": "Performance", "powersave": "PowerSave", "schedutil": "SchedUtil",
    "userspace": "UserSpace",
}  # fmt: skip


_UNSAID = "-"


def _cpu_freq_problem(text: str) -> str:
    """What is wrong with [min[-max]:]governor or a frequency; "" when nothing is, "-" when Slurm says no more of it."""
    frequencies, colon, governor = text.partition(":")
    low, dash, _ = frequencies.partition("-")
    if not low:
        return _UNSAID
    if re.fullmatch(_GOVERNOR, governor if colon else text, re.I):
        if (governor or text).lower() not in _ALLOWED_GOVERNORS:
            return f"governor of {text} is not allowed in slurm.conf"
        if not colon:
            return ""
    if not re.fullmatch(_LEVEL, low, re.I | re.A):
        return f'unrecognized --cpu-freq argument "{low}"'
    if not dash and not colon:
        return ""
    if not colon:
        return (
            "You must explicitly choose a governor when defining a range. Please specify only one value for the "
            "desired frequency (p1) or choose a specific governor (p3)."
        )
    if not re.fullmatch(_GOVERNOR, governor, re.I):
        return f"illegal governor: {governor} on --cpu-freq"
    if not dash:
        return f"gov on cpu-frec ({governor}) illegal without max"
    if governor.lower() == "userspace":
        return (
            "userspace governor does not support a range. Please specify only one value for the desired frequency "
            "(p1) or choose a different governor."
        )
    return "" if _CPU_FREQ.fullmatch(text) else _UNSAID
