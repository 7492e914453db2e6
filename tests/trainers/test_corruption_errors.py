"""Errors on grids of corruptions, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.metrics import score

NAMES = ("snow/1", "snow/5", "fog/1", "fog/5")


def scores(reference, groups=(0, 0, 0, 1, 2, 2, 3, 3), right=(1, 1, 1, 0, 1, 0, 0, 0)):
    """The metrics of predictions that are `right` or not; three images of snow/1, one of snow/5, two each of fog."""
    labels = np.zeros(len(groups), dtype=np.int64)
    logits = torch.tensor([[1.0, 0.0] if one else [0.0, 1.0] for one in right])
    images = [None] * len(groups)
    split = Split("c", "ood", images, labels, groups=np.array(groups), group_names=NAMES, reference_errors=reference)
    return score(logits, split).metrics


def test_every_severity_and_every_corruption_weighs_the_same():
    found = scores({})
    assert found["corruption_error/snow"] == pytest.approx((0 / 3 + 1 / 1) / 2)
    assert found["corruption_error/fog"] == pytest.approx((1 / 2 + 2 / 2) / 2)
    assert found["mean_corruption_error"] == pytest.approx((0.5 + 0.75) / 2)
    assert found["accuracy"] == pytest.approx(4 / 8)
    assert "mce" not in found


def test_errors_are_divided_by_those_of_a_reference():
    assert scores({"snow": 0.8, "fog": 0.5})["mce"] == pytest.approx((0.5 / 0.8 + 0.75 / 0.5) / 2)


def test_a_severity_of_which_no_image_can_be_read_is_left_out():
    found = scores({}, groups=(0, 0, 2, 2, 3, 3), right=(1, 0, 1, 1, 1, 1))
    assert found["corruption_error/snow"] == pytest.approx(0.5)
    assert found["corruption_error/fog"] == 0


def test_groups_that_are_no_grid_have_no_corruption_error():
    assert not any("corruption" in name for name in scores(None))
