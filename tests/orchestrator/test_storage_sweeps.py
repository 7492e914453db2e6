"""Whole sweeps whose run folder is in a store: real Ray, real training, a real S3-compatible server."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import QUICK, call, numbers, start, trials, wait_for_trials
from serial_engine import run_serially
from stores import BUCKET, SECRET, Gate, s3_server
from waiting import until

from flyp_sweep.orchestrator.store.ledger_parts import LedgerParts
from flyp_sweep.trainers.data.object_store import Storage

pytestmark = pytest.mark.slow

URL = f"s3://{BUCKET}/runs/tuned"

TUNED = """
name: tuned
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, ft]
train: {epochs: 3, batch_size: 128, warmup_steps: 2}
search: {algorithm: random, num_samples: 3, space: {lr: {loguniform: [1.0e-4, 1.0e-2]}, weight_decay: {choice: [0.1]}}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
ensembles: [uniform_soup]
checkpoints: {every_seconds: 0}
mlflow: {register: true}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as way:
        yield way


def in_store() -> list[str]:
    """The ids of the trials that the store holds."""
    lines = b"".join(LedgerParts(Storage(URL)).fetch()).splitlines()
    return [record["trial_id"] for record in map(json.loads, lines) if record["kind"] == "trial"]


@pytest.fixture(scope="module")
def moved(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a sweep was begun in `here`, lost its store for a while, was killed, and went on from the store in `there`.

    A second driver was refused in `second`, before; `alone` holds the same sweep, undisturbed on a disk.
    """
    folder = tmp_path_factory.mktemp("moved")
    (folder / "tuned.yaml").write_text(TUNED)
    for name in ("here", "there", "second", "alone"):
        (folder / name).mkdir()
    driver = start("run", "../tuned.yaml", "--out", URL, cwd=folder / "here")
    try:
        wait_for_trials(folder / "here/runs/tuned", 1, driver)
        until(in_store)
        code, output = call("run", folder / "tuned.yaml", "--out", URL, cwd=folder / "second")
        assert code == 2
        assert output.startswith(f"error: {URL}: another flyp-sweep is running in this folder: process {driver.pid} on")
        assert output.count("\n") == 1
        assert not (folder / "second/runs/tuned").exists()
        gate.close()
        before = len(trials(folder / "here/runs/tuned"))
        wait_for_trials(folder / "here/runs/tuned", before + 1, driver)  # trials do not wait for the store
        gate.open()
        until(lambda: len(in_store()) > before)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    (folder / "published").write_text("\n".join(in_store()))
    for name, out in (("alone", None), ("there", URL)):
        code, output = run_serially("../tuned.yaml", cwd=folder / name, out=out)
        assert code == 0, output
    assert f"published: {URL}" in output
    assert SECRET not in output
    (folder / "output").write_text(output)
    return folder


def test_a_sweep_that_moved_to_another_machine_ends_with_the_numbers_of_one_on_a_disk(moved):
    assert numbers(moved / "there/runs/tuned") == numbers(moved / "alone/runs/tuned")


def test_models_are_registered_from_the_weights_in_the_store(moved):
    output = (moved / "output").read_text()
    assert "has not kept the weights" not in output
    assert output.count("\nregistered ") == 3


def test_no_trial_that_was_published_is_run_again(moved):
    published = (moved / "published").read_text().split()
    assert 2 <= len(published) < 7
    assert in_store()[: len(published)] == published
    assert len(in_store()) == len(set(in_store())) == 1 + 3 + 2 + 1
    ledger = (moved / "there/runs/tuned/ledger.jsonl").read_bytes()
    assert b"".join(LedgerParts(Storage(URL)).fetch()) == Storage(URL).read("ledger.jsonl") == ledger
    begun = (moved / "here/runs/tuned/ledger.jsonl").read_bytes().splitlines()[: len(published)]
    assert ledger.splitlines()[: len(published)] == begun


def test_all_of_the_run_folder_is_in_the_store_and_nothing_of_trials_under_way(moved):
    store, folder = Storage(URL), moved / "there/runs/tuned"
    assert list(store.sizes()) == ["ledger.jsonl", "report.html", "results.parquet", "run_id", "space.yaml"]
    for name in ("tables", "figures"):
        assert list(store.below(name).sizes()) == sorted(path.name for path in (folder / name).iterdir())
    for name in ("running", "lock"):
        assert store.below(name).sizes() == {}


def test_the_models_of_a_run_and_what_they_predict_are_in_the_store_and_predictions_in_its_copy(moved):
    store, folder = Storage(URL), moved / "there/runs/tuned"
    repeats = {one["trial_id"]: one["cell"]["method"] for one in trials(folder) if one["stage"] == "repeat"}
    kept = [name.removesuffix(".safetensors") for name in store.below("weights").sizes()]
    assert sorted(repeats[name] for name in kept) == sorted(set(repeats.values())), "one of each cell"
    predictions = store.below("predictions").sizes()
    assert predictions == {one.name: one.stat().st_size for one in (folder / "predictions").iterdir()}
    assert predictions.keys() == {f"{name}.parquet" for name in repeats}


def test_the_commands_read_a_run_in_a_store(moved, tmp_path):
    code, output = call("status", URL, cwd=tmp_path)
    assert code == 0, output
    assert URL in output
    assert output.count("done") == 4
    of_folder = call("table", moved / "there/runs/tuned", "--format", "csv", cwd=tmp_path)
    assert call("table", URL, "--format", "csv", cwd=tmp_path) == of_folder
    code, output = call("show", in_store()[0], "--run", URL, cwd=tmp_path)
    assert code == 0, output
    assert URL in output
    code, output = call("plot", URL, "-o", "figures", cwd=tmp_path)
    assert code == 0, output
    assert list((tmp_path / "figures").iterdir())
    for command in ("plot", "report"):
        code, output = call(command, URL, cwd=tmp_path)
        assert (code, output.count("\n")) == (2, 1)
        assert "add -o" in output
    assert [path.name for path in tmp_path.iterdir()] == ["figures"], "nothing else is left behind"


def test_what_is_no_run_in_a_store_is_told_in_a_line(gate, tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    for arguments, said in (
        (("status", f"s3://{BUCKET}/absent/x"), "found nothing, expected a run folder"),
        (("run", "quick.yaml", "--out", "s3://no-such-bucket/runs/x"), "bucket does not exist"),
        (("run", "quick.yaml", "--out", "nonsense://x/y"), "cannot be opened"),
    ):
        code, output = call(*arguments, cwd=tmp_path)
        assert (code, output.count("\n")) == (2, 1), output
        assert said in output
        assert SECRET not in output
    assert not (tmp_path / "runs/quick").exists()


def test_a_copy_that_went_another_way_is_refused_and_kept(moved, tmp_path):
    shutil.copytree(moved / "here", tmp_path / "here")  # other tests look at it as it was left
    ledger = tmp_path / "here/runs/tuned/ledger.jsonl"
    first, *rest = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([first, *reversed(rest)]))
    before = ledger.read_bytes()
    code, output = call("run", moved / "tuned.yaml", "--out", URL, cwd=tmp_path / "here")
    assert (code, output.count("\n")) == (2, 1), output
    assert "move runs/tuned away" in output
    assert ledger.read_bytes() == before
