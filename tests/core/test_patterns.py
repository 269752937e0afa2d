"""File name patterns, with the names that Slurm 26.05 gave them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.patterns import default_output, expand, job_values, step_values

JOB = {"job_id": 20556, "array_job_id": 0, "array_task_id": None, "user_name": "alice", "name": "nm/x"}
TASK = JOB | {"job_id": 20582, "array_job_id": 20581, "array_task_id": 23}


@pytest.mark.parametrize(
    "pattern, want",
    [
        ("slurm-%j.out", "slurm-20556.out"),
        ("o-%j-%x-%u-%N.txt", "o-20556-nm/x-alice-node04.txt"),
        ("%8j_%%_%n_%t_%s_%J.log", "00020556_%_0_0_batch_20556.log"),
        ("a\\%j.txt", "a%j.txt"),
        ("k\\\\%j", "k%j"),
        ("s\\n", "sn"),
        ("dir\\%j/x", "dir%j/x"),
        ("b%z%q", "b%z%q"),
        ("c%", "c"),
        ("d%08j", "d00020556"),
        ("e%12j", "e0000020556"),
        ("x%100j", "x0000020556"),
        ("f%5%", "f%5%"),
        ("q%5", "q%5"),
        ("g%5x", "gnm/x"),
        ("h%3N", "hnode04"),
        ("n%5u", "nalice"),
        ("i%A_%a_%b", "i20556_4294967294_4"),
        ("j%5J_%4s_%3t", "j20556_batch_000"),
        ("l%1j", "l20556"),
        ("m%0j", "m20556"),
        ("o%5.3j", "o%5.3j"),
        ("p%%j", "p%j"),
        ("u%J%%", "u20556%"),
        ("y%-5j", "y%-5j"),
        ("z%D%d%H%T", "z%D%d%H%T"),
        ("r a", "r a"),
        ("", ""),
    ],
)
def test_names_as_slurm_makes_them(pattern, want):
    assert expand(pattern, job_values(JOB, "node04")) == want


def test_an_array_task_has_two_ids():
    assert expand("A%A_%4a_%3b_%j_%5J", job_values(TASK, "node01")) == "A20581_0023_003_20582_20582"


def test_the_node_of_a_pending_job_is_not_known():
    assert expand("h%N", job_values(JOB)) == "h(null)"


def test_what_the_values_lack_stays_for_a_later_reader():
    assert expand("%j-%t-%N", {"j": "7"}) == "7-%t-%N"


def test_files_of_a_step():
    values = step_values(JOB, "3", "node02", node_rank=1, task=5)
    assert expand("%J %s %2s %n %3t %N", values) == "20556.3 3 03 1 005 node02"


def test_default_names():
    assert (default_output(JOB), default_output(TASK)) == ("slurm-%j.out", "slurm-%A_%a.out")


@given(st.text(max_size=40))
def test_any_text_is_a_pattern(pattern):
    name = expand(pattern, job_values(JOB, "node04"))
    assert "\\" not in name or "\\" not in pattern
    if "%" not in pattern and "\\" not in pattern:
        assert name == pattern


def test_no_task_is_0_in_a_steps_files_and_the_highest_number_in_a_scripts():
    assert expand("%a-%A", step_values(JOB, "0", "node01")) == "0-20556"
    assert expand("%a-%A", job_values(JOB, "node01")) == "4294967294-20556"
    assert expand("%a-%A", step_values(TASK, "0", "node01")) == "23-20581"
