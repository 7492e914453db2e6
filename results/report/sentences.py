"""The sentences on one column of a table: its best method, or the control, and how the others compare with it.

`claim` says what the marks of the column say, from the same samples by the same test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flyp_sweep.results.metrics import Metric
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.significance import FEWEST_SEEDS, ColumnMarks, Sample, column_marks, control_marks
from flyp_sweep.search_spaces.complaints import counted


@dataclass(frozen=True)
class Contender:
    """A method with a number: how it is printed, its values by seed, how many repeats were planned, and its name."""

    label: str
    sample: Sample
    planned: int
    method: str = ""


def claim(what: str, metric: Metric, held: Sequence[Contender], control: str | None = None) -> str:
    """The sentences on one column, e.g. of `mean OOD accuracy` (`what`); `held` are the methods with a number there.

    The methods are compared with the `control` (by name or label) alone, if there is one; else with the best.
    """
    if control:
        parts = _with_control(what, metric, held, control)
    elif len(held) < 2:
        return f"Only {held[0].label} has a number for {what}: {_mean(held[0], metric)}. {_seeds(held)}".rstrip()
    else:
        parts = _with_the_best(what, metric, held)
    return " ".join([*parts, _seeds(held)]).rstrip()


def _with_the_best(what: str, metric: Metric, held: Sequence[Contender]) -> list[str]:
    marks = column_marks([one.sample for one in held], lower_is_better=metric.lower_is_better)
    assert marks.best is not None
    best = held[marks.best]
    if len(marks.few) < len(held):
        return _tested(what, metric, held, marks, best)
    others = [f"{one.label} {_mean(one, metric)}" for one in held if one is not best]
    return [
        f"{best.label} has the {_best_mean(what, metric)}, {_mean(best, metric)} ({joined(others)}), but nothing is "
        f"tested: the methods share fewer than {FEWEST_SEEDS} seeds."
    ]


def _tested(what: str, metric: Metric, held: Sequence[Contender], marks: ColumnMarks, best: Contender) -> list[str]:
    """The sentences of a column in which something was compared; `is highest` is for a method that all are below."""
    same = [row for row in range(len(held)) if row not in marks.few and _mean(held[row], metric) == _mean(best, metric)]
    worse = [row for row, one in enumerate(marks.versus) if one and one.is_worse and row not in same]
    level = [row for row, mark in enumerate(marks.marks) if mark == "level" and row not in same]
    few = [row for row in marks.few if held[row] is not best]
    several = len(same) > 1
    if level or few:
        verb = f"{'have' if several else 'has'} the {_best_mean(what, metric)}"
    else:
        verb = f"{'are' if several else 'is'} {metric.best} in {what}"
    first = f"{joined([held[row].label for row in same])} {verb}, {_mean(best, metric)}"
    side = "higher" if metric.lower_is_better else "lower"
    if worse:
        (label, size), *rest = [(held[row].label, _size(marks, row, metric)) for row in _by_size(worse, marks)]
        first += f"; {joined([f'{label} is {side} by {size}', *(f'{label} by {size}' for label, size in rest)])}"
    elif level:
        first += f"; no other method is shown to be {side}"
    sign = 1 if metric.lower_is_better else -1  # by how much the best is ahead
    return [f"{first}.", *_rest(held, marks, metric, best, level, few, sign)]


def _with_control(what: str, metric: Metric, held: Sequence[Contender], control: str) -> list[str]:
    """The sentences of a column whose methods are compared with one that was named beforehand."""
    at = next((at for at, one in enumerate(held) if control in (one.method, one.label)), None)
    if at is None:
        return [f"Nothing is compared for {what}: the control, {control}, has no number there."]
    marks = control_marks([one.sample for one in held], at, lower_is_better=metric.lower_is_better)
    first = f"{held[at].label}, the control, has {_mean(held[at], metric)} for {what}"
    found = {
        "better": [row for row, one in enumerate(marks.versus) if one and one.is_better],
        "worse": [row for row, one in enumerate(marks.versus) if one and one.is_worse],
    }
    for side, rows in found.items():
        named = [f"{held[row].label} by {_size(marks, row, metric)}" for row in _by_size(rows, marks)]
        first += f"; shown to be {side}: {joined(named)}" if named else ""
    level = [row for row, mark in enumerate(marks.marks) if mark == "level"]
    if level and not any(found.values()):
        first += "; no method is shown to differ"
    return [f"{first}.", *_rest(held, marks, metric, held[at], level, list(marks.few), 1)]


def _rest(
    held: Sequence[Contender],
    marks: ColumnMarks,
    metric: Metric,
    reference: Contender,
    level: Sequence[int],
    few: Sequence[int],
    sign: int,
) -> list[str]:
    """Which methods are not told apart from the reference, and which were not tested.

    `sign` 1: differences are those to the reference; -1: of the reference to the methods.
    """
    parts = []
    if level:
        apart = [
            f"{held[row].label} (difference {_printed(_difference(marks, row, sign), metric)})"
            for row in _by_size(level, marks)
        ]
        parts.append(f"Not told apart from {reference.label}: {joined(apart)}.")
    if few:
        untested = [f"{held[row].label} ({_mean(held[row], metric)})" for row in few]
        parts.append(
            f"Not tested, with fewer than {FEWEST_SEEDS} seeds shared with {reference.label}: {joined(untested)}."
        )
    return parts


def _by_size(rows: Iterable[int], marks: ColumnMarks) -> list[int]:
    """Rows by how far they are from the reference, the nearest first."""
    return sorted(rows, key=lambda row: abs(_difference(marks, row, 1).mean))


def _difference(marks: ColumnMarks, row: int, sign: int) -> Interval:
    """How much a row exceeds the reference, paired by seed; with `sign` -1 the other way round."""
    versus = marks.versus[row]
    assert versus is not None
    found = versus.comparison.difference
    if sign > 0:
        return found
    return Interval(-found.mean, -found.high, -found.low, found.n, found.confidence, found.kind)


def _size(marks: ColumnMarks, row: int, metric: Metric) -> str:
    """How far a row is from the reference, whichever is higher."""
    return _printed(_difference(marks, row, 1 if _difference(marks, row, 1).mean > 0 else -1), metric)


def _printed(found: Interval, metric: Metric) -> str:
    """E.g. `10.0 [7.7, 12.3]`; without an interval where no seed changes the difference."""
    if found.n < 2:
        return metric.printed(found.mean)
    return f"{metric.printed(found.mean)} [{metric.printed(found.low)}, {metric.printed(found.high)}]"


def _best_mean(what: str, metric: Metric) -> str:
    """E.g. `highest mean ID test accuracy`: of the mean OOD accuracy one `mean` is enough."""
    return f"{metric.best} mean {what.removeprefix('mean ')}"


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
        return f"Seeds: {joined(fewer)}."
    return f"n = {counted(most, 'seed')}{'; ' + joined(fewer) if fewer else ''}."


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
