"""CaRot's loss against the plain formula, and its teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gradients import LABELS, a_batch, assert_equal, gradient_method, gradients, started
from open_clip.modified_resnet import ModifiedResNet
from torch import nn

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import Step
from flyp_sweep.trainers.methods.carot import away_from_orthogonal, decay, projection
from flyp_sweep.trainers.methods.trailing import Trailing
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench


def task_of(bench: Bench, clip: Any, **hparams: float) -> Task:
    defaults = {"orthogonality": 0.2, "distillation": 1.5, "teacher_every": 500, "teacher_decay": 0.9}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    return bench.task(bench.spec("carot", hparams={"lr": 1e-3, "weight_decay": 0.1, **defaults, **hparams}), worker)


@pytest.mark.parametrize(("orthogonality", "distillation"), [(0.0, 0.0), (0.2, 1.5), (3.0, 0.5)])
def test_its_loss_is_the_contrastive_one_plus_both_terms(
    bench: Bench, make_clip: Any, orthogonality: float, distillation: float
) -> None:
    task = task_of(bench, make_clip(), orthogonality=orthogonality, distillation=distillation)
    method, batch = gradient_method("carot"), a_batch()
    model: Any = started(method, task)  # which moves the student and the teacher, each another way
    drawn = np.random.default_rng(5).integers(task.prompts.shape[1], size=len(LABELS))
    tokens = task.prompts[LABELS, torch.from_numpy(drawn)]

    def similarities(clip: Any) -> torch.Tensor:
        images, texts = clip.encode_image(batch.images, normalize=True), clip.encode_text(tokens, normalize=True)
        return clip.logit_scale.exp() * images @ texts.T

    student, teacher = similarities(model.current), similarities(model.average).detach()
    plain = torch.zeros((), dtype=torch.double)
    for row in range(len(LABELS)):
        for own, taught in ((student, teacher), (student.T, teacher.T)):
            logs, targets = own[row].log_softmax(0), taught[row].softmax(0)
            plain = plain - (0.5 * logs[row] + distillation * (targets * logs).sum()) / len(LABELS)
    weights = model.current.visual.proj
    columns = range(weights.shape[1])
    squares = sum((weights[:, i] @ weights[:, j] - float(i == j)) ** 2 for i in columns for j in columns)
    plain = plain + orthogonality * squares**0.5
    wanted = gradients(model, plain)
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert all(name.startswith("current.") for name in wanted)


def test_orthonormal_columns_are_at_distance_0_and_twice_them_at_3_root_d() -> None:
    columns = torch.eye(5, dtype=torch.double)[:, :4]
    assert away_from_orthogonal(columns) == 0
    assert away_from_orthogonal(2 * columns).item() == pytest.approx(3 * 4**0.5)


@pytest.mark.parametrize(("step", "kept"), [(1, 0.05), (11, 0.475), (21, 0.9), (100, 0.9)])
def test_the_teacher_keeps_more_and_more_of_itself_in_the_first_fifth(step: int, kept: float) -> None:
    assert decay(Step(step, 100, 1e-3), 0.9) == pytest.approx(kept)


def test_the_teacher_follows_after_the_first_step_and_then_at_its_intervals(bench: Bench, make_clip: Any) -> None:
    task = task_of(bench, make_clip(), teacher_every=3, teacher_decay=0.5)
    method = gradient_method("carot")
    model: Any = method.start(task)
    assert isinstance(model, Trailing)
    expected = model.average.visual.proj.clone()
    for number in range(1, 9):
        with torch.no_grad():
            model.current.visual.proj.fill_(number)
        method.after_step(model, task, Step(number, 5, 1e-3))
        if number in (1, 4, 7):
            kept = 0.05 if number == 1 else 0.5
            expected = kept * expected + (1 - kept) * number
        torch.testing.assert_close(model.average.visual.proj, expected)
        assert float(model.current.visual.proj.min()) == number
    assert not any(parameter.requires_grad for parameter in model.average.parameters())


def test_it_predicts_with_the_student(bench: Bench, make_clip: Any) -> None:
    task, batch = task_of(bench, make_clip()), a_batch()
    model: Any = started(gradient_method("carot"), task)
    found = gradient_method("carot").classifier(model, task)(batch.images)
    torch.testing.assert_close(found, gradient_method("flyp").classifier(model.current, task)(batch.images))


def test_projections_of_all_kinds_are_found_and_a_model_without_one_is_refused(bench: Bench, make_clip: Any) -> None:
    vit = make_clip().visual
    assert projection(vit) is vit.proj
    resnet = ModifiedResNet([1, 1, 1, 1], output_dim=12, heads=2, image_size=32, width=8)
    found = projection(resnet)
    assert found is not None
    assert found.shape == (256, 12)
    assert projection(bench.pretrained.clip.visual).shape[1] == 64  # type: ignore[union-attr]
    clip = make_clip()
    clip.visual = nn.Sequential(clip.visual)
    with pytest.raises(TrialFailed, match="carot: found digits-clip, whose image encoder has no linear projection"):
        gradient_method("carot").start(task_of(bench, clip))
