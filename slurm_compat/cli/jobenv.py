"""The environment that goes with a request: what --export lets through, and what the command itself adds.

Only the request's own words are added here; the agent adds what the allocation turned out to be.
Source: sbatch(1), --export and OUTPUT ENVIRONMENT VARIABLES; the stored environments of 26.05.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from slurm_compat.core.hostlist import compress_as_given, expand

if TYPE_CHECKING:
    from slurm_compat.cli.batchopts import Parsed
    from slurm_compat.cli.caller import Caller

# mpirun of Open MPI, PRRTE, MPICH and Intel MPI starts its daemons with our srun
MPI_LAUNCHERS = {
    "OMPI_MCA_plm_slurm_args": "--external-launcher",
    "PRTE_MCA_plm_slurm_args": "--external-launcher",
    "HYDRA_BOOTSTRAP": "slurm",
    "HYDRA_LAUNCHER_EXTRA_ARGS": "--external-launcher",
    "I_MPI_HYDRA_BOOTSTRAP": "slurm",
    "I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS": "--external-launcher",
}
# what the caller shows the controller is not the job's to keep
CALLERS_OWN = frozenset({"SLURM_JWT", "SLURM_COMPAT_WORD", "SLURM_COMPAT_CONTROLLER", "SLURM_COMPAT_AUTHORITY"})
# one element of --export: a name, or a name and a value whose quotes (which stay) may hold commas
_ELEMENT = re.compile(r"""((?:'[^']*'|"[^"]*"|[^,'"])+)""")


def exported(env: Mapping[str, str], export: str | None, warn: Callable[[str], None]) -> dict[str, str]:
    """The caller's variables that --export lets through, and those it sets. SLURM* always pass.

    None and ALL: all. NONE and NIL: no others. A list: those named; with ALL in it the rest too.
    """
    env = {name: value for name, value in env.items() if name not in CALLERS_OWN}
    if export is None or export.upper() == "ALL":
        return env
    slurms = {name: value for name, value in env.items() if name.startswith("SLURM")}
    chosen: dict[str, str] = {}
    if export.upper() not in ("NONE", "NIL"):
        for element in elements(export, warn):
            name, equals, value = element.partition("=")
            if equals:
                chosen[name] = value
            elif element == "ALL":
                chosen = {**env, **chosen}
            elif element in env:
                chosen[element] = env[element]
    return {**chosen, **slurms}


def elements(export: str, warn: Callable[[str], None]) -> list[str]:
    found = []
    at = 0
    while at < len(export):
        match = _ELEMENT.match(export, at)
        end = match.end() if match else at
        if end < len(export) and export[end] != ",":
            warn(f"Improperly formed environment variable ({export[at:]})")
            break
        if match:
            found.append(match[1])
        at = end + 1
    return found


def wants_login_environment(export: str | None) -> bool:
    """Whatever keeps variables from the job makes up for them with the login environment; NIL alone does not."""
    return export is not None and export.upper() not in ("ALL", "NIL")


def from_file(body: bytes, export: str | None, warn: Callable[[str], None]) -> dict[str, str]:
    """--export-file: NAME=value entries with NUL between them, in place of the caller's variables.

    As observed on 26.05, the file counts beside an --export that is ALL or a list, which adds the values it sets;
    without --export, and with NONE and NIL, the job gets neither the caller's variables nor the file's.
    """
    if export is None or export.upper() in ("NONE", "NIL"):
        return {}
    pairs = (entry.partition("=") for entry in body.decode("utf-8", "surrogateescape").split("\0"))
    env = {name: value for name, equals, value in pairs if name and equals}
    said = (element.partition("=") for element in elements(export, warn))
    return {**env, **{name: value for name, equals, value in said if equals}}


def of_request(parsed: Parsed, caller: Caller) -> dict[str, str]:
    """What sbatch and salloc add for the options they were given."""
    request, given, attrs = parsed.request, parsed.given, parsed.attrs
    bind = attrs.get("mem_bind", "")
    verbosity = "verbose" if bind and bind.split(",")[0].lower() in ("v", "verbose") else "quiet"
    plane = request.distribution.partition("=")[2].split(",")[0] if request.distribution.startswith("plane") else ""
    arbitrary = request.distribution.startswith("arbitrary")
    said = {
        "SLURM_JOB_DEPENDENCY": request.dependency,
        "SLURM_HINT": request.hint,
        "SLURM_EXPORT_ENV": "" if (request.export or "ALL").upper() == "ALL" else request.export,
        "SLURM_PRIO_PROCESS": str(caller.nice),
        "SLURM_SUBMIT_DIR": caller.cwd,
        "SLURM_SUBMIT_HOST": caller.host,
        "SLURM_UMASK": f"{request.umask:04o}",
        "SLURM_GET_USER_ENV": "1" if request.get_user_env else "",
        "SLURM_CPUS_PER_GPU": _number(request.cpus_per_gpu),
        "SLURM_GPUS": request.gpus,
        "SLURM_GPU_FREQ": request.gpu_freq,
        "SLURM_GPUS_PER_NODE": request.gpus_per_node,
        "SLURM_GPUS_PER_SOCKET": request.gpus_per_socket,
        "SLURM_MEM_PER_GPU": _number(request.memory_per_gpu),
        "SLURM_TRES_PER_TASK": attrs.get("tres_per_task", ""),
        "SLURM_TRES_BIND": attrs.get("tres_bind", ""),
        "SLURM_ARBITRARY_NODELIST": compress_as_given(expand(request.required_nodes)) if arbitrary else "",
        **MPI_LAUNCHERS,
        "SLURM_DISTRIBUTION": "plane" if plane else request.distribution,
        "SLURM_CPUS_PER_TASK": _number(request.cpus_per_task),
        "SLURM_MEM_BIND": bind,
        "SLURM_MEM_BIND_VERBOSE": verbosity if bind else "",
        "SLURM_NPROCS": _number(request.tasks),
        "SLURM_NTASKS": _number(request.tasks),
        "SLURM_NTASKS_PER_CORE": _number(request.tasks_per_core),
        "SLURM_NTASKS_PER_GPU": _number(request.tasks_per_gpu) if "ntasks-per-gpu" in given else "",
        "SLURM_NTASKS_PER_TRES": _number(request.tasks_per_gpu) if "ntasks-per-tres" in given else "",
        "SLURM_NTASKS_PER_NODE": _number(request.tasks_per_node),
        "SLURM_NTASKS_PER_SOCKET": _number(request.tasks_per_socket),
        "SLURM_THREADS_PER_CORE": _number(request.threads_per_core),
        "SLURM_DIST_PLANESIZE": plane,
    }
    empty = {"SLURM_EXPORT_ENV": ""} if "export" in given and not request.export else {}
    return {**{name: value for name, value in said.items() if value}, **empty}


# what holds for a whole heterogeneous job
OF_ALL_COMPONENTS = frozenset(
    {"SLURM_JOB_DEPENDENCY", "SLURM_EXPORT_ENV", "SLURM_PRIO_PROCESS", "SLURM_SUBMIT_DIR", "SLURM_SUBMIT_HOST",
     "SLURM_UMASK", "SLURM_GET_USER_ENV", *MPI_LAUNCHERS}
)  # fmt: skip


def of_components(parsed: Parsed, caller: Caller) -> dict[str, str]:
    """The same of each component of a heterogeneous job, by today's name and by the old one."""
    env = {}
    for number, one in enumerate([parsed, *parsed.components] if parsed.components else []):
        for name, text in of_request(one, caller).items():
            if name not in OF_ALL_COMPONENTS:
                env[f"{name}_HET_GROUP_{number}"] = env[f"{name}_PACK_GROUP_{number}"] = text
    return env


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def block(env: Mapping[str, str]) -> bytes:
    """NAME=value entries with NUL between them, bytes as the caller had them."""
    return b"\0".join(os.fsencode(f"{name}={value}") for name, value in env.items() if "\0" not in value)
