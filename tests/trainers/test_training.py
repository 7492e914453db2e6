"""The training loop: its schedule, its choice of epoch, its failures, and that a trial is a function of its spec."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scripted import OneNumber, Scripted
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers import methods
from flyp_sweep.trainers.data.images import Preprocess
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods import GradientMethod
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.models.pretrained import load
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import Epoch, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.method_contract import global_streams
from flyp_sweep.trainers.training.fit import fit
from flyp_sweep.trainers.training.fitted import Fitted
from flyp_sweep.trainers.training.loop import learning_rate

if TYPE_CHECKING:
    from tests.trainers.conftest import Bench

pytestmark = pytest.mark.slow

GRADIENT = [name for name, method in methods.registry().items() if isinstance(method, GradientMethod)]


# The schedule


def test_the_learning_rate_warms_up_linearly_then_falls_as_half_a_cosine() -> None:
    rates = [learning_rate(step, base=8.0, warmup_steps=4, total_steps=12) for step in range(13)]
    assert rates[:4] == [2.0, 4.0, 6.0, 8.0]
    np.testing.assert_allclose(rates[4:], [4 * (1 + math.cos(math.pi * k / 8)) for k in range(9)], atol=1e-12)
    assert rates[4] == 8.0
    assert rates[8] == pytest.approx(4.0)
    assert rates[12] == 0.0


def test_without_warm_up_it_starts_at_its_base() -> None:
    assert learning_rate(0, base=3.0, warmup_steps=0, total_steps=10) == 3.0
    assert learning_rate(5, base=3.0, warmup_steps=0, total_steps=10) == pytest.approx(1.5)


def test_a_warm_up_longer_than_the_training_never_reaches_the_base_and_never_fails() -> None:
    rates = [learning_rate(step, base=1.0, warmup_steps=500, total_steps=3) for step in range(3)]
    np.testing.assert_allclose(rates, [1 / 500, 2 / 500, 3 / 500])


def best_of(script: list[tuple[int, float]], labels: np.ndarray) -> int:
    """Number of the epoch that the rule picks, by scikit-learn."""
    ranks = []
    for epoch, (right, confidence) in enumerate(script, start=1):
        predicted = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % 3)
        chances = np.exp(confidence * np.eye(3)[predicted])
        loss = log_loss(labels, chances / chances.sum(1, keepdims=True))
        ranks.append((accuracy_score(labels, predicted), -loss, -epoch))
    return -max(ranks)[2]


SCRIPTS = {
    "the highest score": [(10, 1.0), (20, 1.0), (15, 1.0), (19, 1.0)],
    "a tie of scores goes to the lower loss": [(20, 0.1), (20, 0.5), (20, 0.2), (10, 1.0)],
    "a lower loss does not beat a score": [(20, 9.0), (19, 0.8), (19, 0.7), (19, 0.6)],
    "a whole tie goes to the earlier": [(10, 1.0), (20, 0.5), (20, 0.5), (20, 0.5)],
}
PICKED = dict(zip(SCRIPTS, (2, 2, 1, 2), strict=True))


@pytest.mark.parametrize("rule", SCRIPTS)
def test_the_best_epoch_is(bench: Bench, rule: str) -> None:
    script = SCRIPTS[rule]
    spec = bench.spec("scripted", epochs=4, patience=9)
    fitted = bench.fit(spec, method=Scripted(script))
    assert fitted.report.best_epoch == best_of(script, bench.task(spec).id_val.labels) == PICKED[rule]
    assert fitted.report.score == pytest.approx(script[PICKED[rule] - 1][0] / 27)
    assert fitted.state["theta"].item() == 3 * PICKED[rule]
    assert fitted.report.epoch == len(fitted.report.curve) == 4
    best = fitted.report.curve[PICKED[rule] - 1]
    assert (best["accuracy"], best["loss"]) == (fitted.report.score, fitted.report.loss)


@pytest.mark.parametrize(("patience", "last"), [(1, 3), (2, 6), (3, 7), (9, 9)])
def test_patience_counts_epochs_in_a_row_that_are_not_the_best(bench: Bench, patience: int, last: int) -> None:
    script = [(right, 1.0) for right in (10, 20, 15, 25, 24, 23, 22, 21, 20)]
    method = Scripted(script)
    fitted = bench.fit(bench.spec("scripted", epochs=9, patience=patience), method=method)
    assert fitted.report.epoch == len(fitted.report.curve) == method.epochs == last
    assert method.steps == 3 * last


def test_every_epoch_is_reported_with_the_best_so_far(bench: Bench) -> None:
    script = [(10, 1.0), (20, 1.0), (15, 1.0)]
    reports: list[Epoch] = list(fit(Scripted(script), bench.task(bench.spec("scripted", epochs=3))))
    assert [(one.epoch, one.best_epoch, round(one.score * 27)) for one in reports] == [
        (1, 1, 10),
        (2, 2, 20),
        (3, 2, 20),
    ]
    assert [len(one.curve) for one in reports] == [1, 2, 3]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [1, 5])
def test_a_training_loss_that_is_not_finite_fails_the_trial_and_names_the_step(
    bench: Bench, bad: float, step: int
) -> None:
    method = Scripted([(10, 1.0)] * 3, bad_step=step, bad_loss=bad)
    with pytest.raises(TrialFailed, match=rf"training loss is {bad} at step {step}$"):
        bench.fit(bench.spec("scripted", epochs=3), method=method)


def test_an_id_val_loss_that_is_not_finite_fails_the_trial_and_names_the_epoch(bench: Bench) -> None:
    with pytest.raises(TrialFailed, match="id_val is nan after epoch 2"):
        bench.fit(bench.spec("scripted", epochs=3), method=Scripted([(10, 1.0), (10, math.nan), (10, 1.0)]))


@pytest.mark.parametrize("name", GRADIENT)
def test_an_exploding_learning_rate_fails_the_trial(bench: Bench, name: str) -> None:
    spec = bench.spec(name, epochs=3, warmup_steps=0)
    with pytest.raises(TrialFailed, match="loss"):
        bench.run(dataclasses.replace(spec, hparams={**spec.hparams, "lr": 1e30}))


def test_adamw_takes_the_steps_of_the_schedule_with_its_decay(bench: Bench) -> None:
    class Pulled(Scripted):
        def zero_shot(self, task: Task) -> nn.Module:
            model = OneNumber()
            model.theta.data.fill_(2.0)
            return model

        def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
            return 0.5 * model.theta.square()

        def after_step(self, model: Any) -> None:
            pass

    fitted = bench.fit(
        bench.spec("scripted", epochs=2, hparams={"lr": 0.1, "weight_decay": 0.3}),
        method=Pulled([(1, 1.0), (2, 1.0)]),
    )
    theta, first, second = 2.0, 0.0, 0.0
    for step in range(6):
        rate = 0.1 if step < 1 else 0.05 * (1 + math.cos(math.pi * (step - 1) / 5))
        first, second = 0.9 * first + 0.1 * theta, 0.999 * second + 0.001 * theta**2
        corrected = (first / (1 - 0.9 ** (step + 1))) / (math.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
        theta = theta * (1 - rate * 0.3) - rate * corrected
    assert fitted.state["theta"].item() == pytest.approx(theta, rel=1e-5)


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own(bench: Bench) -> None:
    seen: list[list[int]] = []

    class Watching(Scripted):
        def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
            seen.append(batch.labels.tolist())
            assert batch.images.shape == (len(batch.labels), 3, 32, 32)
            return super().loss(model, batch, task)

    bench.fit(bench.spec("scripted", epochs=2), method=Watching([(1, 1.0)] * 2))
    assert [len(labels) for labels in seen] == [10, 10, 4] * 2
    first, second = (list(chain(*batches)) for batches in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == sorted(bench.task().train.labels.tolist())
    assert first != second


def test_trials_of_a_seed_cut_an_epoch_s_crops_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[Any] = []
    crop = Preprocess.crop
    monkeypatch.setattr(Preprocess, "crop", lambda *told: cut.append(told[2]) or crop(*told))  # type: ignore[func-returns-value]
    worker, counts = bench.worker(), []
    for changes in ({}, {"hparams": {"lr": 1e-3, "weight_decay": 0.0}}, {"epochs": 3}, {"seed": 1}, {"batch_size": 5}):
        bench.fit(bench.spec("ft", **changes), worker)
        counts.append(len(cut))
    assert counts == [48, 48, 72, 120, 168]  # 24 images, 2 epochs but for one


def test_crops_that_are_too_many_to_keep_are_cut_each_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyp_sweep.trainers.task.MEMORY_BUDGET", 2 * 24 * 32 * 32 * 3 - 1)
    worker, spec = bench.worker(), bench.spec("ft")
    before = digest(bench.fit(spec, worker))
    cut: list[Any] = []
    crop = Preprocess.crop
    monkeypatch.setattr(Preprocess, "crop", lambda *told: cut.append(told[2]) or crop(*told))  # type: ignore[func-returns-value]
    assert digest(bench.fit(spec, worker)) == before
    assert len(cut) == 48


# A trial is a function of its specification


def digest(fitted: Fitted) -> str:
    parts = [name.encode() + value.numpy().tobytes() for name, value in sorted(fitted.state.items())]
    return hashlib.sha256(json.dumps([fitted.report.curve, fitted.report.score]).encode() + b"".join(parts)).hexdigest()


def test_a_trial_does_not_depend_on_the_trials_before_it_nor_on_decoding_threads(bench: Bench) -> None:
    specs = [
        bench.repeat(name, shots=4, seed=1) for name in ("zeroshot", "lp", "ft", "lpft", "flyp", "flyp_frozen_text")
    ]
    alone = []
    for spec in specs:
        cold = bench.worker()
        alone.append((bench.run(spec, cold), digest(bench.fit(spec, cold))))
    warm = bench.worker(threads=3)
    for spec in reversed(specs):
        bench.run(dataclasses.replace(spec, seed=2, stage="search", epochs=1), warm)
        bench.run(dataclasses.replace(spec, epochs=1, templates=1), warm)
    for spec, (result, fitted) in zip(specs, alone, strict=True):
        assert bench.run(spec, warm) == result, spec.cell.method
        assert digest(bench.fit(spec, warm)) == fitted, spec.cell.method


@pytest.mark.parametrize("name", GRADIENT)
def test_the_seed_matters(bench: Bench, name: str) -> None:
    worker = bench.worker()
    assert digest(bench.fit(bench.spec(name, seed=0), worker)) != digest(bench.fit(bench.spec(name, seed=1), worker))


FRESH = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
torch.manual_seed(int(sys.argv[2]))
from flyp_sweep.search_spaces import from_mapping
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import TrialSpec
runner = TrialRunner(from_mapping(json.loads(sys.argv[1])["space"]), Path(sys.argv[3]), threads=2)
for spec in json.loads(sys.argv[1])["specs"]:
    print(json.dumps(runner.result(TrialSpec.from_json(spec)).to_json()))
"""


def test_a_fresh_process_gives_the_same_result_bit_for_bit(bench: Bench, tmp_path: Path) -> None:
    space: dict[str, Any] = {
        "name": "fresh",
        "dataset": "digits",
        "shots": 2,
        "model": {"arch": "digits-clip", "pretrained": "bundled"},
        "methods": ["ft", "flyp", "lp"],
        "search": {"num_samples": 1, "space": {"lr": 1e-3, "weight_decay": 0.1}},
    }
    from flyp_sweep.search_spaces import from_mapping

    runner = TrialRunner(from_mapping(space), Path("elsewhere"), torch.device("cpu"))
    specs = [
        TrialSpec(**{**vars(bench.spec(method)), "cell": Cell("digits", "digits-clip", 2, method)})
        for method in ("flyp", "lp", "ft")
    ]
    here = [runner.result(spec).to_json() for spec in specs]
    given = json.dumps({"space": space, "specs": [spec.to_json() for spec in reversed(specs)]})
    command = [sys.executable, "-c", FRESH, given, "77", str(tmp_path)]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [json.loads(line) for line in reversed(fresh)] == json.loads(json.dumps(here))
    assert here[0]["curve"][0]["train_loss"] != here[2]["curve"][0]["train_loss"]


def test_a_specification_survives_json(bench: Bench) -> None:
    spec = bench.repeat("l2sp", shots=4)
    again = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.trial_id == spec.trial_id
    assert dataclasses.replace(spec, seed=1).trial_id != spec.trial_id
    assert dataclasses.replace(spec, seed=1).config_id == spec.config_id
    assert dataclasses.replace(spec, epochs=3).config_id != spec.config_id


def test_dropout_is_drawn_from_the_trial_s_seed(bench: Bench) -> None:
    class Dropping(Scripted):
        def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
            noise.append(nn.functional.dropout(torch.ones(64), 0.5).sum().item())
            return super().loss(model, batch, task)

    drawn = []
    for seed in (0, 0, 1):
        noise: list[float] = []
        bench.fit(bench.spec("scripted", seed=seed), method=Dropping([(1, 1.0)] * 2))
        drawn.append(noise)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) > 1


def test_loading_a_model_leaves_the_global_random_streams_alone() -> None:
    from flyp_sweep.search_spaces.model import Model

    before = global_streams()
    load(Model(arch="digits-clip", pretrained="bundled"), torch.device("cpu"))
    assert global_streams() == before
