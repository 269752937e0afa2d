"""--multi-prog files, with the quoting and the messages of 26.05."""

import pytest

from slurm_compat.core.multiprog import BadLine, argv_for, parse


@pytest.mark.parametrize(
    "line, rank, argv",
    [
        ("0 echo first %t %o", 0, ["echo", "first", "0", "0"]),
        ("1-2 echo range %t %o", 2, ["echo", "range", "2", "1"]),
        ("3,1 echo %o", 1, ["echo", "1"]),
        ("* echo rest %t %o", 3, ["echo", "rest", "3", "3"]),
        ("0 echo a%q", 0, ["echo", "a"]),
        ("1 sh -c 'echo q \"in\" quotes'", 1, ["sh", "-c", 'echo q "in" quotes']),
        ('0 sh -c "exit 3"', 0, ["sh", "-c", '"exit', '3"']),
        (r"0 echo b\ c", 0, ["echo", "b c"]),
        ("0 echo\\\n cont", 0, ["echo", "cont"]),
        ("0 echo ''", 0, ["echo", ""]),
        ("1 echo x", 0, []),
    ],
)
def test_what_a_task_runs(line, rank, argv):
    assert argv_for(parse(f"{line}\n* rest\n", 4, "mp"), rank)[: len(argv) or None] == (argv or ["rest"])


@pytest.mark.parametrize(
    "text, tasks, lines",
    [
        ("abc echo\n", 1, ["Invalid task range specification (abc)", "Line 1 of configuration file mp invalid"]),
        ("0 echo a\n1 ", 2, ["Line 2 of configuration file mp invalid"]),
        ("0-9 echo a\n", 2, ["Invalid task id, 9 >= ntasks", "Line 1 of configuration file mp invalid"]),
        ("0 echo zero\n", 2, ["Configuration file mp invalid, no record for task id 1"]),
        ("", 1, ["Configuration file mp invalid, no record for task id 0"]),
    ],
)
def test_files_that_srun_refuses(text, tasks, lines):
    with pytest.raises(BadLine) as refused:
        parse(text, tasks, "mp")
    assert list(refused.value.lines) == lines


def test_comments_and_empty_lines_are_nobodys():
    assert parse("# comment\n\n0 true\n", 1, "mp") == [("0", ["true"])]
