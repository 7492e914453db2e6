"""A sweep on data with groups, OOD validation, a held-out split and an OOD set of some classes: from YAML to tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from commands import call
from guarded import FORBIDDEN
from own_runs import SPACE, write_tree
from serial_engine import evaluate_serially, run_serially

from flyp_sweep import RunFolder

pytestmark = pytest.mark.slow

PARTS = {"train": "0", "test": "1", "sketch": "2", "night": "3"}
"""Folder of a split -> how the table numbers it."""
DATASET: dict[str, Any] = {
    "name": "threes",
    "tables": {
        "train": "all.csv",
        "id_val": {"from": "train", "fraction": 0.4, "seed": 3},
        "id_test": "all.csv",
        "ood_val": {"sketch": "all.csv"},
        "ood": {"night": "all.csv"},
    },
    "columns": {
        "path": "{folder}/{digit}/{number}.png",
        "label": "digit",
        "group": ["digit", "odd"],
        "split": {
            "train": {"part": 0},
            "id_test": {"part": 1},
            "sketch": {"part": 2},
            "night": {"part": 3, "digit": ["zero", "one"]},
        },
    },
    "templates": ["a photo of the handwritten digit {}."],
    "metric": "worst_group_accuracy",
    "predict_among": {"night": "present"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("roles")
    write_tree(root)
    rows = [
        (folder, path.parent.name, path.stem, PARTS[folder], int(path.stem) % 2)
        for folder in PARTS
        for path in sorted((root / folder).rglob("*.png"))
    ]
    with (root / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("folder", "digit", "number", "part", "odd"), *rows])
    (root / "space.yaml").write_text(yaml.safe_dump(SPACE | {"dataset": DATASET, "weights": {"keep": "all"}}))
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    return root


def run_of(root: Path) -> RunFolder:
    return RunFolder(root / "runs" / "own")


def records(root: Path, kind: str = "trial") -> list[dict[str, Any]]:
    lines = (run_of(root).path / "ledger.jsonl").read_text().splitlines()  # type: ignore[operator]
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def test_searches_are_selected_by_the_worst_group_of_id_validation_alone(root: Path) -> None:
    searched = [one for one in records(root) if one["stage"] == "search"]
    assert searched
    for trial in searched:
        ((found,),) = [at["splits"] for at in trial["evaluations"]]
        of_groups = [value for name, value in found["metrics"].items() if name.startswith("group_accuracy/")]
        assert (found["role"], found["primary"], len(of_groups)) == ("id_val", "worst_group_accuracy", 6)
        assert trial["score"] == found["metrics"]["worst_group_accuracy"] == min(of_groups)


def test_the_ledger_the_predictions_and_the_table_agree_on_each_group(root: Path) -> None:
    run = run_of(root)
    frame = run.predictions(method="ft", split="id_test", side="without")
    right = frame["label"].eq(frame["predicted"]).groupby([frame["seed"], frame["group_name"]], observed=True).mean()
    tidy = pd.read_parquet(run.path / "results.parquet")  # type: ignore[operator]
    own = tidy[tidy["selected"] & tidy["method"].eq("ft") & tidy["split"].eq("id_test") & tidy["alpha"].eq(1.0)]
    for (seed, group), value in right.items():  # type: ignore[misc]
        (held,) = own.loc[own["seed"].eq(seed) & own["metric"].eq(f"group_accuracy/{group}"), "value"]
        assert held == pytest.approx(value)
    assert sorted(set(frame["group_name"])) == [f"digit={d},odd={n}" for d in ("one", "two", "zero") for n in (0, 1)]
    options = ("--format", "csv", "--ensembling", "without", "--layout", "per_shift")
    for metric, expected in [
        ("worst_group_accuracy", right.groupby("seed").min().mean()),
        ("group_accuracy/digit=two,odd=1", right.xs("digit=two,odd=1", level="group_name").mean()),
    ]:
        code, output = call("table", "runs/own", "--metric", metric, *options, cwd=root)
        assert code == 0, output
        (row,) = [
            one for one in csv.DictReader(output.splitlines()) if (one["method"], one["role"]) == ("ft", "id_test")
        ]
        assert float(row["mean"]) == pytest.approx(expected)


def test_the_table_shows_ood_validation_apart_and_says_every_rule(root: Path) -> None:
    code, output = call("table", "runs/own", "--format", "json", cwd=root)
    assert code == 0, output
    (table,) = json.loads(output)["tables"]
    assert [one["path"][-1] for one in table["columns"]][:3] == ["ID", "OOD val. sketch", "night"]
    (rules,) = [line for line in table["audit"] if line.startswith("Splits: ")]
    assert "id_val: 40% of each class, held out of train, drawn with seed 3" in rules
    assert "night: predictions among the 2 of 3 classes that it has labels of" in rules
    assert "nothing was selected on it" in table["caption"]
    night = run_of(root).predictions(method="zeroshot", split="night")
    assert set(night["predicted_name"]) <= {"zero", "one"}


def test_data_check_and_the_model_card_know_the_role_and_the_rule(root: Path) -> None:
    code, output = call("data", "check", "space.yaml", "--root", ".", cwd=root)
    assert code == 0, output
    told = [line.split() for line in output.splitlines()]
    assert ["sketch", "ood_val", "18", "images"] in told
    assert "night: predictions among the 2 of 3 classes that it has labels of" in output
    assert "all.csv: not used: 6 rows that dataset.columns.split gives to no split" in output
    code, output = call("export", "runs/own", "--method", "ft", "-o", "model", "--data-root", ".", cwd=root)
    assert code == 0, output
    card = (root / "model" / "README.md").read_text()
    assert "| sketch | OOD validation | worst_group_accuracy |" in card
    assert "worst_group_accuracy (OOD validation)" in card


def test_ood_validation_that_comes_later_costs_evaluations_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = records(root)
    monkeypatch.setenv(FORBIDDEN, ",".join(one["trial_id"] for one in before))
    (root / "later.csv").write_text("folder,digit,number,odd\n" + "".join(f"val,{d},1,0\n" for d in ("zero", "one")))
    on = {"name": "threes", "tables": {"ood_val": {"later": "later.csv"}}, "predict_among": {"later": "present"}}
    (root / "later.yaml").write_text(yaml.safe_dump(on))
    code, output = evaluate_serially(run_of(root).path, "later.yaml", cwd=root, data_root=root)  # type: ignore[arg-type]
    assert code == 0, output
    assert "dataset.ood_val.later was added" in output
    after = records(root)[len(before) :]
    assert after
    assert {one["stage"] for one in after} == {"repeat"}
    roles = {line["split"]: line["role"] for one in after for at in one["evaluations"] for line in at["splits"]}
    assert roles == {"id_val": "id_val", "id_test": "id_test", "sketch": "ood_val", "later": "ood_val", "night": "ood"}
    space = yaml.safe_load((root / "runs" / "own" / "space.yaml").read_text())
    assert space["dataset"]["predict_among"] == {"night": "present", "later": "present"}
