"""What the layouts share: the columns of a block, and the rows of several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import Measure, Side
from flyp_sweep.results.analysis.protocol_blocks import Block, settings_note
from flyp_sweep.results.metrics import Metric, metric_of
from flyp_sweep.results.naming import method_order
from flyp_sweep.results.tables.grid import PlannedRow
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.table import HARMONIC, Column


def id_column(block: Block, side: Side, path: tuple[str, ...]) -> list[Column]:
    """The column of the ID test split, none where nothing was measured on one."""
    parts = [measure for measure in block.measures if measure.role == "id_test"]
    block.single_metric(parts)
    return [_column(block, side, path, parts, "id_test")] if parts else []


def ood_column(block: Block, side: Side, path: tuple[str, ...]) -> list[Column]:
    """The column of the one OOD set, or of the mean over several; none where there is no OOD set."""
    parts = [measure for measure in block.measures if measure.role == "ood"]
    block.single_metric(parts)
    return [_column(block, side, path, parts, "mean_ood" if len(parts) > 1 else "ood")] if parts else []


def split_column(block: Block, side: Side, above: tuple[str, ...], measure: Measure) -> Column:
    """The column of one split, below the headers `above`."""
    return _column(block, side, (*above, measure.heading), [measure], measure.role)


def watched_columns(block: Block, side: Side, above: tuple[str, ...]) -> list[Column]:
    """A column for each OOD validation split."""
    return [split_column(block, side, above, measure) for measure in block.measures if measure.role == "ood_val"]


def harmonic_column(block: Block, side: Side, path: tuple[str, ...], parts: Sequence[Measure]) -> Column:
    """The column of the harmonic mean of several splits, of each seed. Raises InputError for different metrics."""
    block.single_metric(parts)
    return _column(block, side, path, parts, HARMONIC)


def mean_column(family: str, path: tuple[str, ...], over: Sequence[Column]) -> Column:
    """The column of the mean, by seed, over those of the data sets of a family."""
    first = next((column for column in over if column.parts), over[0])
    metric = _shared({column.metric for column in over if column.metric} or {""})
    return replace(first, path=path, dataset=family, metric=metric, parts=(), over=tuple(over))


def aggregate_columns(numbers: Sequence[Column], options: TableOptions, path: tuple[str, ...] = ()) -> list[Column]:
    """Mean and interquartile mean over `numbers`, when asked for and when there are several."""
    if not options.aggregate or len(numbers) < 2:
        return []
    side, metric = numbers[0].side, _shared({number.metric for number in numbers})
    return [
        Column((*path, "Mean"), "aggregate", side=side, role="mean", metric=metric),
        Column((*path, "IQM"), "aggregate", side=side, role="iqm", metric=metric),
    ]


def rows_of(blocks: Iterable[Block]) -> tuple[PlannedRow, ...]:
    """A row per method, over all blocks, in the paper's order; methods beyond it in the order of the blocks."""
    results = [result for block in blocks for result in block.results]
    methods = list(dict.fromkeys(result.cell.method for result in results))
    ordered = sorted(methods, key=lambda method: method_order(method, methods))
    own = {method: [result for result in results if result.cell.method == method] for method in ordered}
    return tuple(row(row_label(held), method, held) for method, held in own.items())


def row_label(results: Sequence[CellResult]) -> str:
    """How the method of `results` is printed; where a run has its name alone, as another run says."""
    return next((one.label for one in results if one.label != one.cell.method), results[0].cell.method)


def row(label: str, method: str, results: Iterable[CellResult]) -> PlannedRow:
    """A row of the cells in `results`, one per block."""
    cells = {(result.cell.dataset, result.cell.model, result.cell.shots, ""): result for result in results}
    return PlannedRow(label, method, cells)


def block_notes(blocks: Sequence[Block]) -> tuple[str, ...]:
    """What a reader must know of whole blocks: incomplete data, settings that differ, numbers that methods lack."""
    notes = []
    for block in blocks:
        where = f"{block.dataset}: " if len({one.dataset for one in blocks}) > 1 else ""
        told = (*block.incomplete, *settings_note(block.results), *_lacking(block), *_without_mean(block))
        notes += [f"{where}{note}" for note in told]
    return tuple(dict.fromkeys(notes))


def _lacking(block: Block) -> list[str]:
    """Which numbers are not there although their repeats have finished, why, and what to do."""
    of_methods: dict[tuple[Metric, tuple[str, ...]], list[str]] = {}
    of_splits: dict[Metric, dict[str, None]] = {}
    for result in block.results:
        splits = tuple(dict.fromkeys(split for trial in result.repeats.done for split in trial.lacking))
        if not splits or not result.metric:
            continue
        if (one := metric_of(result.metric)).lies_in_split:
            of_splits.setdefault(one, {}).update(dict.fromkeys(splits))
        else:
            of_methods.setdefault((one, splits), []).append(result.label)
    return [
        *(f"no {one.named} on {', '.join(splits)}: {one.absent}" for one, splits in of_splits.items()),
        *(
            f"no {one.named} of {', '.join(methods)} on {', '.join(splits)}: {one.absent}"
            for (one, splits), methods in of_methods.items()
        ),
    ]


def _without_mean(block: Block) -> list[str]:
    """Which methods have no mean OOD, as they have no number on an OOD set that others have."""
    ood = dict.fromkeys(measure.split for measure in block.measures if measure.role == "ood")
    held: dict[tuple[str, ...], list[str]] = {}
    for result in block.results:
        own = {measure.split for measure in result.measures}
        told = {split for trial in result.repeats.done for split in trial.lacking}
        if own and (absent := tuple(split for split in ood if split not in own | told)):
            held.setdefault(absent, []).append(result.label)
    what = "no mean OOD" if len(ood) > 1 else "no OOD"
    return [f"{what} of {', '.join(methods)}: no number on {', '.join(splits)}" for splits, methods in held.items()]


def _column(block: Block, side: Side, path: tuple[str, ...], parts: Sequence[Measure], role: str) -> Column:
    metric = _shared({part.metric for part in parts})
    ood = {measure.split for measure in block.measures if measure.role == "ood"}
    headline = role in ("id_test", "mean_ood") or (role == "ood" and len(ood) == 1)
    return Column(path, "number", block.dataset, block.model, block.shots, side, role, metric, tuple(parts), headline)


def _shared(metrics: Collection[str]) -> str:
    """The one metric; several are fractions, and each the primary one of its split."""
    return next(iter(metrics)) if len(metrics) == 1 else "primary metric"
