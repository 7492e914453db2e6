from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from results.statistics import mean_interval, paired_t


def test_a_hand_worked_interval():
    # mean 3, s = sqrt(2.5), t_{4, 0.975} = 2.776445 from any table: 2.776445 * 1.581139 / 2.236068 = 1.963243
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3
    assert interval.half_width == pytest.approx(1.963243, abs=1e-6)
    assert (interval.n, interval.confidence) == (5, 0.95)


@pytest.mark.parametrize("n", [2, 3, 5, 50])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_intervals_agree_with_scipy(n, confidence):
    stream = random.Random(n)
    values = [stream.gauss(0.9, 0.02) for _ in range(n)]
    low, high = stats.t.interval(confidence, n - 1, loc=sum(values) / n, scale=stats.sem(values))
    interval = mean_interval(values, confidence)
    assert interval.mean - interval.half_width == pytest.approx(low, abs=1e-12)
    assert interval.mean + interval.half_width == pytest.approx(high, abs=1e-12)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one, none = mean_interval([0.7]), mean_interval([])
    assert (one.mean, one.n) == (0.7, 1)
    assert math.isnan(one.half_width)
    assert none.n == 0
    assert math.isnan(none.mean)


def test_equal_values_have_a_half_width_of_zero():
    assert mean_interval([0.25, 0.25, 0.25]).half_width == 0


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_an_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1, 2], confidence)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        mean_interval([0.5, math.nan])


def test_95_percent_intervals_hold_the_mean_95_times_in_100():
    stream = random.Random(0)
    intervals = [mean_interval([stream.gauss(0, 1) for _ in range(5)]) for _ in range(4000)]
    covered = sum(abs(interval.mean) <= interval.half_width for interval in intervals) / 4000
    assert covered == pytest.approx(0.95, abs=0.012)


def test_paired_t_agrees_with_scipy_on_the_common_seeds():
    stream = random.Random(1)
    a = {seed: stream.gauss(0.91, 0.02) for seed in range(8)}
    b = {seed: stream.gauss(0.90, 0.02) for seed in range(3, 12)}
    common = range(3, 8)
    expected = stats.ttest_rel([a[seed] for seed in common], [b[seed] for seed in common])
    found = paired_t(a, b)
    assert found.seeds == tuple(common)
    assert found.n == found.difference.n == 5
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval(0.95)
    assert found.difference.mean - found.difference.half_width == pytest.approx(low, abs=1e-12)
    assert found.difference.mean + found.difference.half_width == pytest.approx(high, abs=1e-12)


def test_a_hand_worked_paired_test():
    # differences 1, 2, 3: mean 2, s = 1, t = 2 * sqrt(3) on 2 degrees: p = 1 - t / sqrt(2 + t^2) = 1 - sqrt(12 / 14)
    found = paired_t({0: 2, 1: 4, 2: 6}, {2: 3, 1: 2, 0: 1})
    assert found.difference.mean == 2
    assert found.p_value == pytest.approx(1 - math.sqrt(12 / 14), abs=1e-12)


def test_pairing_is_by_seed_not_by_order():
    a = {0: 0.1, 1: 0.5, 2: 0.9}
    assert paired_t(a, dict(reversed(a.items()))).difference == mean_interval([0, 0, 0])


def test_paired_t_at_its_edges():
    assert math.isnan(paired_t({0: 1.0}, {0: 0.5}).p_value)
    assert paired_t({0: 1.0}, {1: 1.0}).n == 0
    assert paired_t({0: 1, 1: 2}, {0: 1, 1: 2}).p_value == 1
    assert paired_t({0: 2, 1: 3}, {0: 1, 1: 2}).p_value == 0
