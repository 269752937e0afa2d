"""--json and --yaml: versions, flags and refusals as 26.05 answers them, and the text of the documents."""

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.cli.context import Context
from slurm_compat.cli.job_json import KEYS, keys_of
from slurm_compat.cli.jsondoc import PARSERS, Form, begin
from slurm_compat.cli.jsonwrite import json_lines, json_text, simple

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import FakeController, job, run, step

sys.path.pop(0)


def asked(parser, kind="json", failure=1):
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=["squeue"], env={}, cwd="/", stdin=io.StringIO(), stdout=out, stderr=err, connect=lambda: None,
        now=lambda: 0.0,
    )  # fmt: skip
    return begin(ctx, kind, parser, failure), out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    "parser, form, err",
    [
        ("", Form(), ""),
        ("latest", Form(), ""),
        ("v0.0.42", Form(version="v0.0.42", plugin="data_parser/v0.0.42"), ""),
        ("data_parser/v0.0.45", Form(), ""),
        ("v0.0.45+complex", Form(complex=True, plugin="data_parser/v0.0.45+complex"), ""),
        ("latest+fast", Form(plugin="data_parser/v0.0.45+fast"), ""),
        ("v0.0.45+prefer_refs", Form(plugin="data_parser/v0.0.45+prefer_refs"),
         "squeue: data_parser/v0.0.45 ignoring default flag FLAG_PREFER_REFS\n"),
        ("v0.0.45+bogus", Form(plugin="data_parser/v0.0.45+bogus"),
         "squeue: warning: data_parser/v0.0.45 ignoring unknown flag bogus\n"),
    ],
)  # fmt: skip
def test_forms(parser, form, err):
    assert asked(parser) == (form, "", err)


def test_the_list_of_versions():
    names = "".join(f"data_parser/v0.0.{number}\n" for number in (43, 42, 45, 44))
    assert asked("list") == (0, names, "Possible data_parser plugins:\n")


@pytest.mark.parametrize(
    "parser, kind, first, last",
    [
        ("bogus", "json", "load_plugins: unable to find plugin: data_parser/bogus",
         "application/json output not supported by data_parser/v0.0.45"),
        ("v0.0.41", "yaml", "load_plugins: unable to find plugin: data_parser/v0.0.41",
         "application/x-yaml output not supported by data_parser/v0.0.45"),
        ("+complex", "json", "data_parser_g_new: unable to find plugin ",
         "application/json output not supported by data_parser/v0.0.45"),
    ],
)  # fmt: skip
def test_unknown_versions(parser, kind, first, last):
    code, out, err = asked(parser, kind, failure=253)
    lines = err.rstrip("\n").split("\n")
    assert (code, out, lines[0], lines[-1]) == (253, "", f"squeue: error: {first}", f"squeue: error: {last}")


def test_a_missing_or_endless_number_and_text_in_the_complex_form():
    number = {"set": True, "infinite": False, "number": 7}
    value = {
        "a": number, "b": number | {"set": False}, "c": number | {"set": False, "infinite": True}, "d": "", "e": "",
        "f": [number, ""],
    }  # fmt: skip
    found = {"a": 7, "b": None, "c": "Infinity", "d": None, "e": "", "f": [7, None]}
    assert simple(value, frozenset({"e"})) == found


@pytest.mark.parametrize(
    "value, text",
    [
        (0.1, "0.10000000000000001"), (1.0, "1.0"), (-2.5, "-2.5"), (2.0**64, "1.8446744073709552e+19"),
        (2.0**-32, "2.3283064365386963e-10"), ("1.5", '"1.5"'), ("a/b", '"a\\/b"'), ("x 0.1", '"x 0.1"'),
    ],
)  # fmt: skip
def test_scalars_as_json_c_prints_them(value, text):
    assert json_text({"v": value, "w": [value]}) == f'{{\n  "v": {text},\n  "w": [\n    {text}\n  ]\n}}\n'


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=130), st.dictionaries(st.text(min_size=1, max_size=5), VALUES, min_size=1, max_size=4))
def test_a_stream_is_the_whole_document(entries, rest):
    rest.pop("jobs", None)
    rest["meta"] = 1
    assert "".join(json_lines("jobs", iter(entries), rest)) == json_text({"jobs": entries, **rest})
    assert json.loads(json_text({"jobs": entries})) == {"jobs": entries}


def test_bytes_that_are_no_utf8_pass():
    assert '"c": "\udcff"' in json_text({"c": "\udcff"})


# as 26.05 has them: what the older versions of a job have no key of, and what they alone have
OLDER = {
    "v0.0.44": ({"container_type", "memory_update_delay", "memory_update_margin"}, {"power"}),
    "v0.0.43": (
        {"container_type", "memory_update_delay", "memory_update_margin", "step_id", "submit_line"}, {"power"},
    ),
    "v0.0.42": (
        {"container_type", "licenses_allocated", "memory_update_delay", "memory_update_margin", "segment_size",
         "step_id", "stdin_expanded", "stdout_expanded", "stderr_expanded", "submit_line"}, {"power"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", OLDER)
def test_keys_of_older_versions(version):
    newest, older = ({key.name for key in keys_of(each)} for each in (PARSERS[2], version))
    assert (newest - older, older - newest) == OLDER[version]


@pytest.mark.parametrize("version", PARSERS)
def test_no_key_twice(version):
    names = [key.name for key in keys_of(version)]
    assert len(names) == len(set(names)) <= len(KEYS)


def test_an_array_stands_as_slurmctld_has_it():
    rows = [
        job(30, "a", array_job_id=30, array_task_string="3-4"), job(31, "b"),
        job(32, "a", array_job_id=30, array_task_id=1), job(33, "a", array_job_id=30, array_task_id=2),
    ]  # fmt: skip
    out, _, _ = run("squeue --json", FakeController(rows))
    assert [each["job_id"] for each in json.loads(out)["jobs"]] == [32, 31, 33, 30]


def test_steps_have_a_document():
    rows = [
        step(20, "0", "a", cpus=2, nodes="node01", user_name="bob"),
        step(20, "batch", "batch", array_job_id=19, array_task_id=3),
    ]
    out, err, code = run("squeue -s --json", FakeController([job(20, "x")], rows))
    found = json.loads(out)
    assert (err, code, list(found)) == ("", 0, ["steps", "last_update", "meta", "errors", "warnings"])
    first, second = sorted(found["steps"], key=lambda each: each["id"])
    assert (first["id"], first["array"], first["number_cpus"]) == ("20.0", {"job_id": 0, "task_id": 4294967294}, 2)
    assert second["array"] == {"job_id": 19, "task_id": 3}
    assert [each["description"] for each in found["warnings"]] == ["Dumping (0xfffffffe) as place holder for null"]


def test_cpus_that_steps_use():
    rows = [job(20, "x", job_state="RUNNING", nodes="node01", job_resources=[["node01", 3, "0-2", 600, ""]])]
    steps = [step(20, "0", "a", cpus=2, nodes="node01", tres_alloc_str="cpu=2,mem=400M,node=1")]
    out, _, _ = run("squeue --json", FakeController(rows, steps))
    node = json.loads(out)["jobs"][0]["job_resources"]["nodes"]["allocation"][0]
    assert (node["cpus"], node["memory"]) == ({"count": 3, "used": 2}, {"used": 400, "allocated": 600})
    assert [core["status"][-1] for core in node["sockets"][0]["cores"]] == [
        "IN_USE", "IN_USE", "ALLOCATED", "UNALLOCATED",
    ]  # fmt: skip


@pytest.mark.parametrize("kind, what", [("json", "application/json"), ("yaml", "application/x-yaml")])
def test_an_equals_sign_with_nothing_behind_it_names_no_parser(kind, what):
    _, err, code = run(f"squeue --{kind}=", FakeController([job(7, "one")]))
    assert code == 1
    assert err == (
        "squeue: error: data_parser_g_new: invalid plugin \n"
        f"squeue: error: {what} output not supported by data_parser/v0.0.45\n"
    )
