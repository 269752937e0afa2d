"""scontrol write: a job's script, or the configuration in slurm.conf's own form, as a file."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from typing import Any

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.cli.where import cluster_file
from slurm_compat.core import jobid
from slurm_compat.core.errors import BadValue, CommandError, SlurmError
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import duration

RULE = "#" * 48
# rows of scontrol show config that are no keys of slurm.conf
NO_KEYS = frozenset({"BOOT_TIME", "HASH_VAL", "MULTIPLE_SLURMD", "NEXT_JOB_ID", "SLURM_CONF", "SLURM_VERSION"})


def write(session: Session, words: list[str]) -> bool:
    if words[0].lower() == "config":
        return _config(session, words[1:])
    if words[0].lower() != "batch_script":
        return session.fail(f"invalid write argument:{words[0]}")
    return _script(session, words[1:]) if len(words) > 1 else True


def _script(session: Session, words: list[str]) -> bool:
    try:
        job = jobid.parse(words[0]).job_id
        script = session.ctx.controller.call("job_script", job_id=job)["script"]
    except BadValue:
        why = "" if words[0][:1].isdigit() else ": JobID can not be zero"
        raise CommandError(f"scontrol: fatal: Bad job/step specified: {words[0]}{why}") from None
    except SlurmError as problem:
        # Slurm counts this as done: its exit code stays 0
        session.fail(f"job script retrieval failed: {problem.text}")
        return True
    content = base64.b64decode(script)
    if len(words) > 1 and words[1] == "-":
        session.ctx.stdout.write(content.decode("utf-8", "surrogateescape"))
        return True
    path = words[1] if len(words) > 1 else f"slurm-{words[0]}.sh"
    try:
        with open(os.path.join(session.ctx.cwd, path), "wb") as file:
            file.write(content)
    except OSError as problem:
        session.fail(f"failed to open file `{path}`: {problem.strerror}")
        return True
    session.ctx.out(f"batch script for job {words[0]} written to {path}")
    return True


def _config(session: Session, words: list[str]) -> bool:
    base = words[0] if words else cluster_file(session.ctx.env) or "slurm.conf"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(session.ctx.now()))
    path = f"{base}.{stamp}"
    try:
        pairs = session.ctx.controller.call("config")["pairs"]
    except SlurmError as problem:
        return session.fail(f"slurm_load_ctl_conf error: {problem.text}")
    text = "\n".join(_lines(session, pairs, stamp)) + "\n"
    try:
        with open(os.path.join(session.ctx.cwd, path), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as problem:
        return session.fail(f"failed to open file `{path}`: {problem.strerror}")
    session.ctx.out(f"Slurm config saved to {path}")
    return True


def _title(text: str) -> Iterator[str]:
    yield from ("#", RULE, f"#{text:^46}#", RULE)


def _lines(session: Session, pairs: list[tuple[str, str]], stamp: str) -> Iterator[str]:
    yield from (f"#  Configuration file for Slurm - {stamp}", *_title("CONFIGURATION"))
    for key, value in pairs:
        if key not in NO_KEYS:
            name = key.partition("[")[0]
            yield f"#{name}=" if value in ("(null)", "") else f"{name}={value.split(' ')[0]}"
    yield from _title("NODES")
    for node in session.rows("nodes", list(NODE_FIELDS)):
        yield " ".join(_node_words(node))
    yield from _title("PARTITIONS")
    for part in session.rows("partitions", list(PARTITION_FIELDS)):
        yield " ".join(_partition_words(part))


NODE_FIELDS = ("name", "address", "sockets", "cores", "threads", "gres", "real_memory", "weight", "features")
PARTITION_FIELDS = ("name", "default", "default_time", "max_time", "min_nodes", "nodes", "state")


def _node_words(node: dict[str, Any]) -> Iterator[str]:
    yield f"NodeName={node['name']} NodeAddr={node['address']} Sockets={node['sockets']}"
    yield f"CoresPerSocket={node['cores']} ThreadsPerCore={node['threads']}"
    if node["gres"]:
        yield f"Gres={node['gres']}"
    yield f"RealMemory={node['real_memory']}"
    if node["weight"] != 1:
        yield f"Weight={node['weight']}"
    if node["features"]:
        yield f"Feature={node['features']}"


def _partition_words(part: dict[str, Any]) -> Iterator[str]:
    yield f"PartitionName={part['name']}"
    if part["default"]:
        yield "Default=YES"
    for key, minutes in (("DefaultTime", part["default_time"]), ("MaxTime", part["max_time"])):
        if minutes not in (None, UNLIMITED):
            yield f"{key}={duration(minutes * 60)}"
    yield f"MinNodes={part['min_nodes']} Nodes={part['nodes']} State={part['state']}"
