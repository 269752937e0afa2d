"""Submits the corpus of real script shapes unchanged, on a cluster of its own; each outcome must be its index's."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from throwaway import environment, with_private_mounts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("corpus", type=Path, help="folder with verify.py and its scripts")
    parser.add_argument("only", nargs="*", help="names or numbers of scripts")
    args = parser.parse_args()
    with_private_mounts()
    with environment(args.cluster) as env:
        return subprocess.run([sys.executable, args.corpus / "verify.py", *args.only], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
