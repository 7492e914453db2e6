"""The promise of the protocol: no test or OOD label can change a selection, not even of data that come later."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from serial_engine import evaluate_serially, run_serially
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.loading import dump
from flyp_sweep.search_spaces.roles import REPORTED
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


class Later(Digits):
    """Thick digits as the ID test of another data set."""

    name = "later"
    splits = {"id_test": "id_test"}

    def load(self, split):
        return dataclasses.replace(Digits(self.root).load("thick"), name=split, role="id_test")


class PoisonedLater(Later):
    def load(self, split):
        loaded = super().load(split)
        return dataclasses.replace(loaded, labels=(loaded.labels + 3) % 10)


class Watched(Digits):
    """The digits, with the thick ones for OOD validation."""

    splits = Digits.splits | {"thick": "ood_val"}


class Poisoned(Watched):
    """The same with every label of every test, OOD validation and OOD split replaced by another one."""

    def load(self, split):
        loaded = super().load(split)
        if loaded.role in REPORTED:
            return dataclasses.replace(loaded, labels=(loaded.labels + 3) % 10)
        return loaded


def sweep(weights):
    """Run the whole protocol in this process; returns what was decided, reported, and evaluated in each stage."""
    space = space_of(**SPACE)
    runner, protocol = TrialRunner(space, Path("absent"), weights=Policy(weights)), Protocol(plans_of(space))
    decided, reported = {}, {}
    roles = {"search": set(), "repeat": set()}
    while (spec := protocol.next()) is not None:
        result = runner.result(spec)
        key = (
            spec.cell.method,
            spec.stage,
            spec.seed,
            *(tuple(one.items()) for one in (spec.hparams, *spec.ingredients)),
        )
        decided[key] = (result.score, result.best_epoch, result.alpha, result.curve)
        reported[key] = [one.metrics[one.primary] for one in result.evaluations if one.role in REPORTED]
        roles[spec.stage] |= {one.role for one in result.evaluations}
        protocol.finish(Outcome(spec.trial_id, "done", result.score, result.loss))
    winners = {one.plan.cell.method: one.winner for one in protocol.selections}
    return winners, decided, reported, roles


@pytest.mark.filterwarnings("ignore")
def test_poisoning_every_test_and_ood_label_leaves_every_selection_unchanged(monkeypatch, tmp_path):
    monkeypatch.setitem(datasets.registry(), "digits", Watched)
    winners, decided, reported, roles = sweep(tmp_path / "clean")
    monkeypatch.setitem(datasets.registry(), "digits", Poisoned)
    poisoned_winners, poisoned_decided, poisoned_reported, poisoned_roles = sweep(tmp_path / "poisoned")
    assert poisoned_winners == winners
    assert poisoned_decided == decided
    assert len(winners) == 2 + 2
    assert roles == poisoned_roles == {"search": {"id_val"}, "repeat": {"id_val", *REPORTED}}
    assert poisoned_reported != reported
    clean = np.mean([value for values in reported.values() for value in values])
    poison = np.mean([value for values in poisoned_reported.values() for value in values])
    assert poison < clean / 2


@pytest.mark.filterwarnings("ignore")
def test_poisoned_labels_of_data_that_came_later_change_no_selection_and_no_alpha(monkeypatch, tmp_path):
    (tmp_path / "space.yaml").write_text(dump(space_of(**SPACE, weights={"keep": "all"})))
    code, output = run_serially("space.yaml", cwd=tmp_path, out=tmp_path / "run")
    assert code == 0, output
    before, after = ledger_of(tmp_path / "run"), []
    for kind in (Later, PoisonedLater):
        monkeypatch.setitem(datasets.registry(), "later", kind)
        run = shutil.copytree(tmp_path / "run", tmp_path / kind.__name__, ignore=shutil.ignore_patterns("mlflow*"))
        code, output = evaluate_serially(run, "later", cwd=tmp_path)
        assert code == 0, output
        after.append(ledger_of(run))
    decided = [decisions(trials[len(before[0]) :]) for trials, _ in after]
    assert decided[0] == decided[1]
    assert decided[0].items() <= decisions(before[0]).items(), "all is as it was before"
    assert winners_of(after[0][1]) == winners_of(after[1][1]) == winners_of(before[1])
    clean, poisoned = (np.mean([accuracy_on_later(one) for one in trials[len(before[0]) :]]) for trials, _ in after)
    assert poisoned < clean / 2


def ledger_of(run):
    """The lines of trials, and those of selections."""
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    return [[one for one in lines if one["kind"] == kind] for kind in ("trial", "selection")]


def decisions(trials):
    names = ("score", "loss", "best_epoch", "alpha", "curve")
    return {one["trial_id"]: tuple(str(one[name]) for name in names) for one in trials}


def winners_of(selections):
    """The last selection of each cell, but for the splits that its repeats are evaluated on."""
    last = {str(one["cell"]): {name: value for name, value in one.items() if name != "evaluated"} for one in selections}
    assert len(last) == 4
    return last


def accuracy_on_later(trial):
    (found,) = (one["splits"] for one in trial["evaluations"] if one["alpha"] == trial["alpha"])
    (later,) = (one for one in found if one["split"] == "later")
    return later["metrics"]["accuracy"]
