"""CLIP-Adapter against the plain formula, what it trains, and what the models between its ends are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradients import LABELS, assert_equal, batch_for, gradient_method, gradients, started

from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.methods.clip_adapter import AdaptedHead
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.testing.bench import Bench


def hparams(**changes: Any) -> dict[str, Any]:
    return {"lr": 1e-2, "weight_decay": 0.0, "adapter_ratio": 0.2, "adapter_reduction": 4, **changes}


@pytest.mark.parametrize(("ratio", "reduction", "hidden"), [(0.2, 4, 3), (0.6, 2, 6), (0.9, 100, 1)])
def test_its_loss_is_cross_entropy_of_mixed_features_and_trains_the_two_layers(
    bench: Bench, worker: Shared, ratio: float, reduction: int, hidden: int
) -> None:
    given = hparams(adapter_ratio=ratio, adapter_reduction=reduction)
    task, method = bench.task(bench.spec("clip_adapter", hparams=given), worker), gradient_method("clip_adapter")
    batch, model = batch_for(method), started(method, task)
    layers = {name: one.detach().clone().requires_grad_() for name, one in model.named_parameters()}
    assert {name: one.shape for name, one in layers.items()} == {"down": (hidden, 12), "up": (12, hidden)}
    raw = 7 * batch.images  # the authors' code mixes features that are not normalised
    mixed = ratio * (layers["up"] @ (layers["down"] @ raw.T).relu()).relu().T + (1 - ratio) * raw
    plain = F.cross_entropy(F.normalize(mixed, dim=1) @ task.zero_shot_head.T, LABELS)
    wanted = dict(zip(layers, torch.autograd.grad(plain, list(layers.values())), strict=True))
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), wanted)


def test_its_layers_start_as_torch_starts_linear_ones(bench: Bench) -> None:
    task = bench.task(bench.spec("clip_adapter", hparams=hparams(adapter_reduction=1)))
    for layer in gradient_method("clip_adapter").start(task).parameters():
        bound = layer.shape[1] ** -0.5
        assert 0.95 * bound < layer.abs().max() <= bound
        assert layer.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_between_its_ends_lie_fitted_models_with_smaller_ratios(bench: Bench) -> None:
    spec = bench.repeat("clip_adapter", shots=4, hparams=hparams(lr=0.1, adapter_ratio=0.5))
    task, method = bench.task(spec), gradient_method("clip_adapter")
    fitted = bench.fit(spec, task.shared)
    curve, features = AlphaCurve(method, task, fitted), task.shared.features(task.id_val)
    for alpha in (0.25, 0.5, 0.9):
        ratio = alpha**2 / (1 + alpha**2)
        smaller = AdaptedHead(task.zero_shot_head, fitted.state["down"], fitted.state["up"], ratio)
        model = curve.at(alpha)
        torch.testing.assert_close(model(features), smaller(features), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(smaller(features), features @ task.zero_shot_head.T, atol=1e-2)
