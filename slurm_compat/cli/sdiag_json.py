"""The documents of `sdiag --json` and `--yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.sdiag_messages import Count, counts, pending

Figures = Mapping[str, Any]


def print_statistics(ctx: Context, kind: str, parser: str, figures: Figures) -> int:
    form = jsondoc.begin(ctx, kind, parser, failure=253)
    if isinstance(form, int):
        return form
    older = {"parts_packed": 0} if form.upto("v0.0.44") else {}
    jsondoc.show(ctx, form, {"statistics": {**older, **statistics(figures)}}, own_cluster(ctx))
    return 0


def statistics(figures: Figures) -> dict[str, Any]:
    main, backfill = figures["main"], figures["backfill"]
    minutes = (figures["now"] - figures["since"]) // 60
    return {
        "req_time": jsondoc.number(figures["now"]),
        "req_time_start": jsondoc.number(figures["since"]),
        "server_thread_count": figures["server_threads"],
        "agent_queue_size": figures["outbox"],
        "agent_count": figures["sending"],
        "agent_thread_count": figures["sending"],
        "dbd_agent_queue_size": figures["store_queue"],
        "gettimeofday_latency": figures["latency"],
        "schedule_cycle_max": main["longest"],
        "schedule_cycle_last": main["last"],
        "schedule_cycle_sum": main["total"],
        "schedule_cycle_total": main["cycles"],
        "schedule_cycle_mean": _mean(main, "total"),
        "schedule_cycle_mean_depth": _mean(main, "depth"),
        "schedule_cycle_per_minute": main["cycles"] // minutes if minutes else 0,
        "schedule_cycle_depth": main["depth"],
        "schedule_exit": {
            "end_job_queue": main["cycles"], "default_queue_depth": 0, "max_job_start": 0, "max_rpc_cnt": 0,
            "max_sched_time": 0, "licenses": 0,
        },
        "schedule_queue_length": main["last_queue"],
        **{f"jobs_{word}": figures[f"jobs_{word}"] for word in _COUNTED},
        "jobs_pending": figures["jobs_pending"],
        "jobs_running": figures["running"],
        "job_states_ts": jsondoc.number(figures["now"]),
        "bf_backfilled_jobs": backfill["started_ever"],
        "bf_last_backfilled_jobs": backfill["started"],
        "bf_backfilled_het_jobs": 0,
        "bf_cycle_counter": backfill["cycles"],
        "bf_cycle_mean": _mean(backfill, "total"),
        "bf_depth_mean": _mean(backfill, "depth"),
        "bf_depth_mean_try": _mean(backfill, "depth"),
        "bf_cycle_sum": backfill["total"],
        "bf_cycle_last": backfill["last"],
        "bf_cycle_max": backfill["longest"],
        "bf_exit": {
            "end_job_queue": backfill["cycles"], "bf_max_job_start": 0, "bf_max_job_test": 0, "bf_max_time": 0,
            "bf_node_space_size": 0, "state_changed": 0,
        },
        "bf_last_depth": backfill["last_depth"],
        "bf_last_depth_try": backfill["last_depth"],
        "bf_depth_sum": backfill["depth"],
        "bf_depth_try_sum": backfill["depth"],
        "bf_queue_len": backfill["last_queue"],
        "bf_queue_len_mean": _mean(backfill, "queue"),
        "bf_queue_len_sum": backfill["queue"],
        "bf_table_size": 0,
        "bf_table_size_sum": 0,
        "bf_table_size_mean": 0,
        "bf_when_last_cycle": jsondoc.number(backfill["last_at"]),
        "bf_active": False,
        "rpcs_by_message_type": [
            {"type_id": entry.number, "message_type": entry.name, **_times(entry, queues=True)}
            for entry in sorted(counts(figures["calls"]), key=lambda entry: entry.number)
        ],
        "rpcs_by_user": [
            {"user_id": entry.number, "user": entry.name, **_times(entry)}
            for entry in (Count(*row) for row in figures["users"])
        ],
        "pending_rpcs": [
            {"type_id": entry.number, "message_type": entry.name, "count": entry.calls}
            for entry in pending(figures.get("pending_messages") or {})
        ],
        "pending_rpcs_by_hostlist": [],
    }  # fmt: skip


_COUNTED = ("submitted", "started", "completed", "canceled", "failed")


def _mean(rounds: Mapping[str, int], key: str) -> int:
    return rounds[key] // rounds["cycles"] if rounds["cycles"] else 0


def _times(entry: Count, queues: bool = False) -> dict[str, Any]:
    idle = {"queued": 0, "dropped": 0, "cycle_last": 0, "cycle_max": 0} if queues else {}
    return {"count": entry.calls, **idle, "total_time": entry.total, "average_time": jsondoc.number(entry.average)}
