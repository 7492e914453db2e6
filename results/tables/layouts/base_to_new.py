"""Base-to-new: ID test on the classes of training, OOD sets of other classes, and the harmonic mean of the two."""

from __future__ import annotations

from collections.abc import Sequence

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.statistics.two_ways import SEEDS_AND_EXAMPLES
from flyp_sweep.results.tables.columns import block_notes, harmonic_column, id_column, rows_of, split_column
from flyp_sweep.results.tables.grid import Plan
from flyp_sweep.results.tables.layouts import Layout
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.table import Column
from flyp_sweep.search_spaces.errors import InputError

NOTE = (
    "Base is ID test; H is the harmonic mean of Base and of the column before H, of each seed (Zhou et al., 2022, "
    '"Conditional Prompt Learning for Vision-Language Models")'
)


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """A table per data set, model and shots (the papers' are without ensembling); at the end the seeds.

    Raises InputError for intervals over examples, which harmonic means have none of.
    """
    if options.interval == SEEDS_AND_EXAMPLES:
        raise InputError(f"--interval: found {SEEDS_AND_EXAMPLES}; expected t, bca, or normal with a harmonic mean")
    return [
        Plan(block.title, tuple(_columns(block, options)), rows_of([block]), notes=(*block_notes([block]), NOTE))
        for block in blocks
    ]


def _columns(block: Block, options: TableOptions) -> list[Column]:
    columns = [column for side in options.sides("without") for column in _side(block, side)]
    return [*columns, Column(("n",), "count", block.dataset, block.model, block.shots)]


def _side(block: Block, side: Side) -> list[Column]:
    label = SIDE_LABELS[side]
    columns = id_column(block, side, (label, "Base"))
    base = [part for column in columns for part in column.parts]
    new = [measure for measure in block.measures if measure.role == "ood"]
    for measure in new:
        columns.append(split_column(block, side, (label,), measure))
        name = "H" if len(new) == 1 else f"H of {measure.heading}"
        columns += [harmonic_column(block, side, (label, name), [*base, measure])] if base else []
    return columns


LAYOUT = Layout(plans)
