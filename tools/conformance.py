"""Writes docs/conformance.md from replay results (tools/replay.py --json).

The score by area, and every step that differs with its reason out of fixtures/differences.yaml. A difference
without a reason is listed as unexplained.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml
from tabulate import tabulate

ROOT = Path(__file__).parent.parent
REASONS = ROOT / "fixtures" / "differences.yaml"
TARGET = ROOT / "docs" / "conformance.md"

HEAD = """# Conformance

Transcripts recorded from a real Slurm 26.05.5 (`fixtures/golden/`), replayed against our commands on a cluster that
mirrors the recorded one (`fixtures/clusters/oracle.yaml`). A step is *same* when its output, error output and
exit code are, but for masked times, ids and the like. `make replay` prints every difference; this page is written from
its result.

What is same is held by the suite: `fixtures/same.yaml` lists those steps, and `tests/golden` replays them.

"""


def reason(reasons: list[dict[str, str]], scenario: str, step: int, command: str) -> str:
    """The first reason whose patterns match: `step` over "scenario:number", `command` over the command's text."""
    for entry in reasons:
        if re.search(entry.get("step", ""), f"{scenario}:{step}") and re.search(entry.get("command", ""), command):
            return entry["why"]
    return "unexplained"


def main() -> None:
    areas: dict[str, list[int]] = {}
    differing: list[tuple[str, int, str]] = []
    for path in sys.argv[1:]:
        result = json.loads(Path(path).read_text())
        areas.update(result["areas"])
        differing += [(s["scenario"], s["step"], s["cmd"]) for s in result["steps"] if not s["same"]]
    reasons = yaml.safe_load(REASONS.read_text())
    rows = [[name, same, total, f"{100 * same / total:.1f} %"] for name, (same, total) in sorted(areas.items())]
    same, total = (sum(score[i] for score in areas.values()) for i in (0, 1))
    rows.append(["total", same, total, f"{100 * same / total:.1f} %"])
    by_reason: dict[str, list[str]] = {}
    for scenario, step, command in differing:
        line = command.split("\n")[0].replace("|", "\\|")
        entry = f"`{scenario}:{step}` {line[:90]}"
        by_reason.setdefault(reason(reasons, scenario, step, command), []).append(entry)
    text = HEAD + tabulate(rows, ["area", "same", "steps", ""], "pipe") + "\n\n## What differs, and why\n"
    for why, steps in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        text += f"\n### {why}\n\n" + "\n".join(f"- {step}" for step in steps) + "\n"
    TARGET.write_text(text)
    print(f"{same}/{total} same; {len(by_reason.get('unexplained', []))} unexplained")


if __name__ == "__main__":
    main()
