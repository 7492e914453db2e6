"""Hugging Face data sets from the hub to a table: fetched by `data prepare`, and trained on without the hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_folders
import pytest
from commands import call, run, trials
from hub_server import COMMIT, Hub, Stored, hub_server
from huggingface_hub import constants
from serial_engine import run_serially

from flyp_sweep.trainers.testing.reader_contract import Example, examples

library = pytest.importorskip("datasets")

CIFAR = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10"
SPACE = """
name: birds
dataset: {hub: org/birds, splits: {train: train, id_val: validation, id_test: test, ood: {sketch: sketch}}%s}
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp]
train: {batch_size: 12}
search: {algorithm: random, num_samples: 2, space: {l2: {loguniform: [1.0e-3, 1.0e-1]}}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""


def files_of(images: list[Example], folder: Path) -> dict[str, bytes]:
    """A repository of these images: a Parquet file for each split, two for train."""
    for split, rows in hub_folders.by_split(images).items():
        parts = [rows[: len(rows) // 2], rows[len(rows) // 2 :]] if split == "train" else [rows]
        for at, part in enumerate(parts):
            path = folder / f"data/{split}-{at:05d}-of-{len(parts):05d}.parquet"
            hub_folders.write_parquet(path, part, sorted({one.label for one in images}))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process asks, with one data set; a search space of it in the working folder."""
    with hub_server() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(library.config, "HF_ENDPOINT", hub.url)
        monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
        hub.datasets["org/birds"] = Stored(files_of(examples(), tmp_path / "made"))
        (tmp_path / "birds.yaml").write_text(SPACE % "")
        yield hub


def test_a_data_set_is_fetched_once_and_its_commit_is_told(tmp_path: Path, hub: Hub) -> None:
    stored = hub.datasets["org/birds"]
    code, output = call("data", "check", "birds.yaml", cwd=tmp_path)
    assert (code, output) == (
        2,
        "missing: org/birds (from the Hugging Face hub, by `flyp-sweep data prepare SPACE.yaml`)\n",
    )
    assert not stored.asked
    code, output = call("data", "prepare", "birds.yaml", cwd=tmp_path)
    assert code == 0, output
    assert f"org/birds of the Hugging Face hub, commit {COMMIT}" in output
    assert {path for path, _ in stored.asked} >= {path for path in stored.files if "train" in path}
    stored.asked.clear()
    hub.datasets.clear()
    shutil.rmtree(tmp_path / "hub")
    code, again = call("data", "prepare", "birds.yaml", cwd=tmp_path)
    assert (code, again) == call("data", "check", "birds.yaml", "--deep", cwd=tmp_path)
    assert again in output
    assert not stored.asked


def test_a_fetch_goes_on_where_it_was_broken_off(tmp_path: Path, hub: Hub) -> None:
    stored = hub.datasets["org/birds"]
    stored.broken.add("data/train-00001-of-00002.parquet")
    code, output = call("data", "prepare", "birds.yaml", cwd=tmp_path)
    assert code == 2
    assert output.splitlines()[1].startswith("error: org/birds: could not be fetched (")
    assert not list((tmp_path / "data").rglob("*.arrow"))
    before, stored.broken, stored.asked = {path for path, _ in stored.asked}, set(), []
    code, output = call("data", "prepare", "birds.yaml", cwd=tmp_path)
    assert code == 0, output
    assert "data/train-00000-of-00002.parquet" in before
    assert before.isdisjoint(path for path, _ in stored.asked)


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (
            lambda hub: hub.datasets.clear(),
            "",
            "'org/birds', which the Hugging Face hub does not have, or hides from you",
        ),
        (lambda hub: setattr(hub.datasets["org/birds"], "error", "GatedRepo"), "", "accept the terms at https://hugg"),
        (lambda hub: None, ", revision: v7", "dataset.revision: found 'v7'; expected a branch, tag or commit"),
        (lambda hub: None, ", config: large", "dataset.config: found 'large'; expected one of those of org/birds: def"),
        (lambda hub: hub.datasets["org/birds"].files.update({"birds.py": b""}), "", "a loading script"),
        (lambda hub: hub.datasets["org/birds"].files.clear(), "", "cannot be read as a Hugging Face data set"),
        (lambda hub: setattr(constants, "ENDPOINT", "http://127.0.0.1:9"), "", "could not be fetched ("),
    ],
    ids=["absent", "gated", "revision", "configuration", "script", "empty", "no network"],
)
def test_what_cannot_be_fetched_is_one_line(tmp_path: Path, hub: Hub, change: Any, more: str, said: str) -> None:
    change(hub)
    (tmp_path / "birds.yaml").write_text(SPACE % more)
    code, output = call("data", "prepare", "birds.yaml", cwd=tmp_path)
    first, error = output.splitlines()
    assert (code, first) == (2, "fetching org/birds from the Hugging Face hub")
    assert error.startswith("error: ")
    assert said in error


def photos(split: str, role: str, count: int) -> list[Example]:
    """The first photos of three classes of CIFAR-10, in order of class and name."""
    return [
        Example(role, f"{label}_{path.name}", path.read_bytes(), label)
        for label in ("airplane", "bird", "cat")
        for path in sorted((CIFAR / split / label).iterdir())[:count]
    ]


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.is_dir(), reason="needs photos of CIFAR-10")
def test_a_sweep_on_a_fetched_data_set_gives_the_table_of_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photos("train", "train", 12) + photos("id_val", "id_val", 8) + photos("id_test", "id_test", 8)
    for one in images:
        path = tmp_path / "data" / one.split / one.label / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
    hubs = "{name: birds, hub: org/birds}"
    folders = "{name: birds, folders: {train: train, id_val: id_val, id_test: id_test}}"
    for kind, entry in (("hub", hubs), ("folders", folders)):
        lines = [f"dataset: {entry}" if line.startswith("dataset:") else line for line in SPACE.splitlines()]
        (tmp_path / f"{kind}.yaml").write_text("\n".join(lines))
    with hub_server() as hub:
        hub.datasets["org/birds"] = Stored(files_of(images, tmp_path / "made"))
        for name, value in {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}.items():
            monkeypatch.setenv(name, value)
        code, output = run("data", "prepare", "hub.yaml", cwd=tmp_path)
        assert code == 0, output
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, output = run("run", "hub.yaml", "--out", "hub", cwd=tmp_path)
    assert code == 0, output
    code, output = run_serially("folders.yaml", cwd=tmp_path, out=Path("folders"))
    assert code == 0, output
    of_hub, of_folders = ({one["trial_id"] for one in trials(tmp_path / kind)} for kind in ("hub", "folders"))
    assert of_hub == of_folders
    tables = [call("table", kind, "--format", "csv", cwd=tmp_path) for kind in ("hub", "folders")]
    assert tables[0] == tables[1]
    assert tables[0][0] == 0
