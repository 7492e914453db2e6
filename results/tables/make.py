"""Making the table of runs: which cells stand in it, in which layout, and the trials behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from flyp_sweep.results.analysis.cells import CellResult, cell_results
from flyp_sweep.results.analysis.evidence import Evidence, Measure
from flyp_sweep.results.analysis.protocol_blocks import Block, blocks_of, refuse_repeated_cells, refuse_unlike_protocols
from flyp_sweep.results.tables.grid import Plan, fill
from flyp_sweep.results.tables.layouts import AUTO, layout_of
from flyp_sweep.results.tables.layouts.ablation import VARIANTS
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.presentation import labelled, presented
from flyp_sweep.results.tables.provenance import trace_lines
from flyp_sweep.results.tables.side_by_side import share_cells, side_by_side
from flyp_sweep.results.tables.table import Table
from flyp_sweep.search_spaces.errors import InputError

BY_PART = "per_shift"
"""The layout that has a column for each group or corruption of a split."""


def make_table(evidence: Iterable[Evidence], layout: str = AUTO, options: TableOptions | None = None) -> Table:
    """The table of one or several runs in a layout, or in the natural one (`auto`).

    Runs that hold the same cell stand side by side, each in columns of its own, unless the layout has rows for them.

    Raises InputError for an unknown layout or one that cannot show the metric, for a cell whose repeats are no sample,
    for runs that were not made alike and would share a column, and for names in `options` that nothing has.
    """
    options = options or TableOptions()
    results = results_of(list(evidence), options)
    may_repeat = layout != AUTO and layout_of(layout).may_repeat
    apart = not may_repeat and share_cells(results)
    blocks = blocks_of(results)
    if not apart:
        refuse_unlike_protocols(blocks)
    name = natural_layout(blocks) if layout == AUTO else layout
    _refuse_parts(blocks, name)
    plans = _plans_apart(results, name, options) if apart else layout_of(name).plans(blocks, options)
    grids = tuple(fill(plan, options) for plan in presented(plans, blocks, options))
    return Table(grids, trace(blocks, options), name)


def results_of(evidence: Sequence[Evidence], options: TableOptions) -> list[CellResult]:
    """The cells of all runs, with the labels of their methods. Raises InputError for a run that is named twice."""
    twice = [run for run, count in Counter(one.run for one in evidence).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: found this run named twice, expected every run once; leave one out")
    return labelled((result for one in evidence for result in cell_results(one)), options.labels)


def _plans_apart(results: Sequence[CellResult], layout: str, options: TableOptions) -> list[Plan]:
    """The plans of runs side by side."""
    runs = dict.fromkeys(result.run for result in results)
    own = {run: blocks_of(result for result in results if result.run == run) for run in runs}
    plans = {run: layout_of(layout).plans(blocks, options) for run, blocks in own.items()}
    return side_by_side(plans, options.labels)


def comparable_blocks(evidence: Sequence[Evidence], options: TableOptions | None = None) -> list[Block]:
    """The blocks of all runs together. Raises InputError for what would stand in one column and must not.

    That is a run named twice, cells of different runs that were not made alike, and cells that two runs hold.
    """
    results = results_of(evidence, options or TableOptions())
    blocks = blocks_of(results)
    refuse_repeated_cells(results)
    refuse_unlike_protocols(blocks)
    return blocks


def _refuse_parts(blocks: Sequence[Block], layout: str) -> None:
    """Raises InputError where a layout, which has one column for a split, cannot show a number for each part of it."""
    if layout != BY_PART and (parts := _parts(blocks)):
        raise InputError(
            f"--layout: found {layout} with a metric that each group or corruption of a split has; expected {BY_PART}, "
            f"or one of them, as in --metric {parts[0].metric}/{parts[0].part}"
        )


def _parts(blocks: Iterable[Block]) -> list[Measure]:
    return [measure for block in blocks for measure in block.measures if measure.part]


def trace(blocks: Sequence[Block], options: TableOptions) -> tuple[str, ...]:
    """The trials behind every cell, when asked for."""
    return trace_lines([result for block in blocks for result in block.results]) if options.trace else ()


def natural_layout(blocks: Sequence[Block]) -> str:
    """What `auto` stands for.

    `held_out` where one entry of the search space stands for several data sets; `ablation` for FLYP beside a variant of
    it; `per_shift` where the OOD sets of a single data set, or few-shot cells with OOD sets, are to be seen;
    `distribution_shift` for several data sets with OOD sets; else `few_shot` or `transfer`. OOD validation counts as an
    OOD set here. While nothing is measured, `per_shift`, which shows how far every cell is; and for a metric that each
    group or corruption of a split has.
    """
    if _parts(blocks):
        return BY_PART
    methods = {result.cell.method for block in blocks for result in block.results}
    if any(block.family and block.measures for block in blocks):
        return "held_out"
    if "flyp" in methods and methods & set(VARIANTS):
        return "ablation"
    if not any(block.measures for block in blocks):
        return "per_shift"
    shots = {block.shots for block in blocks}
    if any(block.has_shifts for block in blocks):
        several = len({block.dataset for block in blocks}) > 1
        return "distribution_shift" if several and shots == {None} else "per_shift"
    return "transfer" if shots == {None} else "few_shot"
