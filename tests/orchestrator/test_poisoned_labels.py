"""The promise of the protocol: no test or OOD label can change a selection."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.datasets.digits import Digits
from flyp_sweep.trainers.runner import TrialRunner

pytestmark = pytest.mark.slow

SPACE = {
    "methods": ["lp", "flyp"],
    "shots": 8,
    "train": {"epochs": 2, "batch_size": 40},
    "search": {
        "algorithm": "optuna",
        "num_samples": 2,
        "batch": 2,
        "space": {
            "lr": {"loguniform": [1e-4, 1e-2]},
            "weight_decay": {"choice": [0.0, 0.1]},
            "l2": {"loguniform": [1e-4, 1.0]},
        },
    },
    "repeats": {"seeds": 2},
    "ensembles": {"greedy_soup": ["flyp"], "logit_ensemble": ["flyp"]},
}


class Poisoned(Digits):
    """The digits with every label of every test and OOD split replaced by another one."""

    def load(self, split):
        loaded = super().load(split)
        if loaded.role in ("id_test", "ood"):
            return dataclasses.replace(loaded, labels=(loaded.labels + 3) % 10)
        return loaded


def sweep(weights):
    """Run the whole protocol in this process; returns what was decided and what was reported."""
    space = space_of(**SPACE)
    runner, protocol = TrialRunner(space, Path("absent"), weights=Policy(weights)), Protocol(plans_of(space))
    decided, reported = {}, {}
    while (spec := protocol.next()) is not None:
        result = runner.result(spec)
        key = (
            spec.cell.method,
            spec.stage,
            spec.seed,
            *(tuple(one.items()) for one in (spec.hparams, *spec.ingredients)),
        )
        decided[key] = (result.score, result.best_epoch, result.alpha, result.curve)
        reported[key] = [one.metrics[one.primary] for one in result.evaluations if one.role in ("id_test", "ood")]
        protocol.finish(Outcome(spec.trial_id, "done", result.score, result.loss))
    winners = {one.plan.cell.method: one.winner for one in protocol.selections}
    return winners, decided, reported


@pytest.mark.filterwarnings("ignore")
def test_poisoning_every_test_and_ood_label_leaves_every_selection_unchanged(monkeypatch, tmp_path):
    winners, decided, reported = sweep(tmp_path / "clean")
    monkeypatch.setitem(datasets.registry(), "digits", Poisoned)
    poisoned_winners, poisoned_decided, poisoned_reported = sweep(tmp_path / "poisoned")
    assert poisoned_winners == winners
    assert poisoned_decided == decided
    assert len(winners) == 2 + 2
    assert poisoned_reported != reported
    clean = np.mean([value for values in reported.values() for value in values])
    poison = np.mean([value for values in poisoned_reported.values() for value in values])
    assert poison < clean / 2
