"""Trials of one method, for the contract tests of methods and ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.evaluation.metrics import METRICS
from flyp_sweep.trainers.methods.base import GradientMethod, Method
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import Evaluation, TrialResult, TrialSpec
from flyp_sweep.trainers.testing.bench import Bench, a_batch, nudged, without_dropout
from flyp_sweep.trainers.training.fitted import Fitted
from flyp_sweep.trainers.training.grad_cache import Gradients


class Trials:
    """Trials of one method with its hyper-parameters."""

    def __init__(self, method: Method, bench: Bench, hparams: Mapping[str, Any]) -> None:
        self.method = method
        self.bench = bench
        self.hparams = hparams

    def spec(self, **changes: Any) -> TrialSpec:
        return self.bench.spec(self.method, **{"hparams": self.hparams, **changes})

    def repeat(self, **changes: Any) -> TrialSpec:
        return self.bench.repeat(self.method, **{"hparams": self.hparams, **changes})

    def run(self, spec: TrialSpec, worker: Shared | None = None) -> TrialResult:
        return self.bench.run(spec, worker, self.method)

    def fit(self, spec: TrialSpec, worker: Shared | None = None, checkpoint: Checkpoint | None = None) -> Fitted:
        return self.bench.fit(spec, worker, self.method, checkpoint)


def keeping(policy: Policy) -> KeptFits:
    """A run that keeps the fits of all repeats under `policy`."""
    search = {"algorithm": "none", "space": {"lr": 1e-3, "weight_decay": 0.0}}
    model = {"arch": "digits-clip", "pretrained": "bundled"}
    given = {"name": "kept", "dataset": "digits", "model": model, "methods": ["ft"], "search": search}
    return KeptFits(from_mapping(given), policy, ())


def plain(line: Evaluation) -> Evaluation:
    """An evaluation without calibration, which only the models in tables have."""
    return replace(line, metrics={name: line.metrics[name] for name in METRICS})


def gradient(trials: Trials, worker: Shared, size: int | None) -> torch.Tensor:
    """All gradients of a batch's loss, concatenated, computed in micro-batches of `size`."""
    method = trials.method
    assert isinstance(method, GradientMethod)
    task = trials.bench.task(trials.spec(micro_batch=size), worker)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = without_dropout(nudged(method.start(task)).train())
        Gradients(method, model, task).backward(a_batch(method, task))
    found = [one.grad.flatten() for one in model.parameters() if one.grad is not None]
    assert found, f"no parameter of {method.name} got a gradient"
    return torch.cat(found)


def shared_tensors(trials: Trials, worker: Shared, spec: TrialSpec) -> dict[str, torch.Tensor]:
    """Copies of the tensors that trials of a worker share."""
    task = trials.bench.task(spec, worker)
    shared = {"prompts": task.prompts, "head": task.zero_shot_head, "features": worker.features(task.id_val)}
    return {name: tensor.clone() for name, tensor in shared.items()}
