"""Tip-Adapter-F against the plain formula, and what it trains."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from gradients import LABELS, assert_equal, batch_for, gradient_method, gradients

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.testing.bench import Bench

HPARAMS = {"lr": 1e-3, "weight_decay": 0.01, "cache_weight": 1.5, "cache_sharpness": 5.5}


def test_it_starts_as_tip_adapter_and_its_loss_trains_the_keys_alone(bench: Bench, worker: Shared) -> None:
    task = bench.task(bench.spec("tip_adapter_f", hparams=HPARAMS), worker)
    method = gradient_method("tip_adapter_f")
    batch, model = batch_for(method), method.start(task)
    free: Any = methods.get("tip_adapter")
    assert bench.same(model.state_dict(), free.solve(task).state_dict())
    keys = task.shared.features(task.train).clone().requires_grad_()
    votes = torch.exp(-5.5 * (1 - batch.images @ keys.T)) @ F.one_hot(torch.from_numpy(task.train.labels)).double()
    plain = F.cross_entropy(batch.images @ task.zero_shot_head.T + 1.5 * votes, LABELS)
    (wanted,) = torch.autograd.grad(plain, [keys])
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert_equal(gradients(model, found), {"keys": wanted})


def test_its_optimiser_has_the_authors_epsilon_unless_it_is_sgd(bench: Bench) -> None:
    method = gradient_method("tip_adapter_f")
    for kind, epsilon in (("adamw", 1e-4), ("sgd", None)):
        task = bench.task(bench.spec("tip_adapter_f", hparams=HPARAMS, optimizer=kind))
        (group,) = method.optimizer(method.start(task), task).param_groups
        assert group.get("eps") == epsilon


def test_interpolation_mixes_the_keys_and_scales_the_votes(bench: Bench) -> None:
    spec = bench.spec("tip_adapter_f", hparams=HPARAMS)
    task, method = bench.task(spec), gradient_method("tip_adapter_f")
    fitted, zero_shot = bench.fit(spec, task.shared).state, method.zero_shot(task).state_dict()
    assert {name for name in fitted if not torch.equal(fitted[name], zero_shot[name])} == {"keys", "weight"}
    assert (float(zero_shot["weight"]), float(fitted["weight"])) == (0.0, 1.5)
    assert torch.equal(zero_shot["keys"], task.shared.features(task.train))


def test_trained_keys_correct_a_model_that_the_votes_alone_do_not(bench: Bench) -> None:
    wrong = bench.worker(bench.dataset(poisoned=("train", "id_val")))
    weak = {**HPARAMS, "cache_weight": 1.0, "lr": 0.1}
    free = bench.run(bench.spec("tip_adapter", hparams={name: weak[name] for name in list(weak)[2:]}), wrong)
    trained = bench.run(bench.spec("tip_adapter_f", hparams=weak, epochs=20), wrong)
    assert free.score < 0.5 < trained.score
