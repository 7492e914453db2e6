"""L2-SP's penalty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import a_batch, gradient_method, gradients, started

from flyp_sweep.trainers.testing.bench import Bench

HPARAMS = {"lr": 3e-3, "weight_decay": 0.1}


@pytest.mark.parametrize("strength", [0.0, 0.01, 2.5])
def test_its_gradient_is_strength_times_the_distance_and_spares_the_head(
    bench: Bench, make_clip: Any, strength: float
) -> None:
    clip = make_clip()
    origin = {name: value.clone() for name, value in clip.visual.named_parameters()}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    task = bench.task(bench.spec("l2sp", hparams={**HPARAMS, "l2sp_strength": strength}), worker)
    l2sp, ft = gradient_method("l2sp"), gradient_method("ft")
    model = started(l2sp, task)
    with_penalty, without = (method.loss(model, a_batch(), task) for method in (l2sp, ft))
    pulled, free = gradients(model, with_penalty), gradients(model, without)
    total = 0.0
    for name, theta in model.named_parameters():
        inside = name.removeprefix("encoder.")
        expected = strength * (theta - origin[inside]) if inside in origin else torch.zeros_like(theta)
        torch.testing.assert_close(pulled[name] - free[name], expected.detach(), rtol=1e-9, atol=1e-12)
        total += strength * float((theta - origin[inside]).detach().square().sum()) / 2 if inside in origin else 0.0
    assert {name for name in pulled if name.removeprefix("encoder.") not in origin} == {"head.weight", "head.bias"}
    assert (with_penalty - without).item() == pytest.approx(total, rel=1e-9)
    assert all(parameter.grad is None for parameter in clip.parameters())
