"""The documents of `sshare --json` and `--yaml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.core.model import UNLIMITED

FIELDS = [
    "id", "cluster", "account", "user", "parent_account", "parent_id", "shares_raw", "shares_norm", "usage_raw",
    "usage_norm", "effective_usage", "fairshare", "level_fs", "tres_usage", "tres_run_seconds",
]  # fmt: skip
_NO_SHARES = 2.3283064376228985e-10  # what the root, which has no siblings, is given for its norm: 1 of 2^32


def print_shares(ctx: Context, kind: str, parser: str, read: Callable[[list[str]], Iterable[Mapping[str, Any]]]) -> int:
    refusal = jsondoc.refusal(ctx, kind, parser)
    if refusal is not None:
        return refusal
    names = [kind_ + (f"/{name}" if name else "") for kind_, name in ctx.controller.rows("tres", ["type", "name"])]
    rows = [share(row, names) for row in read(FIELDS)]
    document = jsondoc.document(ctx, "shares", [], own_cluster(ctx))
    document["shares"] = {"shares": rows, "total_shares": 0}
    jsondoc.write(ctx, kind, document)
    return 0


def share(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    root = not row["parent_id"]
    infinite = row["level_fs"] is None
    return {
        "id": row["id"],
        "cluster": row["cluster"],
        "name": row["user"] or row["account"],
        "parent": row["account"] if row["user"] else row["parent_account"],
        "partition": "",
        "shares_normalized": jsondoc.number(_NO_SHARES if root else row["shares_norm"]),
        "shares": jsondoc.number(None if root else row["shares_raw"]),
        "tres": {
            "run_seconds": [
                {"name": name, "value": jsondoc.number(row["tres_run_seconds"].get(name, 0))} for name in names
            ],
            "group_minutes": [{"name": name, "value": jsondoc.number(UNLIMITED)} for name in names],
            "usage": [{"name": name, "value": round(row["tres_usage"].get(name, 0.0), 6)} for name in names],
        },
        "effective_usage": jsondoc.number(row["effective_usage"]),
        "usage_normalized": {"set": False, "infinite": False, "number": 0.0}
        if root
        else jsondoc.number(row["usage_norm"]),
        "usage": int(row["usage_raw"]),
        "fairshare": {
            "factor": jsondoc.number(row["fairshare"] or 0.0),
            "level": {
                "set": not root and not infinite,
                "infinite": infinite,
                "number": 0.0 if root or infinite else row["level_fs"],
            },
        },
        "type": ["USER" if row["user"] else "ASSOCIATION"],
    }
