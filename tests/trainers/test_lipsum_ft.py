"""Lipsum-FT's loss against the plain formula, and its random texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gradients import a_batch, assert_equal, gradient_method, gradients, started

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.lipsum_ft import random_texts
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench


def task_of(bench: Bench, clip: Any, **hparams: float) -> Task:
    given = {"lr": 1e-3, "weight_decay": 0.0, "lipsum_weight": 1.0, "lipsum_texts": 5, "lipsum_tokens": 3, **hparams}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    return bench.task(bench.spec("lipsum_ft", hparams=given), worker)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_its_loss_is_ft_s_plus_half_the_mean_squared_change_of_random_texts_logits(
    bench: Bench, make_clip: Any, weight: float
) -> None:
    clip = make_clip()
    task, batch = task_of(bench, clip, lipsum_weight=weight), a_batch()
    model: Any = started(gradient_method("lipsum_ft"), task)
    with torch.no_grad():
        texts = clip.encode_text(random_texts(a_batch(), task), normalize=True)
        origin = clip.encode_image(batch.images, normalize=True)
        scale = clip.logit_scale.exp()
    plain = gradient_method("ft").loss(model, batch, task)
    for before, after in zip(origin, model.features(batch.images), strict=True):
        change = sum((scale * text @ after - scale * text @ before) ** 2 for text in texts)
        plain = plain + weight * change / (2 * len(texts)) / len(origin)
    wanted = gradients(model, plain)
    found = gradient_method("lipsum_ft").loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_texts_are_random_words_between_the_marks_and_new_in_every_step(bench: Bench, make_clip: Any) -> None:
    task, batch = task_of(bench, make_clip()), a_batch()
    first, second = random_texts(batch, task), random_texts(batch, task)
    assert first.shape == (5, 77)
    assert set(first[:, 0].tolist()) == {49406}
    assert set(first[:, 4].tolist()) == {49407}
    assert not first[:, 5:].any()
    assert int(first[:, 1:4].max()) < 49406
    assert not torch.equal(first, second)
    assert len(np.unique(first[:, 1:4])) > 10


def test_texts_that_the_model_cannot_read_are_refused(bench: Bench, make_clip: Any) -> None:
    with pytest.raises(TrialFailed, match="lipsum_tokens: found 76; expected at most 75, as digits-clip reads"):
        random_texts(a_batch(), task_of(bench, make_clip(), lipsum_tokens=76))
    task = task_of(bench, make_clip())
    foreign: Any = lambda texts, length=None: task.pretrained.tokenizer(texts, length)  # noqa: E731
    pretrained = replace(task.pretrained, tokenizer=foreign)
    with pytest.raises(TrialFailed, match="expected a model with CLIP's own tokenizer"):
        random_texts(a_batch(), bench.task(task.spec, bench.worker(pretrained=pretrained)))
