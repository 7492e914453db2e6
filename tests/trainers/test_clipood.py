"""CLIPood's margins and its average against the plain formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import LABELS, a_batch, assert_equal, gradient_method, gradients, started
from scipy import stats

from flyp_sweep.trainers.methods.base import Step
from flyp_sweep.trainers.methods.clipood import shares
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench


def task_of(bench: Bench, clip: Any, margin: float = 0.3, beta: float = 0.5) -> Task:
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    hparams = {"lr": 1e-3, "weight_decay": 0.1, "margin": margin, "beta": beta}
    return bench.task(bench.spec("clipood", hparams=hparams), worker)


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_its_loss_is_cross_entropy_with_each_class_s_distance_as_its_margin(
    bench: Bench, make_clip: Any, margin: float
) -> None:
    clip = make_clip()
    task, batch, method = task_of(bench, clip, margin), a_batch(), gradient_method("clipood")
    model: Any = method.start(task)
    with torch.no_grad():
        for number, parameter in enumerate(model.current.encoder.parameters()):
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)).double()
        prompts = clip.encode_text(task.prompts.flatten(0, 1), normalize=True)
        texts = [one.mean(dim=0) / one.mean(dim=0).norm() for one in prompts.split(task.prompts.shape[1])]
        scale = clip.logit_scale.exp()
    plain = torch.zeros((), dtype=torch.double)
    for image, label in zip(model.current.features(batch.images), LABELS.tolist(), strict=True):
        spread = torch.stack([scale * (image @ one + margin * (1 - texts[label] @ one)) for one in texts])
        plain = plain - (scale * image @ texts[label] - spread.logsumexp(0)) / len(LABELS)
    wanted = gradients(model, plain)
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert all(name.startswith("current.encoder.") for name in wanted)
    assert all(parameter.grad is None for parameter in clip.parameters())


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_the_average_weighs_steps_by_the_beta_density(bench: Bench, make_clip: Any, beta: float) -> None:
    task, method, total = task_of(bench, make_clip(), beta=beta), gradient_method("clipood"), 6
    model: Any = started(method, task)
    weights = stats.beta(beta, beta).pdf([(t + 0.5) / (total + 1) for t in range(total + 1)])
    assert shares(total, beta)[0] == 1.0
    bias = model.average.encoder.ln_post.bias
    path = [bias.clone()]
    for number in range(1, total + 1):
        with torch.no_grad():
            model.current.encoder.ln_post.bias.fill_(number**1.5)
        path.append(model.current.encoder.ln_post.bias.detach().clone())
        method.after_step(model, task, Step(number, total, 1e-3))
        so_far = weights[: number + 1]
        expected = sum(float(weight) * one for weight, one in zip(so_far, path, strict=True)) / so_far.sum()
        torch.testing.assert_close(bias, expected)


def test_it_predicts_with_the_average(bench: Bench, make_clip: Any) -> None:
    task, batch, method = task_of(bench, make_clip()), a_batch(), gradient_method("clipood")
    model: Any = started(method, task)
    found = method.classifier(model, task)(batch.images)
    assert torch.equal(found, model.average(batch.images))
    assert not torch.equal(found, model.current(batch.images))


def test_no_average_overflows_however_steep_the_density() -> None:
    found = shares(10_000, 100.0)
    assert ((found >= 0) & (found <= 1)).all()
    assert found[1] > 0.99
