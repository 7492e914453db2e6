"""ProLIP's loss against the plain formula, and what it trains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradients import LABELS, a_batch, assert_equal, gradient_method, gradients
from torch import nn

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench


def task_of(bench: Bench, clip: Any, strength: float | str, shots: int | None = None) -> Task:
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    hparams = {"lr": 1e-3, "weight_decay": 0.0, "prolip_strength": strength}
    return bench.task(bench.spec("prolip", hparams=hparams, shots=shots), worker)


@pytest.mark.parametrize(
    ("strength", "shots", "weight"),
    [(0.0, None, 0.0), (0.3, None, 0.3), ("1/shots", 4, 0.25), ("1/shots", None, 0.125)],
)
def test_its_loss_is_cross_entropy_plus_the_weighted_distance_of_the_projection(
    bench: Bench, make_clip: Any, strength: float | str, shots: int | None, weight: float
) -> None:
    clip = make_clip()
    task, batch, method = task_of(bench, clip, strength, shots), a_batch(), gradient_method("prolip")
    model: Any = method.start(task)
    with torch.no_grad():
        model.encoder.proj.add_(0.1)
    features = F.normalize(model.encoder(batch.images), dim=1)
    plain = F.cross_entropy(features @ task.zero_shot_head.T, LABELS) + weight * 16 * 12 * 0.1**2
    wanted = gradients(model, plain)
    wanted["encoder.proj"] += weight * 2 * 0.1
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert wanted.keys() == {"encoder.proj"}
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_a_model_without_a_projection_is_refused(bench: Bench, make_clip: Any) -> None:
    clip = make_clip()
    clip.visual = nn.Sequential(clip.visual)
    with pytest.raises(TrialFailed, match="prolip: found digits-clip, whose image encoder has no linear projection"):
        gradient_method("prolip").start(task_of(bench, clip, 1.0))


@pytest.mark.parametrize("name", ["prolip", "clipood"])
def test_batch_norm_keeps_the_pretrained_statistics(bench: Bench, make_clip: Any, name: str) -> None:
    clip, method = make_clip(vision={"layers": [1, 1, 1, 1], "width": 8, "image_size": 64}), gradient_method(name)
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    task = bench.task(bench.spec(name), worker)
    model: Any = method.start(task).train()
    before = {key: value.clone() for key, value in model.state_dict().items() if "running" in key}
    batch = a_batch()
    method.loss(model, replace(batch, images=torch.rand(len(batch.labels), 3, 64, 64).double()), task)
    assert before
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
