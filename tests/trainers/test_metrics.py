"""Metrics and scores against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.metrics import METRICS, all_metrics, as_evaluation, score


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which some classes are absent, and predictions that may be of an absent class."""
    rng = np.random.default_rng(seed)
    present = rng.choice(7, size=rng.integers(1, 8), replace=False)
    labels = rng.choice(present, size=rng.integers(1, 60))
    predictions = np.where(rng.random(len(labels)) < 0.5, labels, rng.integers(7, size=len(labels)))
    return predictions, labels


@pytest.mark.parametrize("seed", range(40))
def test_metrics_equal_those_of_scikit_learn_over_the_classes_that_occur(seed: int) -> None:
    predictions, labels = case(seed)
    present = np.unique(labels)
    expected = {
        "accuracy": accuracy_score(labels, predictions),
        "mean_per_class_accuracy": recall_score(labels, predictions, labels=present, average="macro"),
        "macro_f1": f1_score(labels, predictions, labels=present, average="macro"),
    }
    found = all_metrics(predictions, labels, 7)
    assert found.keys() == expected.keys() == METRICS.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
        assert isinstance(found[name], float)


def test_each_group_that_has_a_name_and_images_has_its_accuracy_and_the_lowest_is_the_worst() -> None:
    labels, predictions = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 0])
    groups = np.array([0, 0, 2, 2, 2, -1])
    found = all_metrics(predictions, labels, 3, groups, ("land", "sea", "ice"))
    of_groups = {name: value for name, value in found.items() if "group" in name}
    assert of_groups == {
        "worst_group_accuracy": 0.5,
        "group_accuracy/land": 0.5,
        "group_accuracy/ice": pytest.approx(2 / 3),
    }
    unnamed = all_metrics(predictions, labels, 3, groups)
    assert {name for name in unnamed if "group" in name} == {"worst_group_accuracy"}


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_logits_rank_by_the_split_s_own_metric(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=50)
    logits = rng.normal(size=(50, 4)) + np.eye(4)[labels]
    split = Split("photo", "ood", [None] * 50, labels, metric)  # type: ignore[arg-type]
    scores = score(torch.from_numpy(logits), split)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert scores.loss == pytest.approx(log_loss(labels, chances), rel=1e-6)
    assert scores.score == all_metrics(logits.argmax(1), labels, 4)[metric]
    told = as_evaluation(scores, split, 0.25)
    assert (told.metrics, told.primary) == (scores.metrics, metric)
    assert (told.alpha, told.split, told.role, told.n_examples) == (0.25, "photo", "ood", 50)
