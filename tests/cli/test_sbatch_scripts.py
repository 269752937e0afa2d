"""What sbatch takes for a script, and what it finds in its comments; words and codes as 26.05 has them."""

import pytest

from slurm_compat.cli import pbs, script
from slurm_compat.core.errors import CommandError

NO_INTERPRETER = (
    "sbatch: error: This does not look like a batch script.  The first",
    "sbatch: error: line must start with #! followed by the path to an interpreter.",
    "sbatch: error: For instance: #!/bin/sh",
)
DOS = (
    r"sbatch: error: Batch script contains DOS line breaks (\r\n)",
    r"sbatch: error: instead of expected UNIX line breaks (\n).",
)
NUL = (
    "sbatch: error: The Slurm controller does not allow scripts that",
    r"sbatch: error: contain a NULL character '\0'.",
)


@pytest.mark.parametrize(
    "body, lines",
    [(b"", ("sbatch: error: Batch script is empty!",)),
     (b"  \n", ("sbatch: error: Batch script contains only whitespace!",)),
     (b"echo hi\n", NO_INTERPRETER), (b"\n#!/bin/sh\n", NO_INTERPRETER), (b"#!/bin/sh\r\nx\r\n", DOS),
     (b"#!/bin/sh\nx\0y\n", NUL)],
)  # fmt: skip
def test_what_can_not_be_a_script(body, lines):
    with pytest.raises(CommandError) as caught:
        script.checked(body)
    assert caught.value.lines == lines and caught.value.code == 1


def test_missing_and_directory(tmp_path):
    with pytest.raises(CommandError, match=r"Unable to open file missing\.sh"):
        script.read("missing.sh", str(tmp_path), {})
    with pytest.raises(CommandError, match="Batch script is empty!"):
        script.read(str(tmp_path), "/", {})


def test_scripts_are_sought_here_and_then_in_the_path(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "there.sh").write_text("#!/bin/sh\n")
    (tmp_path / "here.sh").write_text("#!/bin/sh\n")
    env = {"PATH": f"/nowhere:{tmp_path}/bin"}
    cwd = str(tmp_path)
    assert script.read("there.sh", cwd, env).path == f"{tmp_path}/bin/there.sh"
    assert script.read("here.sh", cwd, env).path == f"{tmp_path}/here.sh"
    assert script.read("./here.sh", cwd, env).path == "./here.sh"
    assert script.read("bin/there.sh", cwd, env).path == f"{tmp_path}/bin/there.sh"


WORDS = [
    (" -J a --time=5", ["-J", "a", "--time=5"]),
    ("\t-J\tx  ", ["-J", "x"]),
    (' --comment="quoted words"', ["--comment=quoted words"]),
    (" --comment='single'", ["--comment=single"]),
    (r" -J esc\ aped", ["-J", "esc aped"]),
    (r" -J 'a\b' --comment='x\'y'", ["-J", "ab", "--comment=x'y"]),
    (r' -J "a\\b"', ["-J", "a\\b"]),
    (' -J a"b"c', ["-J", "abc"]),
    (" -n 2   # a remark", ["-n", "2"]),
    (" -J a#b", ["-J", "a"]),
    (' --comment="c#d"', ["--comment=c#d"]),
    (' -J "" -t 5', ["-J", "-t", "5"]),
    ("--time=9", ["--time=9"]),
    (" -J x\\", ["-J", "x"]),
    ("", []),
]


@pytest.mark.parametrize("text, words", WORDS)
def test_words_of_a_directive(text, words):
    assert script.split_words(text) == words


@pytest.mark.parametrize(
    "text, line",
    [(' -t 3 "unterminated', 'sbatch: fatal: q.sh: line 2: Unmatched `"` in [ "unterminated]'),
     (" --time 5 :", "sbatch: fatal: q.sh: line 2: Unexpected `:` in [ :]")],
)  # fmt: skip
def test_words_that_can_not_be(text, line):
    with pytest.raises(CommandError) as caught:
        script.split_words(text, "q.sh: line 2")
    assert caught.value.lines == (line,)


def made(text):
    return script.Script(text.encode(), "s.sh", "/s.sh", "s.sh")


def test_directives_end_at_the_first_command():
    text = """#!/bin/bash
#SBATCH -J one
  #SBATCH --comment=indented
##SBATCH --comment=doubled
# SBATCH --comment=spaced

\t
#SBATCH -t 5
:
#SBATCH --comment=late
"""
    assert script.option_groups(made(text)) == [["-J", "one", "-t", "5"]]


def test_hetjob_begins_a_component():
    text = "#!/bin/sh\n#SBATCH -n 1\n#SBATCH hetjob\n#SBATCH -n 2\n#SBATCH packjob\n"
    assert script.option_groups(made(text)) == [["-n", "1"], ["-n", "2"], []]


def test_a_wrapped_command():
    assert script.wrapped("echo hi").body == b"#!/bin/sh\n# This script was created by sbatch --wrap.\n\necho hi\n"


PBS = [
    ("-N nm", ["--job-name=nm"]),
    ("-l nodes=2:ppn=3", ["--nodes=2", "--ntasks=6"]),
    ("-l walltime=1:0:0,mem=1gb,nodes=1:ppn=2:gpus=1",
     ["--time=1:0:0", "--mem=1gb", "--gpus-per-node=1", "--nodes=1", "--ntasks=2"]),
    ("-l select=2:ncpus=4:mpiprocs=2:mem=1gb",
     ["--nodes=2", "--mincpus=4", "--ntasks-per-node=2", "--cpus-per-task=2", "--mem=1gb"]),
    ("-l nodes=node01+node02", ["--nodelist=node01,node02"]),
    ("-l pmem=2gb,other=x", []),
    ("-m abe", ["--mail-type=BEGIN,END,FAIL"]),
    ("-r n", ["--no-requeue"]),
    ("-h -V -j oe", ["--hold"]),
    ("-W depend=afterok:1", ["--dependency=afterok:1"]),
    ("-v A,B=1", ["--export=A,B=1"]),
]  # fmt: skip


@pytest.mark.parametrize("text, words", PBS)
def test_pbs_lines(text, words):
    assert pbs.options(made(f"#!/bin/sh\n#PBS {text}\n")).options == words


@pytest.mark.parametrize(
    "text, words",
    [("-J nm", ["--job-name=nm"]), ("-n 4,8", ["--ntasks=8"]), ("-W 30", ["--time=30"]), ("-cwd /x", ["--chdir=/x"]),
     ("-M 2000000", ["--mem-per-cpu=1954M"]), ("-x", ["--exclusive"]), ("-oout", ["--output=out"])],
)  # fmt: skip
def test_bsub_lines(text, words):
    assert pbs.options(made(f"#!/bin/sh\n#BSUB {text}\n")).options == words


@pytest.mark.parametrize(
    "line, lines",
    [("#PBS -Z", ("sbatch: invalid option -- 'Z'", "sbatch: error: Unrecognized command line parameter ?")),
     ("#BSUB -oo out", ("sbatch: error: Invalid argument: out",))],
)  # fmt: skip
def test_foreign_lines_that_are_refused(line, lines):
    with pytest.raises(CommandError) as caught:
        pbs.options(made(f"#!/bin/sh\n{line}\n"))
    assert caught.value.lines == lines


def test_attributes_passed_over_are_told():
    assert pbs.options(made("#!/bin/sh\n#PBS -W group_list=x\n")).notes == ["Ignored PBS attributes: group_list=x"]
