"""The document of nodes that scontrol show node prints, in the shape of the published schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.jsondoc import Form
from slurm_compat.core.fields import NODE_FIELDS
from slurm_compat.core.model import UNLIMITED

FIELDS = list(NODE_FIELDS)
EMPTY = frozenset({"owner", "reason_set_by_user"})  # with the flag complex: "" where other missing texts are null
NO_ENERGY = {
    "average_watts": 0, "base_consumed_energy": 0, "consumed_energy": 0, "current_watts": jsondoc.number(0),
    "previous_consumed_energy": 0, "last_collected": 0,
}  # fmt: skip


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def node(row: Mapping[str, Any], form: Form) -> dict[str, Any]:
    older = form.upto("v0.0.44")  # power saving's time is newer, and what it took the place of is older
    certificates = not form.upto("v0.0.42")
    return {
        "architecture": row["architecture"],
        "burstbuffer_network_address": "",
        "boards": row["boards"],
        "boot_time": jsondoc.number(row["boot_time"] or 0),
        **({"tls_cert_last_renewal": jsondoc.number(0), "cert_flags": []} if certificates else {}),
        "cluster_name": "",
        "cores": row["cores"],
        "specialized_cores": row["specialized_cores"] or 0,
        "cpu_binding": 0,
        "cpu_load": round((row["cpu_load"] or 0) * 100),
        "free_mem": jsondoc.number(row["free_mem"]),
        "cpus": row["cpus"],
        "effective_cpus": row["effective_cpus"],
        "specialized_cpus": row["specialized_cpus"],
        "energy": NO_ENERGY,
        **({"external_sensors": {}} if older else {}),
        "extra": row["extra"],
        **({"power": {}} if older else {}),
        "features": _words(row["features"]),
        "active_features": _words(row["active_features"]),
        "gpu_spec": "",
        "gres": row["gres"],
        "gres_drained": row["gres_drained"] or "N/A",
        "gres_used": row["gres_used"],
        "instance_id": "",
        "instance_type": "",
        "last_busy": jsondoc.number(row["last_busy"] or 0),
        "mcs_label": row["mcs_label"],
        "specialized_memory": row["specialized_memory"] or 0,
        "name": row["name"],
        "next_state_after_reboot": ["INVALID"],
        "address": row["address"],
        "hostname": row["hostname"],
        "state": [row["state"], *row["state_flags"]],
        "operating_system": row["operating_system"],
        "owner": row["owner"],
        "partitions": list(row["partitions"]),
        "port": row["port"],
        "real_memory": row["real_memory"],
        "res_cores_per_gpu": 0,
        "comment": row["comment"],
        "reason": row["reason"],
        "reason_changed_at": jsondoc.number(row["reason_changed_at"] or 0),
        "reason_set_by_user": row["reason_set_by_user"],
        "resume_after": jsondoc.number(row["resume_after"] or 0),
        "reservation": row["reservation"],
        **({} if older else {"suspend_time": jsondoc.number(UNLIMITED)}),
        "alloc_memory": row["alloc_memory"],
        "alloc_cpus": row["alloc_cpus"],
        "alloc_idle_cpus": row["effective_cpus"] - row["alloc_cpus"] if row["state"] != "DOWN" else 0,
        "tres_used": row["tres_used"],
        **({"tres_weighted": 0.0} if older else {}),
        "slurmd_start_time": jsondoc.number(row["slurmd_start_time"] or 0),
        "sockets": row["sockets"],
        "threads": row["threads"],
        "temporary_disk": row["temporary_disk"],
        "weight": row["weight"],
        **({"topology": row["topology"]} if certificates else {}),
        "tres": row["tres"],
        "version": row["version"],
    }
