"""Numbers that published code computes, as inputs and expected outputs: ours must not drift away from them.

The sources are FLYP (github.com/locuslab/FLYP), WiSE-FT, Tip-Adapter, WILDS and scikit-learn; none of their code is.
Epoch selection as in FLYP's few-shot script is in `test_training.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.datasets.fmow import FMoW
from flyp_sweep.trainers.datasets.stanford_cars import ID_VAL, SEED
from flyp_sweep.trainers.ensembles.wise_ft import interpolate
from flyp_sweep.trainers.evaluation.metrics import all_metrics
from flyp_sweep.trainers.methods.flyp_masked import masked_contrastive_loss
from flyp_sweep.trainers.methods.l2sp import squared_distance
from flyp_sweep.trainers.methods.logistic_regression import logistic_regression
from flyp_sweep.trainers.methods.tip_adapter import KeyValueCache
from flyp_sweep.trainers.models.objectives import contrastive_loss
from flyp_sweep.trainers.training.loop import learning_rate

IMAGES = torch.tensor([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.8, 0.0, 0.6]], dtype=torch.float64)
TEXTS = torch.tensor([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [0.8, 0.6, 0.0]], dtype=torch.float64)
SCALE = torch.tensor(10.0, dtype=torch.float64)


def test_flyp_s_loss() -> None:
    assert contrastive_loss(IMAGES, TEXTS, SCALE).item() == pytest.approx(1.615314745111831, abs=1e-12)


def test_flyp_s_loss_without_class_collisions() -> None:
    found = masked_contrastive_loss(IMAGES, TEXTS, SCALE, torch.tensor([0, 1, 2, 0]))
    assert found.item() == pytest.approx(1.312336069150065, abs=1e-12)


def test_wise_ft_s_schedule() -> None:
    rates = [learning_rate(step, base=8.0, warmup_steps=4, total_steps=12) for step in range(12)]
    expected = [2.0, 4.0, 6.0, 8.0, 8.0, 7.695518, 6.828427, 5.530734, 4.0, 2.469266, 1.171573, 0.304482]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_wise_ft_s_interpolation() -> None:
    mixed = interpolate({"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([3.0, 2.0])}, 0.25)
    assert mixed["w"].tolist() == [1.5, -1.0]


def test_l2_sp_s_penalty() -> None:
    tuned, origin = nn.Linear(2, 1), nn.Linear(2, 1)
    for layer, weight, bias in ((tuned, [1.0, 2.0], 0.5), (origin, [0.0, 4.0], 1.0)):
        layer.weight.data, layer.bias.data = torch.tensor([weight]), torch.tensor([bias])
    assert squared_distance(tuned, origin).item() == 1 + 4 + 0.25


def test_tip_adapter_s_logits() -> None:
    keys = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=torch.float64)
    cache = KeyValueCache(10 * torch.eye(2, dtype=torch.float64), keys, torch.tensor([0, 0, 1]), 2.0, 5.5)
    logits = cache(torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64))
    expected = [[7.826643912649624, 8.665742167396159], [12.665742167396159, 0.008173542876928133]]
    assert logits.tolist() == [pytest.approx(row, abs=1e-12) for row in expected]


def test_wilds_metrics() -> None:
    labels, predictions = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    found = all_metrics(predictions, labels, 4, groups=np.array([0, 0, 1, 1, -1, 1]))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)  # the absent class 3 does not count
    assert found["worst_group_accuracy"] == pytest.approx(1 / 2)


def test_the_strength_of_a_linear_probe_is_scikit_learn_s_c() -> None:
    features = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [0.8, -0.6]])
    weight, bias = logistic_regression(features, torch.tensor([0, 0, 1, 1, 2, 2]), 3, l2=1 / (10.0 * 6))
    expected = [[2.031, 1.1113, -0.546], [-2.2249, 1.2744, 0.5228], [0.1939, -2.3857, 0.0232]]
    assert torch.cat([weight, bias[:, None]], dim=1).tolist() == [pytest.approx(row, abs=1e-4) for row in expected]


PROMPTS = (
    "satellite photo of a airport_hangar.",
    "aerial photo of a airport_hangar.",
    "satellite photo of an airport hangar.",
    "aerial photo of an airport hangar.",
    "satellite photo of a airport_hangar in asia.",
    "aerial photo of a airport_hangar in asia.",
    "satellite photo of a airport_hangar in africa.",
    "aerial photo of a airport_hangar in africa.",
    "satellite photo of a airport_hangar in the americas.",
    "aerial photo of a airport_hangar in the americas.",
    "satellite photo of a airport_hangar in europe.",
    "aerial photo of a airport_hangar in europe.",
    "satellite photo of a airport_hangar in oceania.",
    "aerial photo of a airport_hangar in oceania.",
    "a photo of a airport_hangar.",
    "airport_hangar.",
)


def test_fmow_s_prompts() -> None:
    assert tuple(template.format(FMoW.class_names[1]) for template in FMoW.templates) == PROMPTS


HELD_OUT = (1277, 4827, 4056, 1832, 2050, 3943, 7684, 462, 707, 5804, 1864, 1617, 1911, 7483, 7174, 2095, 4833)
"""Images of Stanford Cars in the list of validation images that FLYP's repository ships, of its first two classes."""


def test_stanford_cars_validation_images() -> None:
    held_out = np.random.RandomState(SEED).permutation(8144)[: round(ID_VAL * 8144)] + 1
    assert set(HELD_OUT) <= set(held_out.tolist())


PUBLISHED = {
    "imagenet": (1000, 80),
    "iwildcam": (182, 2),
    "fmow": (62, 16),
    "caltech101": (101, 34),
    "stanford_cars": (196, 8),
    "flowers102": (102, 1),
    "pcam": (2, 1),
    "rendered_sst2": (2, 1),
}
"""Data set -> classes and templates of FLYP's code."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_of_classes_and_prompts(name: str) -> None:
    dataset = datasets.make(name, Path("nowhere"))
    assert (len(dataset.class_names), len(dataset.templates)) == PUBLISHED[name]
