"""Table 1 of the paper: data sets x without and with ensembling x ID and OOD."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.naming import shots_label
from flyp_sweep.results.tables.columns import block_notes, id_column, ood_column, rows_of, watched_columns
from flyp_sweep.results.tables.grid import Plan
from flyp_sweep.results.tables.layouts import Layout
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.published import dataset_label, published_order
from flyp_sweep.results.tables.table import Column

NAME = "distribution_shift"

SIDE_HEADERS = {"without": "Without Ensembling", "with": "With Ensembling"}


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """A table per model and shots. OOD is the mean over the OOD sets, per seed; data sets come in the paper's order.

    The paper leaves out FMoW with ensembling; here every data set has both sides. Each OOD validation split has a
    column of its own.
    """
    ordered = sorted(blocks, key=lambda block: (block.model, block.shots or float("inf")))
    return [
        _plan(sorted(group, key=lambda block: published_order(NAME, block.dataset)), options)
        for _, group in itertools.groupby(ordered, key=lambda block: (block.model, block.shots))
    ]


def title(block: Block) -> str:
    """What the blocks of one table share: the model and, in few-shot cells, the shots."""
    return ", ".join([block.model] + ([] if block.shots is None else [shots_label(block.shots)]))


def side_columns(block: Block, options: TableOptions) -> list[tuple[Column, ...]]:
    """Per side the columns ID, OOD validation and OOD of one data set, as far as they were measured."""
    label = dataset_label(NAME, block.dataset)
    return [
        (
            *id_column(block, side, (label, SIDE_HEADERS[side], "ID")),
            *watched_columns(block, side, (label, SIDE_HEADERS[side])),
            *ood_column(block, side, (label, SIDE_HEADERS[side], "OOD")),
        )
        for side in options.sides("both")
    ]


def _plan(blocks: Sequence[Block], options: TableOptions) -> Plan:
    columns = [column for block in blocks for side in side_columns(block, options) for column in side]
    return Plan(title(blocks[0]), tuple(columns), rows_of(blocks), notes=block_notes(blocks))


LAYOUT = Layout(plans)
