"""api.Jobs: what is asked about jobs by id. Live ones answer from memory, finished ones from the log."""

from __future__ import annotations

from typing import Any

from armada_client.armada import job_pb2, submit_pb2

from slurm_compat.engine import events
from slurm_compat.engine.engine import Engine
from slurm_compat.engine.jobs import FAILED, HAS_RUN, QUEUED, REJECTED, RUN_STATE, UNKNOWN, Run
from slurm_compat.engine.submission import timestamp

MAX_IDS = 500

Detail = tuple[bytes, float, int, dict[str, Any]]  # spec, submitted, state, what changes


class TooMany(ValueError):
    """More ids than one call may ask about."""


def check_count(ids: Any) -> list[str]:
    if len(ids) > MAX_IDS:
        raise TooMany(f"request contained more than {MAX_IDS} jobIds")
    return list(dict.fromkeys(ids))


def states(engine: Engine, ids: list[str]) -> dict[str, int]:
    """The state of each id; UNKNOWN for those never heard of."""
    live = {job_id: engine.scheduler.jobs[job_id].state for job_id in ids if job_id in engine.scheduler.jobs}
    rest = [job_id for job_id in ids if job_id not in live]
    stored: dict[str, int] = {}
    for start in range(0, len(rest), MAX_IDS):
        stored.update(engine.log.states_of(rest[start : start + MAX_IDS]))
    return {job_id: live.get(job_id, stored.get(job_id, UNKNOWN)) for job_id in ids}


def details_of(engine: Engine, ids: list[str]) -> dict[str, Detail]:
    found: dict[str, Detail] = {}
    for job_id in ids:
        job = engine.scheduler.jobs.get(job_id)
        if job is not None:
            found[job_id] = (job.spec, job.submitted, job.state, job.changing())
    found.update(engine.log.details_of([job_id for job_id in ids if job_id not in found]))
    return found


def details(engine: Engine, ids: list[str], with_spec: bool, with_runs: bool) -> dict[str, Any]:
    return {
        job_id: detail_message(job_id, detail, with_spec, with_runs)
        for job_id, detail in details_of(engine, ids).items()
    }


def detail_message(job_id: str, detail: Detail, with_spec: bool, with_runs: bool) -> Any:
    data, submitted, state, changing = detail
    spec = submit_pb2.Job.FromString(data)
    message = job_pb2.JobDetails(
        job_id=job_id,
        queue=spec.queue,
        jobset=spec.job_set_id,
        namespace=spec.namespace,
        state=state,
        submitted_ts=timestamp(submitted),
        cancel_user=changing["cancel_user"],
        last_transition_ts=timestamp(changing["last_transition"]),
    )
    if changing["cancel_ts"]:
        message.cancel_ts.CopyFrom(timestamp(changing["cancel_ts"]))
    runs = [Run(**run) for run in changing["runs"]]
    if runs:
        message.latest_run_id = runs[-1].run_id
    if with_spec:
        message.job_spec.CopyFrom(spec)
    if with_runs:
        message.job_runs.extend(run_message(job_id, run) for run in reversed(runs))
    return message


def run_message(job_id: str, run: Run) -> Any:
    message = job_pb2.JobRunDetails(
        run_id=run.run_id, job_id=job_id, state=run_state(run.state), cluster=events.CLUSTER_ID, node=run.node
    )
    for name in ("leased", "pending", "started", "finished"):
        moment = getattr(run, name)
        if moment:
            getattr(message, f"{name}_ts").CopyFrom(timestamp(moment))
    return message


def errors(engine: Engine, ids: list[str]) -> dict[str, str]:
    """Why each job was rejected, else what its latest run failed with."""
    found = {}
    for job_id, (_, _, state, changing) in details_of(engine, ids).items():
        runs = changing["runs"]
        if state == REJECTED:
            found[job_id] = changing["error"]
        elif state == FAILED or (runs and runs[-1]["error"]):
            found[job_id] = runs[-1]["error"] if runs else changing["error"]
    return found


def run_details(engine: Engine, run_ids: list[str]) -> dict[str, Any]:
    live = [job.id for job in engine.scheduler.jobs.values() if job.run is not None and job.run.run_id in set(run_ids)]
    ids = list(dict.fromkeys([*live, *engine.log.jobs_of_runs(run_ids)]))
    found = {}
    for job_id, (_, _, _, changing) in details_of(engine, ids).items():
        for run in changing["runs"]:
            if run["run_id"] in run_ids:
                found[run["run_id"]] = run_message(job_id, Run(**run))
    return found


def active_queues(engine: Engine) -> list[str]:
    return sorted({job.queue for job in engine.scheduler.jobs.values() if job.state in HAS_RUN or job.state == QUEUED})


def run_state(state: int) -> Any:
    return RUN_STATE[state]
