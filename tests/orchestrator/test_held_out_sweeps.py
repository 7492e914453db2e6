"""Leave-one-out, folds and grids of corruptions as whole sweeps: from files of digits to tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import call
from own_runs import SPACE, write_tree
from PIL import Image
from serial_engine import evaluate_serially, run_serially

from flyp_sweep.results import RunFolder, TableOptions, make_table, read_evidence
from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.evidence import Measure
from flyp_sweep.results.statistics.two_ways import two_way_interval
from flyp_sweep.trainers.datasets.digits import CLASS_NAMES, restyle, uci_digits

QUICK = {"search": {"algorithm": "none", "space": {"lr": 3e-4, "weight_decay": 0.1}}}
DOMAINS = {"Plain": (0, 8), "faint": (8, 16), "thick": (16, 24)}
LEFT_OUT = {"name": "styles", "domains": "styles", "leave_one_out": list(DOMAINS)}


def write_domains(root: Path) -> None:
    """`styles/<style>/<digit>/<n>.png` of zeros, ones and twos."""
    pixels, labels = uci_digits()
    for style, rows in DOMAINS.items():
        for label in range(3):
            images = pixels[labels == label][slice(*rows)]
            folder = root / "styles" / style / CLASS_NAMES[label]
            folder.mkdir(parents=True)
            for number, image in enumerate(images if style == "Plain" else restyle(images, style)):
                Image.fromarray(image).save(folder / f"{number}.png")


def write_grid(root: Path) -> None:
    """Arrays of two corruptions, at five severities each of nine digits, as CIFAR-10-C has them."""
    pixels, labels = uci_digits()
    rows = np.concatenate([np.flatnonzero(labels == label)[40:43] for label in range(3)])
    clean = np.repeat(pixels[rows][..., None], 3, axis=-1).astype(float)
    noise = {"gaussian_noise": np.random.default_rng(0).normal(0, 40, clean.shape), "brightness": 50.0}
    (root / "grid").mkdir()
    for name, change in noise.items():
        cells = [np.clip(clean + severity * change, 0, 255).astype(np.uint8) for severity in range(1, 6)]
        np.save(root / "grid" / f"{name}.npy", np.concatenate(cells))
    np.save(root / "grid" / "labels.npy", np.tile(labels[rows], 5))


def swept(root: Path, dataset: dict[str, Any]) -> RunFolder:
    (root / "space.yaml").write_text(yaml.safe_dump(SPACE | QUICK | {"dataset": dataset}))
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    return RunFolder(root / "runs" / "own")


def entries(run: RunFolder, method: str) -> dict[str, Any]:
    """The entries of a method in the run's own table, by the names of columns, without ensembling."""
    made = json.loads((run.tables / "comparison.json").read_text())
    assert made["layout"] == "held_out"
    (grid,) = made["tables"]
    (row,) = [row for row in grid["rows"] if row["method"] == method]
    columns = [column["path"][-1] if "with ensembling" not in column["path"] else "" for column in grid["columns"]]
    return dict(zip(columns, row["entries"], strict=True))


@pytest.mark.slow
def test_every_domain_in_turn_is_one_space_and_one_table(tmp_path: Path) -> None:
    write_domains(tmp_path)
    write_grid(tmp_path)
    run = swept(tmp_path, LEFT_OUT)
    found, frame = entries(run, "ft"), run.frame()
    assert list(found)[:4] == ["Plain", "faint", "thick", "mean OOD"]
    own = frame[(frame.method == "ft") & (frame.stage == "repeat") & (frame.alpha == 1) & (frame.metric == "accuracy")]
    own = own[own.role == "ood"]
    assert set(zip(own.dataset, own.split, strict=True)) == {(f"styles-{name.lower()}", name) for name in DOMAINS}
    by_seed = own.groupby("seed").value.mean()
    assert len(by_seed) == 2
    assert found["mean OOD"]["number"]["mean"] == pytest.approx(by_seed.mean())
    assert len(found["mean OOD"]["trials"]) == 6
    assert found["thick"]["number"]["mean"] == pytest.approx(own[own.split == "thick"].value.mean())

    grid = {"name": "digits_c", "corruptions": "grid", "class_names": list(CLASS_NAMES[:3]), "severities": [1, 5]}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    code, output = evaluate_serially(run.path, "grid.yaml", cwd=tmp_path, data_root=tmp_path, yes=True)
    assert code == 0, output
    later = run.frame()
    held = (
        later[(later.split == "digits_c") & (later.method == "ft") & (later.alpha == 1)].groupby("metric").value.mean()
    )
    errors = [held[f"corruption_error/{name}"] for name in ("gaussian_noise", "brightness")]
    assert held["mean_corruption_error"] == pytest.approx(np.mean(errors))
    assert 1 - held["accuracy"] == pytest.approx(held["mean_corruption_error"])
    assert found["mean OOD"] == entries(run, "ft")["mean OOD"]
    _, shown = call("table", run.path, "--metric", "mean_corruption_error", "--ensembling", "without", cwd=tmp_path)
    assert "Mean corruption error in %" in shown
    assert "Lower is better." in shown


@pytest.mark.slow
def test_folds_are_one_row_per_method(tmp_path: Path) -> None:
    write_tree(tmp_path)
    folders = {"train": "train", "id_val": {"from": "train", "folds": 2}, "id_test": "test", "ood": {"night": "night"}}
    run = swept(tmp_path, {"name": "threes", "folders": folders})
    found, frame = entries(run, "ft"), run.frame()
    assert list(found)[:2] == ["ID", "night"]
    own = frame[(frame.method == "ft") & (frame.alpha == 1) & (frame.metric == "accuracy") & (frame.stage == "repeat")]
    assert set(own.dataset) == {"threes-fold1", "threes-fold2"}
    by_seed = own[own.role == "id_test"].groupby("seed").value.mean()
    assert found["ID"]["number"]["mean"] == pytest.approx(by_seed.mean())
    cells = [one for one in cell_results(read_evidence(run)) if one.cell.method == "ft"]
    of_folds = [cell.values("without", [Measure("id_test", "id_test", "accuracy")], {0, 1})[0] for cell in cells]
    expected = two_way_interval([np.mean(of_folds, axis=0)])
    (grid,) = make_table([read_evidence(run)], options=TableOptions(interval="seeds+examples")).grids
    interval = next(row for row in grid.rows if row.method == "ft").entries[0].interval
    assert interval == expected, "the same test images in each fold count once"
    told = (run.tables / "comparison.txt").read_text()
    rule = "Splits: id_val: fold k of 2 of each class, held out of train, drawn with seed 0 (threes-foldk)."
    assert rule in " ".join(told.split())
