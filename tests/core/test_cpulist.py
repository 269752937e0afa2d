import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.cpulist import cpu_numbers, cpu_text


@pytest.mark.parametrize("text, numbers", [("", []), ("0", [0]), ("0-2,5", [0, 1, 2, 5]), ("0-1", [0, 1])])
def test_lists_as_slurm_writes_them(text, numbers):
    assert cpu_numbers(text) == numbers
    assert cpu_text(numbers) == text


@given(st.sets(st.integers(0, 200)))
def test_shown_lists_read_back(numbers):
    assert cpu_numbers(cpu_text(numbers)) == sorted(numbers)
