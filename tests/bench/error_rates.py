"""How often the marks of a table err, and what they can see, by simulation: `python tests/bench/error_rates.py`.

The table is the quickstart's: six methods, ID, six OOD sets and their mean, without and with ensembling. All columns of
a method and seed are correlated, and a seed moves all methods together. Beside the rule of the tables stand the one
before it (all pairs of all columns in one family of 240) and the one of a control that was named beforehand.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.statistics.multiplicity import holm, holm_with_the_best
from flyp_sweep.results.statistics.paired import t_p_values
from flyp_sweep.results.tables.significance import LEVEL

Array = npt.NDArray[np.float64]
Rule = Callable[[Array], npt.NDArray[np.bool_]]

METHODS, SHIFTS = 6, 6
HEADLINE = (0, SHIFTS + 1, SHIFTS + 2, 2 * SHIFTS + 3)
"""ID and mean OOD, of either half, among the columns."""


def table(stream: np.random.Generator, seeds: int, gaps: Array, correlation: float) -> Array:
    """Values [columns, methods, seeds] with unit deviations; `gaps` [methods] is added to every column."""
    own = stream.normal(size=(1, METHODS, seeds))
    noise = stream.normal(size=(1 + SHIFTS, METHODS, seeds))
    half = np.sqrt(correlation) * own + np.sqrt(1 - correlation) * noise + stream.normal(size=(1 + SHIFTS, 1, seeds))
    halves = [half, half + 0.3 * stream.normal(size=half.shape)]  # alpha changes little
    return np.concatenate([[*one, one[1:].mean(axis=0)] for one in halves]) + gaps[:, None]


def in_columns(correct: Callable[[Array], Array]) -> Rule:
    """Rows [columns, methods] that are told from the best of their column, each column a family of its comparisons."""

    def rule(values: Array) -> npt.NDArray[np.bool_]:
        worse = np.full(values.shape[:2], False)
        for column in HEADLINE:
            best = int(values[column].mean(axis=1).argmax())
            others = [row for row in range(METHODS) if row != best]
            worse[column, others] = correct(t_p_values(values[column, others] - values[column, best])) <= LEVEL
        return worse

    return rule


def over_the_table(values: Array) -> npt.NDArray[np.bool_]:
    """The rule before: Holm over all pairs of all columns."""
    i, j = np.triu_indices(METHODS, k=1)
    p_values = t_p_values(values[:, i] - values[:, j])
    shown = (holm(p_values.ravel()) <= LEVEL).reshape(p_values.shape)
    best = values.mean(axis=2).argmax(axis=1)
    worse = np.full(values.shape[:2], False)
    for column, pair in zip(*np.nonzero(shown), strict=True):
        if best[column] in (i[pair], j[pair]):
            worse[column, j[pair] if best[column] == i[pair] else i[pair]] = True
    return worse


RULES: dict[str, Rule] = {
    "with the best, corrected within the column": in_columns(holm_with_the_best),
    "Holm over the column's comparisons with the best": in_columns(holm),
    "Holm over all pairs of the table (before)": over_the_table,
}


def rates(
    rule: Rule, seeds: int, gaps: Array, correlation: float, simulations: int
) -> tuple[float, float, npt.NDArray[np.float64]]:
    """How often a truly best row goes unmarked in a headline column, and in any of a table; power by row."""
    stream = np.random.default_rng(0)
    truly_best = gaps == gaps.max()
    in_column, in_table, told = 0.0, 0, np.zeros(METHODS)
    for _ in range(simulations):
        worse = rule(table(stream, seeds, gaps, correlation))[list(HEADLINE)]
        wrong = worse[:, truly_best].any(axis=1)
        in_column += wrong.mean()
        in_table += bool(wrong.any())
        told += worse[1]  # mean OOD, without ensembling
    return in_column / simulations, in_table / simulations, told / simulations


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--simulations", type=int, default=4000, help="tables per line (%(default)s)")
    simulations = made.parse_args().simulations
    print("All methods equal: tables in which a method is called worse, in %\n")
    print("| rule | seeds | correlation | a headline column | any of four |\n| :-- | --: | --: | --: | --: |")
    for name, rule in RULES.items():
        for seeds in (3, 5, 50):
            for correlation in (0.0, 0.5, 0.9):
                column, whole, _ = rates(rule, seeds, np.zeros(METHODS), correlation, simulations)
                print(f"| {name} | {seeds} | {correlation} | {100 * column:.1f} | {100 * whole:.1f} |", flush=True)
    print("\nThree equally best methods, three worse by a gap (in deviations of a split over seeds; mean OOD), in %\n")
    print("| rule | seeds | gap | a worse one is told apart | a best one goes unmarked |")
    print("| :-- | --: | --: | --: | --: |")
    for name, rule in RULES.items():
        for seeds, sizes in ((5, (1.0, 2.0, 3.0, 4.0, 6.0)), (50, (0.25, 0.5, 0.75, 1.0))):
            for gap in sizes:
                gaps = np.array([0.0, 0.0, 0.0, -gap, -gap, -gap])
                column, _, told = rates(rule, seeds, gaps, 0.5, simulations)
                print(f"| {name} | {seeds} | {gap:g} | {100 * told[3:].mean():.0f} | {100 * column:.1f} |", flush=True)


if __name__ == "__main__":
    main()
