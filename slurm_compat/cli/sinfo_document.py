"""Which rows sinfo's --json and --yaml have: those of its columns, in its order."""

from __future__ import annotations

from slurm_compat.cli import sinfo_columns as c
from slurm_compat.cli import sinfo_json
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.sinfo import (
    Asked,
    by_number,
    columns_asked,
    kept_apart,
    load,
    node_filter,
    sort_keys,
    sort_text,
    with_partition,
)
from slurm_compat.cli.sinfo_groups import grouped
from slurm_compat.core import columns


def print_document(ctx: Context, asked: Asked) -> int:
    """--json and --yaml: a row where the columns would have one, and one for each of the nodes' GRES."""
    cells = columns_asked(asked, ctx.env, lambda line: None)
    shown = [c.BY_NAME[cell.column.name] for cell in cells if isinstance(cell, columns.Cell)]
    keys = sort_keys(sort_text(asked))
    partitions, nodes = load(ctx, asked, [sinfo_json.needed(), *shown, *(column for column, _ in keys if column)])
    groups = grouped(
        partitions,
        nodes,
        node_filter(asked),
        [*kept_apart(shown, asked), sinfo_json.by_gres],
        one_a_node="N" in asked.flags,
        show_partition=with_partition(shown),
    )
    for column, downwards in reversed(keys):
        groups.sort(key=column.sort if column and column.sort else by_number, reverse=downwards)
    return sinfo_json.print_rows(ctx, asked.output, asked.parser, groups, own_cluster(ctx))
