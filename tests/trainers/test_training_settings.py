"""What settings of training and of early stopping do: each against the plain loop, or numbers worked out by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from scripted import Scripted

from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.loop import pairs

if TYPE_CHECKING:
    from tests.trainers.conftest import Bench


@pytest.mark.parametrize(
    ("script", "picked"),
    [
        ([(10, 1.0), (20, 9.0), (12, 0.2), (10, 3.0)], 3),  # whatever the accuracy: epoch 2 is sure of its errors
        ([(10, 1.0), (20, 9.0), (12, 0.2), (12, 0.2)], 4),  # ties go to the later epoch
    ],
)
def test_by_loss_the_epoch_of_the_lowest_loss_is_kept_as_in_the_authors_script(
    bench: Bench, script: list[tuple[int, float]], picked: int
) -> None:
    spec = bench.spec("scripted", epochs=4, epoch_metric="loss", patience=None)
    report = bench.fit(spec, method=Scripted(script)).report
    assert (report.best_epoch, report.epoch) == (picked, 4)
    assert report.score == pytest.approx(script[picked - 1][0] / 27)


def test_without_patience_all_epochs_are_run(bench: Bench) -> None:
    script = [(20, 1.0)] + [(10, 1.0)] * 8
    report = bench.fit(bench.spec("scripted", epochs=9, patience=None), method=Scripted(script)).report
    assert (report.best_epoch, report.epoch) == (1, 9)


@pytest.mark.parametrize(("start", "picked", "last"), [(25, 0, 2), (5, 1, 3)])
def test_the_model_before_its_first_step_is_a_candidate(bench: Bench, start: int, picked: int, last: int) -> None:
    script = [(start, 1.0), (20, 1.0), (15, 1.0), (15, 1.0)]
    fitted = bench.fit(bench.spec("scripted", epochs=3, patience=2, include_start=True), method=Scripted(script))
    assert (fitted.report.best_epoch, fitted.report.epoch) == (picked, last)
    assert fitted.report.score == pytest.approx(script[picked][0] / 27)
    assert fitted.state["theta"].item() == 3 * picked
    assert [point["epoch"] for point in fitted.report.curve] == list(range(last + 1))
    assert "train_loss" not in fitted.report.curve[0]


def test_the_start_as_a_candidate_leaves_the_training_as_it_was(bench: Bench) -> None:
    without, beside = (bench.fit(bench.spec("ft", epochs=3, include_start=start)) for start in (False, True))
    assert beside.report.curve[1:] == without.report.curve


@pytest.mark.parametrize(("norm", "clipped"), [(None, 2.0), (0.5, 0.5), (5.0, 2.0)])
def test_gradients_are_bounded_before_the_optimiser_s_step(bench: Bench, norm: float | None, clipped: float) -> None:
    class Watched(Scripted):
        def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
            return 2.0 * model.theta

        def after_step(self, model: Any, task: Task, step: Step) -> None:
            assert model.theta.grad.item() == pytest.approx(clipped, rel=1e-5)

    bench.fit(bench.spec("scripted", epochs=1, grad_clip=norm), method=Watched([(1, 1.0)]))


def test_sgd_takes_the_steps_of_the_schedule_with_momentum(bench: Bench) -> None:
    class Pulled(Scripted):
        def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
            return model.theta * 2.0

        def after_step(self, model: Any, task: Task, step: Step) -> None:
            pass

    spec = bench.spec("scripted", epochs=2, optimizer="sgd", hparams={"lr": 0.1, "weight_decay": 0.3})
    fitted = bench.fit(spec, method=Pulled([(1, 1.0), (2, 1.0)]))
    theta, momentum = 0.0, 0.0
    for step in range(6):
        rate = 0.1 if step < 1 else 0.05 * (1 + math.cos(math.pi * (step - 1) / 5))
        momentum = 0.9 * momentum + 2.0 + 0.3 * theta
        theta -= rate * momentum
    assert fitted.state["theta"].item() == pytest.approx(theta, rel=1e-5)


def test_each_pair_of_image_and_template_comes_once_in_as_many_epochs_as_there_are_templates(bench: Bench) -> None:
    task = bench.task(bench.spec("flyp", epochs=8, pairs="images_x_templates"))
    drawn = [pairs(task, epoch) for epoch in range(1, 9)]
    for cycle in (drawn[:4], drawn[4:]):
        both = [pair for images, templates in cycle for pair in zip(images.tolist(), templates.tolist(), strict=True)]
        assert sorted(both) == [(image, template) for image in range(24) for template in range(4)]
    assert drawn[0][0].tolist() != drawn[4][0].tolist()


def test_a_method_takes_the_template_that_an_image_comes_with(bench: Bench) -> None:
    worker = bench.worker()
    plain, paired = (bench.fit(bench.spec("flyp", pairs=kind), worker) for kind in ("images", "images_x_templates"))
    assert not bench.same(plain.state, paired.state)
    alone, after = (bench.fit(bench.spec("ft", pairs="images_x_templates"), one) for one in (None, worker))
    assert bench.same(alone.state, after.state), "crops that a worker keeps are those of one order of the images"
    assert bench.same(alone.state, bench.fit(bench.spec("ft")).state), "ft has no templates"
