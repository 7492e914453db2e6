"""MLflow is a view of the ledger, always: of its content, whatever the folder is called and wherever it lies."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from ledgers import Example, record_of
from mlflow import MlflowClient

from flyp_sweep.orchestrator.runs.sync import sync
from flyp_sweep.orchestrator.tracking.mirror_process import Follower
from flyp_sweep.orchestrator.tracking.names import short
from flyp_sweep.orchestrator.tracking.numbers import final_metrics, frontier, metric_part
from flyp_sweep.orchestrator.tracking.places import follow_moved_store
from flyp_sweep.orchestrator.tracking.uris import check_uri, default_uri, sqlite_file, store_uri
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, load

Record = dict[str, Any]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store of MLflow, whose tables take seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(store_uri(path)).search_experiments()
    return path


@pytest.fixture
def runs(tmp_path: Path, migrated: Path) -> Path:
    """A runs folder whose name is awkward in a URI, with a store that has tables and no experiments."""
    folder = tmp_path / "my runs? 100%20 'of' \"them\""
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    return folder


def run_folder(path: Path, score: float = 0.9, split: str = "photo") -> RunFolder:
    """The run folder of a finished sweep of one cell with two repeats; ID test has a group called as `split`."""
    folder, example = RunFolder.create(path, dump(load("quickstart"))), Example()
    numbers = {"id_val": score, "id_test": score, split: score}
    trials = [example.repeat(example.cell("ft"), seed, numbers, numbers, score=score) for seed in range(2)]
    for at in [at for trial in trials for at in trial["evaluations"]]:
        at["splits"][1]["metrics"][f"group_accuracy/{split}"] = 0.5
    for record in [*trials, example.selection(trials)]:
        folder.ledger.append(record_of(record))
    return folder


def view(uri: str) -> dict[str, list[float]]:
    """Name of a parent run -> the scores of its children."""
    client = MlflowClient(uri)
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    parents = {run.info.run_id: run for run in found if run.data.tags["flyp_sweep.kind"] == "sweep"}
    return {
        parent.data.tags["flyp_sweep.sweep"]: sorted(
            child.data.metrics["score"] for child in found if child.data.tags.get("mlflow.parentRunId") == run_id
        )
        for run_id, parent in parents.items()
    }


def artifacts(uri: str, sweep: str) -> Path:
    """Where the artifacts of a sweep lie; there are some."""
    client = MlflowClient(uri)
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    (parent,) = [run for run in found if run.data.tags.get("flyp_sweep.sweep") == sweep]
    assert [one.path for one in client.list_artifacts(parent.info.run_id)]
    return Path(url2pathname(urlsplit(parent.info.artifact_uri).path))


def test_it_shows_what_the_ledger_holds_not_what_it_held(runs: Path) -> None:
    folder = run_folder(runs / "x")
    assert sync(folder.path, None) == "2 trials added, 0 were there"
    assert sync(folder.path, None) == "0 trials added, 2 were there"
    folder.ledger.path.unlink()  # the same trials with other numbers, as after a change of a method's code
    other = run_folder(runs / "y", score=0.7)
    shutil.copy(other.ledger.path, folder.ledger.path)
    assert sync(folder.path, None) == "0 trials added, 2 replaced, 0 were there"
    assert view(default_uri(folder.path)) == {"x": [0.7, 0.7]}
    lines = folder.ledger.path.read_bytes().splitlines(keepends=True)
    folder.ledger.path.write_bytes(lines[0])
    assert sync(folder.path, None) == "0 trials added, 1 were there"
    assert view(default_uri(folder.path)) == {"x": [0.7]}, "a trial that the ledger lacks is shown no more"


def test_a_folder_that_was_removed_and_run_anew_is_shown_anew(runs: Path) -> None:
    first = run_folder(runs / "x")
    sync(first.path, None)
    shutil.rmtree(first.path)
    sync(run_folder(runs / "x", score=0.6).path, None)
    assert view(default_uri(first.path)) == {"x": [0.6, 0.6]}


def test_sweeps_of_one_name_stay_apart_and_a_renamed_folder_stays_one_with_its_artifacts(runs: Path) -> None:
    uri = store_uri(runs / "mlflow.db")
    one, two = run_folder(runs / "a" / "x", score=0.8), run_folder(runs / "b" / "x", score=0.7)
    assert [sync(folder.path, uri) for folder in (one, two, one)][-1] == "0 trials added, 2 were there"
    found = MlflowClient(uri).search_runs(["1"], "tags.`flyp_sweep.kind` = 'sweep'")
    assert len(found) == 2
    moved = two.path.rename(runs / "b" / "renamed [once] %41")
    assert sync(moved, uri) == "0 trials added, 2 were there"
    assert view(uri) == {"x": [0.8, 0.8], moved.name: [0.7, 0.7]}
    assert artifacts(uri, "x").is_relative_to(one.path)
    assert artifacts(uri, moved.name).is_relative_to(moved)


@pytest.mark.parametrize("label", ["night (rain)", "b&w, 50%", "a//b", "..", "夜", "x" * 400, "plain"])
def test_any_label_of_an_ood_set_and_of_a_group_is_a_metric(label: str, runs: Path) -> None:
    folder = run_folder(runs / "x", split=label)
    assert sync(folder.path, None).startswith("2 trials added")
    client = MlflowClient(default_uri(folder.path))
    child = next(run for run in client.search_runs(["1"]) if run.data.tags["flyp_sweep.kind"] == "trial")
    assert child.data.metrics[f"ood/{metric_part(label)}/accuracy"] == 0.9
    assert child.data.metrics[f"wiseft/ood/{metric_part(label)}/accuracy"] == 0.9
    assert child.data.metrics[f"id_test/group_accuracy/{metric_part(label)}"] == 0.5
    assert (metric_part(label) == label) == (label in ("plain", "夜"))


@pytest.mark.parametrize("measured", [True, False])
def test_a_trial_without_a_number_on_an_ood_set_has_no_mean(measured: bool, example: Example) -> None:
    numbers = {"id_val": 0.9, "id_test": 0.9, "photo": 0.8} | ({"new": 0.4} if measured else {})
    trial = example.repeat(example.cell("ft"), 0, numbers, numbers)
    trial["settings"] = {"splits": dict.fromkeys(("train", "id_val", "id_test", "photo", "new"), "an identity")}
    found = final_metrics(record_of(trial))
    assert found["ood/photo/accuracy"] == found["wiseft/ood/photo/accuracy"] == 0.8
    assert found.get("mean_ood/accuracy") == (pytest.approx(0.6) if measured else None)


def test_labels_that_look_alike_stay_different() -> None:
    labels = ["a (b)", "a [b]", "a <b>", "x" * 300, "x" * 301]
    assert len({metric_part(label) for label in labels}) == len(labels)


def test_a_permanent_error_is_told_once_and_leaves_no_half_written_run(runs: Path, monkeypatch: Any) -> None:
    folder = run_folder(runs / "x")
    monkeypatch.setattr("flyp_sweep.orchestrator.tracking.numbers.metric_part", lambda label: f"{label} (!)")
    behind = Follower(default_uri(folder.path), "quickstart", folder).close("", complete=True)
    assert behind is not None
    assert "(!)" in behind
    client = MlflowClient(default_uri(folder.path))
    (parent,) = client.search_runs(["1"])
    assert parent.info.status == "FINISHED"


def test_a_deleted_experiment_is_told_with_its_cure(runs: Path) -> None:
    folder = run_folder(runs / "x")
    sync(folder.path, None)
    MlflowClient(default_uri(folder.path)).delete_experiment("1")
    with pytest.raises(InputError, match=r"was deleted; restore it with `mlflow experiments restore -x 1`"):
        sync(folder.path, None)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("./mlruns", "expected http://HOST:PORT"),
        ("file:///tmp/mlruns", "MLflow no longer keeps runs in a folder of files"),
        ("htp://server", "found scheme 'htp'"),
        ("http:/server", "found no host in http:/server"),
        ("localhost:5000", "found scheme 'localhost'"),
        ("sqlite:////absent-folder/mlflow.db", "found no folder /absent-folder"),
        ("postgresql://me:secret@host:port/db", "port"),
        ("mssql+absent://host/db", "--mlflow"),
    ],
)
def test_an_impossible_store_is_told_before_anything_starts(uri: str, told: str) -> None:
    with pytest.raises(InputError, match="--mlflow") as no:
        check_uri(uri)
    assert told in str(no.value)
    assert "secret" not in str(no.value)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("uri", [None, "http://127.0.0.1:5000", "https://me:secret@host/path", "sqlite:///mlflow.db"])
def test_a_possible_store_is_not_asked(uri: str | None) -> None:
    check_uri(uri)


@pytest.mark.parametrize("name", ["a?b", "100%", "50%25", 'it\'s "mine"', "#1 & more", "漢 字"])
def test_a_path_comes_back_out_of_its_uri(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "mlflow.db"
    assert sqlite_file(store_uri(path)) == path.resolve()


def test_a_runs_folder_that_was_copied_shows_its_own_artifacts(runs: Path, tmp_path: Path) -> None:
    folder = run_folder(runs / "x")
    folder.tables.mkdir()
    (folder.tables / "comparison.txt").write_text("the table")
    sync(folder.path, None)
    copied = Path(shutil.copytree(runs, tmp_path / "copy of 'runs' %41"))
    shutil.rmtree(runs)
    follow_moved_store(copied / "mlflow.db")
    uri = store_uri(copied / "mlflow.db")
    assert artifacts(uri, "x").is_relative_to(copied / "x")
    client = MlflowClient(uri)
    assert client.get_experiment("1").artifact_location == (copied / "mlflow-artifacts").as_uri()
    (parent,) = [run for run in client.search_runs(["1"]) if run.data.tags["flyp_sweep.kind"] == "sweep"]
    found = client.download_artifacts(parent.info.run_id, "tables/comparison.txt", str(tmp_path))
    assert Path(found).read_text() == "the table"


def test_the_parent_holds_means_settings_source_and_user_and_no_other_experiment_is_there(runs: Path) -> None:
    folder = run_folder(runs / "x", score=0.8)
    sync(folder.path, None)
    client = MlflowClient(default_uri(folder.path))
    assert [one.name for one in client.search_experiments()] == ["quickstart"]
    found = client.search_runs(["1"])
    (parent,) = [run for run in found if run.data.tags["flyp_sweep.kind"] == "sweep"]
    names = ("ft/id_test/accuracy", "ft/mean_ood/accuracy", "ft/wiseft/id_test/accuracy", "ft/wiseft/mean_ood/accuracy")
    assert parent.data.metrics == dict.fromkeys(names, pytest.approx(0.8))
    assert parent.data.params["train.epochs"] == str(load("quickstart").train.epochs)
    assert parent.data.tags["mlflow.source.name"] == "flyp-sweep"
    assert parent.data.tags["mlflow.user"] == getpass.getuser()
    children = [run for run in found if run is not parent]
    assert {run.info.run_name for run in children} == {"ft lr=3e-4 wd=0.1 seed 0", "ft lr=3e-4 wd=0.1 seed 1"}
    assert all(run.info.start_time >= parent.info.start_time for run in children)
    assert {"method", "stage", "seed", "shots", "lr", "weight_decay"} <= children[0].data.params.keys()


def test_a_parent_follows_the_settings_of_the_search_space_and_keeps_its_trials(runs: Path) -> None:
    folder = run_folder(runs / "x")
    sync(folder.path, None)
    folder.write_space(dump(load("quickstart", ["repeats.seeds=7"])))
    assert sync(folder.path, None) == "0 trials added, 2 were there"
    assert view(default_uri(folder.path)) == {"x": [0.9, 0.9]}
    found = MlflowClient(default_uri(folder.path)).search_runs(["1"])
    (parent,) = [run for run in found if run.data.tags["flyp_sweep.kind"] == "sweep"]
    assert parent.data.params["repeats.seeds"] == "7"


def test_the_frontier_has_alpha_in_percent_as_its_step(example: Example) -> None:
    numbers = {"id_val": 0.9, "id_test": 0.9}
    trial = example.repeat(example.cell("ft"), 0, numbers, numbers)
    assert not list(frontier(record_of(trial))), "two points are no curve"
    trial["evaluations"] = [*trial["evaluations"], *example.evaluations(0.0, {"id_val": 0.5, "id_test": 0.4})]
    assert ("vs_alpha_percent/id_test", 0, 0.4) in list(frontier(record_of(trial)))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1e-3, "1e-3"), (3.16e-5, "3.16e-5"), (0.1, "0.1"), (0.0, "0"), (1234.5, "1234"), (16, "16"), ("sgd", "sgd")],
)
def test_a_value_in_a_name_is_short(value: object, shown: str) -> None:
    assert short(value) == shown
