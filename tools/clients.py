"""Runs real, unmodified client programs (NAME/run of a folder) against our commands on a cluster of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from throwaway import environment, with_private_mounts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("clients", type=Path, help="folder of NAME/run")
    parser.add_argument("only", nargs="*", help="names; all of them by default")
    args = parser.parse_args()
    with_private_mounts()
    names = args.only or sorted(path.parent.name for path in args.clients.glob("*/run"))
    failed = []
    with environment(args.cluster) as env:
        for name in names:
            print(f"== {name}", flush=True)
            if subprocess.run([args.clients.resolve() / name / "run"], env=env, check=False).returncode:
                failed.append(name)
    print(f"{len(names) - len(failed)} passed, {len(failed)} failed{': ' + ' '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
