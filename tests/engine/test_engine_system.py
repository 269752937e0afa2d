"""The engine and the kubelet as processes: what is asked for over gRPC happens once, whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from armada_client.armada import event_pb2, job_pb2, submit_pb2

ONCE = ["submitted", "queued", "leased", "pending", "running"]
ON_NODE01 = {"kubernetes.io/hostname": "node01"}
SLEEP = f"sleep 1000{os.getpid()}"  # nobody else on this machine sleeps just as long


def sleepers():
    """The processes that run SLEEP."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if (
                name.isdigit()
                and Path("/proc", name, "cmdline").read_bytes() == SLEEP.replace(" ", "\0").encode() + b"\0"
            ):
                found.append(int(name))
        except OSError:
            continue
    return found


def test_a_pod_that_fails_tells_its_exit_code_and_node(engine, make_item):
    (job,) = engine.run(make_item("/bin/sh", "-c", "exit 3"))
    failed = engine.event("failed", job)
    assert [(c.name, c.exitCode, c.reason) for c in failed.container_statuses] == [("main", 3, "Error")]
    assert failed.cause == event_pb2.Error
    assert failed.node_name == "node01"
    assert engine.event("running", job).node_name == "node01"
    assert engine.history()[job] == [*ONCE, "failed"]
    status = engine.jobs.GetJobStatus(job_pb2.JobStatusRequest(job_ids=[job, "nobody"])).job_states
    assert dict(status) == {job: submit_pb2.FAILED, "nobody": submit_pb2.UNKNOWN}


def test_a_pod_that_succeeds_tells_only_that(engine, make_item):
    (job,) = engine.run(make_item("/bin/true"))
    succeeded = engine.event("succeeded", job)
    assert (succeeded.cluster_id, succeeded.node_name, succeeded.pod_name) == ("", "", "")
    details = engine.jobs.GetJobDetails(job_pb2.JobDetailsRequest(job_ids=[job], expand_job_run=True)).job_details[job]
    assert (details.queue, details.jobset, details.state) == ("q", "s", submit_pb2.SUCCEEDED)
    (run,) = details.job_runs
    assert run.node == "node01" and run.state == job_pb2.RUN_STATE_SUCCEEDED
    assert run.leased_ts.seconds <= run.started_ts.seconds <= run.finished_ts.seconds


def test_a_command_that_is_not_there_fails_its_pod(engine, make_item):
    (job,) = engine.run(make_item("/no/such/command"))
    assert [c.exitCode for c in engine.event("failed", job).container_statuses] == [128]


def test_a_pod_the_engine_has_no_way_to_run_says_why(engine, make_item):
    (job,) = engine.run(make_item())
    assert "names no command" in engine.event("failed", job).reason


def test_variables_of_a_pod(engine, make_item, state):
    script = f"env > {state}/env"
    wanted = make_item("/bin/sh", "-c", script, env={"A": "b", "C": "$(A)d $$(A)"}, gpus=1)
    container = wanted.pod_specs[0].containers[0]
    container.env.add(name="NODE").valueFrom.fieldRef.fieldPath = "spec.nodeName"
    container.env.add(name="IP").valueFrom.fieldRef.fieldPath = "status.podIP"
    (job,) = engine.run(wanted)
    engine.event("succeeded", job)
    env = dict(line.split("=", 1) for line in Path(state, "env").read_text().splitlines())
    assert (env["A"], env["C"]) == ("b", "bd $(A)")
    assert (env["NODE"], env["IP"]) == ("node03", "127.90.0.3")
    assert env["NVIDIA_VISIBLE_DEVICES"] == "0"
    assert (env["ARMADA_JOB_ID"], env["ARMADA_QUEUE"], env["ARMADA_JOB_SET_ID"]) == (job, "q", "s")


def names_are_possible():
    try:
        return subprocess.run(["unshare", "--uts", "--mount", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not names_are_possible(), reason="pods have names of their own only where namespaces may be made")
def test_a_virtual_node_has_its_name_and_knows_the_others(engine, make_item, state):
    (job,) = engine.run(make_item("/bin/sh", "-c", f"(hostname; getent hosts node03) > {state}/n"))
    engine.event("succeeded", job)
    name, address = Path(state, "n").read_text().splitlines()
    assert name == "node01"
    assert address.split() == ["127.90.0.3", "node03"]


def test_a_gang_runs_on_distinct_nodes_at_once(engine, make_item):
    def members(count):
        gang = {"armadaproject.io/gangId": f"g{count}", "armadaproject.io/gangCardinality": str(count)}
        return [make_item("/bin/true", cpu="3", annotations=gang) for _ in range(count)]

    jobs = engine.run(*members(3))
    assert sorted(engine.event("running", job).node_name for job in jobs) == ["node01", "node02", "node03"]
    for job in jobs:
        engine.event("succeeded", job)
    for job in engine.run(*members(5)):
        assert engine.event("failed", job).cause == event_pb2.Rejected


def test_what_never_fits_is_rejected_later(engine, make_item):
    (job,) = engine.run(make_item("/bin/true", cpu="64"))
    assert engine.event("failed", job).cause == event_pb2.Rejected
    assert engine.history()[job] == ["submitted", "queued", "failed"]
    errors = engine.jobs.GetJobErrors(job_pb2.JobErrorsRequest(job_ids=[job])).job_errors
    assert "does not fit on any node" in errors[job]


def test_cancel_comes_before_the_pod_is_dead_and_its_place_stays_taken(engine, make_item, wait_until, state):
    script = f"trap 'sleep 0.2; touch {state}/term; exit 9' TERM; touch {state}/up; while :; do sleep 0.05; done"
    (job,) = engine.run(make_item("/bin/bash", "-c", script, cpu="4", selector=ON_NODE01, grace=20))
    wait_until(lambda: os.path.exists(f"{state}/up"))
    (after,) = engine.run(make_item("/usr/bin/test", "-e", f"{state}/term", cpu="4", selector=ON_NODE01))
    request = submit_pb2.JobCancelRequest(queue="q", job_set_id="s", job_ids=[job, "unknown"], reason="enough")
    assert list(engine.submit.CancelJobs(request).cancelled_ids) == [job, "unknown"]
    assert engine.history()[job] == [*ONCE, "cancelling", "cancelled"]
    engine.event("succeeded", after)
    assert engine.history()[job] == [*ONCE, "cancelling", "cancelled"]


def test_a_pod_that_ignores_sigterm_is_killed_with_all_it_started(engine, make_item, wait_until):
    script = f"trap '' TERM; (setsid {SLEEP} &); {SLEEP} & wait; {SLEEP}"
    (job,) = engine.run(make_item("/bin/bash", "-c", script, cpu="4", selector=ON_NODE01))
    wait_until(lambda: len(sleepers()) == 2)
    engine.submit.CancelJobs(submit_pb2.JobCancelRequest(queue="q", job_set_id="s", job_id=job))
    (after,) = engine.run(make_item("/bin/true", cpu="4", selector=ON_NODE01))
    engine.event("succeeded", after)
    assert not sleepers()


def test_pods_cancelled_the_moment_they_start(engine, make_item, wait_until):
    for _ in range(5):
        jobs = engine.run(*[make_item("/bin/sh", "-c", SLEEP, grace=60) for _ in range(10)])
        engine.event("running", jobs[0])
        engine.submit.CancelJobSet(submit_pb2.JobSetCancelRequest(queue="q", job_set_id="s"))
    (after,) = engine.run(make_item("/bin/true", cpu="4", selector=ON_NODE01))
    engine.event("succeeded", after)
    wait_until(lambda: not sleepers(), "SIGTERM reaches every pod")


def test_a_kubelet_that_drains_ends_its_pods_first(engine, make_item, wait_until, is_alive):
    (job,) = engine.run(make_item("/bin/sh", "-c", f"trap 'exit 7' TERM; {SLEEP} & wait"))
    wait_until(sleepers)
    engine.kill()
    pid = engine.kubelet_pid()
    os.kill(pid, signal.SIGQUIT)
    wait_until(lambda: not is_alive(pid))
    assert not sleepers()
    engine.start()
    assert [c.exitCode for c in engine.event("failed", job).container_statuses] == [7]


def test_orphans_do_not_outlive_their_pod(engine, make_item):
    script = f"(setsid {SLEEP} &) ; (env -i setsid {SLEEP} &); exit 0"
    (job,) = engine.run(make_item("/bin/bash", "-c", script))
    engine.event("succeeded", job)
    assert not sleepers()


def test_the_deadline_of_a_pod(engine, make_item):
    (job,) = engine.run(make_item("/bin/sleep", "1000", deadline=1))
    failed = engine.event("failed", job)
    assert failed.cause == event_pb2.DeadlineExceeded
    assert "deadline" in failed.reason


def test_too_much_memory(engine, make_item):
    hog = "x = bytearray(400 << 20)\nimport time\ntime.sleep(20)"
    (job,) = engine.run(make_item("/usr/bin/env", "python3", "-c", hog, memory="64Mi"))
    failed = engine.event("failed", job)
    assert failed.cause == event_pb2.OOM
    assert [(c.exitCode, c.reason) for c in failed.container_statuses] == [(137, "OOMKilled")]


def test_preemption_is_for_preemptible_jobs_only(engine, make_item):
    fixed, loose = engine.run(
        make_item("/bin/sleep", "1000"), make_item("/bin/sleep", "1000", priority_class="armada-preemptible")
    )
    for job in (fixed, loose):
        engine.event("running", job)
    engine.submit.PreemptJobs(submit_pb2.JobPreemptRequest(queue="q", job_set_id="s", job_ids=[fixed, loose]))
    assert engine.history()[loose] == [*ONCE, "preempting", "preempted", "failed"]
    assert engine.history()[fixed] == ONCE
    engine.submit.CancelJobSet(submit_pb2.JobSetCancelRequest(queue="q", job_set_id="s"))
    assert engine.history()[fixed] == [*ONCE, "cancelling", "cancelled"]


def test_a_client_id_makes_one_job(engine, make_item):
    (first,) = engine.run(make_item("/bin/true", client_id="c-1", external_job_uri="uri:1"))
    again, other = engine.run(
        make_item("/bin/true", client_id="c-1"), make_item("/bin/true", client_id="c-2"), job_set="elsewhere"
    )
    assert again == first != other
    engine.event("succeeded", first)
    answer = engine.jobs.GetJobStatusUsingExternalJobUri(
        job_pb2.JobStatusUsingExternalJobUriRequest(queue="q", jobset="s", external_job_uri="uri:1")
    )
    assert dict(answer.job_states) == {first: submit_pb2.SUCCEEDED}


def test_a_stream_goes_on_from_any_message(engine, make_item):
    (job,) = engine.run(make_item("/bin/true"))
    engine.event("succeeded", job)
    entries = list(engine.log())
    for at, entry in enumerate(entries):
        assert list(engine.log(after=entry.id)) == entries[at + 1 :]
    watched = engine.log(watch=True)
    assert [next(watched) for _ in entries] == entries
    (second,) = engine.run(make_item("/bin/true"))
    assert next(watched).message.submitted.job_id == second
    watched.cancel()


def cancelled(**fields):
    return submit_pb2.JobCancelRequest(job_id="x", **fields)


REFUSED = [
    (lambda e, i: e.run(i("/bin/true"), queue="none"), "PERMISSION_DENIED"),
    (lambda e, i: e.run(i("/bin/true"), job_set=""), "INVALID_ARGUMENT"),
    (lambda e, i: e.submit.CancelJobs(cancelled(queue="none", job_set_id="s")), "UNKNOWN"),
    (lambda e, i: e.submit.CancelJobs(cancelled(queue="q")), "INVALID_ARGUMENT"),
    (lambda e, i: e.submit.CancelJobs(cancelled(queue="q", job_set_id="s", reason="r" * 51)), "INVALID_ARGUMENT"),
    (
        lambda e, i: e.submit.CancelJobSet(
            submit_pb2.JobSetCancelRequest(queue="q", job_set_id="s", filter={"states": [submit_pb2.RUNNING]})
        ),
        "UNKNOWN",
    ),
    (lambda e, i: list(e.log(queue="none")), "NOT_FOUND"),
    (lambda e, i: list(e.log(after="nonsense")), "INVALID_ARGUMENT"),
    (
        lambda e, i: list(e.events.GetJobSetEvents(event_pb2.JobSetRequest(queue="q", id="none", errorIfMissing=True))),
        "NOT_FOUND",
    ),
    (lambda e, i: e.queue("q"), "ALREADY_EXISTS"),
    (lambda e, i: e.queue("low", 0.5), "INVALID_ARGUMENT"),
    (lambda e, i: e.queues.UpdateQueue(submit_pb2.Queue(name="x", priority_factor=1)), "NOT_FOUND"),
    (lambda e, i: e.queues.GetQueue(submit_pb2.QueueGetRequest(name="x")), "NOT_FOUND"),
    (lambda e, i: e.jobs.GetJobStatus(job_pb2.JobStatusRequest(job_ids=map(str, range(501)))), "UNKNOWN"),
    (lambda e, i: e.run(i("/bin/true", env={"X": "x" * (5 << 20)})), "RESOURCE_EXHAUSTED"),
]


def test_error_codes_are_those_of_armada(engine, make_item):
    for call, code in REFUSED:
        with pytest.raises(grpc.RpcError) as caught:
            call(engine, make_item)
        assert caught.value.code().name == code, caught.value


def test_queues_are_kept(engine):
    engine.queue("other", 4)
    engine.queues.UpdateQueue(submit_pb2.Queue(name="other", priority_factor=2))
    engine.kill()
    engine.start()
    assert engine.queues.GetQueue(submit_pb2.QueueGetRequest(name="other")).priority_factor == 2
    messages = list(engine.queues.GetQueues(submit_pb2.StreamingQueueGetRequest()))
    assert [m.queue.name for m in messages[:-1]] == ["other", "q"]
    assert messages[-1].WhichOneof("event") == "end"
    engine.queues.DeleteQueue(submit_pb2.QueueDeleteRequest(name="other"))
    engine.queues.DeleteQueue(submit_pb2.QueueDeleteRequest(name="other"))


def test_a_cordoned_queue_waits(engine, make_item):
    engine.queues.CordonQueue(submit_pb2.QueueCordonRequest(name="q"))
    (job, never) = engine.run(make_item("/bin/true"), make_item("/bin/true", cpu="64"))
    engine.queue("free")
    (other,) = engine.run(make_item("/bin/true"), queue="free")
    engine.event("succeeded", other, queue="free")
    assert engine.history()[job] == engine.history()[never] == ["submitted", "queued"]
    engine.queues.UncordonQueue(submit_pb2.QueueUncordonRequest(name="q"))
    engine.event("succeeded", job)
    assert engine.event("failed", never).cause == event_pb2.Rejected


def test_a_node_is_closed_and_opened_while_the_engine_runs(engine, make_item, state):
    Path(state, "node-states.json").write_text('{"node04": "IDLE", "node01": "DRAIN", "nobody": "DOWN"}')
    engine.process.send_signal(signal.SIGHUP)
    (job,) = engine.run(make_item("/bin/true", selector={"kubernetes.io/hostname": "node04"}))
    assert engine.event("running", job).node_name == "node04"
    (other,) = engine.run(make_item("/bin/true"))
    assert engine.event("running", other).node_name == "node02"


def test_kill_9_of_the_engine_in_the_middle_ends_everything_once(engine, make_item, wait_until, state):
    script = f'echo "$ARMADA_JOB_ID" >> {state}/ran; sleep 0.1; exit 3'
    jobs = []
    for _ in range(3):
        jobs += engine.run(*[make_item("/bin/sh", "-c", script) for _ in range(20)])
        engine.event("running", jobs[-5])
        engine.kill()
        engine.start()
    for job in jobs:
        engine.event("failed", job)
    history = engine.history()
    assert {job: history[job] for job in jobs} == {job: [*ONCE, "failed"] for job in jobs}
    assert sorted(Path(state, "ran").read_text().split()) == sorted(jobs)
    wait_until(lambda: not os.listdir(f"{state}/pods"), "nothing is kept of the pods")


def test_kill_9_of_the_kubelet_leaves_pods_running(engine, make_item, wait_until, state):
    script = f"touch {state}/up; while [ ! -e {state}/go ]; do sleep 0.02; done; exit 5"
    (job,) = engine.run(make_item("/bin/sh", "-c", script))
    wait_until(lambda: os.path.exists(f"{state}/up"))
    first = engine.kubelet_pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: engine.kubelet_pid() != first)
    (other,) = engine.run(make_item("/bin/true"))
    engine.event("succeeded", other)
    assert engine.history()[job] == ONCE
    Path(state, "go").touch()
    assert [c.exitCode for c in engine.event("failed", job).container_statuses] == [5]


def test_a_pod_that_ends_while_nobody_is_there(engine, make_item, wait_until, state):
    script = f"touch {state}/up; while [ ! -e {state}/go ]; do sleep 0.02; done; exit 6"
    (job,) = engine.run(make_item("/bin/sh", "-c", script))
    wait_until(lambda: os.path.exists(f"{state}/up"))
    engine.event("running", job)
    engine.kill()
    os.kill(engine.kubelet_pid(), signal.SIGKILL)
    Path(state, "go").touch()
    wait_until(lambda: any(name.endswith(".exit") for name in os.listdir(f"{state}/pods")))
    engine.start()
    assert [c.exitCode for c in engine.event("failed", job).container_statuses] == [6]


def test_an_adopted_pod_is_cancelled_with_its_processes(engine, make_item, wait_until, state):
    script = f"(setsid {SLEEP} &); touch {state}/up; trap '' TERM; {SLEEP}; {SLEEP}"
    (job,) = engine.run(make_item("/bin/bash", "-c", script))
    wait_until(lambda: os.path.exists(f"{state}/up") and len(sleepers()) == 2)
    first = engine.kubelet_pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: engine.kubelet_pid() != first)
    engine.submit.CancelJobs(submit_pb2.JobCancelRequest(queue="q", job_set_id="s", job_id=job))
    wait_until(lambda: not sleepers(), "the adopted pod's processes end")
    wait_until(lambda: not os.listdir(f"{state}/pods"), "nothing is kept of it")


def test_a_second_engine_is_refused(engine):
    done = subprocess.run(
        [sys.executable, "-m", "slurm_compat.engine", engine.cluster, "--state", engine.state],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"slurm_compat.engine: error: another engine is running with the state folder {engine.state}"
    )


@pytest.mark.parametrize(
    "text, words",
    [
        ("Nodes: [{NodeName: n1, CPU: 4}]", "unknown field `CPU`"),
        ("Nodes: [", "cluster file"),
        ("Nodes: [{NodeName: 'n[1-'}]", "unpaired bracket"),
        ("Nodes: [{NodeName: n1}, {NodeName: n1}]", "a node is declared twice"),
    ],
)
def test_a_bad_cluster_file_is_told_in_a_line(tmp_path, capsys, text, words):
    from slurm_compat.engine.main import main

    (tmp_path / "c.yaml").write_text(text)
    mask = os.umask(0o077)
    try:
        assert main([str(tmp_path / "c.yaml"), "--state", str(tmp_path / "state")]) == 1
    finally:
        os.umask(mask)
    assert words in capsys.readouterr().err
