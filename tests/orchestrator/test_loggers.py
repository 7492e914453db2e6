"""Loggers beside MLflow: the real TensorBoard and W&B offline, what they refuse, and one of a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import refusal
from ledgers import Example, record_of
from spaces import space_with

from flyp_sweep.orchestrator.tracking import loggers
from flyp_sweep.orchestrator.tracking.loggers import loggers_of
from flyp_sweep.orchestrator.tracking.loggers.base import FrontierPoint, LoggedSweep, LoggedTrial, Logger, TrialLog
from flyp_sweep.orchestrator.tracking.loggers.thread import LoggerThread
from flyp_sweep.results.ledger.running_trials import EpochReport, RunningTrial
from flyp_sweep.results.ledger.schema import TrialRecord

EXAMPLE = Example()


def record(seed: int = 0) -> TrialRecord:
    numbers = {"id_val": 0.9, "id_test": 0.8, "photo": 0.7}
    curve = [{"epoch": one, "train_loss": 2.0, "loss": 1.0 / one, "accuracy": 0.9} for one in (1, 2, 3)]
    made = record_of(EXAMPLE.repeat(EXAMPLE.cell("ft"), seed, numbers, numbers, curve=curve, epochs=3))
    assert isinstance(made, TrialRecord)
    return made


def running(of: TrialRecord, epochs: int) -> RunningTrial:
    done = [EpochReport(epoch=one, score=0.9, loss=1.0 / one, train_loss=2.0) for one in range(1, epochs + 1)]
    named: dict[str, Any] = {
        name: getattr(of, name) for name in ("trial_id", "cell", "stage", "seed", "hparams", "config_id")
    }
    times = {"started": "2026-11-21T21:59:00Z", "updated": "2026-11-21T21:59:30Z"}
    return RunningTrial(metric="accuracy", planned_epochs=3, epochs=tuple(done), **times, **named)


def logged(logger: Logger, folder: Path) -> None:
    """A sweep of a trial that ends and one that is interrupted."""
    sweep = LoggedSweep("run", folder, "0123456789abcdef", space_with(methods=["ft"]))
    thread = LoggerThread(logger, sweep)
    ended, interrupted = record(0), record(1)
    thread.started(running(ended, 0))
    thread.progressed(running(ended, 2))
    thread.started(running(interrupted, 1))
    thread.finished(ended)
    assert thread.close({"ft/id_test/accuracy": 0.8}) is None


class Told(Logger):
    name = "told"
    summary = "a logger for tests"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def start(self, trial: LoggedTrial) -> TrialLog:
        self.calls.append((trial.name, trial.settings["seed"]))
        return ToldTrial(self.calls)

    def end(self, means: Mapping[str, float]) -> None:
        self.calls.append(dict(means))


class ToldTrial(TrialLog):
    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        self.calls.append((number, sorted(metrics)[:1]))

    def end(self, status: str, metrics: Mapping[str, float], frontier: Sequence[FrontierPoint]) -> None:
        self.calls.append((status, metrics.get("wiseft/ood/photo/accuracy")))


class Broken(Told):
    def start(self, trial: LoggedTrial) -> TrialLog:
        raise RuntimeError("the server is down")


def test_a_logger_hears_each_epoch_once_and_each_end(tmp_path: Path) -> None:
    logger = Told()
    logged(logger, tmp_path)
    name = "ft lr=3e-4 wd=0.1 seed"
    epochs = [(one, ["train/loss"]) for one in (1, 2, 3)]
    ends = [("done", 0.7), ("interrupted", None), {"ft/id_test/accuracy": 0.8}]
    assert logger.calls == [(f"{name} 0", 0), *epochs[:2], (f"{name} 1", 1), epochs[0], epochs[2], *ends]


def test_a_logger_that_raises_costs_nothing_but_a_line(tmp_path: Path) -> None:
    thread = LoggerThread(Broken(), LoggedSweep("run", tmp_path, "0" * 16, space_with(methods=["ft"])))
    thread.finished(record())
    assert thread.close({}) == "the server is down"


def test_a_wrong_name_and_a_missing_package_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal.refused(
        lambda: loggers_of(space_with(loggers=["tensorbord"])),
        "found 'tensorbord'; expected one of tensorboard, wandb, or 'module:Class' (did you mean 'tensorboard'?)",
    )
    monkeypatch.setattr(type(loggers.registry()["wandb"]), "package", "wandb_that_is_absent")
    refusal.refused(
        lambda: loggers_of(space_with(loggers=["wandb"])), "not installed", "pip install 'flyp-sweep[wandb]'"
    )


def test_a_logger_of_ones_own_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    (tmp_path / "my_logger.py").write_text(
        text[: text.index("EXAMPLE =")] + text[text.index("class Told(") : text.index("class Broken")]
    )
    monkeypatch.syspath_prepend(tmp_path)
    (logger,) = loggers_of(space_with(loggers=["my_logger:Told"]))
    assert logger.name == "told"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_has_curves_and_final_numbers(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (logger,) = loggers_of(space_with(loggers=["tensorboard"]))
    for _ in range(2):  # a trial that runs again is there once
        logged(logger, tmp_path)
    (path,) = (tmp_path / "tensorboard" / "repeat").glob("ft lr=3e-4 wd=0.1 seed 0 *")
    events = EventAccumulator(str(path))
    events.Reload()
    assert [one.step for one in events.Scalars("val/loss")] == [1, 2, 3]
    assert events.Scalars("wiseft/ood/photo/accuracy")[0].value == pytest.approx(0.7)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_offline_keeps_a_run_per_trial_in_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (logger,) = loggers_of(space_with(loggers=["wandb"]))
    for _ in range(2):
        logged(logger, tmp_path)
    kept = sorted(path.parent.name.split("-", 3)[3] for path in (tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert kept == sorted(f"01234567-{name}" for name in (record(0).trial_id, record(1).trial_id, "means"))
