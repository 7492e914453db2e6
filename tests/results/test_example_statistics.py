"""McNemar's test, calibration and confusion, against scikit-learn, SciPy and sums written out, on random inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from outputs import probabilities
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import recall_score

from flyp_sweep.results.statistics import (
    confusion_matrix,
    mcnemar,
    most_confused,
    per_class_accuracy,
    reliability,
)
from flyp_sweep.trainers.evaluation.calibration import calibration_error

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 8, 300, 5000])
def test_mcnemar_is_the_binomial_test_of_discordant_pairs(seed, n):
    stream = np.random.default_rng(seed)
    a, b = stream.random(n) < 0.8, stream.random(n) < 0.75
    found = mcnemar(a, b)
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    assert (found.a_alone, found.b_alone, found.n) == (only_a, only_b, n)
    p = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert found.p_value == pytest.approx(p, rel=1e-9)
    assert mcnemar(b, a).p_value == found.p_value
    assert found.difference == pytest.approx(a.mean() - b.mean())


def test_mcnemar_by_hand():
    a, b = np.array([True] * 6 + [False]), np.array([False] * 6 + [True])
    assert mcnemar(a, b).p_value == pytest.approx(2 * (math.comb(7, 0) + math.comb(7, 1)) / 2**7)
    assert mcnemar(a, a).p_value == 1.0
    with pytest.raises(ValueError, match="found 7 and 6 examples"):
        mcnemar(a, b[:6])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 7, 15, 100, 1000])
def test_calibration_error_is_that_of_sums_over_equal_bins_and_of_the_trainers(seed, n):
    labels = np.random.default_rng(seed).integers(10, size=n)
    p = probabilities(seed, labels, 10)
    confidence, correct = p.max(axis=1).astype(np.float32), p.argmax(axis=1) == labels
    found = reliability(confidence, correct)
    assert found.counts.sum() == n
    assert found.counts.max() - found.counts.min() <= 1
    assert (np.diff(found.confidence) >= 0).all()
    assert found.error == pytest.approx(_error_by_hand(confidence, correct), abs=1e-12)
    assert found.error == pytest.approx(calibration_error(confidence, correct), abs=1e-12)
    assert (found.counts @ found.accuracy) / n == pytest.approx(correct.mean())


def _error_by_hand(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Bin by bin: the n mod 15 first bins hold one example more."""
    pairs = sorted(zip(map(float, confidence), range(len(correct)), correct, strict=True))
    total, start = 0.0, 0
    for at in range(15):
        size = len(pairs) // 15 + (at < len(pairs) % 15)
        held = pairs[start : start + size]
        total += abs(math.fsum(sure - right for sure, _, right in held))
        start += size
    return total / len(pairs)


def test_equal_confidences_are_cut_in_the_order_of_the_examples():
    found = reliability(np.full(30, 0.7), np.arange(30) < 15)
    assert found.accuracy.tolist() == [1.0] * 7 + [0.5] + [0.0] * 7
    assert reliability(np.array([0.9, 0.8]), np.array([True, True])).counts.tolist() == [1, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_confusion_and_classes_are_those_of_scikit_learn(seed):
    stream = np.random.default_rng(seed)
    labels, predicted = stream.integers(7, size=200), stream.integers(8, size=200)
    matrix = confusion_matrix(labels, predicted, 8)
    assert np.array_equal(matrix, sklearn_confusion(labels, predicted, labels=range(8)))
    expected = recall_score(labels, predicted, labels=range(7), average=None)
    assert per_class_accuracy(labels, predicted, 8)[:7].tolist() == pytest.approx(expected.tolist())
    assert np.isnan(per_class_accuracy(labels, predicted, 8)[7])
    pairs = most_confused(labels, predicted, 10)
    errors = sorted((matrix[i, j] for i in range(8) for j in range(8) if i != j), reverse=True)
    assert [pair.count for pair in pairs] == errors[:10]
    assert all(matrix[pair.label, pair.predicted] == pair.count for pair in pairs)
    assert all(pair.share == pair.count / matrix[pair.label].sum() for pair in pairs)


def test_no_error_is_no_confused_pair():
    labels = np.arange(4)
    assert most_confused(labels, labels) == []
    assert np.array_equal(confusion_matrix(labels, labels, 4), np.eye(4))
