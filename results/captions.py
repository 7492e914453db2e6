"""What a table says of its numbers: what they are, over how many seeds, with which interval and marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from results.cells import CellResult
from results.marks import LEVEL
from results.naming import ZEROSHOT
from results.options import Options
from results.statistics.intervals import INTERVALS
from results.statistics.paired import TESTS
from results.tables import Column, Grid

_ENOUGH_SEEDS = 20
"""Below so many seeds intervals that are not Student's cover visibly less than they say."""


def caption(grid: Grid, cells: Sequence[CellResult], options: Options, comparisons: int) -> str:
    """The caption of a filled grid."""
    numbers = [column for column in grid.columns if column.kind == "number"]
    sentences = [
        f"{_metrics(numbers)} in %: {mean_and_interval(cells, options)}.",
        *_sides(grid, numbers),
        *_aggregates(grid),
        *_differences(grid),
        _marks(grid, options, comparisons),
        f"Hyper-parameters, epoch and mixing coefficient were selected on {selected_on(cells)}.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def mean_and_interval(cells: Iterable[CellResult], options: Options) -> str:
    """What the numbers of trained methods are, e.g. `mean over 5 seeds with its 95% Student-t interval`."""
    trained = [cell for cell in cells if cell.state == "done" and not cell.is_constant]
    return (
        f"mean over {_seeds(trained)} with its {100 * options.confidence:g}% {INTERVALS[options.interval]} interval"
        f"{_undercoverage(trained, options)}"
    )


def selected_on(cells: Iterable[CellResult]) -> str:
    """What selection saw, e.g. `id_val accuracy`."""
    seen = {(cell.selection.split, cell.selection.metric) for cell in cells if cell.selection}
    named = sorted(f"{split} {metric.replace('_', ' ') or 'primary metric'}" for split, metric in seen)
    return " / ".join(named) or "the primary metric of id_val"


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


def _undercoverage(trained: Sequence[CellResult], options: Options) -> str:
    fewest = min((cell.n for cell in trained), default=_ENOUGH_SEEDS)
    return "" if options.interval == "t" or fewest >= _ENOUGH_SEEDS else ", which covers less at so few seeds"


def _sides(grid: Grid, numbers: Sequence[Column]) -> list[str]:
    """Which side the numbers are of, where no header says it."""
    sides = {column.side for column in numbers}
    said = any("ensembling" in header.lower() for column in grid.columns for header in column.path)
    if len(sides) != 1 or said:
        return []
    return [f"{sides.pop().capitalize()} ensembling."]


def _aggregates(grid: Grid) -> list[str]:
    if not any(column.kind == "aggregate" for column in grid.columns):
        return []
    return ["Mean and IQM (interquartile mean) are over all columns, with stratified-bootstrap intervals, unmarked."]


def _differences(grid: Grid) -> list[str]:
    names = sorted({column.name for column in grid.columns if column.kind == "difference"})
    return [f"'{name}' is the difference paired by seed, with its Student-t interval." for name in names]


def _marks(grid: Grid, options: Options, comparisons: int) -> str:
    if len(grid.rows) < 2:
        return ""
    if not comparisons:
        return "Bold: highest of its column; nothing is tested, for no two methods share two seeds."
    family = f"all {comparisons} comparisons of this table" if comparisons > 1 else "its one comparison"
    zeroshot = "; the zero-shot model is a constant" if any(row.method == ZEROSHOT for row in grid.rows) else ""
    return (
        f"Bold: highest of its column; underlined: not significantly worse ({TESTS[options.test].title} over common "
        f"seeds, Holm-corrected over {family}, {100 * LEVEL:g}%{zeroshot})."
    )
