"""`slurm-compat`: the operator's command. Starts, stops and looks after a cluster; installs the commands."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from slurm_compat import SLURM_VERSION, __version__
from slurm_compat.cli import where

START_TIMEOUT = 30.0  # seconds for the controller to answer
STOP_TIMEOUT = 30.0
DAEMONS = ("controller", "engine", "kubelet")


class NotStarted(click.ClickException):
    """The controller could not be started; the message says why."""


def running(state: str, daemon: str) -> int | None:
    """The daemon's pid when the one recorded still runs: pid and start time must both be right."""
    try:
        pid, started = Path(state, "run", f"{daemon}.pid").read_text().split()[:2]
        stat = Path("/proc", pid, "stat").read_text()
    except (OSError, ValueError):
        return None
    fields = stat.rpartition(")")[2].split()
    return int(pid) if fields[19] == started and fields[0] != "Z" else None


def answers(state: str) -> dict[str, Any] | None:
    """The controller's answer to a ping, None when it gives none."""
    import socket

    from slurm_compat.cli.controller import Connection, ControllerDown
    from slurm_compat.core import unixsocket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        try:
            unixsocket.connect(sock, os.path.join(state, "run", "controller.sock"))
            return Connection(sock).call("ping")
        except (OSError, ControllerDown):
            return None


def start(cluster_file: str, state: str) -> None:
    """Have a controller answering for this state folder. Several may ask at once; one starts it."""
    for folder, mode in ((state, 0o755), (os.path.join(state, "run"), 0o755), (os.path.join(state, "log"), 0o700)):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, mode)
    with open(os.path.join(state, "run", "start.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if answers(state) is not None:
            return
        log = os.path.join(state, "log", "controller.log")
        with open(log, "ab") as out:
            argv = [sys.executable, "-m", "slurm_compat.controller", *([cluster_file] if cluster_file else [])]
            process = subprocess.Popen(
                [*argv, "--state", state], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, cwd="/", env=_daemon_environment(),
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT
        while answers(state) is None:
            if process.poll() is not None:
                raise NotStarted(f"the controller did not start; its last words: {_tail(log)}")
            if time.monotonic() > deadline:
                process.terminate()
                raise NotStarted(f"the controller does not answer; see {log}")
            time.sleep(0.02)


def _daemon_environment() -> dict[str, str]:
    """A daemon outlives its starter: nothing of a job's or a test's environment goes with it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "_SLURM_"))}


def _tail(path: str, lines: int = 3) -> str:
    try:
        text = Path(path).read_text(errors="replace").strip().splitlines()
    except OSError as problem:
        return str(problem)
    return " | ".join(text[-lines:]) or "(none)"


def stop(state: str, jobs: bool) -> list[str]:
    """End controller and engine; with `jobs`, all pods and the kubelet too. The answer names what was ended.

    Without, running jobs go on: their kubelet stays as long as there are any, and a new engine finds them again.
    """
    signals = {"controller": signal.SIGTERM, "engine": signal.SIGTERM}
    if jobs:
        signals["kubelet"] = signal.SIGQUIT  # which ends its pods first
    ended = []
    for daemon, number in signals.items():
        pid = running(state, daemon)
        if pid is None:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT
        while running(state, daemon) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        ended.append(daemon)
    return ended


@contextlib.contextmanager
def throwaway(
    cluster_file: str, python_launcher: bool = False, inside: str = "/tmp"
) -> Iterator[tuple[Path, Path, str]]:
    """A cluster of its own in a temporary folder, gone with everything it ran: (folder with the commands, its cluster
    file, state folder)."""
    base = Path(tempfile.mkdtemp(prefix="slurm-compat-", dir=inside))
    base.chmod(0o755)
    try:
        state = base / "state"
        text = Path(cluster_file).read_text(encoding="utf-8") if cluster_file else ""
        lines = [line for line in text.splitlines() if not line.startswith("StateSaveLocation:")]
        copy = base / "cluster.yaml"
        copy.write_text("\n".join([f"StateSaveLocation: {state}", *lines, ""]), encoding="utf-8")
        from slurm_compat.launcher.install import install

        install(base / "bin", str(copy), compiler="" if python_launcher else None)
        start(str(copy), str(state))
        try:
            yield base / "bin", copy, str(state)
        finally:
            stop(str(state), jobs=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


# -- the command ------------------------------------------------------------------------------------------------------

cluster_option = click.option("--cluster", "cluster_file", default="", metavar="FILE", help="cluster file")


def _place(cluster_file: str) -> where.Place:
    env = dict(os.environ)
    if cluster_file:
        env["SLURM_CONF"] = os.path.abspath(cluster_file)
    return where.controller_socket(env)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(f"{__version__} (Slurm {SLURM_VERSION})")
def main() -> None:
    """Slurm's commands on Armada: run and look after a cluster."""


@main.command("start")
@cluster_option
def start_command(cluster_file: str) -> None:
    """Start the controller (and the embedded engine) unless it runs."""
    place = _place(cluster_file)
    start(place.cluster_file, place.state)
    click.echo(f"running; state in {place.state}")


@main.command("stop")
@cluster_option
@click.option("--jobs/--no-jobs", default=False, help="end running jobs too (default: they go on, and are found again)")
def stop_command(cluster_file: str, jobs: bool) -> None:
    """Stop controller and engine."""
    ended = stop(_place(cluster_file).state, jobs)
    click.echo(f"stopped {', '.join(ended)}" if ended else "nothing was running")


@main.command("status")
@cluster_option
def status_command(cluster_file: str) -> None:
    """What runs, and where. Exit code 1 when the controller does not answer."""
    place = _place(cluster_file)
    click.echo(f"cluster file: {place.cluster_file or '(none: private cluster)'}\nstate: {place.state}")
    for daemon in DAEMONS:
        pid = running(place.state, daemon)
        click.echo(f"{daemon}: {f'pid {pid}' if pid else 'not running'}")
    if answers(place.state) is None:
        click.echo("controller: does not answer")
        sys.exit(1)
    click.echo("controller: answers")


@main.command("doctor")
@cluster_option
def doctor_command(cluster_file: str) -> None:
    """Check what this machine allows, and say what follows from each answer."""
    from slurm_compat.doctor import findings

    for ok, what, so in findings(_place(cluster_file)):
        click.echo(f"{'ok  ' if ok else 'note'} {what}{'' if ok else ': ' + so}")


@main.command("install-commands")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@cluster_option
@click.option("--python-launcher", is_flag=True, help="do not use a C compiler")
def install_command(folder: Path, cluster_file: str, python_launcher: bool) -> None:
    """Put sbatch, squeue, … into FOLDER."""
    from slurm_compat.launcher.install import install

    kind = install(folder, os.path.abspath(cluster_file) if cluster_file else "", "" if python_launcher else None)
    click.echo(f"commands in {folder} ({kind} launcher)")


@main.command("translate", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def translate_command(arguments: tuple[str, ...]) -> None:
    """Show, as YAML, the Armada jobs that `sbatch ARGUMENTS` becomes, and what the controller keeps beside them."""
    import pwd

    from slurm_compat.core.errors import BadValue, CommandError, SlurmError
    from slurm_compat.translate import translated

    user = (os.getuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name)
    try:
        click.echo(translated(list(arguments), dict(os.environ), os.getcwd(), user), nl=False)
    except CommandError as problem:
        raise click.ClickException("\n".join(problem.lines)) from None
    except SlurmError as problem:
        raise click.ClickException("; ".join([*problem.notes, problem.text])) from None
    except (BadValue, OSError) as problem:
        raise click.ClickException(f"cluster file: {problem}") from None


@main.command("run", context_settings={"ignore_unknown_options": True})
@cluster_option
@click.option("--python-launcher", is_flag=True, help="use the Python launcher")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_command(cluster_file: str, python_launcher: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND beside a cluster of its own that is gone when it ends: for tests of whatever calls sbatch."""
    with throwaway(cluster_file, python_launcher) as (commands, copy, _):
        env = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "SLURM_CONF": str(copy),
                            "SLURM_COMPAT_BIN": str(commands)}  # fmt: skip
        code = subprocess.run(command, env=env, check=False).returncode
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
