"""Section 5 of the paper: what changes when a part of FLYP is changed, or one setting of a run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.protocol_blocks import TRAINING, Block
from flyp_sweep.results.naming import method_order, setting_label
from flyp_sweep.results.tables.columns import block_notes, row, row_label
from flyp_sweep.results.tables.grid import Plan, PlannedRow
from flyp_sweep.results.tables.layouts import Layout
from flyp_sweep.results.tables.layouts.distribution_shift import side_columns, title
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.table import Column
from flyp_sweep.search_spaces.errors import InputError

REFERENCE = "flyp"
VARIANTS = ("flyp_ce", "flyp_frozen_text", "flyp_masked", "flyp_plus_ce")


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """A table per model and shots: ID and OOD per data set and side, each with its difference to FLYP, or to a control.

    FLYP is that of the first run given. Runs that hold the same cell are rows apart, named by the settings in which
    they differ (templates, batch size), or by the run where none does. Raises InputError where there is no FLYP.
    """
    ordered = sorted(blocks, key=lambda block: (block.model, block.shots or float("inf")))
    return [
        _plan(list(group), options)
        for _, group in itertools.groupby(ordered, key=lambda block: (block.model, block.shots))
    ]


def _plan(blocks: Sequence[Block], options: TableOptions) -> Plan:
    rows = _rows(blocks)
    named = (options.control, options.control) if options.control else (REFERENCE, "")
    reference = next((one for one in rows if one.method == named[0] or one.label == named[1]), None)
    if reference is None:
        raise InputError(
            f"{title(blocks[0])}: found no cell of {named[0]}, expected one to take differences to; name its run, or "
            "choose another --layout"
        )
    label = row_label(list(reference.cells.values()))
    columns = [
        column
        for block in blocks
        for side in side_columns(block, options)
        for number in side
        for column in (number, _difference(number, label))
    ]
    several = [] if reference.label == label else [f"'to {label}' is to {reference.label}"]
    return Plan(title(blocks[0]), tuple(columns), rows, "Variant", reference, (*several, *block_notes(blocks)))


def _difference(column: Column, label: str) -> Column:
    return replace(column, kind="difference", path=(*column.path[:-1], f"to {label}"))


def _rows(blocks: Sequence[Block]) -> tuple[PlannedRow, ...]:
    """A row per method, or per method and run where several runs hold it; runs in the order given."""
    results = [result for block in blocks for result in block.results]
    methods = list(dict.fromkeys(result.cell.method for result in results))
    rows = []
    for method in sorted(methods, key=lambda name: method_order(name, [REFERENCE, *methods])):
        by_run: dict[str, list[CellResult]] = {}
        for result in results:
            if result.cell.method == method:
                by_run.setdefault(result.run, []).append(result)
        own = [result for held in by_run.values() for result in held]
        label = row_label(own)
        if len({result.cell for result in own}) == len(own):
            rows.append(row(label, method, own))
        else:
            names = _variants(by_run)
            rows += [row(f"{label} ({names[run]})", method, held) for run, held in by_run.items()]
    return tuple(rows)


def _variants(by_run: Mapping[str, Sequence[CellResult]]) -> dict[str, str]:
    """Run to the settings in which it differs from the other runs, or to its name where it does not."""
    settings = {run: _settings(results) for run, results in by_run.items()}
    differing = [name for name in TRAINING if len({str(held.get(name)) for held in settings.values()}) > 1]
    names = {
        run: ", ".join(f"{name} {setting_label(name, held.get(name))}" for name in differing) or run
        for run, held in settings.items()
    }
    return names if len(set(names.values())) == len(names) else {run: run for run in by_run}


def _settings(results: Sequence[CellResult]) -> Mapping[str, Any]:
    return next((trial.settings for result in results for trial in result.repeats.done), {})


LAYOUT = Layout(plans, may_repeat=True)
