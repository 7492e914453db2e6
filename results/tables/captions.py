"""What a table says of its numbers: what they are, over how many seeds, with which interval and marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import SIDES, WATCHED
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.naming import shots_label
from flyp_sweep.results.statistics.intervals import INTERVALS
from flyp_sweep.results.statistics.paired import ENOUGH_FOR_A_CONSTANT, TESTS
from flyp_sweep.results.statistics.two_ways import SEEDS_AND_EXAMPLES, TITLE
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.significance import FEWEST_SEEDS, LEVEL, ColumnMarks
from flyp_sweep.results.tables.table import Column, Grid
from flyp_sweep.search_spaces.complaints import counted

_FEW_SEEDS = 5
"""Below so many seeds a test rarely finds a difference."""
_ENOUGH_SEEDS = 20
"""Below so many seeds intervals that are not Student's cover visibly less than they say."""


GENERATED = "{generated}"
"""What stands in a user's caption for the one that is generated."""


@dataclass(frozen=True)
class Shown:
    """What a caption must say of the choice that was made: the control, methods and columns left out, runs abreast."""

    control: str = ""
    methods_left_out: tuple[str, ...] = ()
    columns_left_out: int = 0
    runs: tuple[str, ...] = ()


def captioned(grid: Grid, generated: str, options: TableOptions) -> Grid:
    """The grid with its caption: a user's own, below which the `generated` one is part of the audit, or that one."""
    if not options.caption:
        return replace(grid, caption=generated)
    kept = () if GENERATED in options.caption else (generated,)
    own = options.caption.replace(GENERATED, generated)
    return replace(grid, caption=own, audit=(*kept, *grid.audit), is_captioned=True)


def caption(
    grid: Grid,
    cells: Sequence[CellResult],
    options: TableOptions,
    marked: Sequence[ColumnMarks],
    differences: int,
    shown: Shown = Shown(),
) -> str:
    """The caption of a filled grid: `marked` holds its marked columns, `differences` counts those tested."""
    numbers = [column for column in grid.columns if column.kind == "number"]
    sentences = [
        f"{_metrics(numbers)}{_subject(grid, cells, options)}: {mean_and_interval(cells, options)}.",
        _abreast(shown.runs),
        _deterministic(cells, options),
        *_lower(numbers),
        *_sides(grid, numbers),
        *_watched(numbers),
        *_ood(numbers),
        *_aggregates(grid, shown),
        *_differences(grid, options, differences),
        *(_control_marks if shown.control else _marks)(grid, cells, options, marked, shown),
        f"{_selected(numbers)} were selected on {selected_on(cells)}.",
        *_overlaps(cells),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _subject(grid: Grid, cells: Sequence[CellResult], options: TableOptions) -> str:
    """E.g. ` on digits, 4-shot`: what all cells share of data set, model and shots, and the title does not name."""
    of_cells = [(one.cell.dataset, one.cell.model, one.cell.shots) for one in cells]
    shared = [held.pop() for held in map(set, zip(*of_cells, strict=True)) if len(held) == 1]
    names = [shots_label(one) if isinstance(one, int) else one for one in shared if one is not None]
    told = [options.labels.get(name, name) for name in names]
    missing = ", ".join(name for name in told if name not in grid.title.split(", "))
    return f" on {missing}" if missing else ""


def mean_and_interval(cells: Iterable[CellResult], options: TableOptions) -> str:
    """What the numbers of methods that have seeds are, e.g. `mean over 5 seeds with its 95% Student-t interval`."""
    done = [cell for cell in cells if cell.state == "done"]
    seeded = [cell for cell in done if not cell.is_constant]
    counts = sorted({cell.n for cell in seeded})
    both = options.interval == SEEDS_AND_EXAMPLES
    if counts == [1] or (done and not seeded):
        return f"one {'seed' if seeded else 'run'}, {'interval over images alone' if both else 'no interval'}"
    one_seed = " (of one seed: over images alone)" if both else " (none for one seed)"
    return (
        f"mean over {_seeds(counts)} with its {100 * options.confidence:g}% {interval_title(options)}"
        f"{one_seed if 1 in counts else ''}{_undercoverage(seeded, options)}"
    )


def interval_title(options: TableOptions) -> str:
    """E.g. `Student-t interval`."""
    return TITLE if options.interval == SEEDS_AND_EXAMPLES else f"{INTERVALS[options.interval]} interval"


def selected_on(cells: Iterable[CellResult]) -> str:
    """What selection saw, e.g. `ID validation accuracy (ties: lower loss)`."""
    seen = {cell.selection.metric.replace("_", " ") or "primary metric" for cell in cells if cell.selection}
    return f"ID validation {' / '.join(sorted(seen)) or 'primary metric'} (ties: lower loss)"


def _abreast(runs: Sequence[str]) -> str:
    """That nothing is compared between runs that stand side by side."""
    return f"{_enumerated(runs)} are runs side by side: marks compare methods within one run." if len(runs) > 1 else ""


def _overlaps(cells: Iterable[CellResult]) -> list[str]:
    """Which splits share images: their scores are no evidence on unseen images."""
    shared = dict.fromkeys(
        (cell.cell.dataset, roles, count, how)
        for cell in cells
        if cell.selection
        for how, counts in (("", cell.selection.overlaps), (" in files of other bytes", cell.selection.near_duplicates))
        for roles, count in counts.items()
    )
    return [
        f"Overlap: {roles} of {dataset} share {counted(count, 'image')}{how}." for dataset, roles, count, how in shared
    ]


def _selected(numbers: Sequence[Column]) -> str:
    """What was selected of what the numbers show."""
    if any(column.side == "with" for column in numbers):
        return "Hyper-parameters, epoch and mixing coefficient"
    return "Hyper-parameters and epoch"


def _metrics(columns: Sequence[Column]) -> str:
    """`Accuracy in %`, or which column holds which metric where they differ."""
    held: dict[str, list[str]] = {}
    several = len({column.dataset for column in columns}) > 1
    for column in columns:
        outer = column.own_path[0]
        name = f"{outer} {column.name}" if several and column.name != outer else column.name
        names = held.setdefault(column.metric.replace("_", " "), [])
        names += [] if name in names else [name]
    if len(held) > 1:
        return "; ".join(f"{', '.join(names)}: {metric}" for metric, names in held.items()) + " in %"
    return metric_of(next((column.metric for column in columns), "primary_metric")).heading


def _lower(numbers: Sequence[Column]) -> list[str]:
    """What a metric is whose lowest number is the best."""
    metrics = dict.fromkeys(column.metric for column in numbers)
    return [f"{one.definition} Lower is better." for name in metrics if (one := metric_of(name)).lower_is_better]


def _best(grid: Grid) -> str:
    """`highest`, or `lowest` where lower is better."""
    return next((metric_of(column.metric).best for column in grid.columns if column.kind == "number"), "highest")


def _seeds(counts: Sequence[int]) -> str:
    if len(counts) > 1:
        return f"n = {counts[0]} to {counts[-1]} seeds"
    return f"{counts[0]} seeds" if counts else "seeds"


def _deterministic(cells: Sequence[CellResult], options: TableOptions) -> str:
    """Which methods have no seeds; of some of them this is so in cells of the whole training split alone."""
    held: dict[str, list[bool]] = {}
    for cell in cells:
        if cell.state == "done":
            held.setdefault(cell.label, []).append(cell.is_constant)
    names = [label + ("" if all(constant) else " on full data") for label, constant in held.items() if any(constant)]
    are = "is" if len(names) == 1 else "are"
    interval = "with an interval over images" if options.interval == SEEDS_AND_EXAMPLES else "without an interval"
    return f"{_enumerated(names)} {are} deterministic: run once, {interval}." if names else ""


def _enumerated(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


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


def _watched(numbers: Sequence[Column]) -> list[str]:
    """What the columns of OOD validation are not."""
    if not any(column.role == "ood_val" for column in numbers):
        return []
    return [f"{WATCHED}: OOD validation, reported only: nothing was selected on it, and no OOD mean contains it."]


def _ood(numbers: Sequence[Column]) -> list[str]:
    """What a column that is headed `OOD` alone is the mean of."""
    means = [column for column in numbers if column.role == "mean_ood" and "mean" not in column.name.lower()]
    if not means:
        return []
    counts = {len(column.parts) for column in numbers if column.name == means[0].name}
    how_many = f"{counts.pop()} " if len(counts) == 1 else ""
    return [f"{means[0].name}: unweighted mean over the {how_many}OOD sets of a data set."]


def _aggregates(grid: Grid, shown: Shown) -> list[str]:
    indices = [index for index, column in enumerate(grid.columns) if column.kind == "aggregate"]
    if not indices:
        return []
    found = [row.entries[index].interval for row in grid.rows for index in indices]
    intervals = (
        "both with 95% intervals by stratified percentile bootstrap over seeds, which cover less with few seeds, "
        if any(one and one.n > 1 and one.low < one.high for one in found)
        else ""
    )
    columns = f"all columns, {shown.columns_left_out} of them not shown" if shown.columns_left_out else "all columns"
    return [f"Mean: over {columns}; IQM: mean of the middle half of all runs of all columns; {intervals}unmarked."]


def _differences(grid: Grid, options: TableOptions, tested: int) -> list[str]:
    """What differences are, and which of them are marked."""
    columns = {index: column.name for index, column in enumerate(grid.columns) if column.kind == "difference"}
    found = [row.entries[index].interval for row in grid.rows for index in columns]
    interval = (
        f", with its {100 * options.confidence:g}% Student-t interval, each by itself: not corrected for the number of "
        "comparisons"
        if any(one is not None and one.n > 1 for one in found)
        else ""
    )
    correction = "Holm-corrected within each column" if options.correction == "holm" else "not corrected"
    marked = f" Bold: shown to differ from 0 ({TESTS[options.test].title}, {correction}, {100 * LEVEL:g}%)."
    return [
        f"'{name}' is the difference paired by seed{interval}.{marked if tested else ''}"
        for name in sorted(set(columns.values()))
    ]


def _control_marks(
    grid: Grid, cells: Sequence[CellResult], options: TableOptions, marked: Sequence[ColumnMarks], shown: Shown
) -> Iterator[str]:
    """What was compared with the control, and what the marks mean."""
    control = shown.control
    compared = [one for one in marked if one.best is not None]
    judged = [one for one in compared if any(one.marks) or len(one.few) < len(one.marks) - 1]
    if not judged:
        yield f"No marks: no method shares {FEWEST_SEEDS} seeds with {control}." if marked else ""
        return
    most = max(one.comparisons for one in judged)
    family = f"the {most} comparisons" if most > 1 else "the one comparison"
    correction = (
        f"Holm-corrected within each column, over {family} with {control} alone"
        if options.correction == "holm"
        else f"not corrected for the number of comparisons with {control}"
    )
    tested = f"{TESTS[options.test].title} over common seeds on one fixed test set, {100 * LEVEL:g}%, {correction}"
    rest = f"{_constants(cells)}{_powerless(cells, options)}"
    bold = "Bold elsewhere" if any(column.kind == "difference" for column in grid.columns) else "Bold"
    yield (
        f"Every method is compared with {control} alone. {bold}: shown to be better than {control}; underlined: not "
        f"shown to differ from it; the others: shown to be worse ({tested}{rest})."
    )
    if options.marks == "headline":
        yield from _headline(grid)
    few = [grid.rows[at].label for at in sorted({at for one in judged for at in one.few})]
    if few:
        yield f"Not compared, for fewer than {FEWEST_SEEDS} seeds: {_enumerated(few)}."
    if len(compared) < len(marked):
        yield f"A column in which {control} has no number has no marks."


def _marks(
    grid: Grid, cells: Sequence[CellResult], options: TableOptions, marked: Sequence[ColumnMarks], shown: Shown
) -> Iterator[str]:
    """What marks mean, which columns have them, and why others have not."""
    compared = [one for one in marked if one.best is not None]
    judged = [one for one in compared if any(one.marks)]
    best = _best(grid)
    if not compared:
        return
    if not judged:
        yield (
            f"No marks: the {best} number of a column shares fewer than {FEWEST_SEEDS} seeds with the others, too few "
            "to tell it from chance."
        )
        return
    bold = "Bold elsewhere" if any(column.kind == "difference" for column in grid.columns) else "Bold"
    if any(one.comparisons for one in judged):
        methods = "the methods shown" if shown.methods_left_out else "methods"
        correction = (
            f"Holm-corrected within each column, over all pairs of {methods}, as the same data chose the {best}"
            if options.correction == "holm"
            else "not corrected for the number of methods"
        )
        tested = f"{TESTS[options.test].title} over common seeds on one fixed test set, {100 * LEVEL:g}%, {correction}"
        rest = f"{_constants(cells)}{_powerless(cells, options)}"
        yield f"{bold}: {best} of its column; underlined: not shown to be worse than it ({tested}{rest})."
    else:
        yield f"{bold}: {best} of its column; nothing is tested, for no number depends on a seed."
    if options.marks == "headline":
        yield from _headline(grid)
    yield from _unmarked(grid, compared, judged)


def _headline(grid: Grid) -> Iterator[str]:
    numbers = [column for column in grid.columns if column.kind == "number"]
    names = list(dict.fromkeys(column.name for column in numbers if column.headline))
    if not all(column.headline for column in numbers):
        yield f"Only {_enumerated(names)} {'is' if len(names) == 1 else 'are'} marked."


def _unmarked(grid: Grid, compared: Sequence[ColumnMarks], judged: Sequence[ColumnMarks]) -> Iterator[str]:
    few = [grid.rows[at].label for at in sorted({at for one in judged for at in one.few})]
    if few:
        yield f"Not marked, for fewer than {FEWEST_SEEDS} seeds: {_enumerated(few)}."
    if len(judged) < len(compared):
        few_shared = f"shares fewer than {FEWEST_SEEDS} seeds with the others"
        yield f"A column whose {_best(grid)} number {few_shared} has no marks."


def _constants(cells: Sequence[CellResult]) -> str:
    """Which methods have seeds and yet one number at all of them."""
    held: dict[str, list[bool]] = {}
    for cell in cells:
        if cell.state == "done":
            held.setdefault(cell.label, []).append(not cell.is_constant and _never_varies(cell))
    named = [label for label, constant in held.items() if all(constant)]
    return f"; {_enumerated(named)} gave one number at all seeds" if named else ""


def _never_varies(cell: CellResult) -> bool:
    """Whether enough seeds gave one and the same number on all that was measured."""
    return cell.n >= ENOUGH_FOR_A_CONSTANT and all(
        len(set(cell.sample(side, [measure]).values())) == 1 for measure in cell.measures for side in SIDES
    )


def _powerless(cells: Sequence[CellResult], options: TableOptions) -> str:
    most = max((cell.n for cell in cells if not cell.is_constant), default=0)
    if TESTS[options.test].least_p(most) > LEVEL:
        return f"; with {most} seeds this test can show nothing"
    return f"; with {most} seeds this test has little power" if 0 < most < _FEW_SEEDS else ""
