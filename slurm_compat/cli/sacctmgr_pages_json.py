"""The documents of sacctmgr that are no lists of entities: ping, stats, configuration, and instances, of which there
are none. In the shape of the published schema."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.jsondoc import Form
from slurm_compat.cli.sacctmgr_show import Settings, caller_is_operator
from slurm_compat.cli.sdiag_messages import Count, counts
from slurm_compat.core.errors import CommandError, SlurmError

NEVER = {"count": 0, "last_run": 0, "duration": {"last": 0, "max": 0, "time": 0}}
KEPT = {"set": False, "hours": 0, "days": 0, "months": 0, "archive": False}
PURGED = ("Event", "Job", "Resv", "Step", "Suspend", "TXN", "Usage", "JobScript", "JobEnv")
EMPTY = frozenset({"StorageLoc", "StoragePassScript", "StorageUser", "DebugLevelSyslog"})  # see jsondoc.stream


def print_page(settings: Settings, name: str) -> int | None:
    """The exit code; None where there is no such document."""
    page = PAGES.get(name)
    if page is None or not settings.output:
        return None
    form = jsondoc.begin(settings.ctx, settings.output, settings.parser)
    if isinstance(form, int):
        return form
    if page is configuration and form.upto("v0.0.44"):  # the older schemas have no such document
        settings.ctx.out("")
        return 0
    jsondoc.show(settings.ctx, form, page(settings, form), own_cluster(settings.ctx), EMPTY)
    return 0


def ping(settings: Settings, form: Form) -> dict[str, Any]:
    began = time.monotonic()
    try:
        host, up = settings.ctx.controller.call("ping")["hostname"], True
    except SlurmError:
        host, up = "", False
    latency = round((time.monotonic() - began) * 1_000_000)
    entry: dict[str, Any] = {"hostname": host, "responding": up, "latency": latency, "primary": True}
    return {"pings": [entry | {"status": "No error" if up else "Unspecified error"}]}


def statistics(settings: Settings, form: Form) -> dict[str, Any]:
    """Use is added up as it is asked for: nothing is rolled up."""
    if not caller_is_operator(settings):
        raise CommandError(
            "sacctmgr: accounting_storage/slurmdbd: acct_storage_p_get_stats: RC:2002 "
            "Your user doesn't have privilege to perform this action"
        )
    figures = settings.ctx.controller.call("statistics")
    calls = sorted(counts(figures["calls"], database=True), key=lambda entry: -entry.calls)
    users = sorted((Count(*row) for row in figures["users"]), key=lambda entry: -entry.calls)
    return {
        "statistics": {
            "time_start": figures["since"],
            "rollups": {"hourly": NEVER, "daily": NEVER, "monthly": NEVER},
            "RPCs": _counted("rpc", calls),
            "users": _counted("user", users),
        }
    }


def _counted(title: str, entries: Iterable[Count]) -> list[dict[str, Any]]:
    return [
        {title: entry.name, "count": entry.calls, "time": {"average": entry.average, "total": entry.total}}
        for entry in entries
    ]


def configuration(settings: Settings, form: Form) -> dict[str, Any]:
    """The controller is the database: what its configuration says of one."""
    pairs = dict(settings.ctx.controller.call("config")["pairs"])
    port = pairs.get("AccountingStoragePort", "0")
    host = pairs.get("AccountingStorageHost", "").replace("(null)", "")
    return {
        "slurmdbd_conf": {
            "ArchiveDir": "/tmp", "ArchiveScript": "", "CommitDelay": 0, "DbdAddr": host, "DbdBackupHost": "",
            "DbdHost": host, "DbdPort": int(port) if port.isdigit() else 0,
            "DebugLevel": pairs.get("SlurmctldDebug", "info"), "DefaultQOS": "", "Flags": [],
            "LogFile": pairs.get("SlurmctldLogFile", "").replace("(null)", ""), "MaxPurgeLimit": 50000,
            "MaxQueryTimeRange": "UNLIMITED", "Parameters": [], "PersistConnFlags": [],
            "PidFile": pairs.get("SlurmctldPidFile", "").replace("(null)", ""),
            **{f"Purge{what}After": KEPT for what in PURGED},
            "StorageLoc": "", "StoragePassScript": "", "StorageUser": "", "DebugLevelSyslog": "",
            "TrackWCKey": pairs.get("TrackWCKey", "no").lower() == "yes", "TrackSlurmctldDown": False,
        }
    }  # fmt: skip


def instances(settings: Settings, form: Form) -> dict[str, Any]:
    return {"instances": []}


PAGES: dict[str, Callable[[Settings, Form], dict[str, Any]]] = {
    "configuration": configuration,
    "instance": instances,
    "ping": ping,
    "stats": statistics,
}
