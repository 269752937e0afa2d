"""A private PostgreSQL for tests: Debian's programs, in a temporary folder, over a Unix socket alone; gone afterwards.

`python tools/postgresql.py --install` gets the package where that is possible without asking: as root, on Debian.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "postgresql"
USER = "slurm"  # the database's
PATIENCE = 30.0  # seconds for it to answer


class Missing(Exception):
    """There is no PostgreSQL to start, or no driver for it; says what to do."""


def programs() -> Path:
    """The folder with initdb and postgres."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise Missing(f"no PostgreSQL here: apt-get install {PACKAGE}, or run `make test` as root on Debian")
    return Path(found).parent


def require_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as problem:
        raise Missing(f"psycopg does not load: {str(problem).splitlines()[0]}") from None


def _unprivileged() -> str:
    """PostgreSQL refuses to run as root: whom it runs as then."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Missing("no unprivileged user to run PostgreSQL as")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """An SQLAlchemy URL of an empty database. Raises Missing."""
    require_driver()
    folder = programs()
    base = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    owner = {}
    if os.getuid() == 0:
        name = _unprivileged()
        owner = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
        shutil.chown(base, name)
    try:
        data = base / "data"
        argv = [folder / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(argv, cwd=base, capture_output=True, text=True, check=False, **owner)
        if done.returncode:
            raise Missing(f"initdb: {done.stderr.strip()[-500:]}")
        quick = [word for key in ("fsync=off", "full_page_writes=off", "listen_addresses=") for word in ("-c", key)]
        argv = [folder / "postgres", "-D", data, "-k", base, *quick]
        with open(base / "log", "wb") as log:
            server = subprocess.Popen(argv, cwd=base, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **owner)
        try:
            _wait(base, server)
            yield f"postgresql+psycopg://{USER}@/postgres?host={base}"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _wait(base: Path, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(host=str(base), user=USER, dbname="postgres").close()
            return
        except psycopg.OperationalError as problem:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"PostgreSQL did not come up: {problem}") from None
            time.sleep(0.05)


@contextlib.contextmanager
def database(url: str, name: str) -> Iterator[str]:
    """The URL of a database of its own beside that of `url`, gone afterwards."""
    import psycopg

    host = url.rpartition("=")[2]
    with psycopg.connect(host=host, user=USER, dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield url.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def install() -> str:
    """Get the package, quietly. The answer is a line to show, "" when there was nothing to do."""
    with contextlib.suppress(Missing):
        programs()
        return ""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        return f"no PostgreSQL here, and only root on Debian can get it: its tests are skipped ({PACKAGE})"
    policy = Path("/usr/sbin/policy-rc.d")  # the package must not start a server of its own
    mine = not policy.exists()
    if mine:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        argv = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGE]
        for before in ([], ["apt-get", "update", "-qq"]):
            if before:
                subprocess.run(before, env=env, capture_output=True, check=False)
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return ""
    finally:
        if mine:
            policy.unlink(missing_ok=True)
    return f"PostgreSQL could not be installed, its tests are skipped: {done.stderr.strip().splitlines()[-1:]}"


if __name__ == "__main__":
    if "--install" in sys.argv[1:]:
        if line := install():
            print(line)
    else:
        with running() as running_url:
            print(running_url, flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
