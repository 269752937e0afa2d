"""The reasons of limits, by what runs out. Slurm words them TRES by TRES, and not by one rule.

Source: squeue(1), JOB REASON CODES; observed on 26.05.
"""

from __future__ import annotations

# what a limit is about: of all jobs of a holder (GRP…), of one job, of a user's or an account's jobs in a QOS
GRP, GRP_MINS, GRP_RUN_MINS = "group", "group minutes", "group running minutes"
JOB, JOB_MINS, NODE, LEAST = "job", "job minutes", "node", "least"
USER, ACCOUNT, USER_RUN_MINS, ACCOUNT_RUN_MINS = "user", "account", "user running minutes", "account running minutes"

# (limit, of a QOS): the words around a TRES' name, and the texts that don't follow
_PATTERNS: dict[tuple[str, bool], tuple[str, dict[str, str]]] = {
    (GRP, False): ("AssocGrp{}", {"cpu": "AssocGrpCpuLimit", "mem": "AssocGrpMemLimit", "node": "AssocGrpNodeLimit"}),
    (GRP, True): ("QOSGrp{}", {"cpu": "QOSGrpCpuLimit", "mem": "QOSGrpMemLimit", "node": "QOSGrpNodeLimit"}),
    (GRP_MINS, False): ("AssocGrp{}Minutes", {"cpu": "AssocGrpCPUMinutesLimit"}),
    (GRP_MINS, True): ("QOSGrp{}Minutes", {"cpu": "QOSGrpCPUMinutesLimit", "mem": "QOSGrpMemoryMinutes"}),
    (GRP_RUN_MINS, False): ("AssocGrp{}RunMinutes", {"cpu": "AssocGrpCPURunMinutesLimit"}),
    (GRP_RUN_MINS, True): ("QOSGrp{}RunMinutes", {"cpu": "QOSGrpCPURunMinutesLimit", "mem": "QOSGrpMemoryRunMinutes"}),
    (JOB, False): ("AssocMax{}PerJob", {"cpu": "AssocMaxCpuPerJobLimit", "node": "AssocMaxNodePerJobLimit"}),
    (JOB, True): (
        "QOSMax{}PerJob",
        {"cpu": "QOSMaxCpuPerJobLimit", "mem": "QOSMaxMemoryPerJob", "node": "QOSMaxNodePerJobLimit"},
    ),
    (JOB_MINS, False): ("AssocMax{}MinutesPerJob", {"cpu": "AssocMaxCpuMinutesPerJobLimit"}),
    (JOB_MINS, True): (
        "QOSMax{}MinutesPerJob",
        {"cpu": "QOSMaxCpuMinutesPerJobLimit", "mem": "QOSMaxMemoryMinutesPerJob"},
    ),
    (NODE, False): ("AssocMax{}PerNode", {}),
    (NODE, True): ("QOSMax{}PerNode", {"mem": "QOSMaxMemoryPerNode"}),
    (LEAST, True): ("QOSMin{}", {"cpu": "QOSMinCpuNotSatisfied", "mem": "QOSMinMemory"}),
    (USER, True): (
        "QOSMax{}PerUser",
        {"cpu": "QOSMaxCpuPerUserLimit", "mem": "QOSMaxMemoryPerUser", "node": "QOSMaxNodePerUserLimit"},
    ),
    (ACCOUNT, True): ("Max{}PerAccount", {"mem": "MaxMemoryPerAccount"}),
    (USER_RUN_MINS, True): ("Max{}RunMinsPerUser", {"mem": "MaxMemoryRunMinsPerUser"}),
    (ACCOUNT_RUN_MINS, True): ("Max{}RunMinsPerAccount", {"mem": "MaxMemoryRunMinsPerAccount"}),
}
_NAMES = {
    "cpu": "Cpu", "mem": "Mem", "node": "Node", "billing": "Billing", "energy": "Energy", "gres": "GRES",
    "license": "License", "bb": "BB",
}  # fmt: skip


def tres_reason(limit: str, of_qos: bool, tres: str) -> str:
    """Slurm's word for a limit of `tres` ("cpu", "gres/gpu") of a QOS or of an association."""
    pattern, special = _PATTERNS[limit, of_qos]
    return special.get(tres) or pattern.format(_NAMES.get(tres.partition("/")[0], "Unknown"))
