"""LP++ against plain gradient descent by autograd, and which of its models it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods.base import linear_head
from flyp_sweep.trainers.methods.lp_pp import descent
from flyp_sweep.trainers.testing.bench import Bench


def unit(*shape: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return F.normalize(drawn + 0.5, dim=-1)


def by_autograd(
    features: torch.Tensor, labels: torch.Tensor, texts: torch.Tensor, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the authors' code does it: torch's SGD for the prototypes, a gradient that nobody clears for the shares."""
    cosines, classes = features @ texts.T, len(texts)
    members = [features[labels == one] for one in range(classes)]
    layer = nn.Linear(features.shape[1], classes, dtype=torch.double)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([own.sum(dim=0) for own in members]))
        layer.bias.zero_()
    means = [(own @ text).mean() for own, text in zip(members, texts, strict=True) if len(own)]
    shares = (250 * torch.stack(means).mean()).repeat(classes).requires_grad_()
    largest = torch.linalg.eigvalsh(features.T @ features)[-1].item()
    optimizer = torch.optim.SGD(layer.parameters(), 4 * len(features) / largest, momentum=0.9)
    step = len(features) / (4 * (cosines**2).sum(dim=0).max())
    for number in range(1, iterations + 1):
        loss = F.cross_entropy(layer(features) + shares * cosines, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number % 10 == 0:
            assert shares.grad is not None
            shares.data -= step * shares.grad
    return (layer.weight + shares[:, None] * texts).detach(), layer.bias.detach()


@pytest.mark.parametrize(("iterations", "models"), [(7, 1), (10, 1), (25, 3), (300, 30)])
@pytest.mark.parametrize("labels", [torch.arange(20) % 5, torch.arange(20) % 4], ids=["all", "one class is absent"])
def test_it_is_descent_in_two_blocks(labels: torch.Tensor, iterations: int, models: int) -> None:
    features, texts = unit(20, 8, seed=1), unit(5, 8, seed=2)
    found = list(descent(features, labels, texts, iterations))
    assert len(found) == models
    for (weight, bias), number in zip(found, [*range(10, iterations, 10), iterations], strict=True):
        wanted, wanted_bias = by_autograd(features, labels, texts, number)
        torch.testing.assert_close(weight, wanted, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(bias, wanted_bias, rtol=1e-9, atol=1e-9)


def test_it_takes_the_model_that_is_best_on_id_val_and_corrects_a_wrong_one(bench: Bench) -> None:
    task = bench.task(bench.spec("lp_pp"), bench.worker(bench.dataset(poisoned=("train", "id_val"))))
    method: Any = methods.get("lp_pp")
    labels, texts = torch.from_numpy(task.train.labels), F.normalize(task.zero_shot_head, dim=1)
    heads = [linear_head(*one) for one in descent(task.shared.features(task.train), labels, texts, 300)]
    ranks = [method.scores(head, task, task.id_val).rank for head in heads]
    taken = method.solve(task)
    assert method.scores(taken, task, task.id_val).rank == max(ranks)
    assert max(ranks)[0] > 0.9 > method.scores(method.zero_shot(task), task, task.id_val).score
