"""Heterogeneous steps: which components of a heterogeneous job an srun runs in, and what its tasks find of them.

The job's environment describes each component by variables SLURM_<name>_HET_GROUP_<n>. For one component they take the
place of SLURM_<name>, which describe the first one; srun then finds that component as it finds any other job. A step
over several is made of one part a component, in the order of the components. Messages as observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slurm_compat.core.errors import CommandError
from slurm_compat.core.folded import folded
from slurm_compat.core.hostlist import compress, expand

Job = Mapping[str, Any]

_GROUP = re.compile(r"(SLURM_\w+)_(?:HET|PACK)_GROUP_(\d+)")
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)
# what else describes an allocation, by the variable that says the same of a component
ALIKE = {"SLURM_JOBID": "SLURM_JOB_ID", "SLURM_NNODES": "SLURM_JOB_NUM_NODES", "SLURM_NODELIST": "SLURM_JOB_NODELIST"}
# what srun tells the tasks of each component of a job that it made itself; by today's name it says nothing
OF_OWN = {
    "ACCOUNT": "account", "ID": "job_id", "NODELIST": "nodes", "PARTITION": "partition", "QOS": "qos",
}  # fmt: skip


def size(env: Mapping[str, str]) -> int:
    """How many components the job has that this command is in; 0 in a job without."""
    text = env.get("SLURM_HET_SIZE", "")
    return int(text) if re.fullmatch(r"\d{1,4}", text, re.ASCII) else 0


def groups(text: str) -> list[int]:
    """ "0-1,3": the components' numbers. Raises CommandError for what is no such list."""
    found: list[int] = []
    for word in text.split(","):
        match = _RANGE.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise CommandError(
                f"srun: error: _parse_single_range: Invalid range: `{word}'",
                f"srun: error: Invalid --het-group value: {text}",
            )
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def places(asked: Sequence[str | None], components: int) -> list[tuple[int, int]]:
    """(component of the job, part of the command line) of each part of the step, in the components' order.

    `asked`: each part's --het-group, None where it has none: then it is the component of the same number. Raises
    CommandError for components that the job does not have, or has once and is asked for twice.
    """
    found = [(group, part) for part, text in enumerate(asked) for group in ([part] if text is None else groups(text))]
    numbers = [group for group, _ in found]
    if not components:
        if len(found) == 1 and numbers[0]:
            raise CommandError(
                f"srun: error: Requested het-group offset exceeds highest hetjob index ({numbers[0]} > 0)"
            )
        raise CommandError("srun: error: No directives to start application on any available hetjob components")
    highest = components - 1
    if max(numbers) > highest:
        if len(numbers) == 1:
            text = f"Requested het-group offset exceeds highest hetjob index ({max(numbers)} > {highest})"
        else:
            text = (
                f"Attempt to run a job step with het group value of {max(numbers)}, "
                f"but the job allocation has maximum value of {highest}"
            )
        raise CommandError(f"srun: error: {text}")
    if len(set(numbers)) < len(numbers):
        raise CommandError("srun: fatal: Duplicate het groups in single srun not supported")
    return sorted(found)


def component_environment(env: Mapping[str, str], number: int) -> dict[str, str]:
    """`env` as it would be were that component all of the job. Raises CommandError when nothing tells of it."""
    found = [(name, match) for name in env if (match := _GROUP.fullmatch(name))]
    own = {match[1]: env[name] for name, match in found if int(match[2]) == number}
    if "SLURM_JOB_ID" not in own:
        raise CommandError(f"srun: error: --het-group={number}: the environment does not tell of this component")
    described = {match[1] for _, match in found}
    kept = {name: text for name, text in env.items() if name not in described and name not in ALIKE}
    kept |= own
    return kept | {name: own[same] for name, same in ALIKE.items() if same in own}


def of_whole(jobs: Sequence[Job]) -> dict[str, str]:
    """What the tasks of a step over all of `jobs` find of their allocation. Counts of tasks are the agents' to add."""
    nodes = compress(name for job in jobs for name in expand(str(job["nodes"])))
    count = str(sum(int(job["node_count"]) for job in jobs))
    return {
        "SLURM_JOB_CPUS_PER_NODE": folded(entry[1] for job in jobs for entry in job["job_resources"]),
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_NODELIST": nodes,
        "SLURM_JOB_NUM_NODES": count,
        "SLURM_NNODES": count,
    }


def of_own_job(jobs: Sequence[Job]) -> dict[str, str]:
    """The same where srun made the job: how many components, and what each is by the old names."""
    env = {"SLURM_HET_SIZE": str(len(jobs)), "SLURM_PACK_SIZE": str(len(jobs)), "SLURM_JOB_NAME": str(jobs[-1]["name"])}
    for number, job in enumerate(jobs):
        env[f"SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_{number}"] = folded(entry[1] for entry in job["job_resources"])
        for name, field in OF_OWN.items():
            if job.get(field):
                env[f"SLURM_JOB_{name}_PACK_GROUP_{number}"] = str(job[field])
    return env


def by_group(described: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Each component's variables with its number behind the name, by today's word and by the old one."""
    env = {}
    for number, variables in enumerate(described):
        for name, text in variables.items():
            env[f"{name}_HET_GROUP_{number}"] = env[f"{name}_PACK_GROUP_{number}"] = text
    return env
