"""L2-SP's penalty."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods.base import Batch

if TYPE_CHECKING:
    from tests.trainers.conftest import Bench

HPARAMS = {"lr": 3e-3, "weight_decay": 0.1}


@pytest.mark.parametrize("of_head", [0.0, 0.3])
@pytest.mark.parametrize("strength", [0.01, 2.5])
def test_its_gradient_is_strength_times_the_distance_and_that_of_the_head_times_its_weights(
    bench: Bench, make_clip: Any, strength: float, of_head: float
) -> None:
    clip = make_clip()
    origin = {name: value.clone() for name, value in clip.visual.named_parameters()}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    task = bench.task(
        bench.spec("l2sp", hparams={**HPARAMS, "l2sp_strength": strength, "head_strength": of_head}), worker
    )
    l2sp, ft = methods.get("l2sp"), methods.get("ft")
    model = copy.deepcopy(l2sp.zero_shot(task))
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
    batch = Batch(
        torch.randn(5, 3, 16, 16, generator=noise, dtype=torch.double), torch.arange(5) % 3, np.random.default_rng(0)
    )
    names = [name for name, _ in model.named_parameters()]

    def gradients(method: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = method.loss(model, batch, task)
        return loss, dict(zip(names, torch.autograd.grad(loss, list(model.parameters())), strict=True))

    with_penalty, pulled = gradients(l2sp)
    without, free = gradients(ft)
    total = 0.0
    for name, theta in model.named_parameters():
        inside = name.removeprefix("encoder.")
        expected = (
            strength * (theta - origin[inside]) if inside in origin else (name == "head.weight") * of_head * theta
        )
        torch.testing.assert_close(pulled[name] - free[name], expected.detach(), rtol=1e-9, atol=1e-12)
        total += float(expected.detach().square().sum()) / (2 * (strength if inside in origin else of_head or 1))
    assert {name for name in names if name.removeprefix("encoder.") not in origin} == {"head.weight", "head.bias"}
    assert (with_penalty - without).item() == pytest.approx(total, rel=1e-9)
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_with_strength_zero_it_is_ft(bench: Bench) -> None:
    l2sp = bench.fit(bench.spec("l2sp", hparams={**HPARAMS, "l2sp_strength": 0.0}))
    ft = bench.fit(bench.spec("ft", hparams=HPARAMS))
    assert l2sp.report == ft.report
    assert bench.same(l2sp.state, ft.state)


def test_a_strong_pull_keeps_the_encoder_nearer_to_the_pretrained_one(bench: Bench) -> None:
    def distance(strength: float) -> float:
        state = bench.fit(bench.spec("l2sp", hparams={**HPARAMS, "l2sp_strength": strength})).state
        origin = bench.pretrained.clip.visual.state_dict()
        return sum(float((state[f"encoder.{name}"] - value).square().sum()) for name, value in origin.items())

    assert distance(100.0) < distance(1.0) < distance(0.0)
