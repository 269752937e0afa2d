"""Steps over several components of a heterogeneous job: which, and what their tasks find. As observed on 26.05."""

import pytest

from slurm_compat.cli import srun_het
from slurm_compat.controller.hetstep import offsets
from slurm_compat.core.errors import CommandError


@pytest.mark.parametrize(
    "asked, want",
    [
        ([None], [(0, 0)]),
        (["1"], [(1, 0)]),
        (["0,1"], [(0, 0), (1, 0)]),
        (["0-1"], [(0, 0), (1, 0)]),
        (["0,0"], [(0, 0)]),
        ([None, None], [(0, 0), (1, 1)]),
        (["1", "0"], [(0, 1), (1, 0)]),  # in the order of the components
    ],
)
def test_where_the_parts_of_the_command_line_run(asked, want):
    assert srun_het.places(asked, 2) == want


@pytest.mark.parametrize(
    "asked, components, lines",
    [
        (["5"], 2, ["srun: error: Requested het-group offset exceeds highest hetjob index (5 > 1)"]),
        (
            ["0,1,2"],
            2,
            [
                "srun: error: Attempt to run a job step with het group value of 2, "
                "but the job allocation has maximum value of 1"
            ],
        ),
        (["0", "0"], 2, ["srun: fatal: Duplicate het groups in single srun not supported"]),
        (
            ["x"],
            2,
            ["srun: error: _parse_single_range: Invalid range: `x'", "srun: error: Invalid --het-group value: x"],
        ),
        (
            ["0,1-0"],
            2,
            ["srun: error: _parse_single_range: Invalid range: `1-0'", "srun: error: Invalid --het-group value: 0,1-0"],
        ),
        (["1"], 0, ["srun: error: Requested het-group offset exceeds highest hetjob index (1 > 0)"]),
        (["0"], 0, ["srun: error: No directives to start application on any available hetjob components"]),
    ],
)
def test_components_that_are_not_there(asked, components, lines):
    with pytest.raises(CommandError) as problem:
        srun_het.places(asked, components)
    assert list(problem.value.lines) == lines


JOBS = [
    {"job_id": 7, "name": "a", "nodes": "node[01-02]", "node_count": 2, "account": "p", "partition": "c", "qos": "q",
     "job_resources": [["node01", 1], ["node02", 1]]},
    {"job_id": 8, "name": "b", "nodes": "node03", "node_count": 1, "account": "p", "partition": "c", "qos": "q",
     "job_resources": [["node03", 2]]},
]  # fmt: skip


def test_tasks_find_all_the_components_as_one_allocation():
    assert srun_het.of_whole(JOBS) == {
        "SLURM_JOB_CPUS_PER_NODE": "1(x2),2",
        "SLURM_JOB_NODELIST": "node[01-03]",
        "SLURM_NODELIST": "node[01-03]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_NNODES": "3",
    }
    own = srun_het.of_own_job(JOBS)
    assert (own["SLURM_HET_SIZE"], own["SLURM_JOB_NAME"]) == ("2", "b")
    assert own["SLURM_JOB_ID_PACK_GROUP_1"] == "8"
    assert own["SLURM_JOB_NODELIST_PACK_GROUP_0"] == "node[01-02]"


def test_ranks_and_nodes_count_through_the_components():
    first = [("node01", [0], 1), ("node02", [1], 1)]
    second = [("node03", [0, 1], 2)]
    whole = [("node01", [0], 1), ("node02", [1], 1), ("node03", [2, 3], 2)]
    assert offsets([(first, 0), (second, 1)]) == [
        {"het": {"first_task": 0, "first_node": 0, "component": 0, "layout": whole}},
        {"het": {"first_task": 2, "first_node": 2, "component": 1, "layout": whole}},
    ]
    assert offsets([(first, 0)]) == [{}]


def test_only_a_number_is_a_size():
    assert [srun_het.size({"SLURM_HET_SIZE": text}) for text in ("2", "x", "", "99999")] == [2, 0, 0, 0]
    assert srun_het.size({}) == 0
