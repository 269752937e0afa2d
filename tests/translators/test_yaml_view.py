import yaml

from slurm_compat.core.model import JobRequest
from slurm_compat.translators.yamlview import translate
from tests.controller.reference import reference_cluster


def test_the_file_is_armadas_and_the_rest_stands_above_it():
    request = JobRequest(tasks=5, dependency="afterok:7?singleton", array="0-3%2", licenses="matlab", hold=True)
    text = translate(request, reference_cluster(), time_limit=90, account="project1")
    document = yaml.safe_load(text)
    assert document["queue"] == "project1"
    assert len(document["jobs"]) == 2
    assert document["jobs"][0]["podSpecs"][0]["containers"][0]["resources"]["requests"]["cpu"] == "4"
    for words in ("array: 0-3%2", "submitted when afterok:7 or singleton", "time limit: 01:30:00", "licenses", "hold"):
        assert words in text
    assert "&id" not in text


def test_a_job_nobody_can_take_says_so():
    text = translate(JobRequest(cpus_per_task=99), reference_cluster())
    assert "no set of this partition's nodes" in text
    assert yaml.safe_load(text)["jobs"] == []
