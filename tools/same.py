"""Writes fixtures/same.yaml: the steps that were same in every one of the given replay results (--json)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

TARGET = Path(__file__).parent.parent / "fixtures" / "same.yaml"


def main() -> None:
    runs = [json.loads(Path(path).read_text())["steps"] for path in sys.argv[1:]]
    if not runs:
        sys.exit("usage: same.py RESULT.json…")
    sets = [{(step["scenario"], step["step"]) for step in run if step["same"]} for run in runs]
    same: dict[str, list[int]] = {}
    for scenario, step in sorted(set.intersection(*sets)):
        same.setdefault(scenario, []).append(step)
    TARGET.write_text(
        "# step numbers by scenario; written by tools/same.py\n"
        + yaml.safe_dump(same, default_flow_style=None, width=100)
    )
    print(f"{sum(map(len, same.values()))} steps of {len(same)} scenarios")


if __name__ == "__main__":
    main()
