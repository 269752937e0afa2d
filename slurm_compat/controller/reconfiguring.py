"""scontrol reconfigure: the cluster file is read again. Jobs keep what they have, nodes what was set of them.

What only a start can change (the cluster's name, its state folder, its store, its Armada) stays until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from slurm_compat.controller import bookcalls, partitionkeeping
from slurm_compat.controller.authorization import Roles
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.placing import live
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.states import COMPLETING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

# ports, certificates and keys are opened once
AT_START = (
    "controller_address", "metrics_address", "auth_alt_types", "auth_alt_parameters", "tls_certificate", "tls_key",
    "tls_authority",
)  # fmt: skip
FIXED = ("cluster_name", "slurmctld_host", "state_save_location", "store", "armada", "first_job_id", *AT_START)


def reconfigure(controller: Controller, conf: ClusterConf, own_uid: int) -> None:
    """Go on with `conf`. Raises BadValue, nothing changed, for a file that makes no cluster."""
    old = controller.cluster
    conf = msgspec.structs.replace(conf, **{name: getattr(controller.conf, name) for name in FIXED})
    cluster = Cluster.from_conf(conf, old.machine, old.started_at)
    cluster.conf = bookcalls.rebased(controller, cluster.conf)
    cluster.live = lambda: live(controller)
    cluster.limiter = old.limiter
    controller.shares.configure(cluster.conf)
    cluster.fairshare = controller.shares.factor
    cluster.groups_of, cluster.measure = old.groups_of, old.measure
    # nodes that a file names for the first time start as it says
    cluster.restore({name: values for name, values in old.saved().items() if name in old.nodes})
    for job in controller.table.jobs.values():
        if job.is_running or (COMPLETING in job.flags and job.resources):
            cluster.reserve(job.job_id, job.resources, job.licenses_allocated)
    cluster.reservations = old.reservations
    cluster.kept_partitions = old.kept_partitions
    partitionkeeping.restore(cluster, partitionkeeping.changed(old))
    controller.cluster = cluster
    controller.conf = cluster.conf
    controller.limiter.changed()
    controller.roles = Roles(cluster.conf, own_uid)
    bookcalls.set_licenses(controller)
