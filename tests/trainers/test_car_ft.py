"""CAR-FT's loss against the plain formula."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import a_batch, assert_equal, gradient_method, gradients, started

from flyp_sweep.trainers.methods.car_ft import divergence
from flyp_sweep.trainers.testing.bench import Bench


def test_the_divergence_is_that_from_the_pretrained_distribution() -> None:
    before = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], dtype=torch.double).log()
    after = torch.tensor([[0.25, 0.25, 0.5], [0.2, 0.2, 0.6]], dtype=torch.double).log() + 3.0
    # (0.5 ln 2 + 0 + 0.25 ln 0.5) / 2 rows
    assert divergence(before, after).item() == pytest.approx(0.125 * math.log(2), rel=1e-12)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_its_loss_is_ft_s_plus_the_weighted_divergence_of_contexts(bench: Bench, make_clip: Any, weight: float) -> None:
    clip = make_clip()
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    hparams = {"lr": 1e-3, "weight_decay": 0.1, "context_weight": weight}
    task = bench.task(bench.spec("car_ft", hparams=hparams), worker)
    method, ft, batch = gradient_method("car_ft"), gradient_method("ft"), a_batch()
    model: Any = started(method, task)

    with torch.no_grad():
        classes, templates, _ = task.prompts.shape
        texts = clip.encode_text(task.prompts.flatten(0, 1), normalize=True).reshape(classes, templates, -1)
        means = [texts[:, template].mean(dim=0) for template in range(templates)]
        heads = [mean / mean.norm() * clip.logit_scale.exp() for mean in means]
        origin = clip.encode_image(batch.images, normalize=True)
    plain = ft.loss(model, batch, task)
    for before, after in zip(origin, model.features(batch.images), strict=True):
        p = torch.stack([before @ head for head in heads]).softmax(dim=0)
        q = torch.stack([after @ head for head in heads]).softmax(dim=0)
        plain = plain + weight * (p * (p / q).log()).sum() / len(origin)
    wanted = gradients(model, plain)
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert all(parameter.grad is None for parameter in clip.parameters())
