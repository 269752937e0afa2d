"""What a user may get wrong, through the real commands: Slurm's words and codes, the right state, never a traceback.

Words and codes are those of a real Slurm 26.05 asked the same.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.conftest import ALICE, CLUSTER, Cluster, running_cluster

FAILED_SUBMISSION = "sbatch: error: Batch job submission failed: "
NO_INTERPRETER = (
    "sbatch: error: This does not look like a batch script.  The first\n"
    "sbatch: error: line must start with #! followed by the path to an interpreter.\n"
    "sbatch: error: For instance: #!/bin/sh\n"
)
SPACE_ONLY = "sbatch: error: Batch script contains only whitespace!\n"
NUL = (
    "sbatch: error: The Slurm controller does not allow scripts that\n"
    "sbatch: error: contain a NULL character '\\0'.\n"
)  # fmt: skip
DOS = (
    "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
    "sbatch: error: instead of expected UNIX line breaks (\\n).\n"
)
HELP = 'Try "{} --help" for more information\n'


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "sbatch: error: Batch script is empty!\n"),
        (b"\n\n  \n", SPACE_ONLY),
        (b"true\n", NO_INTERPRETER),
        (b"\x7fELF\x02\x01\x01\x00\x00junk", NO_INTERPRETER),
        (b"\x00\x01\x02\x00", SPACE_ONLY),
        (b"#!/bin/sh\ntrue\0junk\n", NUL),
        (b"#!/bin/sh\r\ntrue\r\n", DOS),
        (
            b"#!/bin/sh\n" + b"#" * 5_000_000,
            FAILED_SUBMISSION + "Pathname of a file, directory or other parameter too long\n",
        ),
    ],
    ids=["empty", "blank", "no-interpreter", "elf", "nuls", "nul", "dos", "5MB"],
)
def test_what_is_no_batch_script(cluster: Cluster, folder: Path, body: bytes, words: str) -> None:
    (folder / "job.sh").write_bytes(body)
    assert cluster.run("sbatch", "job.sh", cwd=folder) == (1, "", words)
    assert cluster.run("sbatch", cwd=folder, stdin=body) == (1, "", words), "from standard input"


def test_a_missing_script_and_a_folder(cluster: Cluster, folder: Path) -> None:
    assert cluster.run("sbatch", "no.sh", cwd=folder) == (1, "", "sbatch: error: Unable to open file no.sh\n")
    assert cluster.run("sbatch", "/no/such", cwd=folder) == (1, "", "sbatch: error: Unable to open file /no/such\n")
    (folder / "d").mkdir()
    assert cluster.run("sbatch", "d", cwd=folder) == (1, "", "sbatch: error: Batch script is empty!\n")


def test_an_unreadable_script(cluster: Cluster, folder: Path) -> None:
    (folder / "secret.sh").write_text("#!/bin/sh\n")
    (folder / "secret.sh").chmod(0)
    user = ALICE if os.getuid() == 0 else ""
    words = "sbatch: error: Unable to open file {}\n"
    assert cluster.run("sbatch", "secret.sh", cwd=folder, user=user) == (1, "", words.format(folder / "secret.sh"))
    assert cluster.run("sbatch", "./secret.sh", cwd=folder, user=user) == (1, "", words.format("./secret.sh"))


def test_a_script_as_large_as_may_be_runs(cluster: Cluster, folder: Path) -> None:
    head = b"#!/bin/sh\nwc -c < $0; exit 0\n"
    (folder / "big.sh").write_bytes(head + b"#" * (4_194_200 - len(head)))
    job = cluster.sbatch("-o", "out", "big.sh", cwd=folder)
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    assert (folder / "out").read_text() == "4194200\n"


REFUSED = [
    # a command                          code  standard error
    ("sbatch --no-such ok.sh",            255, "sbatch: unrecognized option '--no-such'\n" + HELP.format("sbatch")),
    ("sbatch -Z ok.sh",                   255, "sbatch: invalid option -- 'Z'\n" + HELP.format("sbatch")),
    ("sbatch -n x ok.sh",                   1, 'sbatch: error: Invalid numeric value "x" for --ntasks.\n'),
    ("sbatch --time=abc ok.sh",           255, "sbatch: error: Invalid --time specification\n"),
    ("sbatch --mem=12Q ok.sh",            255, "sbatch: error: Invalid --mem specification\n"),
    ("sbatch --begin=soonish ok.sh",      255, "Invalid time specification (pos=0): soonish\n"
                                               "sbatch: error: Invalid --begin specification\n"),
    ("sbatch -p nope ok.sh",                1, "sbatch: error: invalid partition specified: nope\n"
                                               + FAILED_SUBMISSION + "Invalid partition name specified\n"),
    ("sbatch -C nope ok.sh",                1, FAILED_SUBMISSION + "Invalid feature specification\n"),
    ("sbatch -q nope ok.sh",                1, FAILED_SUBMISSION + "Invalid qos specification\n"),
    ("sbatch --mem=100G ok.sh",             1, "sbatch: error: Memory specification can not be satisfied\n"
                                               + FAILED_SUBMISSION + "Requested node configuration is not available\n"),
    ("sbatch --gres=nope:1 ok.sh",          1, "sbatch: error: Invalid generic resource (gres) specification\n"),
    ("sbatch -L nope:1 ok.sh",              1, FAILED_SUBMISSION + "Invalid license specification\n"),
    ("sbatch -w nodeXX ok.sh",              1, FAILED_SUBMISSION + "Invalid node name specified\n"),
    ("sbatch -a 1-99999999 ok.sh",          1, FAILED_SUBMISSION + "Invalid job array specification\n"),
    ("sbatch -a x ok.sh",                   1, FAILED_SUBMISSION + "Invalid job array specification\n"),
    ("sbatch -d afterok:999999 ok.sh",      1, FAILED_SUBMISSION + "Job dependency problem\n"),
    ("sbatch -d bogus:1 ok.sh",             1, FAILED_SUBMISSION + "Job dependency problem\n"),
    ("squeue --nope",                       1, "squeue: unrecognized option '--nope'\n" + HELP.format("squeue")),
    ("squeue -j abc",                       1, "squeue: error: Invalid job id: abc\n"),
    ("squeue -j 999999",                    1, "slurm_load_jobs error: Invalid job id specified\n"),
    ("scancel",                             1, "scancel: error: No job identification provided\n"),
    ("scancel abc",                         1, "scancel: error: Invalid job id abc\n"),
    ("scancel 999999",                      0, ""),
    ("sacct -o nope",                       1, 'sacct: error: Invalid field requested: "nope"\n'),
    ("sacct -j abc",                        1, "sacct: fatal: Bad job/step specified: abc\n"),
    ("scontrol nope",                       1, "invalid keyword: nope\n"),
    ("scontrol show nope",                  1, "invalid entity:nope for keyword:show\n"),
    ("scontrol show job 999999",            1, "slurm_load_jobs error: Invalid job id specified\n"),
    ("scontrol update jobid=999999 timelimit=1", 1, "Invalid job id specified for job 999999\n"),
    ("scontrol hold 999999",                1, "Invalid job id specified for job 999999\n"
                                               "slurm_suspend error:Invalid job id specified\n"),
    ("srun --nope true",                  255, "srun: unrecognized option '--nope'\n" + HELP.format("srun")),
    ("srun -p nope true",                   1, "srun: error: invalid partition specified: nope\n"
                                               "srun: error: Unable to allocate resources: "
                                               "Invalid partition name specified\n"),
]  # fmt: skip


@pytest.mark.parametrize("line, code, words", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused(cluster: Cluster, folder: Path, line: str, code: int, words: str) -> None:
    (folder / "ok.sh").write_text("#!/bin/sh\ntrue\n")
    assert cluster.run(*line.split(), cwd=folder) == (code, "", words)


def test_accounts_are_checked_where_the_site_enforces_them(folder: Path) -> None:
    text = CLUSTER + "AccountingStorageEnforce: associations\nAccounts: [{Name: physics}]\n"
    with running_cluster(text) as strict:
        words = FAILED_SUBMISSION + "Invalid account or account/partition combination specified\n"
        assert strict.run("sbatch", "-A", "nope", "--wrap", "true", cwd=folder) == (1, "", words)


def test_too_many_nodes_wait_and_say_why(cluster: Cluster) -> None:
    job = cluster.wrap("true", "-N", "20", "-o", "/dev/null")
    assert cluster.run("squeue", "-h", "-j", job, "-o", "%T %r").out.startswith("PENDING Partition")
    cluster.run("scancel", job)


def test_a_working_directory_that_vanished_before_sbatch(cluster: Cluster, folder: Path) -> None:
    gone = folder / "gone"
    for argv, code in ((["sbatch", "--wrap", "true"], 255), (["srun", "true"], 255), (["squeue", "-h"], 0)):
        gone.mkdir()
        shell = ["sh", "-c", f'cd {gone}; rmdir {gone}; exec "$@"', "sh", *argv]
        words = f"{argv[0]}: error: getcwd failed: No such file or directory\n" if code else ""
        done = cluster.run(*shell, cwd=folder)
        assert (done.code, done.err) == (code, words)


def test_a_working_directory_that_vanished_before_the_job_starts(cluster: Cluster, folder: Path) -> None:
    (folder / "gone").mkdir()
    job = cluster.wrap("pwd", "--hold", "-o", f"{folder}/out", cwd=folder / "gone")
    (folder / "gone").rmdir()
    cluster.run("scontrol", "release", job)
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    *complaints, last = (folder / "out").read_text().splitlines()
    assert last == "/tmp"
    words = f"error: couldn't chdir to `{folder}/gone': No such file or directory: going to /tmp instead"
    assert complaints and all(line.endswith(words) for line in complaints)


@pytest.mark.parametrize("option", ["-o{}/file/out", "-o{}/d", "-i{}/no/such"])
def test_a_stream_that_cannot_be_opened_fails_the_job(cluster: Cluster, folder: Path, option: str) -> None:
    (folder / "d").mkdir()
    (folder / "file").touch()
    done = cluster.run("sbatch", "--wait", "--parsable", option.format(folder), "--wrap", "echo hi", cwd=folder)
    assert (done.code, done.err) == (1, ""), "as --wait's code"
    job = done.out.strip()
    assert cluster.ended(job)[job] == ("FAILED", "0:53")


def test_an_output_file_that_nobody_may_write(cluster: Cluster, folder: Path) -> None:
    (folder / "out").write_text("mine\n")
    (folder / "out").chmod(0o444)
    user = ALICE if os.getuid() == 0 else ""
    job = cluster.wrap("echo hi", "-o", f"{folder}/out", user=user)
    assert cluster.ended(job)[job] == ("FAILED", "0:53")
    assert (folder / "out").read_text() == "mine\n"


def test_a_full_disk_is_the_scripts_affair(cluster: Cluster, folder: Path) -> None:
    job = cluster.wrap(f"echo hi || echo failed > {folder}/said", "-o", "/dev/full")
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    assert (folder / "said").read_text() == "failed\n"


def test_a_command_whose_output_goes_to_a_full_disk_fails(cluster: Cluster) -> None:
    with open("/dev/full", "wb") as full:
        done = cluster.run("sinfo", stdout=full)
    assert done.code == 1 and "No space left on device" in done.err


def test_an_interpreter_that_is_not_there(cluster: Cluster, folder: Path) -> None:
    (folder / "job.sh").write_text("#!/no/such/interp\n")
    job = cluster.sbatch("-o", "out", "job.sh", cwd=folder)
    assert cluster.ended(job)[job] == ("FAILED", "2:0")
    words = "error: execve(): bad interpreter(/no/such/interp): No such file or directory\n"
    assert (folder / "out").read_text().endswith(words)


def test_bytes_that_are_no_utf8_go_through_unchanged(cluster: Cluster, folder: Path) -> None:
    os.mkdir(os.fsencode(folder) + b"/r\xe9sultats")
    job = cluster.sbatch(
        b"-J", b"\xe9t\xe9", b"--comment", b"\xff\xfe", b"-o", b"r\xe9sultats/%x.txt", b"--export=ALL,X=\xff",
        b"--wrap", b"printf '\xe8|%s|%s' \"$X\" \"$SLURM_JOB_NAME\"", cwd=folder,
    )  # fmt: skip
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")
    written = Path(os.fsdecode(os.fsencode(folder) + b"/r\xe9sultats/\xe9t\xe9.txt")).read_bytes()
    assert written == b"\xe8|\xff|\xe9t\xe9"
    assert os.fsencode(cluster.run("sacct", "-nXP", "-j", job, "-o", "jobname").out) == b"\xe9t\xe9\n"
    assert (
        os.fsencode(cluster.run("squeue", "-h", "-t", "all", "-n", os.fsdecode(b"\xe9t\xe9"), "-o", "%k").out)
        == b"\xff\xfe\n"
    )


def test_a_full_disk_under_the_state_loses_nothing(as_root: None, folder: Path) -> None:
    """On a tmpfs of a few MiB: submissions are refused while it is full; what was accepted runs afterwards."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        with running_cluster(CLUSTER, str(folder)) as small:
            held = [small.wrap("true", "--hold", "-o", "/dev/null") for _ in range(3)]
            ballast = folder / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4096)
            body = b"#!/bin/sh\n" + b"#" * 1_000_000
            done = small.run("sbatch", "--hold", stdin=body)
            assert done.code == 1 and done.out == "" and done.err.startswith(FAILED_SUBMISSION), done
            assert small.run("squeue", "-h", "-o", "%i").out.split() == held[::-1]
            ballast.unlink()
            late = small.sbatch("-o", "/dev/null", stdin=body)
            small.run("scontrol", "release", ",".join(held))
            assert set(small.ended(*held, late).values()) == {("COMPLETED", "0:0")}
            assert set(small.accounts()) == {*held, late}
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# -- the controller is away -------------------------------------------------------------------------------------------

NOBODY = "Unable to contact slurm controller (connect failure)\n"
AWAY = [
    ("squeue", 1, "", "slurm_load_jobs error: " + NOBODY),
    ("squeue -s", 1, "", "slurm_get_job_steps error: " + NOBODY),
    ("sinfo", 1, "", "slurm_load_partitions: " + NOBODY),
    ("sbatch --wrap true", 1, "", FAILED_SUBMISSION + NOBODY),
    ("sbatch --test-only --wrap true", 1, "", "allocation failure: " + NOBODY),
    ("srun true", 1, "", "srun: error: Unable to allocate resources: " + NOBODY),
    ("salloc true", 1, "", "salloc: error: Job submit/allocate failed: " + NOBODY),
    ("scancel 5", 8, "", "scancel: error: Kill job error on job id 5: " + NOBODY),
    ("scancel -u root", 1, "", "slurm_load_jobs error: " + NOBODY),
    ("scontrol show job 5", 1, "", "slurm_load_jobs error: " + NOBODY),
    ("scontrol show node", 1, "", "slurm_load_node error: " + NOBODY),
    ("scontrol show partition", 1, "", "slurm_load_partitions error: " + NOBODY),
    ("scontrol show config", 1, "", "slurm_load_ctl_conf error:" + NOBODY),
    ("scontrol update jobid=5 timelimit=1", 1, "", "Unexpected message received for job 5\n"),
    ("scontrol ping", 1, "Slurmctld(primary) at ", ""),
    # these need nobody
    ("scontrol show hostnames n[1-2]", 0, "n1\nn2\n", ""),
    ("scontrol show hostlist n1,n2", 0, "n[1-2]\n", ""),
    ("squeue --version", 0, "slurm-wlm 26.05.5\n", ""),
    ("sbatch --version", 0, "slurm-wlm 26.05.5\n", ""),
    ("sbatch --help", 0, "Usage: sbatch", ""),
    ("sinfo --help", 0, "Usage: sinfo", ""),
    ("sbatch --nope", 255, "", "sbatch: unrecognized option '--nope'\n" + HELP.format("sbatch")),
    ("sbatch /no/such", 1, "", "sbatch: error: Unable to open file /no/such\n"),
    ("squeue -j abc", 1, "", "squeue: error: Invalid job id: abc\n"),
]


@pytest.fixture(scope="module")
def away() -> Iterator[dict[str, tuple[int, str, str]]]:
    """What each command said while the controller was dead. All at once: some wait a while for it to come back."""
    with running_cluster(CLUSTER) as dead:
        dead.kill("controller")
        with ThreadPoolExecutor(len(AWAY)) as pool:
            lines = [line for line, *_ in AWAY]
            yield dict(zip(lines, pool.map(lambda line: dead.run(*line.split()), lines), strict=True))
        dead.start()


@pytest.mark.parametrize("line, code, out, err", AWAY, ids=[row[0] for row in AWAY])
def test_a_controller_that_is_away(away: dict, line: str, code: int, out: str, err: str) -> None:
    said = away[line]
    assert (said.code, said.err) == (code, err)
    assert said.out.startswith(out) and bool(said.out) == bool(out)
