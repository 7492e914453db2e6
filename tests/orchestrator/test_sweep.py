"""Whole sweeps: real training and a real MLflow store, with real Ray where a test is about processes."""

from __future__ import annotations

import json
import os
import signal

import pandas as pd
import pytest
from commands import QUICK, SMALL, call, numbers, run, start, trials, wait_for_trials
from ledgers import record_of
from serial_engine import run_serially

from flyp_sweep.orchestrator.store.lock import locked

pytestmark = pytest.mark.slow


def test_a_sweep_ends_with_a_table_and_figures(small):
    assert "without ensembling" in small.output
    assert all(label in small.output for label in ("Zeroshot", "LP", "FT", "FLYP", "mean OOD"))
    made = {str(path.relative_to(small.run)) for path in small.run.rglob("*") if path.is_file()}
    assert made >= {"space.yaml", "ledger.jsonl", "results.parquet", "tables/comparison.tex", "tables/comparison.csv"}
    assert "report.html" in made
    figures = {path.name for path in (small.run / "figures").iterdir()}
    kinds = ("frontier", "ood", "training", "sensitivity", "reliability", "classes", "confusion")
    suffixes = ("png", "svg", "pdf")
    assert figures == {f"{kind}-digits-digits-clip-full.{suffix}" for kind in kinds for suffix in suffixes}


def test_the_driver_leaves_mlflow_to_its_mirror(small):
    assert "ray" in small.imported
    assert "mlflow" not in small.imported


def test_search_trials_hold_id_val_alone_and_repeats_every_split(small):
    records = trials(small.run)
    for stage, roles in {"search": {"id_val"}, "repeat": {"id_val", "id_test", "ood"}}.items():
        of_stage = [record for record in records if record["stage"] == stage]
        assert {one.role for record in of_stage for one in record_of(record).measurements} == roles


def test_every_trial_is_run_once_and_the_tidy_results_say_the_same(small):
    records = trials(small.run)
    assert len({record["trial_id"] for record in records}) == len(records) == 2 * (3 + 2) + (3 + 1) + 1
    assert all(record["machine"]["threads"] == 1 and record["machine"]["cores"] >= 1 for record in records)
    frame = pd.read_parquet(small.run / "results.parquet")
    assert set(frame["trial_id"]) == {record["trial_id"] for record in records}
    assert {"dataset", "method", "seed", "alpha", "split", "role", "metric", "value", "hparam_lr"} <= set(frame.columns)


@pytest.mark.parametrize("after", [4, pytest.param(12, marks=pytest.mark.chaos)])
def test_a_driver_killed_and_started_again_ends_with_the_same_numbers(small, tmp_path, after):
    driver = start("run", small.space, cwd=tmp_path)
    wait_for_trials(tmp_path / "runs/small", after, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = numbers(tmp_path / "runs/small")
    code, output = run("run", small.space, cwd=tmp_path)
    assert code == 0, output
    assert before.items() <= numbers(tmp_path / "runs/small").items()
    assert numbers(tmp_path / "runs/small") == numbers(small.run)


def test_a_finished_sweep_run_again_runs_nothing_and_one_more_seed_runs_only_that(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK + "shots: 4\n")  # where every seed draws images, which LP differs by
    assert run_serially("quick.yaml", cwd=tmp_path)[0] == 0
    path = tmp_path / "runs/quick/ledger.jsonl"
    ledger = path.read_bytes()
    code, output = run_serially("quick.yaml", cwd=tmp_path)
    assert code == 0, output
    assert path.read_bytes() == ledger
    code, _ = run_serially("quick.yaml", "repeats.seeds=3", cwd=tmp_path)
    added = path.read_bytes().removeprefix(ledger).splitlines()
    assert code == 0
    assert [json.loads(line)["kind"] for line in added] == ["selection", "trial"]


def test_a_second_driver_on_a_folder_is_refused(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    with locked(tmp_path / "runs/quick"):
        code, output = call("run", "quick.yaml", cwd=tmp_path)
    assert code == 2
    assert "another flyp-sweep is running" in output


def test_mlflow_holds_the_sweep_and_every_trial_once(small):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{small.folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if run.data.tags["flyp_sweep.kind"] == "sweep"]
    children = [run for run in runs if run.data.tags["flyp_sweep.kind"] == "trial"]
    assert len(parents) == 1
    assert sorted(run.data.tags["flyp_sweep.trial_id"] for run in children) == sorted(numbers(small.run))
    assert all(run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id for run in children)
    assert all(run.info.status == "FINISHED" for run in runs)
    assert "without ensembling" in parents[0].data.tags["mlflow.note.content"].lower()
    artifacts = {item.path for item in client.list_artifacts(parents[0].info.run_id)}
    assert {"tables", "figures", "space.yaml"} <= artifacts
    flyp = next(run for run in children if run.data.tags["method"] == "flyp" and run.data.tags["stage"] == "repeat")
    assert len(client.get_metric_history(flyp.info.run_id, "train/loss")) == 2
    record = next(r for r in trials(small.run) if r["trial_id"] == flyp.data.tags["flyp_sweep.trial_id"])
    measured = record_of(record).measurements
    id_test = {one.alpha: one.value for one in measured if one.split == "id_test" and one.is_primary}
    assert flyp.data.metrics["id_test/accuracy"] == id_test[1.0]
    assert flyp.data.metrics["wiseft/id_test/accuracy"] == id_test[record["alpha"]]


def test_sync_rebuilds_the_mirror_and_a_second_time_adds_nothing(small, tmp_path):
    uri = f"sqlite:///{tmp_path}/other.db"
    first = call("sync", small.run, "--mlflow", uri, cwd=tmp_path)
    second = call("sync", small.run, "--mlflow", uri, cwd=tmp_path)
    assert first[0] == second[0] == 0, first[1] + second[1]
    assert "15 trials added, 0 were there" in first[1]
    assert "0 trials added, 15 were there" in second[1]


def test_asha_s_stops_are_kept_in_the_ledger_and_honoured_by_the_next_run(tmp_path):
    text = SMALL.replace("[zeroshot, lp, ft, flyp]", "[ft]").split("  per_method")[0]
    text = text.replace("epochs: 2", "epochs: 4").replace("num_samples: 3", "num_samples: 6")
    text = text.replace("algorithm: optuna", "algorithm: random")
    text += "shots: 16\nscheduler: {name: asha, grace_epochs: 1, reduction_factor: 2}\nrepeats: {seeds: 1}\n"
    (tmp_path / "small.yaml").write_text(text)
    code, output = run("run", "small.yaml", cwd=tmp_path)
    assert code == 0, output
    records = trials(tmp_path / "runs/small")
    stopped = [record for record in records if record["status"] == "stopped"]
    assert stopped
    assert all(record["stage"] == "search" and len(record["curve"]) == record["epochs"] + 1 < 5 for record in stopped)
    assert all(record["epochs"] == 4 for record in records if record["status"] == "done")
    ledger = (tmp_path / "runs/small/ledger.jsonl").read_bytes()
    assert run_serially("small.yaml", cwd=tmp_path)[0] == 0
    assert (tmp_path / "runs/small/ledger.jsonl").read_bytes() == ledger


FAILING = '''
import dataclasses

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.lp import LinearProbing


class Fragile(LinearProbing):
    """Linear probing that fails for one strength and in one repeat, and has a loss that is no number for another."""

    name = "fragile"
    deterministic = False

    def solve(self, task):
        if task.hparams["l2"] < 0.005:
            raise TrialFailed("the training loss is nan at step 7")
        if task.spec.stage == "repeat" and task.spec.seed == 1:
            raise ValueError("an accident [of sorts]")
        return super().solve(task)

    def scores(self, model, task, split):
        found = super().scores(model, task, split)
        return dataclasses.replace(found, loss=float("nan")) if task.hparams["l2"] == 0.01 else found
'''


def test_failed_trials_are_kept_with_their_reason_and_the_sweep_goes_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fragile.py").write_text(FAILING)
    search = "{algorithm: grid, space: {l2: {choice: [0.001, 0.01, 0.1]}}}"
    text = QUICK.replace("lp]", "'fragile:Fragile']").replace(QUICK.split("search: ")[1].split("\n")[0], search)
    (tmp_path / "quick.yaml").write_text(text)
    code, output = run_serially("quick.yaml", "repeats.seeds=3", cwd=tmp_path)
    assert code == 1, output
    records = trials(tmp_path / "runs/quick")
    assert {one["reason"] for one in records if one["status"] == "failed"} == {
        "the training loss is nan at step 7",
        "a score, loss or result of the trial is not finite",
        "ValueError: an accident [of sorts]",
    }
    assert "an accident [of sorts]" in output  # brackets are text, not colours
    assert "Traceback" not in output
    assert "2 of 3" in output
