"""Every OOD set a column of its own: one table per data set, model and shots."""

from __future__ import annotations

from collections.abc import Sequence

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.tables.columns import block_notes, ood_column, rows_of, split_column
from flyp_sweep.results.tables.grid import Plan
from flyp_sweep.results.tables.layouts import Layout
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.table import Column


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """Without and with ensembling: ID, OOD validation, each OOD set and, with two or more, their mean; then the seeds.

    A split that two methods were measured on by different metrics is two columns.
    """
    return [
        Plan(block.title, tuple(_columns(block, options)), rows_of([block]), notes=block_notes([block]))
        for block in blocks
    ]


def _columns(block: Block, options: TableOptions) -> list[Column]:
    columns = [column for side in options.sides("both") for column in _side(block, side)]
    return [*columns, Column(("n",), "count", block.dataset, block.model, block.shots)]


def _side(block: Block, side: Side) -> list[Column]:
    label = SIDE_LABELS[side]
    columns = [split_column(block, side, (label,), measure) for measure in block.measures]
    ood = [measure for measure in block.measures if measure.role == "ood"]
    if len({(measure.split, measure.part) for measure in ood}) == len(ood) > 1:
        columns += ood_column(block, side, (label, "mean OOD"))
    return columns


LAYOUT = Layout(plans)
