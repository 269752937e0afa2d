"""Programs of the MPI libraries Debian has, on four virtual nodes: by srun, and by mpirun in an allocation."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import ALICE, Cluster, running_cluster

SOURCES = Path(__file__).parents[2] / "fixtures" / "mpi"
NODES = """\
ClusterName: mpi
KillWait: 1
DefMemPerCPU: 64
PrologFlags: Contain
MailProg: /bin/true
Nodes:
  - {NodeName: "node[01-04]", CPUs: 4, CoresPerSocket: 4, RealMemory: 8000}
Partitions:
  - {PartitionName: compute, Nodes: "node[01-04]", Default: true}
"""
SHAPE = ("-N4", "-n8", "--ntasks-per-node=2")
# a root's mpirun of Open MPI says no without them
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

HELLO = sorted(f"rank {rank} of 8 on node{rank // 2 + 1:02}" for rank in range(8))
EXPECTED = {
    "hello": HELLO,
    "ring": ["ring of 8: sum 28, last byte 8"],
    "allreduce": ["allreduce of 8: right, 28", "even half: 12", "odd half: 16"],
}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with running_cluster(NODES) as one:
        yield one


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """(library, name): compiled, for the libraries that are installed."""
    folder = tmp_path_factory.mktemp("mpi")
    made = {}
    for library in ("mpich", "openmpi"):
        compiler = shutil.which(f"mpicc.{library}")
        if compiler and shutil.which(f"mpirun.{library}"):
            for name in EXPECTED:
                program = folder / f"{name}.{library}"
                subprocess.run([compiler, "-O1", "-o", program, SOURCES / f"{name}.c"], check=True, timeout=60)
                made[library, name] = program
    return made


def compiled(programs: dict[tuple[str, str], Path], library: str, name: str) -> Path:
    if library == "openmpi" and os.getuid():
        pytest.skip("Open MPI's daemons must find themselves on hosts of different names, which only root's nodes have")
    if (library, name) not in programs:
        pytest.skip(f"mpicc.{library} and mpirun.{library} are not installed (Debian: mpich libmpich-dev, "
                    "openmpi-bin libopenmpi-dev)")  # fmt: skip
    return programs[library, name]


def checked(name: str, out: str) -> None:
    lines = sorted(out.splitlines())
    if name == "hello" and os.getuid():  # virtual nodes have names of their own where root made them
        lines = [f"{line.partition(' on ')[0]} on node{int(line.split()[1]) // 2 + 1:02}" for line in lines]
    assert lines == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_mpich_by_srun(nodes: Cluster, programs: dict[tuple[str, str], Path], name: str) -> None:
    done = nodes.run("srun", "--mpi=pmi2", *SHAPE, compiled(programs, "mpich", name))
    assert (done.code, done.err) == (0, "")
    checked(name, done.out)


@pytest.mark.parametrize("distribution", ["cyclic", "plane=2", "block"])
def test_mpich_finds_its_peers_however_they_lie(
    nodes: Cluster, programs: dict[tuple[str, str], Path], distribution: str
) -> None:
    program = compiled(programs, "mpich", "allreduce")
    done = nodes.run("srun", "--mpi=pmi2", "-N3", "-n8", "-m", distribution, program)
    assert (done.code, done.err) == (0, "")
    checked("allreduce", done.out)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("library", ["mpich", "openmpi"])
def test_mpirun_in_a_batch_job(
    nodes: Cluster, programs: dict[tuple[str, str], Path], folder: Path, library: str, name: str
) -> None:
    program = compiled(programs, library, name)
    job = nodes.wrap(f"mpirun.{library} -n 8 {program}", *SHAPE, "-o", f"{folder}/out", env=AS_ROOT)
    assert nodes.ended(job)[job] == ("COMPLETED", "0:0")
    checked(name, (folder / "out").read_text())
    daemon = {"mpich": "hydra_pmi_proxy", "openmpi": "orted"}[library]
    steps = nodes.run("sacct", "-nP", "-j", job, "-o", "jobid,jobname,state").out.splitlines()
    # mpirun does not wait for the srun it called: the job's end may come first, and end it
    assert any(step.startswith((f"{job}.0|{daemon}|COMPLETED", f"{job}.0|{daemon}|CANCELLED")) for step in steps)


@pytest.mark.parametrize("library", ["mpich", "openmpi"])
def test_mpirun_in_an_allocation(nodes: Cluster, programs: dict[tuple[str, str], Path], library: str) -> None:
    program = compiled(programs, library, "ring")
    done = nodes.run("salloc", "-Q", *SHAPE, f"mpirun.{library}", "-n", "8", program, env=AS_ROOT)
    assert (done.code, done.out) == (0, "ring of 8: sum 28, last byte 8\n"), done.err


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("library", ["mpich", "openmpi"])
def test_mpirun_of_an_ordinary_user(
    nodes: Cluster, programs: dict[tuple[str, str], Path], folder: Path, library: str
) -> None:
    folder.chmod(0o777)
    program = Path(shutil.copy(compiled(programs, library, "allreduce"), folder))
    job = nodes.wrap(f"mpirun.{library} -n 8 {program}", *SHAPE, "-o", f"{folder}/out", user=ALICE, cwd=folder)
    assert nodes.ended(job)[job] == ("COMPLETED", "0:0"), (folder / "out").read_text()
    checked("allreduce", (folder / "out").read_text())


def test_a_task_that_aborts_ends_all(nodes: Cluster, folder: Path) -> None:
    talk = (
        "import os, socket, time; s = socket.socket(fileno=int(os.environ['PMI_FD']));"
        "s.sendall(b'cmd=init pmi_version=1 pmi_subversion=1\\n'); s.recv(100);"
        "r = os.environ['PMI_RANK']; r == '2' and s.sendall(b'cmd=abort exitcode=5\\n'); time.sleep(60)"
    )
    done = nodes.run("srun", "--mpi=pmi2", "-N2", "-n4", "--ntasks-per-node=2", "python3", "-c", talk)
    assert done.code == 143
    assert "DUE TO TASK FAILURE ***" in done.err
    assert "Force Terminated StepId=" in done.err


def test_tasks_know_their_pmi_only_when_asked_for(nodes: Cluster) -> None:
    shown = "env | grep -E '^(PMI_|SLURM_MPI)' | sort"
    done = nodes.run("srun", "--mpi=pmi2", "-n2", "-l", "sh", "-c", shown)
    step = next(line.partition("=")[2] for line in done.out.splitlines() if "PMI_JOBID" in line)
    assert step.endswith(".0")
    assert sorted(done.out.splitlines()) == sorted(
        f"{rank}: {line}"
        for rank in (0, 1)
        for line in ("PMI_FD=17", f"PMI_JOBID={step}", f"PMI_RANK={rank}", "PMI_SIZE=2", "SLURM_MPI_TYPE=pmi2")
    )
    assert nodes.run("srun", "sh", "-c", shown, env={"SLURM_MPI_TYPE": "none"}).out == ""
    assert "PMI_RANK=0" in nodes.run("srun", "sh", "-c", shown, env={"SLURM_MPI_TYPE": "pmi2"}).out


@pytest.mark.parametrize("kind", ["foo", "PMI2", ""])
def test_an_unknown_kind_of_mpi(nodes: Cluster, kind: str) -> None:
    done = nodes.run("srun", f"--mpi={kind}", "true")
    assert done == (
        1, "",
        f"srun: error: MPI: Cannot create context for mpi/{kind}\nsrun: error: MPI: Unable to load any plugin\n"
        f"srun: error: Invalid MPI type '{kind}', --mpi=list for acceptable types\n",
    )  # fmt: skip
