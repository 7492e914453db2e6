from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from flyp_sweep.results.statistics import (
    Printed,
    agreement,
    holm,
    interquartile_mean,
    mean_interval,
    paired_difference,
    pairwise_p_values,
    stratified_interval,
    task_mean,
)

NAN = float("nan")


def draws(seed: int, n: int, mean: float = 0.9, deviation: float = 0.02) -> list[float]:
    stream = random.Random(seed)
    return [stream.gauss(mean, deviation) for _ in range(n)]


def test_a_hand_worked_interval():
    # mean 3, s = sqrt(2.5), t_{4, 0.975} = 2.776445 from any table: 2.776445 * 1.581139 / 2.236068 = 1.963243
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3
    assert interval.half_width == pytest.approx(1.963243, abs=1e-6)
    assert (interval.low, interval.high) == pytest.approx((3 - 1.963243, 3 + 1.963243), abs=1e-6)
    assert (interval.n, interval.confidence, interval.kind) == (5, 0.95, "t")


def test_a_hand_worked_normal_interval():
    # z_{0.975} = 1.959964: 1.959964 * 1.581139 / 2.236068 = 1.385904
    interval = mean_interval([1, 2, 3, 4, 5], "normal")
    assert (interval.low, interval.high) == pytest.approx((3 - 1.385904, 3 + 1.385904), abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5, 50])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_student_intervals_agree_with_scipy(n, confidence):
    values = draws(n, n)
    low, high = stats.t.interval(confidence, n - 1, loc=sum(values) / n, scale=stats.sem(values))
    interval = mean_interval(values, confidence=confidence)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_bootstrap_intervals_are_bias_corrected_accelerated_and_the_same_every_time():
    values = [math.exp(value) for value in draws(0, 20, 0, 1)]
    found = mean_interval(values, "bca")
    # BCa written out (Efron 1987), from resamples of another generator: equal within what resampling leaves open
    stream = np.random.default_rng(123)
    sample = np.array(values)
    means = np.sort(stream.choice(sample, (200_000, 20)).mean(axis=1))
    z0 = stats.norm.ppf((means < sample.mean()).mean())
    jackknife = np.array([np.delete(sample, i).mean() for i in range(20)])
    centred = jackknife.mean() - jackknife
    a = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    z = stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(means, stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))
    assert found.high - found.mean > found.mean - found.low  # skewed as the values are
    assert found == mean_interval(values, "bca")
    assert not found.is_symmetric


@pytest.mark.parametrize("kind", ["t", "bca", "normal"])
def test_intervals_at_their_edges(kind):
    one, none = mean_interval([0.7], kind), mean_interval([], kind)
    assert (one.mean, one.n) == (0.7, 1)
    assert math.isnan(one.half_width)
    assert none.n == 0
    assert math.isnan(none.mean)
    assert mean_interval([0.1, 0.1, 0.1], kind).half_width == 0


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_an_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1, 2], confidence=confidence)


def test_impossible_values_and_kinds_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        mean_interval([0.5, math.nan])
    with pytest.raises(ValueError, match="expected one of t, bca, normal"):
        mean_interval([0.5, 0.6], "bayes")


def test_the_paired_difference_agrees_with_scipy_on_the_common_seeds():
    a = dict(enumerate(draws(1, 8, 0.91)))
    b = dict(enumerate(draws(2, 9, 0.90), start=3))
    common = range(3, 8)
    expected = stats.ttest_rel([a[seed] for seed in common], [b[seed] for seed in common])
    found = paired_difference(a, b)
    assert found.seeds == tuple(common)
    assert found.difference.n == 5
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=1e-12)


def test_a_hand_worked_signed_rank_test():
    # all five differences positive: W = 0, and p = 2 / 2^5, the least that five pairs can give
    found = paired_difference(dict(enumerate([2, 4, 6, 8, 11])), dict(enumerate([1, 2, 3, 4, 5])), "wilcoxon")
    assert found.p_value == pytest.approx(2 / 32)


def test_paired_tests_at_their_edges():
    for test in ("t", "wilcoxon"):
        assert math.isnan(paired_difference({0: 1.0}, {0: 0.5}, test).p_value)
        assert paired_difference({0: 1.0}, {1: 1.0}, test).seeds == ()
        assert paired_difference({0: 1, 1: 2}, {0: 1, 1: 2}, test).p_value == 1
    assert paired_difference({0: 2, 1: 3, 2: 7}, {0: 1, 1: 2, 2: 6}).p_value == 0.25  # equal, perhaps by chance
    assert paired_difference({0: 0.1 + 0.2, 1: 0.7}, {0: 0.3, 1: 0.7}).p_value == 1  # but for rounding they are equal


@pytest.mark.parametrize(("test", "scipy"), [("t", stats.ttest_rel), ("wilcoxon", stats.wilcoxon)])
def test_pairwise_p_values_agree_with_scipy(test, scipy):
    values = np.random.default_rng(3).normal(0, 1, (4, 12))
    values[2, [0, 5]] = np.nan
    p = pairwise_p_values(values, test)
    for i in range(4):
        assert math.isnan(p[i, i])
        for j in range(i):
            both = ~np.isnan(values[i] + values[j])
            assert p[i, j] == p[j, i] == pytest.approx(scipy(values[i, both], values[j, both]).pvalue, rel=1e-9)


def test_a_constant_row_makes_a_one_sample_test():
    values = np.array([draws(4, 6), [0.88] * 6])
    assert pairwise_p_values(values)[0, 1] == pytest.approx(stats.ttest_1samp(values[0], 0.88).pvalue, rel=1e-9)


def test_two_constants_need_no_test():
    p = pairwise_p_values(
        np.array([[0.5, 0.5, 0.5], [0.7, 0.7, 0.7], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]])
    )
    assert (p[0, 1], p[0, 2], p[3, 4]) == (0, 1, 0.25)


def test_holm_on_a_hand_worked_family():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and never below the one before
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, NAN, 0.7])) == pytest.approx([1.0, NAN, 1.0], nan_ok=True)
    assert len(holm(np.empty(0))) == 0


def test_aggregates_by_hand_and_by_scipy():
    tasks = [np.array([0.0, 0.1]), np.array([0.5, 0.6, 0.7]), np.array([0.9, 0.95, 1.0])]
    assert float(task_mean(tasks)) == pytest.approx((0.05 + 0.6 + 0.95) / 3)
    # eight runs: two cut at either end, the mean of 0.5, 0.6, 0.7, 0.9
    assert float(interquartile_mean(tasks)) == pytest.approx(0.675)
    assert float(interquartile_mean(tasks)) == pytest.approx(stats.trim_mean(np.concatenate(tasks), 0.25))
    many = [np.random.default_rng(t).normal(t, 1, 7) for t in range(5)]
    assert float(interquartile_mean(many)) == pytest.approx(stats.trim_mean(np.concatenate(many), 0.25))


def test_the_stratified_bootstrap_agrees_with_its_exact_distribution():
    # two tasks of two runs: each resampled mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4, their mean a binomial / 4
    found = stratified_interval([[0.0, 1.0], [0.0, 1.0]], task_mean, confidence=0.8)
    exact = stats.binom(4, 0.5).ppf([0.1, 0.9]) / 4
    assert (found.mean, found.n, found.kind) == (0.5, 4, "stratified")
    assert (found.low, found.high) == pytest.approx(tuple(exact))
    # resampling does not mix tasks: without spread inside them there is none of the aggregate
    assert stratified_interval([[0.2, 0.2], [0.8, 0.8]], interquartile_mean).half_width == 0
    assert math.isnan(stratified_interval([[0.2], [0.8]], task_mean).half_width)


def test_agreement_is_welchs_test_where_both_samples_are_known():
    ours, theirs = draws(5, 5, 0.82, 0.002), draws(6, 7, 0.821, 0.004)
    half_width = stats.t.ppf(0.975, 6) * stats.sem(theirs)
    found = agreement(ours, Printed(float(np.mean(theirs)), half_width, 7, unit=0.0))
    low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=1e-9)
    assert found.compatible == (low <= 0 <= high)


def test_agreement_grants_what_rounding_may_have_taken():
    ours = [0.8204, 0.8204, 0.8204]
    assert agreement(ours, Printed(0.82, 0.0, 5, unit=0.001)).compatible
    assert not agreement([0.83, 0.83, 0.83], Printed(0.82, 0.0, 5, unit=0.001)).compatible


def test_numbers_without_spread_agree_when_they_print_alike_and_one_spread_is_not_judged():
    assert agreement([0.6834], Printed(0.683, NAN, 5, 0.001)).compatible is True
    assert agreement([0.6836], Printed(0.683, NAN, 5, 0.001)).compatible is False
    assert agreement([0.68, 0.69], Printed(0.683, NAN, 5, 0.001)).compatible is None
    assert agreement([0.68], Printed(0.683, 0.001, 5, 0.001)).compatible is None
