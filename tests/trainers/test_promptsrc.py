"""PromptSRC's regulations against the plain formulas, and its average over epochs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradients import a_batch, assert_equal, gradient_method, gradients, started
from prompted_by_hand import image_features, text_features

from flyp_sweep.trainers.methods.base import Step
from flyp_sweep.trainers.methods.promptsrc import share
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench

WEIGHTS = {"text_weight": 25.0, "image_weight": 10.0}


def task_of(bench: Bench, clip: Any, epochs: int = 4, **some: float) -> Task:
    hparams = {"lr": 1e-2, "weight_decay": 0.0, "context_tokens": 3, "prompt_depth": 2}
    hparams |= {**WEIGHTS, "average_mean": 0.75, "average_deviation": 0.5, **some}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    return bench.task(bench.spec("promptsrc", hparams=hparams, epochs=epochs), worker)


@pytest.mark.parametrize("weights", [WEIGHTS, {"text_weight": 0.0, "image_weight": 3.0}])
def test_its_loss_holds_features_and_logits_to_those_of_the_pretrained_model(
    bench: Bench, make_clip: Any, weights: dict[str, float]
) -> None:
    clip, method = make_clip(vision={"layers": 3}), gradient_method("promptsrc")
    task, batch = task_of(bench, clip, **weights), a_batch(torch.tensor([0, 2, 1, 0]))
    model: Any = started(method, task)
    words, patches = list(model.current.words), list(model.current.patches)
    images, texts = image_features(clip.visual, batch.images, patches), text_features(clip, words, task)
    with torch.no_grad():
        frozen_images = F.normalize(clip.visual(batch.images), dim=1)
        frozen_texts = F.normalize(task.zero_shot_head, dim=1)
        scale = clip.logit_scale.exp()
        before = (scale * frozen_images @ frozen_texts.T).softmax(1)
    logits = scale.detach() * images @ texts.T
    plain = -logits.log_softmax(1)[range(4), batch.labels].mean()
    plain = plain + (before * (before.log() - logits.log_softmax(1))).sum() / logits.numel()
    plain = plain + weights["text_weight"] * (texts - frozen_texts).abs().mean()
    plain = plain + weights["image_weight"] * (images - frozen_images).abs().mean()
    wanted = gradients(model, plain)
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert {name.partition(".")[0] for name in wanted} == {"current"}
    assert len(wanted) == 4, "words and tokens, in two layers"


def test_it_predicts_with_the_average_of_epochs_by_a_normal_density(bench: Bench, make_clip: Any) -> None:
    task, method, epochs = task_of(bench, make_clip(vision={"layers": 2})), gradient_method("promptsrc"), 4
    model: Any = started(method, task)
    density = torch.distributions.Normal(0.75, 0.5)
    weights = density.log_prob(torch.arange(1, epochs + 1, dtype=torch.double) / epochs).exp()
    start, ends = model.average.words[0].clone(), []
    for number in range(1, 3 * epochs + 1):
        with torch.no_grad():
            model.current.words[0].fill_(number**1.5)
        method.after_step(model, task, Step(number, 3 * epochs, 1e-3))
        if number % 3 == 0:
            ends.append(number**1.5)
        so_far = weights[: len(ends)]
        expected = (so_far * torch.tensor(ends, dtype=torch.double)).sum() / so_far.sum() if ends else start
        torch.testing.assert_close(model.average.words[0], expected.expand_as(start), rtol=1e-9, atol=0)
    images = a_batch().images
    found = method.ready(model, task)(images)
    for one in model.current.parameters():
        one.data.zero_()
    assert torch.equal(method.ready(model, task)(images), found)


def test_no_average_overflows_however_narrow_the_density() -> None:
    assert share(1, 50, 0.9, 0.02) == 1.0
    assert share(2, 50, 0.9, 0.02) == pytest.approx(1.0)
