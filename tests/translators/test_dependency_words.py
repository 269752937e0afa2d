import pytest

from slurm_compat.core.errors import DEPENDENCY, NOT_SUPPORTED, SlurmError
from slurm_compat.core.model import Depend
from slurm_compat.translators.dependencies import known_only, parse


@pytest.mark.parametrize("text, terms, any_of", [
    ("", [], False),
    ("7", [Depend("afterany", 7)], False),
    ("afterok:7", [Depend("afterok", 7)], False),
    ("afterok:7:8", [Depend("afterok", 7), Depend("afterok", 8)], False),
    ("afterok:7,afterany:8", [Depend("afterok", 7), Depend("afterany", 8)], False),
    ("afterok:7?singleton", [Depend("afterok", 7), Depend("singleton")], True),
    ("after:7+10", [Depend("after", 7, delay=10)], False),
    ("after:7+5:7+6", [Depend("after", 7, delay=5)], False),
    ("afterany:7_3", [Depend("afterany", 7, 3)], False),
    ("afterany:7_*", [Depend("afterany", 7)], False),
    ("afterany: 7", [Depend("afterany", 7)], False),
    ("afterany:7,7_1", None, False),
])  # fmt: skip
def test_terms(text, terms, any_of):
    if terms is None:
        with pytest.raises(SlurmError):
            parse(text)
        return
    assert parse(text) == (terms, any_of)


@pytest.mark.parametrize("text", [
    "foo:1", "afterok", "afterok:", "afterok:abc", "afterok:1,afterany:2?afternotok:3", "afterany:1,", "afterany:1?",
    " afterany:1", "afterany:1:", "1:2", "1,afterok:2", "afterok:0", "afterok:-1", "after:1+x", "singleton:1", ",",
])  # fmt: skip
def test_what_is_no_dependency(text):
    with pytest.raises(SlurmError) as refusal:
        parse(text)
    assert refusal.value.number == DEPENDENCY


def test_expand_is_not_supported():
    with pytest.raises(SlurmError) as refusal:
        parse("expand:1")
    assert refusal.value.number == NOT_SUPPORTED


@pytest.mark.parametrize("text, left", [
    ("afterany:1", []), ("after:1", []), ("aftercorr:1", []), ("afterany:1,afterok:5", [Depend("afterok", 5)]),
    ("afterany:1?afterok:5", []), ("singleton", [Depend("singleton")]),
])  # fmt: skip
def test_jobs_long_gone_are_waited_for_no_longer(text, left):
    assert known_only(parse(text), lambda job_id, task_id: job_id == 5).terms == left


@pytest.mark.parametrize("text", ["afterok:1", "afternotok:1"])
def test_how_a_job_long_gone_ended_nobody_knows(text):
    with pytest.raises(SlurmError):
        known_only(parse(text), lambda job_id, task_id: False)
