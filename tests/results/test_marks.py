from __future__ import annotations

import numpy as np
import pytest

from flyp_sweep.results.tables.significance import Sample, marks

SIMULATIONS = 1000
"""Enough to catch wrong corrections: by column alone 6% go unmarked, as if the best were named beforehand 14%."""


def sample(*values: float) -> Sample:
    return Sample(dict(enumerate(values)))


def test_the_best_is_marked_and_what_is_clearly_worse_is_not():
    best, level, worse = sample(0.90, 0.92, 0.91), sample(0.91, 0.90, 0.905), sample(0.50, 0.52, 0.511)
    found = marks([[worse, level, best]])
    assert found.columns == (("", "level", "best"),)
    assert found.comparisons == 3


def test_holms_family_is_all_pairs_of_all_columns():
    # p of the pair alone is some 0.02: significant by itself, not in a family of two
    a, b = sample(0.90, 0.92, 0.91, 0.93, 0.90), sample(0.89, 0.90, 0.905, 0.90, 0.895)
    assert marks([[a, b]]).columns == (("best", ""),)
    same = sample(0.5, 0.6, 0.4, 0.5, 0.5)
    many = marks([[a, b], *[[same, sample(0.5, 0.5, 0.5, 0.6, 0.4)]] * 3])
    assert many.columns[0] == ("best", "level")
    assert many.comparisons == 4


def test_a_constant_is_compared_with_the_seeds_of_the_others():
    zeroshot = Sample({0: 0.70}, constant=True)
    assert marks([[zeroshot, sample(0.90, 0.91, 0.92)]]).columns == (("", "best"),)
    assert marks([[zeroshot, sample(0.40, 0.41, 0.42)]]).columns == (("best", ""),)
    assert marks([[zeroshot, sample(0.60, 0.75, 0.85)]]).columns == (("level", "best"),)


def test_only_shared_seeds_are_compared():
    a = Sample({0: 0.9, 1: 0.8, 2: 0.7, 3: 0.75})
    b = Sample({1: 0.501, 2: 0.402, 3: 0.451, 4: 0.9})  # 0.299, 0.298 and 0.299 below a, where both are
    assert marks([[a, b]]).columns == (("best", ""),)
    assert marks([[a, Sample({7: 0.1, 8: 0.2})], [a, b]]).columns[0] == ("best", "level")  # cannot be tested


def test_without_anything_to_test_only_the_best_is_marked():
    found = marks([[sample(0.9), sample(0.8), None]])
    assert found.columns == (("best", "", ""),)
    assert found.comparisons == 0
    assert marks([]).columns == ()
    assert marks([[sample(0.9, 0.8), None]]).columns == (("", ""),), "a lone number is not best"


def test_wilcoxon_can_tell_nothing_apart_with_five_seeds():
    a, b = sample(0.90, 0.92, 0.91, 0.93, 0.90), sample(0.10, 0.12, 0.15, 0.13, 0.17)
    assert marks([[a, b]], "wilcoxon").columns == (("best", "level"),)
    assert marks([[a, b]], "t").columns == (("best", ""),)


def unmarked(means: list[float], deviations: list[float], n: int, *, zeroshot: bool = False) -> float:
    """How often a truly best row of two columns goes unmarked; the seed moves all methods together."""
    stream, missed = np.random.default_rng(0), 0
    best = [mean == max(means) for mean in means] + [True] * zeroshot
    for _ in range(SIMULATIONS):
        values = stream.normal(0, 1, (2, len(means), n)) * np.array(deviations)[:, None] + np.array(means)[:, None]
        shared = 0 if zeroshot else stream.normal(0, 1, (2, 1, n))
        columns = [[sample(*row) for row in column] for column in values + shared]
        constant = [Sample({0: max(means)}, constant=True)] * zeroshot
        found = marks([column + constant for column in columns]).columns
        missed += any(is_best and not mark for column in found for is_best, mark in zip(best, column, strict=True))
    return missed / SIMULATIONS


@pytest.mark.parametrize("n", [5, 50])
@pytest.mark.parametrize(
    ("means", "deviations", "zeroshot"),
    [
        ([0, 0, 0, 0, 0], [1, 1, 1, 1, 1], False),
        ([0, 0, -1, -2, -3], [0.3, 1, 3, 1, 1], False),
        ([0, 0, 0, 0], [1, 1, 1, 1], True),
    ],
    ids=["all equal", "two best, unequal spreads", "beside a constant"],
)
def test_a_truly_best_method_goes_unmarked_in_at_most_5_of_100_simulated_tables(means, deviations, zeroshot, n):
    assert unmarked(means, deviations, n, zeroshot=zeroshot) <= 0.05


@pytest.mark.parametrize("n", [2, 3, 5])
def test_accuracies_that_are_equal_by_chance_prove_nothing(n):
    # counts of 300 images over few seeds are often equal; all methods and the constant are truly the same
    stream, missed = np.random.default_rng(5), 0
    for _ in range(SIMULATIONS):
        rows = [sample(*row) for row in stream.binomial(300, 0.97, (4, n)) / 300]
        missed += "" in marks([[*rows, Sample({0: 0.97}, constant=True)]]).columns[0]
    assert missed / SIMULATIONS <= 0.05
