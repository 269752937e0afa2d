"""sacctmgr's answers that are no tables: the accounting's configuration, its statistics, runaway jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_show import Settings, caller_is_operator
from slurm_compat.cli.sdiag import moment, times
from slurm_compat.cli.sdiag_messages import Count, counts
from slurm_compat.core import timefmt
from slurm_compat.core.errors import CommandError

STARS = "*" * 67
# keys of `scontrol show config` that are shown as they stand there, and how they are aligned
_FROM_CONFIG = (
    ("AccountingStorageBackupHost", 28), ("AccountingStorageHost", 22), ("AccountingStorageParameters", 27),
    ("AccountingStoragePort", 22), ("AccountingStorageType", 22), ("AuthType", 22), ("MessageTimeout", 22),
    ("PluginDir", 22), ("PrivateData", 22), ("SlurmUser", 22), ("SLURM_CONF", 22), ("SLURM_VERSION", 22),
    ("TCPTimeout", 22), ("TrackWCKey", 22),
)  # fmt: skip
_SHOWN_AS = {"SlurmUser": "SlurmUserId"}


def configuration(settings: Settings, words: Sequence[str]) -> int:
    pairs = dict(settings.ctx.controller.call("config")["pairs"])
    ctx = settings.ctx
    ctx.out(f"Configuration data as of {timefmt.clock(int(ctx.now()))}")
    for key, width in _FROM_CONFIG:
        ctx.out(f"{_SHOWN_AS.get(key, key):<{width}} = {pairs.get(key, '(null)')}")
    ctx.out("")
    # the database's own part: the controller is the database
    ctx.out("SlurmDBD configuration:")
    for name, value in (
        ("DbdHost", pairs.get("AccountingStorageHost", "(null)")),
        ("SLURMDBD_CONF", pairs.get("SLURM_CONF", "(null)")),
        ("SLURMDBD_VERSION", SLURM_VERSION),
        ("SlurmUser", pairs.get("SlurmUser", "(null)")),
        ("StateSaveLocation", pairs.get("StateSaveLocation", "(null)")),
        ("TrackWCKey", "no"),
        ("TrackSlurmctldDown", "no"),
    ):
        ctx.out(f"{name:<22} = {value}")
    return 0


def statistics(settings: Settings, words: Sequence[str]) -> int:
    if not caller_is_operator(settings):
        raise CommandError(
            "sacctmgr: accounting_storage/slurmdbd: acct_storage_p_get_stats: RC:2002 "
            "Your user doesn't have privilege to perform this action"
        )
    for line in _statistics(settings):
        settings.ctx.out(line)
    return 0


def _statistics(settings: Settings) -> Iterator[str]:
    figures = settings.ctx.controller.call("statistics")
    yield STARS
    yield f"sacctmgr show stats output at {moment(int(settings.ctx.now()))}"
    yield f"Data since                    {moment(figures['since'])}"
    yield "All statistics are in microseconds"
    yield STARS
    yield ""
    # use is added up as it is asked for: there is nothing to roll up
    yield f"Internal DBD rollup last ran {time.ctime(0)} (0)"
    yield "\tLast cycle:   0"
    yield "\tMax cycle:    0"
    yield "\tTotal time:   0"
    yield "\tTotal cycles: 0"
    yield "\tMean cycle:   0"
    yield ""
    yield "Remote Procedure Call statistics by message type"
    for entry in sorted(counts(figures["calls"], database=True), key=lambda entry: -entry.calls):
        yield f"\t{entry.name:<25}({entry.number:5d}) {times(entry)}"
    yield ""
    yield "Remote Procedure Call statistics by user"
    for entry in sorted((Count(*row) for row in figures["users"]), key=lambda entry: -entry.calls):
        yield f"\t{entry.name:<20}({entry.number:10d}) {times(entry)}"


def runaway_jobs(settings: Settings, words: Sequence[str]) -> int:
    """Jobs that the records think running and the controller does not know: one process keeps both, so never any."""
    if not caller_is_operator(settings):
        raise CommandError("sacctmgr: error: You must have an AdminLevel>=Operator to fix runaway jobs")
    settings.ctx.out(f"Runaway Jobs: No runaway jobs found on cluster {own_cluster(settings.ctx)}")
    return 0


def clear_statistics(settings: Settings, words: Sequence[str]) -> int:
    if not words or not ("stats".startswith(words[0].lower()) or "statistics".startswith(words[0].lower())):
        raise CommandError("No valid entity in list command", 'Input line must include "Stats"')
    settings.ctx.controller.call("statistics", reset=True)
    return 0
