"""Puts the commands into a folder: compiled launchers where there is a C compiler, the Python launcher elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from slurm_compat import __version__
from slurm_compat.cli.main import COMMANDS

HERE = Path(__file__).parent


def build_id(python: str) -> str:
    """Names this installation: its interpreter, version and code. A host of older code is of another build."""
    digest = hashlib.sha256(f"{python} {__version__}".encode())
    for path in sorted(HERE.parent.rglob("*.py")):
        digest.update(f"{path} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:12]


def install(folder: Path, cluster_file: str = "", compiler: str | None = None, build: str = "") -> str:
    """Write every command into `folder`. The answer says which launcher it is: "C" or "Python".

    `compiler`: a C compiler to use, "" for none; by default the first of cc, gcc, clang that is there and works.
    `build`: names the installation, by default after its code; installations of one name share their warm hosts.
    """
    python = sys.executable
    build = build or build_id(python)
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / ".launcher"
    compilers = [compiler] if compiler is not None else ["cc", "gcc", "clang"]
    kind = "C" if any(_compile(name, first, python, build, cluster_file) for name in compilers if name) else "Python"
    if kind == "Python":
        first.write_text(_python_launcher(python, build, cluster_file), encoding="utf-8")
    first.chmod(0o755)
    for command in COMMANDS:
        target = folder / command
        target.unlink(missing_ok=True)
        os.link(first, target)
    first.unlink()
    return kind


def _compile(compiler: str, target: Path, python: str, build: str, cluster_file: str) -> bool:
    if shutil.which(compiler) is None:
        return False
    defines = {"PYTHON": python, "BUILD": build, "CLUSTER_FILE": cluster_file}
    flags = [f"-D{name}={json.dumps(value)}" for name, value in defines.items()]
    made = subprocess.run(
        [compiler, "-O2", *flags, "-o", str(target), str(HERE / "launcher.c")], capture_output=True, check=False
    )
    return made.returncode == 0


def _python_launcher(python: str, build: str, cluster_file: str) -> str:
    text = (HERE / "launcher.py").read_text(encoding="utf-8")
    shebang, _, rest = text.partition("\n")
    del shebang
    for name, value in (("PYTHON", python), ("BUILD", build), ("CLUSTER_FILE", cluster_file)):
        rest = rest.replace(f'{name} = ""', f"{name} = {value!r}", 1)
    return f"#!{python} -ISE\n{rest}"
