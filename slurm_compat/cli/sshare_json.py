"""The documents of `sshare --json` and `--yaml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.jsonwrite import ENDLESS
from slurm_compat.core.model import UNLIMITED

FIELDS = [
    "id", "cluster", "account", "user", "parent_account", "parent_id", "shares_raw", "shares_norm", "usage_raw",
    "usage_norm", "effective_usage", "fairshare", "level_fs", "tres_usage", "tres_run_seconds",
]  # fmt: skip
WARNING = jsondoc.warning("Dumping (0xffffffffffffffff) as place holder for Infinity")
_NO_SHARES = 2.3283064376228985e-10  # what the root, which has no siblings, is given for its norm: 1 of 2^32


def print_shares(ctx: Context, kind: str, parser: str, read: Callable[[list[str]], Iterable[Mapping[str, Any]]]) -> int:
    form = jsondoc.begin(ctx, kind, parser, failure=253)
    if isinstance(form, int):
        return form
    names = [kind_ + (f"/{name}" if name else "") for kind_, name in ctx.controller.rows("tres", ["type", "name"])]
    rows = [share(row, names) for row in read(FIELDS)]
    # the versions that have a number where there is none to give say so, once for each
    said = not form.complex and not form.upto("v0.0.42")
    infinite = sum(row["fairshare"]["level"]["number"] == ENDLESS for row in rows) if said else 0
    document = {"shares": {"shares": rows, "total_shares": 0}, "warnings": [WARNING] * infinite}
    jsondoc.show(ctx, form, document, own_cluster(ctx))
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
                "set": not root, "infinite": False,
                "number": 0.0 if root else ENDLESS if infinite else row["level_fs"],
            },
        },
        "type": ["USER" if row["user"] else "ASSOCIATION"],
    }  # fmt: skip
