"""sdiag: what the controller has been doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.cli.sdiag_messages import Count, counts, pending
from slurm_compat.core.errors import CommandError, SlurmError

OPTIONS = (
    Opt("all", "a", help="no effect: everything is shown anyway"),
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("reset", "r", help="begin all counts anew"),
    Opt("cluster", "M", REQUIRED, "of this cluster", "NAME"),
    Opt("clusters", "M", REQUIRED),
    Opt("sort-by-id", "i", help="messages by their number"),
    Opt("sort-by-time", "t", help="messages by their time in all"),
    Opt("sort-by-time2", "T", help="messages by their time on average"),
    Opt("version", "V", help="show the version, and end"),
    Opt("no-trunc", "no-trunc", help="no effect: no line is cut"),
    Opt("json", "json", OPTIONAL, "as JSON", "PARSER"),
    Opt("yaml", "yaml", OPTIONAL, "as YAML", "PARSER"),
    Opt("help", "help", help="show this text, and end"),
    Opt("usage", "usage", help="show a line of usage, and end"),
)
TRY = 'Try "sdiag --help" for more information'
STARS = "*" * 55
REFUSED = 255

ORDERS: dict[str, Callable[[Count], Any]] = {
    "": lambda entry: -entry.calls,
    "i": lambda entry: entry.number,
    "t": lambda entry: -entry.total,
    "T": lambda entry: -entry.average,
}

Figures = Mapping[str, Any]


@dataclass
class Asked:
    action: str = ""
    reset: bool = False
    order: str = ""
    clusters: str = ""
    output: str = ""
    parser: str = ""


def asked_for(argv: Sequence[str], env: Mapping[str, str]) -> Asked:
    asked = Asked(clusters=env.get("SLURM_CLUSTERS", ""))
    for key, text in parsed("sdiag", argv, OPTIONS, [TRY]):
        if key in _ANSWERS:
            asked.action = key
            break
        if key == "r":
            asked.reset = True
        elif key in ("i", "t", "T"):
            asked.order = key
        elif key == "M":
            asked.clusters = text
        elif key in ("json", "yaml"):
            asked.output, asked.parser = key, text
        elif key not in ("a", "no-trunc", "autocomplete", OPERAND):
            raise CommandError(f"sdiag: error: --{key} is not supported here; leave it out")
    return asked


def main(ctx: Context) -> int:
    asked = asked_for(ctx.argv[1:], ctx.env)
    if asked.action:
        for line in _ANSWERS[asked.action]():
            ctx.out(line)
        return 0
    if asked.clusters:
        require_own_cluster(ctx, asked.clusters)
    if asked.reset:
        try:
            ctx.controller.call("statistics", reset=True)
        except SlurmError as problem:
            ctx.err(f"slurm_reset_statistics: {problem.text}")
            return REFUSED
        ctx.out("Reset scheduling statistics")
        return 0
    figures = ctx.controller.call("statistics")
    if asked.output:
        from slurm_compat.cli import sdiag_json

        return sdiag_json.print_statistics(ctx, asked.output, asked.parser, figures)
    for section in (_server, _jobs, _main, _backfill, _latency):
        for line in section(figures):
            ctx.out(line)
    for line in messages(figures, asked.order):
        ctx.out(line)
    return 0


def moment(seconds: int) -> str:
    return f"{time.ctime(seconds)} ({seconds})"


def _server(figures: Figures) -> Iterator[str]:
    yield STARS
    yield f"sdiag output at {moment(figures['now'])}"
    yield f"Data since      {moment(figures['since'])}"
    yield STARS
    yield f"Server thread count:  {figures['server_threads']}"
    yield "RPC queue enabled:    0"
    yield f"Agent queue size:     {figures['outbox']}"
    yield f"Agent count:          {figures['sending']}"
    yield f"Agent thread count:   {figures['sending']}"
    yield f"DBD Agent queue size: {figures['store_queue']}"
    yield ""


def _jobs(figures: Figures) -> Iterator[str]:
    for word in ("submitted", "started", "completed", "canceled", "failed"):
        yield f"{'Jobs ' + word + ':':<16}{figures['jobs_' + word]}"
    yield ""
    yield f"Job states ts:  {moment(figures['now'])}"
    yield f"Jobs pending:   {figures['jobs_pending']}"
    yield f"Jobs running:   {figures['running']}"
    yield ""


def _mean(total: int, count: int) -> int:
    return total // count


def _main(figures: Figures) -> Iterator[str]:
    rounds = figures["main"]
    cycles = rounds["cycles"]
    yield "Main schedule statistics (microseconds):"
    yield f"\tLast cycle:   {rounds['last']}"
    yield f"\tMax cycle:    {rounds['longest']}"
    yield f"\tTotal cycles: {cycles}"
    if cycles:
        yield f"\tMean cycle:   {_mean(rounds['total'], cycles)}"
        yield f"\tMean depth cycle:  {_mean(rounds['depth'], cycles)}"
    minutes = (figures["now"] - figures["since"]) // 60
    if minutes > 0:
        yield f"\tCycles per minute: {cycles // minutes}"
    yield f"\tLast queue length: {rounds['last_queue']}"
    yield ""
    yield "Main scheduler exit:"
    # a round ends when nothing is left that may go, and for no other reason
    for word, count in (
        ("End of job queue", cycles), ("Hit default_queue_depth", 0), ("Hit sched_max_job_start", 0),
        ("Blocked on licenses", 0), ("Hit max_rpc_cnt", 0), ("Timeout (max_sched_time)", 0),
    ):  # fmt: skip
        yield f"\t{word}:{count:2d}"
    yield ""


def _backfill(figures: Figures) -> Iterator[str]:
    rounds = figures["backfill"]
    cycles = rounds["cycles"]
    yield "Backfilling stats"
    yield f"\tTotal backfilled jobs (since last slurm start): {rounds['started_ever']}"
    yield f"\tTotal backfilled jobs (since last stats cycle start): {rounds['started']}"
    yield "\tTotal backfilled heterogeneous job components: 0"
    yield f"\tTotal cycles: {cycles}"
    yield f"\tLast cycle when: {moment(rounds['last_at']) if rounds['last_at'] else 'N/A'}"
    yield f"\tLast cycle: {rounds['last']}"
    yield f"\tMax cycle:  {rounds['longest']}"
    if cycles:
        yield f"\tMean cycle: {_mean(rounds['total'], cycles)}"
    yield f"\tLast depth cycle: {rounds['last_depth']}"
    yield f"\tLast depth cycle (try sched): {rounds['last_depth']}"
    if cycles:
        yield f"\tDepth Mean: {_mean(rounds['depth'], cycles)}"
        yield f"\tDepth Mean (try depth): {_mean(rounds['depth'], cycles)}"
    yield f"\tLast queue length: {rounds['last_queue']}"
    if cycles:
        yield f"\tQueue length mean: {_mean(rounds['queue'], cycles)}"
    # no table of future starts is kept: Armada decides where jobs fit
    yield "\tLast table size: 0"
    if cycles:
        yield "\tMean table size: 0"
    yield ""
    yield "Backfill exit"
    for word, count in (
        ("End of job queue", cycles), ("Hit bf_max_job_start", 0), ("Hit bf_max_job_test", 0),
        ("System state changed", 0), ("Hit table size limit (bf_node_space_size)", 0), ("Timeout (bf_max_time)", 0),
    ):  # fmt: skip
        yield f"\t{word}:{count:2d}"
    yield ""


def _latency(figures: Figures) -> Iterator[str]:
    yield f"Latency for {figures['latency_calls']} calls to gettimeofday(): {figures['latency']} microseconds"
    yield ""


def messages(figures: Figures, order: str = "") -> Iterator[str]:
    yield "Remote Procedure Call statistics by message type"
    entries = sorted(counts(figures["calls"]), key=ORDERS[order])
    if not entries:
        yield "\tNo RPCs recorded yet."
    for entry in entries:
        yield f"\t{entry.name:<39} ({entry.number:5d}) {times(entry)}"
    yield ""
    yield "Remote Procedure Call statistics by user"
    users = [Count(*row) for row in figures["users"]]
    for entry in sorted(users, key=ORDERS[order]):
        yield f"\t{entry.name:<15} ({entry.number:8d}) {times(entry)}"
    yield ""
    yield "Pending RPC statistics"
    waiting = pending(figures.get("pending_messages") or {})
    for entry in waiting:
        yield f"\t{entry.name:<40}({entry.number:5d}) count:{entry.calls:<6}"
    if not waiting:
        yield "\tNo pending RPCs"


def times(entry: Count) -> str:
    return f"count:{entry.calls:<6} ave_time:{entry.average:<6} total_time:{entry.total}"


def _help() -> Iterator[str]:
    yield "Usage: sdiag [OPTION...]: show what the controller has been doing"
    yield from help_lines(OPTIONS)


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "help": _help,
    "usage": lambda: ["Usage: sdiag [-M cluster] [-aritT]"],
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
}
