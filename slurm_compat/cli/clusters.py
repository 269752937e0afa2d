"""-M, --clusters and SLURM_CLUSTERS: there is one cluster here, and its own name or `all` names it."""

from __future__ import annotations

from slurm_compat.cli.context import Context
from slurm_compat.cli.exitcodes import error_code
from slurm_compat.core.errors import CommandError


def own_cluster(ctx: Context) -> str:
    return str(dict(ctx.controller.call("config")["pairs"]).get("ClusterName", ""))


def require_own_cluster(ctx: Context, names: str) -> str:
    """This cluster's name, when `names` has no other in it. Raises CommandError for one that is not known."""
    own = own_cluster(ctx)
    for name in names.split(","):
        if name not in (own, "all"):
            command = ctx.command
            raise CommandError(
                f"{command}: error: No cluster '{name}' known by database.",
                f"{command}: error: '{name}' can't be reached now, or it is an invalid entry for --cluster.  "
                "Use 'sacctmgr list clusters' to see available clusters.",
                f"{command}: fatal: Could not get cluster information",
            )
    return own


def cluster_named(ctx: Context, clusters: str) -> str:
    """Our cluster's name, when --clusters names it."""
    ours = own_cluster(ctx)
    if clusters == "all":
        return ours
    names = clusters.split(",")
    for name in names:
        if name != ours:
            ctx.error(f"No cluster '{name}' known by database.")
    if ours not in names:
        text = (
            f"'{clusters}' can't be reached now, or it is an invalid entry for --cluster.  "
            "Use 'sacctmgr list clusters' to see available clusters."
        )
        raise CommandError(f"{ctx.command}: error: {text}", code=error_code(ctx))
    return ours
