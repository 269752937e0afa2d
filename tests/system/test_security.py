"""What a hostile user of the machine tries on a cluster that root runs for all: files, the socket, others' jobs."""

import base64
import contextlib
import json
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from slurm_compat.controller.tokens import job_word
from slurm_compat.core.wire import frame
from tests.system.conftest import ALICE, BOB, until

OPEN_TO_ALL = {"run/controller.sock", "run/hosts", "run/start.lock"}
ENTERED_NOT_LISTED = 0o711


def call(cluster, user, name, **args):
    """What the controller answers this user, whatever the commands would have let him ask."""
    person = pwd.getpwnam(user)
    with socket.socket(socket.AF_UNIX) as sock:
        os.setegid(person.pw_gid)
        os.seteuid(person.pw_uid)
        try:
            sock.connect(f"{cluster.state}/run/controller.sock")
        finally:
            os.seteuid(0)
            os.setegid(0)
        sock.settimeout(20)
        sock.sendall(frame({"call": name, "args": args}))
        with sock.makefile("rb") as stream:
            length = int.from_bytes(stream.read(4), "big")
            return json.loads(stream.read(length)) if length else None


def request(folder, script, **asked):
    return {
        "request": {"batch": True, "current_working_directory": str(folder), "standard_output": "out"} | asked,
        "script": base64.b64encode(script.encode()).decode(),
        "environment": "",
        "key": os.urandom(8).hex(),
    }


def test_nobody_else_reads_what_the_daemons_keep(cluster):
    """Scripts, environments and tokens of all jobs are in there."""
    readable = set()
    for path in Path(cluster.state).rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            info = path.lstat()
            folders = [one for one in path.parents if one.is_relative_to(cluster.state)]
            if info.st_mode & 0o004 and all(one.stat().st_mode & 0o001 for one in folders) and path.suffix != ".pid":
                readable.add(str(path.relative_to(cluster.state)))
            if not stat.S_ISSOCK(info.st_mode):
                assert not info.st_mode & 0o022, f"{path} is writable by others"
    assert readable <= OPEN_TO_ALL
    assert stat.S_IMODE(os.stat(cluster.state).st_mode) == ENTERED_NOT_LISTED


def test_a_forged_call_gives_no_group_and_no_other_name(cluster, folder, as_root):
    for forged in ({"group_id": 0}, {"user_id": 0}, {"user_id": pwd.getpwnam(BOB).pw_uid}):
        answer = call(cluster, ALICE, "submit", **request(folder, "#!/bin/sh\nid\n", **forged))
        assert answer == {"error": [2002, "Access/permission denied"]}


def test_a_job_is_its_user_and_nothing_more(cluster, folder, as_root):
    script = "#!/bin/sh\nid -u; id -g; id -G; umask; grep Cap /proc/self/status | cut -f2 | sort -u | tail -1\n"
    person = pwd.getpwnam(ALICE)
    job = call(cluster, ALICE, "submit", **request(folder, script, umask=0o077))["result"]["job_id"]
    cluster.ended(str(job))
    user, group, groups, mask, *_ = (folder / "out").read_text().splitlines()
    assert (user, group, mask) == (str(person.pw_uid), str(person.pw_gid), "0077")
    assert set(groups.split()) == set(map(str, os.getgrouplist(ALICE, person.pw_gid)))
    info = (folder / "out").stat()
    assert (info.st_uid, info.st_gid) == (person.pw_uid, person.pw_gid)


@pytest.mark.parametrize("pattern", ["secret", "link", "../../../../../{}/secret", "deep/%u/../../secret"])
def test_an_output_file_is_opened_with_the_users_rights(cluster, folder, as_root, pattern):
    secret = folder / "root" / "secret"
    secret.parent.mkdir(mode=0o755)
    secret.write_text("kept")
    secret.chmod(0o644)
    (folder / "root" / "link").symlink_to(secret)
    where = folder / "root" / pattern.format(folder / "root")
    job = cluster.wrap("echo gone", "-o", str(where), user=ALICE, cwd=folder)
    assert cluster.ended(job)[job] == ("FAILED", "0:53")
    assert secret.read_text() == "kept"


def test_a_found_token_makes_nobody_an_agent(cluster, folder, as_root):
    """An agent of this machine is a process of the controller's own user, whatever it shows."""
    job = cluster.wrap("sleep 60", "-o", "/dev/null", user=ALICE)
    cluster.becomes(job, "RUNNING")
    records = [json.loads(path.read_text()) for path in Path(cluster.state, "pods").glob("*.json")]
    (env,) = [env for record in records if (env := record["containers"][0]["env"])["SLURM_COMPAT_JOB_ID"] == job]
    hello = {
        "job_id": int(job), "token": env["SLURM_COMPAT_TOKEN"], "restart": int(env["SLURM_COMPAT_RESTART"]), "rank": 0,
        "node": "node01", "address": "", "pid": 1, "cpu_ids": [], "gpus": [],
    }  # fmt: skip
    assert call(cluster, BOB, "agent", **hello)["error"][0] == 2002
    answer = call(cluster, BOB, "authenticate", token=job_word(hello["token"]), job_id=int(job))
    assert answer["error"][0] == 1007
    cluster.run("scancel", job)
    until(lambda: cluster.state_of(job) == "CANCELLED")


@pytest.mark.parametrize(
    "name, args",
    [
        ("step_attach", {"step_id": "batch", "addresses": ["127.0.0.1:1"], "secret": "x"}),
        ("broadcast", {"addresses": [], "secret": "", "path": "/tmp/x", "mode": 511}),
        ("step_create", {"request": {"argv": ["id"]}, "addresses": [], "secret": ""}),
        ("complete_allocation", {}),
        ("step_complete", {"step_id": "0", "exit_code": 0}),
        ("job_script", {}),
        ("notify", {"text": "x"}),
    ],
)
def test_of_anothers_job_nothing_is_had(cluster, as_root, name, args):
    job = cluster.wrap("sleep 60", "-o", "/dev/null", user=ALICE)
    cluster.becomes(job, "RUNNING")
    assert call(cluster, BOB, name, job_id=int(job), **args)["error"][0] in (2002, 2010)
    cluster.run("scancel", job)
    until(lambda: cluster.state_of(job) == "CANCELLED")
