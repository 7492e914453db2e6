"""What a repeat says of each example: the numbers against independent implementations, the file, and when it is
written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.metrics import brier_score_loss, log_loss

from flyp_sweep.trainers import methods, trial
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.calibration import BINS, CHUNK, calibration_error, outputs
from flyp_sweep.trainers.evaluation.metrics import score
from flyp_sweep.trainers.evaluation.predictions import names_of
from flyp_sweep.trainers.testing.bench import REPORTED, Bench, Pictures, finish

COLUMNS = ["trial_id", "split", "alpha", "row", "example", "label", "predicted", "confidence", "p_label", "group"]


def split_of(labels: np.ndarray, **more: Any) -> Split:
    return Split("s", "ood", Pictures(np.zeros((len(labels), 2, 2, 3), np.uint8)), labels, **more)


def random_logits(count: int = CHUNK + 300, classes: int = 7) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(4 * rng.standard_normal((count, classes))).float(), rng.integers(classes, size=count)


def test_likelihood_and_brier_score_are_those_of_scikit_learn() -> None:
    logits, labels = random_logits()
    said = outputs(logits, split_of(labels))
    p = logits.double().softmax(dim=1).numpy()
    assert said.predicted.tolist() == p.argmax(axis=1).tolist()
    np.testing.assert_allclose(said.confidence, p.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(said.p_label, p[np.arange(len(p)), labels], rtol=1e-12)
    found = said.calibration(labels)
    assert found["nll"] == pytest.approx(log_loss(labels, p), rel=1e-12)
    expected = brier_score_loss(labels, p, labels=np.arange(7), scale_by_half=False)
    assert found["brier"] == pytest.approx(expected, rel=1e-12)


def test_the_likelihood_of_a_label_that_is_all_but_impossible_is_finite() -> None:
    logits = torch.tensor([[0.0, 2000.0]])
    said = outputs(logits, split_of(np.array([0])))
    assert (said.nll[0], said.p_label[0]) == (2000.0, 0.0)


def test_the_calibration_error_is_that_of_bins_of_equally_many_examples() -> None:
    rng = np.random.default_rng(1)
    confidence, is_right = rng.random(1003).astype(np.float32), rng.random(1003) < 0.6
    bins = np.array_split(np.argsort(confidence, kind="stable"), BINS)
    assert {len(one) for one in bins} == {66, 67}
    gaps = [len(one) / 1003 * abs(confidence[one].astype(float).mean() - is_right[one].mean()) for one in bins]
    assert calibration_error(confidence, is_right) == pytest.approx(sum(gaps), rel=1e-12)
    assert calibration_error(np.ones(4, np.float32), np.array([True, True, True, False])) == pytest.approx(0.25)


def test_classes_that_stand_for_one_label_share_its_probability() -> None:
    logits, _ = random_logits(classes=5)
    class_map = np.array([1, -1, 0, 1, 2])
    labels = np.random.default_rng(2).integers(3, size=len(logits))
    said = outputs(logits, split_of(labels, class_map=class_map))
    among = logits[:, [0, 2, 3, 4]].double().softmax(dim=1).numpy()
    p = np.stack([among[:, 1], among[:, 0] + among[:, 2], among[:, 3]], axis=1)
    np.testing.assert_allclose(said.p_label, p[np.arange(len(p)), labels], rtol=1e-12)
    assert said.calibration(labels)["nll"] == pytest.approx(log_loss(labels, p), rel=1e-12)
    assert np.mean(said.predicted == labels) == score(logits, split_of(labels, class_map=class_map)).score


def run(bench: Bench, spec: Any, files: PredictionFiles, **more: Any) -> trial.TrialResult:
    task = replace(bench.task(spec), prediction_files=files, **more)
    return finish(trial.run(methods.get(spec.cell.method), task))


@pytest.mark.parametrize("kind", ["top", "logits"])
@pytest.mark.parametrize("name", ["zeroshot", "flyp"])
def test_a_repeat_writes_what_its_shown_models_predict(bench: Bench, tmp_path: Path, name: str, kind: Any) -> None:
    alphas = (0.0,) if name == "zeroshot" else (0.0, 0.5, 1.0)
    spec = bench.repeat(name, alphas=alphas, shots=2, splits={"id_test": "abc"})
    result = run(bench, spec, PredictionFiles(kind, tmp_path))
    table = pq.read_table(tmp_path / f"{spec.trial_id}.parquet")
    assert table.column_names == COLUMNS + (["logits"] if kind == "logits" else [])
    facts = json.loads(table.schema.metadata[b"flyp_sweep"])
    assert facts == {
        "trial_id": spec.trial_id,
        "chosen": result.alpha,
        "classes": ["zero", "one", "two"],
        "labels": {},
        "groups": {},
        "splits": {"id_test": "abc", "inverted": None, "faint": None},
    }
    frame = table.to_pandas()
    shown = sorted({1.0, result.alpha} & set(alphas))
    assert list(dict.fromkeys(zip(frame["split"], frame["alpha"], strict=True))) == [
        (split, alpha) for split in REPORTED for alpha in shown
    ]
    for line in result.evaluations:
        if line.role == "id_val":
            continue
        own = frame[(frame["split"] == line.split) & (frame["alpha"] == line.alpha)]
        assert own["row"].tolist() == list(range(21))
        assert (own["predicted"] == own["label"]).mean() == pytest.approx(line.metrics["accuracy"], abs=1e-12)
        assert -np.log(own["p_label"]).mean() == pytest.approx(line.metrics["nll"], rel=1e-9)
        right = (own["predicted"] == own["label"]).to_numpy()
        assert calibration_error(own["confidence"].to_numpy(), right) == pytest.approx(line.metrics["ece"], rel=1e-12)
        assert own["group"].isna().all()
        if kind == "logits":
            assert [int(np.argmax(one)) for one in own["logits"]] == own["predicted"].tolist()


@pytest.mark.parametrize(("stage", "kind"), [("search", "top"), ("repeat", "none")])
def test_nothing_is_written_of_a_search_or_where_nothing_is_asked_for(
    bench: Bench, tmp_path: Path, stage: str, kind: Any
) -> None:
    spec = bench.spec("lp", stage=stage, alphas=() if stage == "search" else (1.0,))
    run(bench, spec, PredictionFiles(kind, tmp_path))
    assert not list(tmp_path.iterdir())


def test_predictions_that_cannot_be_written_are_a_note_and_leave_nothing_behind(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spec = bench.repeat("lp")
    result = run(bench, spec, PredictionFiles("top", tmp_path / "file"))
    assert result.notes[-1].startswith("its predictions are not kept: ")
    assert replace(result, notes=[]) == replace(bench.run(spec), notes=[])
    blocked = tmp_path / "blocked" / f"{spec.trial_id}.parquet"
    blocked.mkdir(parents=True)
    assert run(bench, spec, PredictionFiles("top", blocked.parent)).notes[-1].startswith("its predictions")
    assert list(blocked.parent.iterdir()) == [blocked]


class Files(Pictures):
    def __init__(self, files: list[str]) -> None:
        super().__init__(np.zeros((len(files), 2, 2, 3), np.uint8))
        self._files = files

    def files(self) -> list[str]:
        return self._files

    def __getitem__(self, index: int, /) -> Image.Image:
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["/d/test/cat/1.png", "/d/test/dog/1.png"], ["cat/1.png", "dog/1.png"]),
        (["/d/all.npy", "/d/all.npy"], ["0", "1"]),
    ],
)
def test_an_example_is_called_by_its_file_where_each_has_one_else_by_its_row(
    files: list[str], names: list[str]
) -> None:
    assert names_of(Split("s", "ood", Files(files), np.zeros(len(files), np.int64))) == names
