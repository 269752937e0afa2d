"""Entries of documents have the keys of the real ones: those, in that order, of those kinds. No controller runs."""

import sys
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import config_json, node_json, reservation_json, sinfo_json, step_json
from slurm_compat.cli.job_json import keys_of
from slurm_compat.cli.jsondoc import PARSERS, Form
from slurm_compat.controller import show_config
from slurm_compat.core.cluster import ClusterConf, NodeConf, PartitionConf
from slurm_compat.core.fields import NODE_FIELDS, PARTITION_FIELDS, RESERVATION_FIELDS

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import NOW, job, row, step

sys.path.pop(0)

RECORDED = yaml.safe_load((Path(__file__).parent / "recorded_documents.yaml").read_text())
NODE = row(NODE_FIELDS, name="node01", cpus=4, effective_cpus=4)
PARTITION = row(PARTITION_FIELDS, name="compute", oversubscribe="NO", state="UP", exclusive="NO", select_type="NONE")


def shape(value, path=""):
    for key, each in value.items():
        name = f"{path}.{key}" if path else key
        if isinstance(each, dict) and each.keys() == {"set", "infinite", "number"}:
            yield f"{name}:{'fraction' if isinstance(each['number'], float) else 'number'}"
        elif isinstance(each, dict) and each:
            yield from shape(each, name)
        else:
            yield f"{name}:{type(each).__name__}"


def config():
    live = show_config.Live("ctl01", NOW, 20001, 5, "/etc/cluster.yaml", "/state", "root(0)")
    conf = ClusterConf(
        cluster_name="oracle", def_mem_per_cpu=500, nodes=[NodeConf(node_name="node01")],
        partitions=[PartitionConf(partition_name="compute", nodes="node01")],
    )  # fmt: skip
    return config_json.document(show_config.pairs(conf, live), NOW, Form())


def running():
    known = job(20, "a", job_state="RUNNING", nodes="node01", tres_alloc_str="cpu=1,billing=1",
                job_resources=[["node01", 1, "0", 500, ""]])  # fmt: skip
    return {key.name: key.value(known) for key in keys_of(PARSERS[2])}


ENTRIES = {
    "jobs": running,
    "nodes": lambda: node_json.node(NODE, Form()),
    "partitions": lambda: sinfo_json.partition(PARTITION, Form()),
    "steps": lambda: step_json.step(step(20, "0", "a"), "oracle", Form()),
    "reservations": lambda: reservation_json.reservation(row(RESERVATION_FIELDS, name="r"), Form()),
    "config": config,
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry(name):
    assert list(shape(ENTRIES[name]())) == RECORDED[name].split()


@pytest.mark.parametrize(
    "shown, listed",
    [
        ("IGNORE_JOBS DAILY SPEC_NODES", "DAILY IGNORE_JOBS SPEC_NODES"),
        ("MAINT FLEX OVERLAP IGNORE_JOBS WEEKLY SPEC_NODES STATIC PURGE_COMP=00:05:00 NO_HOLD_JOBS_AFTER_END MAGNETIC "
         "USER_DELETE", "MAINT WEEKLY IGNORE_JOBS STATIC OVERLAP SPEC_NODES PURGE_COMP FLEX NO_HOLD_JOBS_AFTER_END "
         "MAGNETIC USER_DELETE"),
        ("FLEX OVERLAP HOURLY SPEC_NODES NO_HOLD_JOBS_AFTER_END MAGNETIC USER_DELETE",
         "OVERLAP SPEC_NODES FLEX NO_HOLD_JOBS_AFTER_END MAGNETIC HOURLY USER_DELETE"),
        ("OVERLAP HOURLY SPEC_NODES MAGNETIC FORCE_START USER_DELETE",
         "OVERLAP SPEC_NODES MAGNETIC HOURLY USER_DELETE FORCE_START"),
    ],
)  # fmt: skip
def test_flags_of_a_reservation(shown, listed):
    entry = reservation_json.reservation(row(RESERVATION_FIELDS, name="r", flags=shown.split()), Form())
    assert entry["flags"] == listed.split()


@pytest.mark.parametrize("version", PARSERS)
@pytest.mark.parametrize("name", ["nodes", "partitions", "steps", "reservations"])
def test_older_versions_have_no_more_than_what_was_taken_out_since(name, version):
    form = Form(version=version)
    entry = {
        "nodes": lambda: node_json.node(NODE, form),
        "partitions": lambda: sinfo_json.partition(PARTITION, form),
        "steps": lambda: step_json.step(step(20, "0", "a"), "oracle", form),
        "reservations": lambda: reservation_json.reservation(row(RESERVATION_FIELDS, name="r"), form),
    }[name]()  # fmt: skip
    newest = {word.partition(":")[0] for word in RECORDED[name].split()}
    more = {word.partition(":")[0] for word in shape(entry)} - newest
    gone = {"external_sensors", "power", "tres_weighted", "watts"}
    assert more <= (gone if version < PARSERS[2] else set())
