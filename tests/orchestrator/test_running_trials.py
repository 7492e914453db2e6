"""What others see of the trials that run: files in the run folder, from the start of a trial to its end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import call, start, trials
from serial_engine import SerialEngine, run_serially
from sweeps import plans_of, space_of
from waiting import until

from flyp_sweep.orchestrator.engine.work import Work
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.recorder import Recorder
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.results.ledger.running_trials import RunningSweep, RunningTrial, read_running, read_sweep

SPACE = """
name: one
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [lp, ft]
train: {epochs: EPOCHS, batch_size: 128, warmup_steps: 2}
search: {algorithm: none, space: {lr: 1.0e-3, weight_decay: 0.1}, per_method: {lp: {C: 1.0}}}
early_stopping: {patience: none}
repeats: {seeds: 1}
wise_ft: {alphas: 3}
"""


class Heard:
    """A listener that keeps what it hears of running trials."""

    def __init__(self) -> None:
        self.news: list[tuple[str, RunningTrial]] = []

    def started(self, trial: RunningTrial) -> None:
        self.news.append(("started", trial))

    def progressed(self, trial: RunningTrial) -> None:
        self.news.append(("progressed", trial))

    def finished(self, record: Any) -> None:
        pass

    retried = selected = lambda self, *what: None


class Driven:
    """A recorder that is told what the test says."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.heard, self.folder = Heard(), folder / "running"
        self.protocol = Protocol(plans_of(space_of(**{"methods": ["ft"], "train": {"epochs": 4}, **changes})))
        running = TrialFiles(self.folder)
        self.under_way = UnderWay(self.protocol, self.folder)
        self.recorder = Recorder(
            Ledger(folder / "ledger.jsonl"), self.protocol, running, running, [self.heard], under_way=self.under_way
        )

    def epoch(self, spec: Any, number: int, seconds: float = 10.0, **reply: Any) -> RunningTrial:
        """The trial trains an epoch in so many seconds."""
        points = [
            {"epoch": at, "train_loss": 1 / (at + 1), "loss": 0.5, "accuracy": 0.5 + at / 100, "macro_f1": 0.1}
            for at in range(number + 1)
        ]
        told = {"epoch": number, "best_epoch": number, "score": points[-1]["accuracy"], "curve": points}
        told |= {"seconds": seconds, **reply}
        self.recorder.progressed(spec, told, "node-1")
        (trial,) = [one for one in read_running(self.folder) if one.trial_id == spec.trial_id]
        return trial


def test_a_trial_is_seen_from_its_start_and_after_each_epoch(tmp_path: Path) -> None:
    sweep = Driven(tmp_path)
    spec = sweep.protocol.next()
    assert spec is not None
    sweep.recorder.started(spec)
    (trial,) = read_running(sweep.folder)
    assert (trial.cell, trial.stage, trial.seed, trial.hparams) == (spec.cell, "search", 0, spec.hparams)
    assert (trial.config, trial.configs, trial.config_id) == (1, 5, spec.config_id)
    assert (trial.planned_epochs, trial.done, trial.seconds_left, trial.node) == (4, 0, None, None)
    sweep.epoch(spec, 1, seconds=40.0)
    trial = sweep.epoch(spec, 2, seconds=10.0)
    assert (trial.done, trial.node, trial.metric) == (2, "node-1", "accuracy")
    assert [one.epoch for one in trial.epochs] == [0, 1, 2]
    assert [one.seconds for one in trial.epochs] == [None, 40.0, 10.0]
    assert trial.last is not None
    assert (trial.last.score, trial.last.loss, trial.last.train_loss) == (0.52, 0.5, 1 / 3)
    assert trial.last.metrics == {"accuracy": 0.52, "macro_f1": 0.1}
    assert trial.seconds_left == 20.0, "the first epoch paid for loading model and data"
    assert [(news, one.done) for news, one in sweep.heard.news] == [
        ("started", 0),
        ("progressed", 1),
        ("progressed", 2),
    ]
    assert sweep.heard.news[-1][1].epochs == trial.epochs, "listeners hear what the file says"


def test_configurations_are_numbered_in_the_order_of_the_search_and_repeats_have_no_number(tmp_path: Path) -> None:
    sweep = Driven(
        tmp_path, search={"num_samples": 2, "seeds": 2, "space": {"lr": {"choice": [1e-3, 2e-3]}, "weight_decay": 0.1}}
    )
    numbers = []
    while (spec := sweep.protocol.next()) is not None:
        sweep.recorder.started(spec)
        numbers.append((sweep.under_way.trials[spec.trial_id].config, spec.stage, spec.seed))
        sweep.recorder.ended(spec, ENDING)
    assert numbers[:4] == [(1, "search", 0), (1, "search", 1), (2, "search", 0), (2, "search", 1)]
    assert {number for number, stage, _ in numbers[4:] if stage == "repeat"} == {None}


def test_early_stopping_leaves_no_epoch(tmp_path: Path) -> None:
    sweep = Driven(tmp_path, early_stopping={"patience": 2})
    spec = sweep.protocol.next()
    sweep.recorder.started(spec)
    assert not sweep.epoch(spec, 2, best_epoch=1).is_trained
    trial = sweep.epoch(spec, 3, best_epoch=1)
    assert (trial.is_trained, trial.planned_epochs, trial.seconds_left) == (True, 3, 0.0)


ENDING = {
    "status": "done",
    "seconds": 60.0,
    "result": {
        "score": 0.5,
        "loss": 1.0,
        "metric": "accuracy",
        "best_epoch": 1,
        "epochs": 4,
        "alpha": None,
        "curve": [],
        "evaluations": [],
        "notes": [],
    },
}
ENDS: dict[str, Callable[[Driven, Any], None]] = {
    "finished": lambda sweep, spec: sweep.recorder.ended(spec, ENDING),
    "failed": lambda sweep, spec: sweep.recorder.ended(spec, {"status": "failed", "seconds": 1.0, "reason": "bad"}),
    "unreadable": lambda sweep, spec: sweep.recorder.ended(spec, {"status": "unreadable", "reason": "bad"}),
    "broken off": lambda sweep, spec: sweep.recorder.ended(spec, None),
    "died": lambda sweep, spec: sweep.recorder.retried(spec, "it was killed", 1.0),
    "the sweep is over": lambda sweep, spec: sweep.under_way.close(),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_trial_that_no_longer_runs_leaves_no_file(end: str, tmp_path: Path) -> None:
    sweep = Driven(tmp_path)
    spec, other = sweep.protocol.next(), sweep.protocol.next()
    sweep.recorder.started(spec)
    sweep.recorder.started(other)
    ENDS[end](sweep, spec)
    left = [] if end == "the sweep is over" else [other.trial_id]
    assert (
        [one.trial_id for one in read_running(sweep.folder)]
        == left
        == [one.trial_id for one in sweep.under_way.running]
    )
    if end == "died":
        sweep.recorder.started(spec)
        assert len(read_running(sweep.folder)) == 2, "it runs again"


def test_a_new_driver_removes_what_a_killed_one_left_and_no_checkpoint(tmp_path: Path) -> None:
    sweep = Driven(tmp_path)
    spec = sweep.protocol.next()
    sweep.recorder.started(spec)
    checkpoint = sweep.folder / f"{spec.trial_id}.safetensors"
    checkpoint.touch()
    assert read_sweep(sweep.folder) is not None
    assert TrialFiles(sweep.folder).names() == {spec.trial_id}
    UnderWay(sweep.protocol, sweep.folder)
    assert list(sweep.folder.iterdir()) == [checkpoint]


def test_a_folder_that_cannot_be_written_costs_the_view_alone(tmp_path: Path) -> None:
    (tmp_path / "running").touch()
    sweep = Driven(tmp_path)
    spec = sweep.protocol.next()
    sweep.recorder.started(spec)
    sweep.recorder.ended(spec, ENDING)
    assert spec.trial_id in sweep.protocol.outcomes
    assert [news for news, _ in sweep.heard.news] == ["started"]


def test_files_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    for name, text in {"a.json": "{", "b.json": '{"trial_id": 1}', "sweep.json": "[]"}.items():
        (tmp_path / name).write_text(text)
    assert read_running(tmp_path) == []
    assert read_sweep(tmp_path) is None


class Looking(SerialEngine):
    """Reads the run folder's files after every step of every trial, as another terminal would."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[RunningTrial] = []
        self.sweeps: list[RunningSweep | None] = []

    def run(self, work: Work) -> None:
        def look() -> bool:
            self.seen += read_running(work.folder / "running")
            self.sweeps.append(read_sweep(work.folder / "running"))
            return work.stop()

        super().run(replace(work, stop=look))


@pytest.mark.slow
def test_every_epoch_of_a_sweep_is_seen_while_it_runs_and_is_that_of_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SPACE.replace("EPOCHS", "3"))
    engine = Looking()
    code, told = run_serially("one.yaml", cwd=tmp_path, engine=engine)
    assert code == 0, told
    records = {record["cell"]["method"]: record for record in trials(tmp_path / "runs/one")}
    for method, last in {"lp": 1, "ft": 3}.items():
        seen = [one for one in engine.seen if one.cell.method == method]
        assert list(dict.fromkeys(one.done for one in seen)) == list(range(last + 1))
        assert [one.score for one in seen[-1].epochs] == [one["accuracy"] for one in records[method]["curve"]]
        assert seen[-1].settings == records[method]["settings"]
        assert seen[-1].config_id == records[method]["config_id"]
    assert engine.sweeps[-1] is not None
    assert sum(one.trials for one in engine.sweeps[-1].cells) == 2
    assert not (tmp_path / "runs/one/running").exists()


@pytest.mark.slow
def test_another_terminal_sees_epochs_under_ray_and_a_killed_driver_is_told_from_a_living_one(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SPACE.replace("EPOCHS", "300"))
    run = tmp_path / "runs/one"

    def now() -> dict[str, Any]:
        code, output = call("status", run, "--json", cwd=tmp_path)
        assert code == 0, output
        told = json.loads(output)
        assert isinstance(told, dict)
        return told

    driver = start("run", "one.yaml", cwd=tmp_path)
    until(lambda: any(one.done >= 2 for one in read_running(run / "running")))
    told = now()
    (trial,) = [one for one in told["running"] if one["method"] == "ft"]
    assert told["driver"]["pid"] == driver.pid
    assert trial["node"]
    assert (trial["planned_epochs"], len(trial["epochs"])) == (300, trial["done_epochs"] + 1)
    assert told["seconds_left"] > 0
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    told = now()
    assert (told["driver"], told["running"], told["left_behind"]) == (None, [], 1)
    output = call("status", run, cwd=tmp_path)[1]
    assert "a driver that was killed left 1 trial behind" in output
    assert call("status", run, "--watch", cwd=tmp_path) == (0, output), "there is nothing to wait for"
