"""The moving average of FLYP's weights, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods.flyp_ema import Averaged
from flyp_sweep.trainers.testing.bench import Bench


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.999])
def test_it_follows_the_weights_at_the_given_decay_and_faster_at_first(decay: float) -> None:
    current, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        average.weight.fill_(5.0)
    model = Averaged(current, average, decay)
    expected = 5.0
    for step in range(1, 20):
        with torch.no_grad():
            current.weight.fill_(step**1.5)
        model.follow()
        kept = min(decay, step / (step + 9))
        expected = kept * expected + (1 - kept) * step**1.5
        assert average.weight.item() == pytest.approx(expected, rel=1e-5)
        assert current.weight.item() == pytest.approx(step**1.5)
    assert not average.weight.requires_grad


def test_what_is_trained_is_flyp_and_what_predicts_is_its_average(bench: Bench) -> None:
    hparams = {"lr": 1e-3, "weight_decay": 0.1}
    flyp = bench.fit(bench.spec("flyp", epochs=1, hparams=hparams))
    ema = bench.fit(bench.spec("flyp_ema", epochs=1, hparams={**hparams, "ema_decay": 0.999}))
    assert ema.report.curve[0]["train_loss"] == flyp.report.curve[0]["train_loss"]
    part = {name: value for name, value in ema.state.items() if name.startswith("current.")}
    assert bench.same({name.removeprefix("current."): value for name, value in part.items()}, flyp.state)
    assert ema.report.loss != flyp.report.loss
    assert ema.state["steps"] == 3

    task, method = bench.task(bench.spec("flyp_ema", hparams={**hparams, "ema_decay": 0.999})), methods.get("flyp_ema")
    model: Any = method.zero_shot(task)
    images = next(iter(task.shared.evaluation_batches(task.id_val)))
    with torch.no_grad():
        before = method.classifier(model, task)(images)
        model.current.logit_scale.zero_()
        assert torch.equal(method.classifier(model, task)(images), before)
        model.average.logit_scale.zero_()
        assert not torch.equal(method.classifier(model, task)(images), before)
