"""What a table says of its numbers: what they are, over how many seeds, with which interval and marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import SIDES
from flyp_sweep.results.naming import ZEROSHOT, method_label
from flyp_sweep.results.statistics.intervals import INTERVALS
from flyp_sweep.results.statistics.paired import ENOUGH_FOR_A_CONSTANT, TESTS
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.significance import LEVEL
from flyp_sweep.results.tables.table import Column, Grid

_ENOUGH_SEEDS = 20
"""Below so many seeds intervals that are not Student's cover visibly less than they say."""


def caption(grid: Grid, cells: Sequence[CellResult], options: TableOptions, comparisons: int) -> str:
    """The caption of a filled grid."""
    numbers = [column for column in grid.columns if column.kind == "number"]
    sentences = [
        f"{_metrics(numbers)} in %: {mean_and_interval(cells, options)}.",
        *_sides(grid, numbers),
        *_ood(numbers),
        *_aggregates(grid),
        *_differences(grid, options),
        _marks(grid, cells, options, comparisons),
        f"{_selected(numbers)} were selected on {selected_on(cells)}.",
        *_overlaps(cells),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def mean_and_interval(cells: Iterable[CellResult], options: TableOptions) -> str:
    """What the numbers of trained methods are, e.g. `mean over 5 seeds with its 95% Student-t interval`."""
    trained = [cell for cell in cells if cell.state == "done" and not cell.is_constant]
    return (
        f"mean over {_seeds(trained)} with its {100 * options.confidence:g}% {INTERVALS[options.interval]} interval"
        f"{_undercoverage(trained, options)}"
    )


def selected_on(cells: Iterable[CellResult]) -> str:
    """What selection saw, e.g. `ID validation accuracy (ties: lower loss)`."""
    seen = {cell.selection.metric.replace("_", " ") or "primary metric" for cell in cells if cell.selection}
    return f"ID validation {' / '.join(sorted(seen)) or 'primary metric'} (ties: lower loss)"


def _overlaps(cells: Iterable[CellResult]) -> list[str]:
    """Which splits share images, where that was allowed: their scores are no evidence on unseen images."""
    shared = dict.fromkeys(
        (cell.cell.dataset, roles, count)
        for cell in cells
        if cell.selection
        for roles, count in cell.selection.overlaps.items()
    )
    return [f"Splits overlap: {roles} of {dataset} share {count} images." for dataset, roles, count in shared]


def _selected(numbers: Sequence[Column]) -> str:
    """What was selected of what the numbers show."""
    if any(column.side == "with" for column in numbers):
        return "Hyper-parameters, epoch and mixing coefficient"
    return "Hyper-parameters and epoch"


def _metrics(columns: Sequence[Column]) -> str:
    """`Accuracy`, or which column holds which metric where they differ."""
    held: dict[str, list[str]] = {}
    several = len({column.dataset for column in columns}) > 1
    for column in columns:
        name = f"{column.path[0]} {column.name}" if several and column.name != column.path[0] else column.name
        names = held.setdefault(column.metric.replace("_", " "), [])
        names += [] if name in names else [name]
    if len(held) > 1:
        return "; ".join(f"{', '.join(names)}: {metric}" for metric, names in held.items())
    return next(iter(held), "primary metric").capitalize()


def _seeds(trained: Sequence[CellResult]) -> str:
    counts = sorted({cell.n for cell in trained})
    if not counts:
        return "n seeds"
    if len(counts) > 1:
        return f"n = {counts[0]} to {counts[-1]} seeds"
    return f"{counts[0]} seeds" if counts[0] > 1 else "1 seed"


def _undercoverage(trained: Sequence[CellResult], options: TableOptions) -> str:
    fewest = min((cell.n for cell in trained), default=_ENOUGH_SEEDS)
    return "" if options.interval == "t" or fewest >= _ENOUGH_SEEDS else ", which covers less at so few seeds"


def _sides(grid: Grid, numbers: Sequence[Column]) -> list[str]:
    """Which side the numbers are of, where no header says it."""
    sides = {column.side for column in numbers}
    said = any("ensembling" in header.lower() for column in grid.columns for header in column.path)
    if len(sides) != 1 or said:
        return []
    return [f"{sides.pop().capitalize()} ensembling."]


def _ood(numbers: Sequence[Column]) -> list[str]:
    """What a column that is headed `OOD` alone is the mean of."""
    counts = {len(column.parts) for column in numbers if column.name == "OOD"}
    if not counts or counts == {1}:
        return []
    return [f"OOD: unweighted mean over the {f'{counts.pop()} ' if len(counts) == 1 else ''}OOD sets of a data set."]


def _aggregates(grid: Grid) -> list[str]:
    if not any(column.kind == "aggregate" for column in grid.columns):
        return []
    return [
        "Mean: over all columns; IQM: mean of the middle half of all runs of all columns; both with 95% intervals by "
        "stratified percentile bootstrap over seeds, which cover less with few seeds, unmarked."
    ]


def _differences(grid: Grid, options: TableOptions) -> list[str]:
    """What differences are, and which of them are marked: those of two or more seeds were tested."""
    columns = {index: column.name for index, column in enumerate(grid.columns) if column.kind == "difference"}
    found = [row.entries[index].interval for row in grid.rows for index in columns]
    tested = sum(interval is not None and interval.n > 1 for interval in found)
    marked = (
        f" Bold: shown to differ from 0 ({TESTS[options.test].title}, Holm-corrected over all {tested} differences, "
        f"{100 * LEVEL:g}%)."
    )
    return [
        f"'{name}' is the difference paired by seed, with its {100 * options.confidence:g}% Student-t interval, each "
        f"by itself: not corrected for the number of comparisons.{marked if tested else ''}"
        for name in sorted(set(columns.values()))
    ]


def _marks(grid: Grid, cells: Sequence[CellResult], options: TableOptions, comparisons: int) -> str:
    if len(grid.rows) < 2:
        return ""
    bold = "Bold elsewhere" if any(column.kind == "difference" for column in grid.columns) else "Bold"
    if not comparisons:
        return f"{bold}: highest of its column; nothing is tested, for no two methods share two seeds."
    family = f"all {comparisons} comparisons of this table" if comparisons > 1 else "its one comparison"
    return (
        f"{bold}: highest of its column; underlined: not shown to be worse ({TESTS[options.test].title} over common "
        f"seeds, Holm-corrected over {family}, {100 * LEVEL:g}%{_constants(cells)}{_powerless(cells, options)})."
    )


def _constants(cells: Sequence[CellResult]) -> str:
    """Which methods are compared without randomness of their own."""
    held: dict[str, list[bool]] = {}
    for cell in cells:
        if cell.state == "done":
            held.setdefault(cell.cell.method, []).append(cell.is_constant or _never_varies(cell))
    fixed = [method for method, constant in held.items() if all(constant)]
    named = [method_label(method) for method in fixed if method != ZEROSHOT]
    zeroshot = ["the zero-shot model"] if ZEROSHOT in fixed else []
    if not named:
        return f"; {zeroshot[0]} is a constant" if zeroshot else ""
    *rest, last = [*zeroshot, *named]
    those = f"{', '.join(rest)} and {last} are constants" if rest else f"{last} is a constant"
    return f"; {those}, one number at all seeds"


def _never_varies(cell: CellResult) -> bool:
    """Whether enough seeds gave one and the same number on all that was measured."""
    return cell.n >= ENOUGH_FOR_A_CONSTANT and all(
        len(set(cell.sample(side, [measure]).values())) == 1 for measure in cell.measures for side in SIDES
    )


def _powerless(cells: Sequence[CellResult], options: TableOptions) -> str:
    most = max((cell.n for cell in cells if not cell.is_constant), default=0)
    return f"; with {most} seeds this test can show nothing" if TESTS[options.test].least_p(most) > LEVEL else ""
