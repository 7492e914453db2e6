"""SPD's pull against numbers computed by hand, and where it takes part in a step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import a_batch, gradient_method

from flyp_sweep.trainers.methods.spd import pulled
from flyp_sweep.trainers.testing.bench import Bench


@pytest.mark.parametrize(
    ("after", "gradient", "strength", "expected"),
    [
        ([9.0, 12.0], [1.0, 0.0], 1.0, [6.0, 8.0]),  # from a distance of 5 to one of 10: half of it is taken back
        ([9.0, 12.0], [1.0, 0.0], 0.5, [7.5, 10.0]),
        ([9.0, 12.0], [-1.0, 0.0], 1.0, [9.0, 12.0]),  # descent leads on, so the step is left alone
        ([4.0, 5.0], [1.0, 0.0], 1.0, [4.0, 5.0]),  # the step led back
        ([3.0, 4.0], [1.0, 0.0], 1.0, [3.0, 4.0]),  # to the start itself
    ],
)
def test_what_grew_against_the_gradient_is_taken_back(
    after: list[float], gradient: list[float], strength: float, expected: list[float]
) -> None:
    origin, before = torch.tensor([3.0, 4.0]), torch.tensor([6.0, 8.0])
    found = pulled(torch.tensor(after), before, origin, torch.tensor(gradient), strength)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_every_step_is_the_optimiser_s_and_then_the_pull(bench: Bench, make_clip: Any, strength: float) -> None:
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=make_clip()))
    hparams = {"lr": 1e-2, "weight_decay": 0.0, "spd_strength": strength}
    task = bench.task(bench.spec("spd", hparams=hparams), worker)
    spd, ft = gradient_method("spd"), gradient_method("ft")
    found, plain = spd.start(task), spd.start(task)
    origin = [one.detach().clone() for one in plain.parameters()]
    optimizers = spd.optimizer(found, task), ft.optimizer(plain, task)
    pulls = 0
    for seed in range(6):
        batch = a_batch(torch.tensor([seed % 3, 0, 1, 2]))
        for model, optimizer in zip((found, plain), optimizers, strict=True):
            optimizer.zero_grad()
            ft.loss(model, batch, task).backward()
            before = [one.detach().clone() for one in model.parameters()]
            optimizer.step()
        with torch.no_grad():
            for theta, was, start in zip(plain.parameters(), before, origin, strict=True):
                assert theta.grad is not None
                grown = ((theta - start).norm() - (was - start).norm()) / (theta - start).norm()
                if grown > 0 and (theta.grad * (was - start)).sum() > 0:
                    pulls += 1
                    theta.sub_(strength * grown * (theta - start))
        for one, other in zip(found.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    assert pulls
