"""A trial's identity: all that determines its result is part of it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.spec import TrialSpec
from flyp_sweep.trainers.testing.bench import Bench

OTHER: dict[str, Any] = {
    "cell": Cell("tiny", "digits-clip", None, "flyp"),
    "stage": "search",
    "seed": 1,
    "hparams": {"lr": 2e-3, "weight_decay": 0.1},
    "epochs": 3,
    "batch_size": 11,
    "warmup_steps": 2,
    "templates": 1,
    "patience": 6,
    "alphas": (0.0, 1.0),
    "frontier": True,
    "data": "another data set",
    "weights": "another model",
    "micro_batch": 5,
    "precision": "bf16",
    "compile": True,
    "crops": "batched",
    "epoch_metric": "loss",
    "include_start": True,
    "grad_clip": 1.0,
    "optimizer": "sgd",
    "crop_scale": (0.08, 1.0),
    "flip": True,
    "pairs": "images_x_templates",
    "label_smoothing": 0.1,
    "layer_decay": 0.75,
    "randaugment": True,
    "ingredients": ({"lr": 1e-3, "weight_decay": 0.1},),
    "splits": {"id_test": "other images"},
}
"""Field -> a value that the specification of the tests does not have."""

OF_A_CONFIGURATION = set(OTHER) - {"stage", "seed", "alphas", "frontier", "ingredients", "splits"}
"""Fields in which trials of one configuration never differ."""


@pytest.mark.parametrize("field", [one.name for one in fields(TrialSpec)])
def test_every_field_but_what_is_evaluated_is_part_of_it(bench: Bench, field: str) -> None:
    spec = bench.repeat("ft")
    other = replace(spec, **{field: OTHER[field]})
    assert getattr(spec, field) != OTHER[field]
    assert (other.trial_id != spec.trial_id) == (field != "splits")
    assert (other.config_id != spec.config_id) == (field in OF_A_CONFIGURATION)
    assert TrialSpec.from_json(json.loads(json.dumps(other.to_json()))) == other


@pytest.mark.parametrize("field", ["dataset", "model", "shots", "method"])
def test_every_field_of_the_cell_is_part_of_it(bench: Bench, field: str) -> None:
    spec = bench.repeat("ft")
    cell = replace(spec.cell, **{field: 4 if field == "shots" else "other"})
    assert replace(spec, cell=cell).trial_id != spec.trial_id
    assert replace(spec, cell=cell).config_id != spec.config_id


def test_specifications_keep_the_ids_and_lines_that_they_had_before_there_was_a_choice(bench: Bench) -> None:
    spec = bench.spec(hparams={"lr": 3e-3, "weight_decay": 0.1})
    assert (spec.trial_id, spec.config_id) == ("e159303fa00518fc", "e36d8d1ad1986aa6")
    earlier = {name: value for name, value in spec.to_json().items() if name not in ("crops", "compile")}
    assert TrialSpec.from_json(earlier) == spec
    assert "ingredients" not in earlier
