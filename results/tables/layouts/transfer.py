"""Table 3 of the paper: one column per data set, on the ID test split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.tables.columns import aggregate_columns, block_notes, id_column, rows_of
from flyp_sweep.results.tables.grid import Plan
from flyp_sweep.results.tables.layouts import Layout
from flyp_sweep.results.tables.layouts.distribution_shift import title
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.published import dataset_label, published_order

NAME = "transfer"


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """A table per model, shots and side (the paper's is without ensembling), with aggregates over the data sets."""
    ordered = sorted(blocks, key=lambda block: (block.model, block.shots or float("inf")))
    tables = []
    for _, group in itertools.groupby(ordered, key=lambda block: (block.model, block.shots)):
        alike = sorted(group, key=lambda block: published_order(NAME, block.dataset))
        tables += [_plan(alike, side, options) for side in options.sides("without")]
    return tables


def _plan(blocks: Sequence[Block], side: Side, options: TableOptions) -> Plan:
    columns = [column for block in blocks for column in id_column(block, side, (dataset_label(NAME, block.dataset),))]
    heading = f"{title(blocks[0])}, {SIDE_LABELS[side]}"
    return Plan(heading, (*columns, *aggregate_columns(columns, options)), rows_of(blocks), notes=block_notes(blocks))


LAYOUT = Layout(plans)
