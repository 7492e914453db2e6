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
from typing import Any

import numpy as np
import pytest
import torch
from gradients import GRADIENT, TRANSFORMERS, gradient_method
from scripted import OneNumber, Scripted
from spaces import MAPPING
from torch import nn

from flyp_sweep.search_spaces import from_mapping
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.data.images import Preprocess
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.models.pretrained import load
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, global_streams
from flyp_sweep.trainers.training.fit import fit
from flyp_sweep.trainers.training.fitted import Fitted
from flyp_sweep.trainers.training.loop import learning_rate

pytestmark = pytest.mark.slow


# The schedule


@pytest.mark.parametrize(
    ("warmup", "total", "rates"),
    [
        (4, 12, [2.0, 4.0, 6.0, 8.0, *(4 * (1 + math.cos(math.pi * k / 8)) for k in range(9))]),
        (0, 10, [4 * (1 + math.cos(math.pi * k / 10)) for k in range(11)]),
        (500, 3, [8 / 500, 16 / 500, 24 / 500]),
    ],
)
def test_the_learning_rate_warms_up_linearly_then_falls_as_half_a_cosine(
    warmup: int, total: int, rates: list[float]
) -> None:
    found = [learning_rate(step, base=8.0, warmup_steps=warmup, total_steps=total) for step in range(len(rates))]
    np.testing.assert_allclose(found, rates, atol=1e-12)


SCRIPTS = {
    "the highest score": (2, [(10, 1.0), (20, 1.0), (15, 1.0), (19, 1.0)]),
    "a tie of scores goes to the lower loss": (2, [(20, 0.1), (20, 0.5), (20, 0.2), (10, 1.0)]),
    "a lower loss does not beat a score": (1, [(20, 9.0), (19, 0.8), (19, 0.7), (19, 0.6)]),
    "a whole tie goes to the earlier": (2, [(10, 1.0), (20, 0.5), (20, 0.5), (20, 0.5)]),
}


@pytest.mark.parametrize("rule", SCRIPTS)
def test_the_best_epoch_is(bench: Bench, rule: str) -> None:
    picked, script = SCRIPTS[rule]
    fitted = bench.fit(bench.spec("scripted", epochs=4, patience=9), method=Scripted(script))
    assert fitted.report.best_epoch == picked
    assert fitted.report.score == pytest.approx(script[picked - 1][0] / 27)
    assert fitted.state["theta"].item() == 3 * picked
    assert fitted.report.epoch == len(fitted.report.curve) == 4
    best = fitted.report.curve[picked - 1]
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


def test_adamw_takes_the_steps_of_the_schedule_with_its_decay(bench: Bench) -> None:
    class Pulled(Scripted):
        def zero_shot(self, task: Task) -> nn.Module:
            model = OneNumber()
            model.theta.data.fill_(2.0)
            return model

        def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
            return 0.5 * model.theta.square()

        def after_step(self, model: Any, task: Task, step: Step) -> None:
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


def test_trials_of_a_seed_cut_an_epoch_s_crops_once_if_they_can_be_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[Any] = []
    crop = Preprocess.crop
    monkeypatch.setattr(Preprocess, "crop", lambda *told: cut.append(told[2]) or crop(*told))  # type: ignore[func-returns-value]
    worker, counts = bench.worker(), []
    for changes in ({}, {"hparams": {"lr": 1e-3, "weight_decay": 0.0}}, {"epochs": 3}, {"seed": 1}, {"batch_size": 5}):
        bench.fit(bench.spec("ft", **changes), worker)
        counts.append(len(cut))
    assert counts == [48, 48, 72, 120, 168]  # 24 images, 2 epochs but for one
    kept = digest(bench.fit(bench.spec("ft"), worker))
    monkeypatch.setattr("flyp_sweep.trainers.task.MEMORY_BUDGET", 2 * 24 * 32 * 32 * 3 - 1)
    tight = bench.worker()
    assert {digest(bench.fit(bench.spec("ft"), tight)) for _ in range(2)} == {kept}
    assert len(cut) == 168 + 2 * 48


# A trial is a function of its specification


def digest(fitted: Fitted) -> str:
    parts = [name.encode() + value.numpy().tobytes() for name, value in sorted(fitted.state.items())]
    return hashlib.sha256(json.dumps([fitted.report.curve, fitted.report.score]).encode() + b"".join(parts)).hexdigest()


@pytest.mark.parametrize("name", [name for name in GRADIENT if name not in TRANSFORMERS])
def test_the_seed_matters(bench: Bench, name: str) -> None:
    worker = bench.worker()
    assert digest(bench.fit(bench.spec(name, seed=0), worker)) != digest(bench.fit(bench.spec(name, seed=1), worker))


@pytest.mark.parametrize("name", ["cocoop", "coop", "flyp_lora"])
def test_what_a_method_draws_at_its_start_is_the_seed_s(bench: Bench, name: str) -> None:
    method = gradient_method(name)
    first, again, other = (method.start(bench.task(bench.spec(name, seed=seed))).state_dict() for seed in (0, 0, 1))
    assert bench.same(first, again)
    assert not bench.same(first, other)


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
    space = {**MAPPING, "shots": 2, "methods": ["flyp", "lp", "ft"]}
    built = from_mapping(space)
    runner = TrialRunner(built, Path("elsewhere"), torch.device("cpu"))
    specs = [dataclasses.replace(bench.spec(cell.method), cell=cell) for cell in built.cells()]
    here = [runner.result(spec).to_json() for spec in specs]
    given = json.dumps({"space": space, "specs": [spec.to_json() for spec in reversed(specs)]})
    command = [sys.executable, "-c", FRESH, given, "77", str(tmp_path)]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [json.loads(line) for line in reversed(fresh)] == json.loads(json.dumps(here))
    assert here[0]["curve"][0]["train_loss"] != here[2]["curve"][0]["train_loss"]


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
    before = global_streams()
    load(Model(arch="digits-clip", pretrained="bundled"), torch.device("cpu"))
    assert global_streams() == before
