"""L2-SP's penalty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import a_batch, gradient_method, gradients, started

from flyp_sweep.trainers.testing.bench import Bench

HPARAMS = {"lr": 3e-3, "weight_decay": 0.1}


@pytest.mark.parametrize(("strength", "of_head"), [(0.0, 0.0), (0.01, 0.0), (2.5, 0.5)])
def test_its_gradient_is_strength_times_the_distance_and_in_the_head_times_the_weights(
    bench: Bench, make_clip: Any, strength: float, of_head: float
) -> None:
    clip = make_clip()
    origin = {name: value.clone() for name, value in clip.visual.named_parameters()}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    hparams = {**HPARAMS, "l2sp_strength": strength, "head_strength": of_head}
    task = bench.task(bench.spec("l2sp", hparams=hparams), worker)
    l2sp, ft = gradient_method("l2sp"), gradient_method("ft")
    model = started(l2sp, task)
    with_penalty, without = (method.loss(model, a_batch(), task) for method in (l2sp, ft))
    pulled, free = gradients(model, with_penalty), gradients(model, without)
    total = 0.0
    for name, theta in model.named_parameters():
        inside = name.removeprefix("encoder.")
        pull = strength if inside in origin else of_head if name == "head.weight" else 0.0
        away = (theta - origin.get(inside, 0.0)).detach()
        torch.testing.assert_close(pulled[name] - free[name], pull * away, rtol=1e-9, atol=1e-12)
        total += pull * float(away.square().sum()) / 2
    assert {name for name in pulled if name.removeprefix("encoder.") not in origin} == {"head.weight", "head.bias"}
    assert (with_penalty - without).item() == pytest.approx(total, rel=1e-9)
    assert all(parameter.grad is None for parameter in clip.parameters())
