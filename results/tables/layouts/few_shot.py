"""Table 2 of the paper: data sets x shots, on the ID test split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.tables.columns import aggregate_columns, block_notes, id_column, rows_of
from flyp_sweep.results.tables.grid import Plan
from flyp_sweep.results.tables.layouts import Layout
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.published import dataset_label, published_order

NAME = "few_shot"


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """A table per model and side (the paper's is without ensembling), with aggregates over data sets and shots."""
    by_model = itertools.groupby(sorted(blocks, key=lambda block: block.model), key=lambda block: block.model)
    tables = []
    for model, group in by_model:
        ordered = sorted(group, key=lambda block: (published_order(NAME, block.dataset), block.shots or float("inf")))
        tables += [_plan(model, ordered, side, options) for side in options.sides("without")]
    return tables


def _plan(model: str, blocks: Sequence[Block], side: Side, options: TableOptions) -> Plan:
    columns = [
        column
        for block in blocks
        for column in id_column(
            block, side, (dataset_label(NAME, block.dataset), "full" if block.shots is None else str(block.shots))
        )
    ]
    aggregates = aggregate_columns(columns, options, ("All columns",))
    title = f"{model}, {SIDE_LABELS[side]}"
    return Plan(title, (*columns, *aggregates), rows_of(blocks), "k (shots)", notes=block_notes(blocks))


LAYOUT = Layout(plans)
