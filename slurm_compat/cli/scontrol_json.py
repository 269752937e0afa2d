"""What scontrol prints with --json and --yaml: the documents of its entities and verbs that have one.

A row an entity: its function and the exit code when the version of the schema asked for is none. Each is given the
words behind the entity; what they name and is not there makes an empty document, as it does in the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from slurm_compat.cli import job_json, jsondoc, node_json, reservation_json, sinfo_json, step_json
from slurm_compat.cli import scontrol_show as text
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.jsondoc import Form, number
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import hostlist, jobid
from slurm_compat.core.errors import BadValue, SlurmError

Words = list[str]
NO_PID = "Dumping (0xffffffff) as place holder for Infinity"  # of the extern step, whose pid is -1


class Document(NamedTuple):
    show: Callable[[Session, Words, Form], bool]
    failure: int = 1  # the exit code for a version that there is not


def shown(session: Session, name: str, words: Words) -> bool | None:
    """The document of an entity or verb; None where it has none, and its text is printed."""
    document = DOCUMENTS.get(name)
    if document is None:
        return None
    form = jsondoc.begin(session.ctx, session.document, session.parser, document.failure)
    if isinstance(form, int):
        session.code = form
        return form == 0
    return document.show(session, words, form)


def _stream(
    session: Session, form: Form, name: str, entries: Any, *warnings: str, empty: frozenset[str] = frozenset()
) -> bool:
    more = {
        "last_update": number(int(session.ctx.now())),
        "warnings": [jsondoc.warning(text) for text in warnings],
    }
    jsondoc.stream(session.ctx, form, name, entries, own_cluster(session.ctx), more, empty)
    return True


def _jobs(session: Session, words: Words, form: Form) -> bool:
    from slurm_compat.cli.scontrol_records import wanted_jobs

    now = number(int(session.ctx.now()))
    try:
        rows = wanted_jobs(session, words, job_json.FIELDS)
    except BadValue:
        return session.fail("scontrol_print_job error: Invalid job id specified")
    except SlurmError:
        rows, now = [], number(0)
    entries = job_json.documents(session.ctx, rows, form)
    none = not rows and now["number"]
    more = {"last_backfill": now, "last_update": now, "warnings": [job_json.NONE] if none else []}
    jsondoc.stream(session.ctx, form, "jobs", entries, own_cluster(session.ctx), more, job_json.EMPTY)
    return True


def _nodes(session: Session, words: Words, form: Form) -> bool:
    try:
        wanted = hostlist.expand(words[0]) if words else []
    except BadValue:
        wanted = [words[0]]
    rows = [row for row in session.rows("nodes", node_json.FIELDS) if not wanted or row["name"] in wanted]
    entries = [node_json.node(row, form) for row in rows]
    warnings = () if rows else ("No nodes to dump",)
    return _stream(session, form, "nodes", entries, *warnings, empty=node_json.EMPTY)


def _partitions(session: Session, words: Words, form: Form) -> bool:
    fields = list(sinfo_json.PARTITION_FIELDS)
    rows = [
        row
        for row in session.rows("partitions", fields)
        if (row["name"] == words[0] if words else session.all or not row["hidden"])
    ]
    warnings = () if rows else ("No partitions to dump",)
    return _stream(session, form, "partitions", [sinfo_json.partition(row, form) for row in rows], *warnings)


def _steps(session: Session, words: Words, form: Form) -> bool:
    job_ids: list[int] = []
    step_id = ""
    if words:
        job, _, step_id = words[0].partition(".")
        try:
            job_ids = [jobid.parse(job).job_id]
        except BadValue:
            return session.fail(f"scontrol: error: Invalid job id {words[0]}")
    try:
        rows = session.rows("steps", step_json.FIELDS, job_ids=job_ids)
    except SlurmError:
        rows = []
    rows = [row for row in rows if not step_id or row["step_id"] == step_id]
    step_json.print_form(session.ctx, form, rows)
    return True


def _reservations(session: Session, words: Words, form: Form) -> bool:
    rows = session.rows("reservations", reservation_json.FIELDS)
    entries = [reservation_json.reservation(row, form) for row in rows if not words or row["name"] == words[0]]
    return _stream(session, form, "reservations", entries)


def _licenses(session: Session, words: Words, form: Form) -> bool:
    """All of them, whichever is named: so the real one has it."""
    nodes = {} if form.upto("v0.0.43") else {"Nodes": ""}
    entries = [
        {
            "LicenseName": row["name"], "Total": row["total"], "Used": row["used"], "Free": row["free"],
            "Remote": bool(row["remote"]), "Reserved": row["reserved"], "LastConsumed": 0, "LastDeficit": 0,
            "LastUpdate": 0, **nodes,
        }
        for row in session.rows("licenses", text.LICENSE_NEEDS)
    ]  # fmt: skip
    return _stream(session, form, "licenses", entries)


def _config(session: Session, words: Words, form: Form) -> bool:
    from slurm_compat.cli import config_json

    if form.upto("v0.0.44"):  # the older schemas have no such document
        session.ctx.out("")
        session.code = 244
        return False
    pairs = session.ctx.controller.call("config")["pairs"]
    value = config_json.document(((key, value) for key, value in pairs), int(session.ctx.now()), form)
    jsondoc.show(session.ctx, form, value, own_cluster(session.ctx), config_json.EMPTY)
    return True


def _ping(session: Session, words: Words, form: Form) -> bool:
    from slurm_compat.cli.scontrol_daemons import pinged

    host, up, microseconds = pinged(session)
    word = "UP" if up else "DOWN"
    entry: dict[str, Any] = {"hostname": host}
    if form.upto("v0.0.44"):
        entry |= {"pinged": word, "responding": up, "latency": microseconds, "mode": "primary", "primary": True}
    else:
        status = "No error" if up else "Unable to contact slurm controller (connect failure)"
        entry |= {"responding": up, "latency": microseconds, "primary": True, "status": status}
    jsondoc.stream(session.ctx, form, "pings", [entry], own_cluster(session.ctx) if up else "")
    return up


def _pids(session: Session, words: Words, form: Form) -> bool:
    from slurm_compat.cli.scontrol_here import EXTERN_PID, pids_here

    found = pids_here(session, words)
    if found is None:
        return False
    entries = [
        {
            "global_task_id": number(rank), "local_task_id": number(place), "job_id": job_id,
            "pid": pid & 0xFFFFFFFF, "step_id": step_id,
        }
        for pid, job_id, step_id, rank, place in found
    ]  # fmt: skip
    extern = [jsondoc.warning(NO_PID) for process in found if process.pid == EXTERN_PID and not form.complex]
    jsondoc.stream(session.ctx, form, "pids", entries, own_cluster(session.ctx), {"warnings": extern})
    return bool(found)


def _listed(title: str) -> Callable[[Session, Words, Form], bool]:
    def show(session: Session, words: Words, form: Form) -> bool:
        from slurm_compat.cli.scontrol_here import steps_here

        steps = steps_here(session, words)
        if title == "jobs":
            entries: list[dict[str, Any]] = [{"job_id": job} for job in dict.fromkeys(job for job, _ in steps)]
        else:
            entries = [{"job_id": job, "step_id": step} for job, step in steps]
        jsondoc.stream(session.ctx, form, title, entries, own_cluster(session.ctx))
        return True

    return show


DOCUMENTS: dict[str, Document] = {
    "config": Document(_config, 253),
    "jobs": Document(_jobs),
    "licenses": Document(_licenses),
    "listjobs": Document(_listed("jobs")),
    "listpids": Document(_pids),
    "liststeps": Document(_listed("steps")),
    "nodes": Document(_nodes),
    "partitions": Document(_partitions, 255),
    "ping": Document(_ping, 253),
    "reservations": Document(_reservations),
    "steps": Document(_steps, 0),
}
