"""Our figures beside the real Slurm's, measured one after the other in the same run on this machine, as a table.

The ratio is ours to theirs, above 1 meaning that we are better by that factor: faster, or more in the same time. Needs
root and the oracle; without it our figures stand alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import history_figures
from tabulate import tabulate
from throwaway import environment

HERE = Path(__file__).parent
STEPS = "steps_figures.py"
HEAD = """# Figures

Made by `make bench` on {date}, {cores} cores: the real Slurm 26.05.5's commands, then ours, by the same scripts
(`tools/figures.py`, `tools/steps_figures.py`), each alone on the machine. A latency is the median wall time of the
whole process, started from Python. "Cold" is without the warm host, beside the real command as it is: the one place
where we are slower, met by the first command of a user and after half an hour without one. "Times better" above 1:
faster, or more in the same time, by that factor. The real controller's memory counts what its earlier jobs of the same
run left, as ours does.

"""
Figures = dict[str, tuple[float, str]]


def ours(cluster: str, options: list[str]) -> Figures:
    with environment(cluster) as env:
        pid = Path(env["SLURM_COMPAT_STATE"], "run", "controller.pid").read_text().split()[0]
        steps = subprocess.run([sys.executable, str(HERE / STEPS)], env=env, stdout=subprocess.PIPE, check=True)
        argv = [sys.executable, str(HERE / "figures.py"), "--pid", pid, "--cold", *options]
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True)
    figures: Figures = json.loads(done.stdout) | json.loads(steps.stdout)
    return figures


def theirs(oracle: Path, options: list[str]) -> Figures:
    """The same script, run by the oracle beside a Slurm of its own. Its /tmp is ours."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        script = shutil.copy(HERE / "figures.py", folder)
        words = " ".join(options)
        steps = shutil.copy(HERE / STEPS, folder)
        shutil.copy(HERE / "timing.py", folder)  # both import it
        inside = (
            f"python3 {steps} && echo && "
            f'python3 {script} --pid $(cut -d" " -f1 $ORACLE_DIR/run/slurmctld.pidrec) {words}'
        )
        argv = [str(oracle / "world"), "./private", "sh", "-c", inside]
        done = subprocess.run(argv, cwd=oracle, stdout=subprocess.PIPE, check=True)
    finally:
        shutil.rmtree(folder)
    # sinfo's table, which the oracle prints as it comes up, stands before it
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    figures: Figures = {name: value for one in reversed(found) for name, value in one.items()}
    return figures


def table(us: Figures, them: Figures) -> str:
    rows = []
    for name, (value, unit) in us.items():
        base = name.removesuffix(", cold")
        base = {"scontrol": "scontrol show config", "squeue": "squeue, empty or nearly"}.get(base, base)
        other = them.get(name) or them.get(base)
        ratio = ""
        if other:
            better = value / other[0] if "/s" in unit or unit == "per s" else other[0] / max(value, 1e-9)
            ratio = f"{better:.2f}"
        rows.append([name, f"{value:g} {unit}", f"{other[0]:g} {unit}" if other else "-", ratio])
    return tabulate(rows, ["what", "slurm-compat", "Slurm 26.05", "times better"], "pipe", disable_numparse=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--cluster", default="fixtures/clusters/bench.yaml")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--write", default="", metavar="FILE", help="write the page of figures too")
    parser.add_argument("--jobs", default="10000")
    parser.add_argument("--tiny", default="500")
    parser.add_argument("--reps", default="40")
    parser.add_argument("--chain", default="1000")
    parser.add_argument("--waiting", default="10000")
    parser.add_argument("--finished", type=int, default=1_000_000, help="jobs in a store of the past; 0: none of that")
    args = parser.parse_args()
    options = ["--jobs", args.jobs, "--tiny", args.tiny, "--reps", args.reps]
    options += ["--chain", args.chain, "--waiting", args.waiting]
    them: Figures = {}
    if not args.only_ours and os.getuid() == 0 and (args.oracle / "world").exists():
        them = theirs(args.oracle.resolve(), options)
    us = ours(args.cluster, options)
    if args.finished:
        us |= history_figures.measured(args.finished, reps=20)
    result = table(us, them)
    print(result)
    if args.write:
        Path(args.write).write_text(HEAD.format(date=time.strftime("%Y-%m-%d"), cores=os.cpu_count()) + result + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
