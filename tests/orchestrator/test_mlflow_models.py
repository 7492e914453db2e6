"""Kept models in MLflow: LoggedModels of their trials without a pickle, the best of each cell registered and served."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import pytest
import refusal
import torch
from commands import trials
from ledgers import Example, record_of
from mlflow import MlflowClient
from PIL import Image
from serial_engine import run_serially
from spaces import space_with

from flyp_sweep.orchestrator.runs.sync import sync
from flyp_sweep.orchestrator.tracking.kept_models import registered_name
from flyp_sweep.orchestrator.tracking.mlflow_trial import data_sets
from flyp_sweep.orchestrator.tracking.uris import default_uri
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.loading import dump, load

SPACE = """
name: kept
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp]
search: {algorithm: none, space: {C: 1.0}}
wise_ft: {alphas: 3}
mlflow: {register: true}
"""
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin")


@pytest.fixture(autouse=True)
def _uri_restored() -> object:
    """MLflow puts a URI that is set into the environment, where later tests' sweeps would find it."""
    yield
    mlflow.set_tracking_uri("")


def files_of(model: object) -> list[Path]:
    folder = Path(url2pathname(urlsplit(model.artifact_location).path))  # type: ignore[attr-defined]
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_kept_fit_is_a_logged_model_of_its_trial_as_long_as_it_is_kept(tmp_path: Path) -> None:
    example, folder = Example(), RunFolder.create(tmp_path / "run", dump(load("quickstart")))
    numbers = {"id_val": 0.9, "id_test": 0.9}
    repeats = [example.repeat(example.cell("ft"), seed, numbers, numbers, score=0.9) for seed in range(2)]
    for record in [*repeats, example.selection(repeats)]:
        folder.ledger.append(record_of(record))
    folder.weights.mkdir()
    kept = folder.weights / f"{repeats[1]['trial_id']}.safetensors"
    kept.touch()
    uri = default_uri(folder.path)
    for _ in range(2):
        sync(folder.path, None)
        client = MlflowClient(uri)
        (experiment,) = [one for one in client.search_experiments() if one.name == "quickstart"]
        (model,) = client.search_logged_models([experiment.experiment_id])
        run = client.get_run(model.source_run_id)
        assert run.data.tags["flyp_sweep.trial_id"] == model.tags["flyp_sweep.trial_id"] == repeats[1]["trial_id"]
        assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
        assert (model.status, model.tags["serialization"]) == ("READY", "safetensors")
        assert model.params.keys() == {"lr", "weight_decay"}
        assert model.params.items() <= run.data.params.items()
        files = {path.name for path in files_of(model)}
        assert {"MLmodel", "input_example.json"} <= files
        assert not [path for path in files if path.endswith((*PICKLES, ".safetensors"))], "big files stay in the run"
    mlflow.set_tracking_uri(uri)
    info = mlflow.models.get_model_info(f"models:/{model.model_id}")
    assert info.signature is not None
    assert "label" in str(info.signature.outputs)
    refusal.refused(
        lambda: mlflow.pyfunc.load_model(f"models:/{model.model_id}"), "found no weights", "mlflow.register"
    )
    kept.unlink()
    sync(folder.path, None)
    assert not MlflowClient(uri).search_logged_models([experiment.experiment_id])


def test_the_splits_that_a_trial_read_are_its_data_sets() -> None:
    example = Example()
    numbers = {"id_val": 0.9, "id_test": 0.9, "photo": 0.8}
    told = example.repeat(example.cell("ft"), 0, numbers, numbers, score=0.9)
    told["settings"] = {
        **told.get("settings", {}),
        "splits": {"train": "a1", "id_val": "b2", "id_test": "c3", "photo": "d4"},
    }
    record = record_of(told)
    assert isinstance(record, TrialRecord)
    found = {one.dataset.name: (one.dataset.digest, one.tags[0].value) for one in data_sets(record)}
    name = record.cell.dataset
    assert found == {
        f"{name}/train": ("a1", "train"),
        f"{name}/id_val": ("b2", "id_val"),
        f"{name}/id_test": ("c3", "id_test"),
        f"{name}/photo": ("d4", "ood"),
    }


def test_a_registered_name_tells_cells_apart() -> None:
    one = space_with(methods=["flyp"])
    assert registered_name(one, one.cells()[0]) == "small-digits-flyp"
    models = [{"arch": "ViT-B-16", "pretrained": "openai"}, {"arch": "digits-clip", "pretrained": "bundled"}]
    many = space_with(methods=["flyp", "my.module:Mine"], model=models, shots=[4, 16])
    names = [registered_name(many, cell) for cell in many.cells()]
    assert names[0] == "small-digits-flyp-ViT-B-16-openai-4-shot"
    assert len(set(names)) == 8
    assert not any(set(name) & set("/:") for name in names)
    assert registered_name(one, Cell("digits", "m", None, "flyp+uniform_soup")) == "small-digits-flyp+uniform_soup"


def test_nothing_is_registered_of_a_run_that_keeps_no_weights() -> None:
    refusal.refused(
        lambda: space_with(mlflow={"register": True}, weights={"keep": "none"}),
        "mlflow.register: found true; expected false where weights.keep is none",
    )


@pytest.mark.slow
def test_the_best_of_each_cell_is_registered_and_predicts_on_paths(tmp_path: Path) -> None:
    (tmp_path / "kept.yaml").write_text(SPACE)
    code, printed = run_serially("kept.yaml", cwd=tmp_path)
    assert code == 0, printed
    assert "as models:/kept-digits-lp@best" in printed
    folder = tmp_path / "runs" / "kept"
    uri = default_uri(folder)
    client = MlflowClient(uri)
    repeat = next(one for one in trials(folder) if one["cell"]["method"] == "lp")
    version = client.get_model_version_by_alias("kept-digits-lp", "best")
    assert client.get_run(version.run_id).data.tags["flyp_sweep.trial_id"] == repeat["trial_id"]
    (experiment,) = [one for one in client.search_experiments() if one.name == "kept"]
    models = client.search_logged_models([experiment.experiment_id])
    assert len(models) == 2
    for model in models:
        assert not [path for path in files_of(model) if path.suffix in PICKLES]
        assert any(path.name == "head.safetensors" for path in files_of(model))

    pictures = [tmp_path / f"{shade}.png" for shade in (0, 255)]
    for path, shade in zip(pictures, (0, 255), strict=True):
        Image.new("RGB", (32, 32), (shade, shade, shade)).save(path)
    mlflow.set_tracking_uri(uri)
    threads = torch.get_num_threads()
    served = mlflow.pyfunc.load_model("models:/kept-digits-lp@best")
    found = served.predict([*map(str, pictures), "absent.png"])
    assert torch.get_num_threads() == threads
    assert found["path"].tolist() == [*map(str, pictures), "absent.png"]
    assert found["label"].notna().tolist() == [True, True, False]
    assert "absent.png" in found["error"][2]

    assert sync(folder, None, Path("data")) == "0 trials added, 2 were there"
    assert len(client.search_model_versions("name = 'kept-digits-lp'")) == 1, "what is registered is left alone"


@pytest.mark.slow
def test_a_model_that_open_clip_cannot_load_is_left_out_and_the_next_one_is_registered(tmp_path: Path) -> None:
    space = SPACE.replace("[zeroshot, lp]", "[cocoop, lp]").replace("{alphas: 3}", "{alphas: [1.0]}")
    few = "shots: 1\ntrain: {epochs: 1, batch_size: 5}\nrepeats: {seeds: 1}\n"
    fixed = "space: {C: 1.0, lr: 1.0e-3, weight_decay: 0.0}"
    (tmp_path / "kept.yaml").write_text(space.replace("space: {C: 1.0}", fixed) + few)
    code, printed = run_serially("kept.yaml", cwd=tmp_path)
    assert code == 0, printed
    assert "not registered: cocoop: its models cannot be exported for open_clip" in printed
    assert "as models:/kept-digits-lp@best" in printed
