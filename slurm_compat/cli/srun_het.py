"""srun --het-group: a step in one component of the heterogeneous job this command is in.

The job's environment describes each component by variables SLURM_<name>_HET_GROUP_<n>. For one component they take the
place of SLURM_<name>, which describe the first one; srun then finds that component as it finds any other job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from slurm_compat.core.errors import CannotCarry, CommandError

_GROUP = re.compile(r"(SLURM_\w+)_(?:HET|PACK)_GROUP_(\d+)")
# what else describes an allocation, by the variable that says the same of a component
ALIKE = {"SLURM_JOBID": "SLURM_JOB_ID", "SLURM_NNODES": "SLURM_JOB_NUM_NODES", "SLURM_NODELIST": "SLURM_JOB_NODELIST"}


def group(text: str) -> int:
    """The component's number. Raises CommandError for several, and for what is none."""
    if re.fullmatch(r"\d+([,-]\d+)+", text):
        raise CannotCarry("srun", "a step of several components", "start one srun for each, in the background with &")
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise CommandError(f"srun: error: Invalid --het-group specification: {text}")
    return int(text)


def component_environment(env: Mapping[str, str], number: int) -> dict[str, str]:
    """`env` as it would be were that component all of the job. Raises CommandError when there is none."""
    found = [(name, match) for name in env if (match := _GROUP.fullmatch(name))]
    own = {match[1]: env[name] for name, match in found if int(match[2]) == number}
    if "SLURM_JOB_ID" not in own:
        size = env.get("SLURM_HET_SIZE") or "no"
        raise CommandError(f"srun: error: --het-group={number}: the job has {size} components")
    described = {match[1] for _, match in found}
    kept = {name: text for name, text in env.items() if name not in described and name not in ALIKE}
    kept |= own
    return kept | {name: own[same] for name, same in ALIKE.items() if same in own}
