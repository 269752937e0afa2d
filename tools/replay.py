"""Replays recorded transcripts of the real Slurm against our commands on a cluster of its own; the table comes last."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from throwaway import environment, have_users


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", required=True, type=Path, help="folder with replay.py")
    parser.add_argument("--cluster", required=True, help="cluster file that mirrors the recorded cluster")
    parser.add_argument("--area", default="")
    parser.add_argument("--only", default="", help="regular expression over scenario names")
    parser.add_argument("--json", default="", help="write the results there too")
    parser.add_argument("-q", action="store_true", help="no differences, only the table")
    parser.add_argument("golden", nargs="+")
    args = parser.parse_args()
    if os.getuid():
        sys.exit("replay needs root: its steps run as users alice, bob and root")
    have_users()
    with environment(args.cluster) as env:
        argv = [sys.executable, str(args.oracle / "replay.py"), "--bin", env["SLURM_COMPAT_BIN"]]
        argv += ["--area", args.area] if args.area else []
        argv += ["--only", args.only] if args.only else []
        argv += ["--json", args.json] if args.json else []
        argv += ["-q"] if args.q else []
        return subprocess.run([*argv, *args.golden], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
