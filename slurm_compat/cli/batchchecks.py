"""What options mean together: the conflicts sbatch, srun and salloc refuse, and what they fill in themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slurm_compat.core import hostlist
from slurm_compat.core.errors import TEXT, BadValue, CommandError
from slurm_compat.core.model import JobRequest
from slurm_compat.core.optionvalues import HINT_HELP

if TYPE_CHECKING:
    from slurm_compat.cli.batchopts import Parsed

Warn = Callable[[str], None]

MEMORY = {"mem": "memory_per_node", "mem-per-cpu": "memory_per_cpu", "mem-per-gpu": "memory_per_gpu"}
FAILED = {
    "sbatch": "Batch job submission failed",
    "srun": "Unable to allocate resources",
    "salloc": "Job submit/allocate failed",
}
INVALID_LICENSES, INVALID_TRES = 2048, 2115
HINT_RIVALS = (
    "Following options are mutually exclusive with --hint: --ntasks-per-core, --cores-per-socket, --threads-per-core,"
    " --sockets-per-node, -B and --cpu-bind (other than --cpu-bind=verbose). Ignoring --hint."
)


def checked(command: str, parsed: Parsed, *, cwd: str, warn: Warn) -> Parsed:
    """`parsed` with its request completed. Raises CommandError where the options contradict each other."""
    if {"help", "usage", "version", "autocomplete", "tell", "gres_help"} & parsed.attrs.keys():
        return parsed
    verbose = parsed.attrs.get("verbose", 0) - parsed.attrs.get("quiet", 0)
    for check in (
        _memory,
        _sharing,
        _resources,
        _times,
        _specialization,
        _hint,
        _cores,
        _nodelist,
        _tres_per_task,
        _shape,
        _files,
    ):
        check(command, parsed, cwd, warn if check is not _hint or verbose > 0 else _silent)
    return parsed


def _silent(line: str) -> None:
    """For what is only said with -v."""


def fatal(command: str, text: str) -> CommandError:
    return CommandError(f"{command}: fatal: {text}")


def _memory(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    said = {name: parsed.given[name] for name in MEMORY if name in parsed.given}
    by_user = [name for name, origin in said.items() if origin != "environment"]
    if len(by_user) > 1:
        raise fatal(command, "--mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.")
    if not by_user and len(said) > 1:
        raise fatal(command, "SLURM_MEM_PER_CPU, SLURM_MEM_PER_GPU, and SLURM_MEM_PER_NODE are mutually exclusive.")
    for name in said:
        if by_user and name not in by_user:  # what the user says here wins over the environment's other kind
            setattr(parsed.request, MEMORY[name], None)
    if parsed.request.memory_per_cpu == 0:  # all memory of each node, whichever option says it
        parsed.request.memory_per_cpu, parsed.request.memory_per_node = None, 0


def _sharing(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    if parsed.request.exclusive and parsed.request.oversubscribe:
        raise fatal(command, "--exclusive and --oversubscribe options are mutually exclusive")
    if parsed.request.resv_ports is not None and not parsed.request.stepmgr and command != "srun":
        text = "Slurmstepd step management must be enabled to use --resv-ports for job allocations"
        raise CommandError(f"{command}: error: {text}")


def _resources(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    if parsed.attrs.pop("resources", ""):
        raise CommandError(f"{command}: error: {FAILED[command]}: {TEXT[INVALID_LICENSES]}")


def _times(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    request = parsed.request
    if request.deadline and request.begin_time > request.deadline:
        raise CommandError(f"{command}: error: Incompatible begin and deadline time specification")


def _specialization(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    request = parsed.request
    if request.core_specification is not None and request.thread_specification is not None:
        raise fatal(command, "-S/--core-spec and --thred-spec options are mutually exclusive")
    for option, value in (("-S", request.core_specification), ("--thread-spec", request.thread_specification)):
        if value is not None:
            text = f"Ignoring {option} since it's not allowed by configuration (AllowSpecResourcesUsage = No)"
            warn(f"{command}: error: {text}")
    request.core_specification = request.thread_specification = None


def _hint(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    request = parsed.request
    words = request.hint.lower().split(",") if "hint" in parsed.given else []
    if "help" in words:
        raise CommandError(HINT_HELP)
    for word in words:
        if word not in ("compute_bound", "memory_bound", "multithread", "nomultithread"):
            text = f'unrecognized --hint argument "{word}", see --hint=help'
            raise CommandError(f"{command}: error: {text}")
    rivals = (request.tasks_per_core, request.cores_per_socket, request.threads_per_core, request.sockets_per_node)
    if words and (any(rivals) or "extra_node_info" in parsed.attrs):
        warn(f"{command}: {HINT_RIVALS}")
        request.hint = ""
        return
    for word in words:
        if word in ("compute_bound", "memory_bound", "nomultithread"):
            request.threads_per_core = 1
        if word == "memory_bound":
            request.cores_per_socket = 1


def _cores(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    request = parsed.request
    if request.tasks_per_core and request.threads_per_core and request.tasks_per_core > request.threads_per_core:
        limits = f"--ntasks-per-core ({request.tasks_per_core}) can not be bigger than"
        raise CommandError(f"{command}: error: {limits} --threads-per-core ({request.threads_per_core})")
    if request.tasks is None and parsed.attrs.pop("extra_node_info", False):
        # -B says how many tasks there are, when nothing else does: one for each thing it counts
        product = 1
        for count in (request.sockets_per_node, request.cores_per_socket, request.threads_per_core):
            product *= count or 1
        if product > 1:
            request.tasks = product
    parsed.attrs.pop("extra_node_info", None)


def _nodelist(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    """Files of names are read here; the names say how many nodes, when nothing else does."""
    request = parsed.request
    named = parsed.attrs.pop("nodefile", None)
    if named == "":
        raise CommandError(f"{command}: error: Invalid --nodefile node file", code=255)
    if named and not request.required_nodes:
        try:
            request.required_nodes = ",".join(_names_in(os.path.join(cwd, named)))
        except OSError as problem:
            lines = (f"slurm_allocate_resources error opening file {named}, {problem.strerror}",
                     "Invalid --nodefile node file")  # fmt: skip
            raise CommandError(*(f"{command}: error: {line}" for line in lines), code=255) from None
    for attribute in ("required_nodes", "excluded_nodes"):
        text = getattr(request, attribute)
        if "/" in text:
            try:
                setattr(request, attribute, ",".join(_names_in(os.path.join(cwd, text))))
            except OSError:
                option = {"required_nodes": "nodelist", "excluded_nodes": "exclude"}[attribute]
                raise CommandError(f"{command}: error: Invalid --{option} specification", code=255) from None
    _hostfile(command, parsed, cwd)
    arbitrary = request.distribution.startswith("arbitrary")
    if arbitrary and command == "srun" and parsed.attrs.get("jobid"):
        return  # a step's own arithmetic: srun_request.py
    if arbitrary and not request.required_nodes:
        text = "With Arbitrary distribution you need to specify a nodelist or hostfile with the -w option"
        raise CommandError(f"{command}: error: {text}")
    if not request.required_nodes:
        return
    try:
        names = hostlist.expand(request.required_nodes)
    except BadValue:
        raise fatal(command, "Invalid node list specified") from None
    if arbitrary and request.tasks is None:
        request.tasks = len(names)


def _hostfile(command: str, parsed: Parsed, cwd: str) -> None:
    """SLURM_HOSTFILE has the node of each task, a line each, where no node list was given."""
    from slurm_compat.cli.batchopts import COMMAND_LINE, ENVIRONMENT

    request = parsed.request
    named = parsed.attrs.pop("hostfile", "")
    if not named or request.required_nodes:
        return
    if command == "srun" and parsed.given.get("nodes") == COMMAND_LINE:
        raise CommandError("srun: error: --nodes is incompatible with --distribution=arbitrary")
    told = parsed.given.get("ntasks")
    problem = ""
    try:
        names = hostlist.expand(",".join(_names_in(os.path.join(cwd, named))))
    except OSError as refused:
        problem = f"slurm_allocate_resources error opening file {named}, {refused.strerror}"
    except BadValue:
        problem = f"Invalid node list in {named}"
    else:
        if told in (None, ENVIRONMENT) or request.tasks is None:
            request.tasks = len(names)
        if request.tasks > len(names):
            problem = "Too few NodeNames in Slurm Hostfile"
    if problem:
        raise CommandError(f"{command}: error: {problem}", f"{command}: error: Failure getting NodeNames from hostfile")
    request.required_nodes = ",".join(names[: request.tasks])
    request.distribution = "arbitrary"


def _names_in(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = (line.split("#")[0].strip() for line in file)
        return [line for line in lines if line]


def _tres_per_task(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    """-c and --gpus-per-task say the same as --tres-per-task's cpu and gres/gpu; attrs hold all of it in one text."""
    request = parsed.request
    _gpu_counts(command, request)
    asked = _tres_of(request.tres_per_task)
    for name in asked:
        if name.partition("/")[0] in ("mem", "node", "billing", "energy", "pages", "vmem", "bb"):
            raise fatal(command, f"Invalid TRES for --tres-per-task: {name.partition('/')[0]}")
    for part in request.tres_per_task.split(","):
        name, _, number = part.replace("=", ":", 1).partition(":")
        if name == "cpu" and _leading(number) <= 0:
            raise fatal(command, f"Invalid --tres-per-task=cpu={_leading(number)}")
    _one_way_to_say_cpus(command, parsed, "cpu" in asked)
    if request.tasks_per_gpu and request.gpus_per_task:
        raise fatal(command, "--gpus-per-task is mutually exclusive with --ntasks-per-gpu and SLURM_NTASKS_PER_GPU")
    parts = [request.tres_per_task] if request.tres_per_task else []
    if asked.get("cpu", "").isdigit() and int(asked["cpu"]) > 0:
        request.cpus_per_task = int(asked["cpu"])
    elif request.cpus_per_task:
        parts.insert(0, f"cpu={request.cpus_per_task}")
    if not any(name.startswith("gres/gpu") for name in asked):
        for one in filter(None, request.gpus_per_task.split(",")):
            kind, _, count = one.rpartition(":")
            parts.append(f"gres/gpu{':' + kind if kind else ''}={count}")
    whole = ",".join(parts)
    if request.tres_per_task:
        request.tres_per_task = whole
    parsed.attrs["tres_per_task"] = whole
    parsed.attrs["tres_bind"] = _tres_bind(command, parsed, whole)


def _gpu_counts(command: str, request: JobRequest) -> None:
    """What stands behind a type must be a number."""
    per_node = request.gpus_per_node
    if per_node and any(part.removeprefix("gres/").startswith("gpu") for part in request.gres.split(",")):
        raise fatal(command, "--gpus-per-node and --gres=gpu are mutually exclusive.")
    amounts = [part.removeprefix("gres/").partition(":") for part in request.gres.split(",") if ":" in part]
    typed = [rest for name, _, rest in amounts if name == "gpu"]
    for text in (request.gpus, per_node, request.gpus_per_socket):
        typed += [part.removeprefix("gpu:") for part in text.split(",") if part]
    bad = any(not rest or (":" in rest and not _AMOUNT.fullmatch(rest.rpartition(":")[2])) for rest in typed)
    if bad or any(part.rpartition(":")[2].startswith("-") for part in request.gpus_per_task.split(",")):
        raise CommandError(f"{command}: error: {TEXT[INVALID_TRES]}")


_AMOUNT = re.compile(r"\d+[kmgt]?", re.I | re.A)


def _leading(text: str) -> int:
    found = re.match(r"\s*([+-]?\d+)", text)
    return int(found[1]) if found else 0


def _one_way_to_say_cpus(command: str, parsed: Parsed, in_tres: bool) -> None:
    request = parsed.request
    by_user = {name for name, origin in parsed.given.items() if origin != "environment"}
    if in_tres and {"tres-per-task", "cpus-per-task"} <= by_user:
        clash = "You can not have --tres-per-task=cpu= and --cpus-per-task please use one or the other"
        raise fatal(command, clash)
    if not request.cpus_per_gpu or not (request.cpus_per_task or in_tres):
        return
    per_task = {"cpus-per-task", "tres-per-task"} if in_tres else {"cpus-per-task"}
    if per_task & by_user and "cpus-per-gpu" in by_user:
        text = "--cpus-per-task, --tres-per-task=cpu:#, and --cpus-per-gpu are mutually exclusive"
        raise fatal(command, text)
    # what the user says here wins over the environment's other kind
    if "cpus-per-gpu" in by_user:
        request.cpus_per_task = None
    else:
        request.cpus_per_gpu = None


def _tres_bind(command: str, parsed: Parsed, tres_per_task: str) -> str:
    request = parsed.request
    given: str = parsed.attrs.get("tres_bind", "")
    if given and not given.startswith("gres/gpu:"):
        raise CommandError(f"{command}: error: {FAILED[command]}: {TEXT[INVALID_TRES]}")
    if given and not request.gpu_bind:
        request.gpu_bind = given.removeprefix("gres/gpu:")
    if request.gpu_bind:
        return f"gres/gpu:{request.gpu_bind}"
    # a task with GPUs of its own sees those, unless it says otherwise
    counts = [count for name, count in _tres_of(tres_per_task).items() if name.startswith("gres/gpu")]
    return f"gres/gpu:per_task:{counts[0]}" if counts else ""


def _tres_of(text: str) -> dict[str, str]:
    """name: count of "cpu=2,gres/gpu:a100:1"; both = and : part them, and one without a count is 1."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, count = part.partition("=")
        if not equals:
            head, colon, tail = part.rpartition(":")
            name, count = (head, tail) if colon and tail.isdigit() else (part, "1")
        if name:
            found[name] = count
    return found


def _shape(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    request = parsed.request
    least, tasks = request.minimum_nodes, request.tasks
    if least is None and request.required_nodes:
        least = len(set(hostlist.expand(request.required_nodes)))
    if request.distribution.startswith("plane") and (tasks or 1) < (least or 1):
        raise CommandError(f"{command}: error: Too few processes for the requested {{plane,node}} distribution")
    if least is not None and "tasks" in _set(request) and tasks is not None and tasks < least:
        warn(f"{command}: warning: can't run {tasks} processes on {least} nodes, setting nnodes to {tasks}")
        request.minimum_nodes = request.maximum_nodes = tasks
    elif tasks is not None and request.maximum_nodes is not None and request.maximum_nodes > tasks:
        request.maximum_nodes = max(tasks, request.minimum_nodes or 0)


def _set(request: JobRequest) -> set[str]:
    return {name for name in JobRequest.__struct_fields__ if getattr(request, name) is not None}


def _files(command: str, parsed: Parsed, cwd: str, warn: Warn) -> None:
    chdir: Any = parsed.attrs.pop("chdir", None)
    parsed.request.current_working_directory = cwd if chdir is None else os.path.join(cwd, chdir)
    if (named := parsed.attrs.pop("burst_buffer_file", None)) is not None:
        try:
            with open(os.path.join(cwd, named), encoding="utf-8", errors="surrogateescape") as file:
                parsed.request.burst_buffer = file.read(1 << 20)
        except OSError:
            raise CommandError(f"{command}: error: Invalid --bbf specification") from None
