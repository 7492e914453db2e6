"""What came out, in sentences: which method is highest, which are shown to be lower, which cannot be told apart.

Every sentence rests on one column of the tables (ID test or mean OOD, without or with ensembling) and on its marks: the
same samples, the same paired differences, the same test with the same correction. Nothing else is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, SIDES, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.metrics import Metric, metric_of
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.columns import id_column, ood_column, rows_of
from flyp_sweep.results.tables.grid import PlannedRow
from flyp_sweep.results.tables.layouts import held_out
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.significance import FEWEST_SEEDS, ColumnMarks, Sample, column_marks
from flyp_sweep.results.tables.table import Column
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError

_SEVERAL_METRICS = "No method is compared: the methods were measured by different metrics on the same split."
_COLUMNS: tuple[Callable[[Block, Side, tuple[str, ...]], list[Column]], ...] = (ood_column, id_column)


@dataclass(frozen=True)
class Contender:
    """A method with a number: how it is printed, its values by seed, and how many repeats were planned."""

    label: str
    sample: Sample
    planned: int


@dataclass(frozen=True)
class BlockClaims:
    """The sentences of one (dataset, model, shots), or of the data sets of a family together."""

    title: str
    sentences: tuple[str, ...]


def claims_of(blocks: Iterable[Block]) -> list[BlockClaims]:
    """The claims of every block: mean OOD first, then ID test; a block without a number says so.

    Of a family of data sets the claims are on the means over them, as in its table.
    """
    blocks = list(blocks)
    own = [BlockClaims(block.title, tuple(_of_block(block))) for block in blocks if block.family is None]
    return own + _of_families([block for block in blocks if block.family])


def _of_block(block: Block) -> list[str]:
    try:
        columns = [one for make in _COLUMNS for side in SIDES for one in make(block, side, ("",))]
    except InputError:
        return [_SEVERAL_METRICS]
    return _sentences(rows_of([block]), columns)


def _of_families(blocks: Sequence[Block]) -> list[BlockClaims]:
    try:
        plans = held_out.plans(blocks, TableOptions())
    except InputError:
        return [BlockClaims(block.title, (_SEVERAL_METRICS,)) for block in blocks]
    found = []
    for plan in plans:
        means = [one for one in plan.columns if one.over and one.kind == "number" and one.headline]
        columns = sorted(means, key=lambda one: one.role == "id_test")
        parts = max((len(one.over) for one in columns), default=0)
        over = f": means over {counted(parts, 'data set')}" if parts else ""
        found.append(BlockClaims(plan.title + over, tuple(_sentences(plan.rows, columns))))
    return found


def _sentences(rows: Sequence[PlannedRow], columns: Sequence[Column]) -> list[str]:
    """What the columns say, and which methods have no number in any of them."""
    found = [(column, _contenders(rows, column)) for column in columns if _is_told(rows, column)]
    if not found:
        return ["No repeat has finished yet."]
    with_side = len({column.side for column, _ in found}) > 1
    told = [claim(_name(column, with_side), metric_of(column.metric), held) for column, held in found]
    without = [row.label for row in rows if not any(row.sample(column) for column in columns)]
    return [*told, *([f"No number yet: {_joined(without)}."] if without else [])]


def _is_told(rows: Sequence[PlannedRow], column: Column) -> bool:
    """Whether the column says something of its side: the zero-shot model is the same on both."""
    held = [row for row in rows if row.sample(column)]
    return bool(held) and (column.side == "without" or any(row.method != ZEROSHOT for row in held))


def _contenders(rows: Sequence[PlannedRow], column: Column) -> list[Contender]:
    found = [(row, row.sample(column), row.held(column)) for row in rows]
    return [Contender(row.label, sample, max(cell.planned for cell in cells)) for row, sample, cells in found if sample]


def _name(column: Column, with_side: bool) -> str:
    """E.g. `mean OOD with ensembling`, `OOD sketch (macro F1)`."""
    names = {"id_test": "ID test", "mean_ood": "mean OOD"}
    split = next(part.split for one in column.sources for part in one.parts)
    metric = "" if column.metric == "accuracy" else f" ({metric_of(column.metric).named})"
    return names.get(column.role, f"OOD {split}") + metric + (f" {SIDE_LABELS[column.side]}" if with_side else "")


def claim(what: str, metric: Metric, held: Sequence[Contender]) -> str:
    """The sentences on one column, `what` being its name; `held` are the methods that have a number there."""
    if len(held) < 2:
        return f"Only {held[0].label} has a number on {what}: {_mean(held[0], metric)}. {_seeds(held)}".rstrip()
    marks = column_marks([one.sample for one in held], lower_is_better=metric.lower_is_better)
    assert marks.best is not None
    best = held[marks.best]
    if len(marks.few) == len(held):
        others = [f"{one.label} {_mean(one, metric)}" for one in held if one is not best]
        parts = [
            f"{best.label} has the {metric.best} mean on {what}, {_mean(best, metric)} (beside {_joined(others)}), but "
            f"nothing is tested: the methods share fewer than {FEWEST_SEEDS} seeds."
        ]
    else:
        parts = _tested(what, metric, held, marks)
    return " ".join([*parts, _seeds(held)]).rstrip()


def _tested(what: str, metric: Metric, held: Sequence[Contender], marks: ColumnMarks) -> list[str]:
    """The sentences of a column in which something was compared."""
    best = held[marks.best or 0]
    same = [row for row in range(len(held)) if row not in marks.few and _mean(held[row], metric) == _mean(best, metric)]
    worse = [row for row, one in enumerate(marks.versus) if one and one.is_worse and row not in same]
    level = [row for row, mark in enumerate(marks.marks) if mark == "level" and row not in same]
    few = [row for row in marks.few if held[row] is not best]
    tops = [held[row].label for row in same]
    parts = [f"{_joined(tops)} {'is' if len(tops) == 1 else 'are'} {metric.best} on {what}, {_mean(best, metric)}"]
    side = "higher" if metric.lower_is_better else "lower"
    behind = [(held[row].label, _lead(marks, row, metric)) for row in _by_lead(worse, marks, metric)]
    if behind:
        (label, lead), *rest = behind
        told = [f"{label} is {side} by {lead}", *(f"{label} by {lead}" for label, lead in rest)]
        parts[0] += f"; {_joined(told)}."
    elif level or len(tops) < len(held) - len(few):
        parts[0] += f"; no other method is shown to be {side}."
    else:
        parts[0] += "."
    if level:
        apart = [
            f"{held[row].label} (difference {_lead(marks, row, metric)})" for row in _by_lead(level, marks, metric)
        ]
        parts.append(f"Not told apart from {best.label}: {_joined(apart)}.")
    if few:
        untested = [f"{held[row].label} ({_mean(held[row], metric)})" for row in few]
        parts.append(f"Not tested, with fewer than {FEWEST_SEEDS} seeds shared with {best.label}: {_joined(untested)}.")
    return parts


def _by_lead(rows: Iterable[int], marks: ColumnMarks, metric: Metric) -> list[int]:
    """Rows by how far the best is ahead of them, the nearest first."""
    return sorted(rows, key=lambda row: _ahead(marks, row, metric).mean)


def _ahead(marks: ColumnMarks, row: int, metric: Metric) -> Interval:
    """By how much the best is better than a row, paired by seed."""
    versus = marks.versus[row]
    assert versus is not None
    found = versus.comparison.difference
    if metric.lower_is_better:
        return found
    return Interval(-found.mean, -found.high, -found.low, found.n, found.confidence, found.kind)


def _lead(marks: ColumnMarks, row: int, metric: Metric) -> str:
    """E.g. `10.0 [7.7, 12.3]`; without an interval where no seed changes the difference."""
    found = _ahead(marks, row, metric)
    if found.n < 2:
        return metric.printed(found.mean)
    return f"{metric.printed(found.mean)} [{metric.printed(found.low)}, {metric.printed(found.high)}]"


def _mean(one: Contender, metric: Metric) -> str:
    return metric.printed(one.sample.mean)


def _seeds(held: Sequence[Contender]) -> str:
    """How many seeds the numbers have, e.g. `n = 3 seeds.` or `n: 3 seeds, but 2 of 3 of FT.`; methods without any."""
    seeded = [one for one in held if not one.sample.constant]
    if not seeded:
        return ""
    counts = [len(one.sample.values) for one in seeded]
    most = max(counts)
    short = [one for one in seeded if len(one.sample.values) < max(one.planned, most)]
    fewer = [f"{one.label} has {len(one.sample.values)} of {max(one.planned, most)}" for one in short]
    if len(short) == len(seeded):
        return f"Seeds: {_joined(fewer)}."
    return f"n = {counted(most, 'seed')}{'; ' + _joined(fewer) if fewer else ''}."


def _joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
