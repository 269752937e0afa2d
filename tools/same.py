"""Writes fixtures/same.yaml: the steps that were same in every one of the given replay results (--json).

A single step that fixtures/differences.yaml explains is left out even then: it was luck.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

REASONS = Path(__file__).parent.parent / "fixtures" / "differences.yaml"
TARGET = Path(__file__).parent.parent / "fixtures" / "same.yaml"


def main() -> None:
    runs = [json.loads(Path(path).read_text())["steps"] for path in sys.argv[1:]]
    if not runs:
        sys.exit("usage: same.py RESULT.json…")
    sets = [{(step["scenario"], step["step"]) for step in run if step["same"]} for run in runs]
    explained = [entry["step"] for entry in yaml.safe_load(REASONS.read_text()) if re.search(r":\d+$", entry["step"])]
    same: dict[str, list[int]] = {}
    for scenario, step in sorted(set.intersection(*sets)):
        if any(re.search(pattern + "$", f"{scenario}:{step}") for pattern in explained):
            continue
        same.setdefault(scenario, []).append(step)
    TARGET.write_text(
        "# step numbers by scenario; written by tools/same.py\n"
        + yaml.safe_dump(same, default_flow_style=None, width=100)
    )
    print(f"{sum(map(len, same.values()))} steps of {len(same)} scenarios")


if __name__ == "__main__":
    main()
