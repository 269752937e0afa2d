"""scontrol where jobs run: words for a job's user, processes of a node, documents of all that there is."""

from __future__ import annotations

import json
from pathlib import Path

from tests.system.conftest import Cluster, until


def test_a_word_for_a_job_and_its_processes(cluster: Cluster, folder: Path) -> None:
    (folder / "job.sh").write_text("#!/bin/bash\nsrun sleep 600 &\nscontrol pidinfo $$; scontrol listpids\nwait\n")
    job = cluster.sbatch("-w", "node02", "-o", "out", "-e", "err", "job.sh", cwd=folder)
    until(lambda: f"{job}.0" in cluster.run("squeue", "-hs", "-j", job).out, "the step runs")
    assert cluster.run("scontrol", "notify", job, "a", "word").code == 0
    line = until(lambda: "word" in (text := (folder / "err").read_text()) and text, "the word is there")
    assert line.endswith("] error: a word\n")

    def tasks() -> list[list[str]]:
        rows = [row.split()[2:] for row in cluster.run("scontrol", "listpids", job, "node02").out.splitlines()]
        return [row for row in rows if row in (["0", "0", "0"], ["batch", "0", "0"])]

    until(lambda: tasks() == [["0", "0", "0"], ["batch", "0", "0"]], "the tasks are known")
    said = until(lambda: "PID" in (text := (folder / "out").read_text()) and text, "the script has looked")
    assert said.startswith(f"Slurm JobId={job}.batch ends at ")

    documents = {
        "job": "jobs", "node": "nodes", "partition": "partitions", "step": "steps", "reservation": "reservations",
        "licenses": "licenses", "config": "slurm_conf",
    }  # fmt: skip
    for entity, title in documents.items():
        done = cluster.run("scontrol", "--json", "show", entity)
        found = json.loads(done.out)
        assert (done.code, next(iter(found)), found["errors"]) == (0, title, [])
        assert found["meta"]["slurm"]["cluster"] == "throwaway"
    steps = json.loads(cluster.run("squeue", "-s", "--json").out)["steps"]
    assert sorted(each["id"] for each in steps) == [f"{job}.0", f"{job}.batch", f"{job}.extern"]
    cluster.run("scancel", job)
    cluster.ended(job)
    done = cluster.run("scontrol", "notify", job, "too", "late")
    assert (done.code, done.err) == (1, "job notify failure: Job/step already completing or completed\n")


def test_what_is_logged_is_set(cluster: Cluster) -> None:
    assert cluster.run("scontrol", "setdebug", "debug2").code == 0
    assert cluster.run("scontrol", "setdebugflags", "+steps", "-agent").code == 0
    shown = cluster.run("scontrol", "show", "config").out
    assert "SlurmctldDebug          = debug2\n" in shown
    assert "DebugFlags              = Steps\n" in shown
    assert cluster.run("scontrol", "setdebug", "info").code == 0
    assert cluster.run("scontrol", "setdebugflags", "-steps").code == 0
