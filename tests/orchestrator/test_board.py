"""What a terminal shows of a sweep under way, and the time that it has left."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.board import Board
from flyp_sweep.orchestrator.runs.progress import Progress
from flyp_sweep.orchestrator.runs.time_left import TimeLeft
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.results.durations import duration, time_left
from flyp_sweep.results.ledger.running_trials import EpochReport, RunningTrial
from flyp_sweep.results.running_rows import CellNames, running_table, shares
from flyp_sweep.search_spaces.cell import Cell


class Sweep:
    """A sweep of which a number of trials run, the n-th in its epoch n % 4."""

    def __init__(self, folder: Path, running: int, **changes: Any) -> None:
        changes = {"methods": ["zeroshot", "lp", "ft"], "train": {"epochs": 12}, **changes}
        self.protocol = Protocol(plans_of(space_of(**changes)))
        self.under_way = UnderWay(self.protocol, folder)
        self.specs = [spec for spec in (self.protocol.next() for _ in range(running)) if spec]
        for number, spec in enumerate(self.specs):
            self.under_way.start(spec)
            for epoch in range(1, number % 4 + 1):
                self.epoch(spec, epoch)

    def epoch(self, spec: Any, number: int, seconds: float = 10.0) -> None:
        curve = [{"epoch": at, "loss": 0.5, "accuracy": 0.9} for at in range(1, number + 1)]
        reply = {"epoch": number, "best_epoch": number, "score": 0.9, "curve": curve, "seconds": seconds}
        self.under_way.progress(spec, reply, "node")

    def board(self, width: int, height: int) -> list[str]:
        printed = io.StringIO()
        names = CellNames(cell.plan.cell for cell in self.protocol.cells)
        board = Board(self.protocol, self.under_way, names, {}, Counter(), "the whole sweep in a line")
        Console(file=printed, width=width, height=height).print(board)
        return printed.getvalue().splitlines()


def test_the_board_has_a_row_per_cell_and_running_trial(tmp_path: Path) -> None:
    lines = Sweep(tmp_path, 3).board(80, 24)
    assert lines[0].rstrip() == "digits, digits-clip, full", "what all rows have in common is said once"
    assert [line.split()[0] for line in lines[1:4]] == ["zeroshot", "lp", "ft"]
    assert lines[4].startswith("running: 3 trials, last score on ID validation data")
    assert lines[5].split() == ["zeroshot", "repeat", "seed", "0", "epoch", "0/1", "starts"]
    assert lines[6].split() == ["lp", "search", "config", "1/5", "epoch", "1/1", "90.0%", "evaluates"]
    assert lines[-1] == "the whole sweep in a line"
    assert "lr=" not in "".join(lines)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (72, 10)])
def test_a_large_sweep_fits_the_terminal_and_counts_the_rest(width: int, height: int, tmp_path: Path) -> None:
    sweep = Sweep(
        tmp_path,
        40,
        shots=[1, 2, 4, 8, 16],
        methods=["ft", "flyp", "flyp_ce", "lpft", "flyp_masked"],
        search={
            "num_samples": 20,
            "algorithm": "random",
            "seeds": 2,
            "space": {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": 0.1},
        },
    )
    lines = sweep.board(width, height)
    assert len(lines) < height, "the cursor has a line of its own"
    assert all(len(line) <= width for line in lines)
    cells = [line for line in lines if "-shot/" in line and "epoch" not in line]
    rows = [line for line in lines if "epoch" in line]
    assert f"and {25 - len(cells)} more, 0 of them over" in "\n".join(lines)
    assert f"and {40 - len(rows)} more" in [line.rstrip() for line in lines]
    assert len(rows) >= 2
    assert all(line.split()[1] in ("search", "repeat") for line in [*cells, *rows]), "no row is broken into two"
    assert any("lr=" in line for line in rows) == (width >= 100)


def test_a_name_without_room_is_cut_and_all_numbers_stay() -> None:
    printed = io.StringIO()
    cells = [Cell("a-data-set-with-a-very-long-name-indeed", "ViT-B-16", 16, method) for method in ("flyp", "ft")]
    cells.append(Cell("another", "ViT-B-16", 16, "ft"))
    names = CellNames(cells)
    assert (names.common, names.of(cells[2])) == ("ViT-B-16, 16-shot", "another/ft")
    trial = RunningTrial(
        trial_id="a", cell=cells[0], stage="search", seed=12, hparams={}, config_id="c", config=3, configs=20,
        metric="accuracy", planned_epochs=12, started="2026-01-02T03:04:05+00:00",
        updated="2999-01-02T03:04:05+00:00", epochs=(EpochReport(epoch=3, score=0.912, loss=1.0, seconds=5000.0),),
    )  # fmt: skip
    Console(file=printed, width=80).print(running_table([trial], names))
    (line,) = printed.getvalue().splitlines()
    assert line.startswith("a-data-set")
    assert "search  config 3/20 seed 12  epoch 3/12  91.2%  12 h 30 min left" in line


def test_the_rows_share_the_lines() -> None:
    assert shares(cells=3, trials=2, lines=20) == (18, 2)
    assert shares(cells=50, trials=2, lines=20) == (18, 2)
    assert shares(cells=50, trials=50, lines=20) == (10, 10)
    assert shares(cells=3, trials=50, lines=20) == (3, 17)


def test_without_a_terminal_the_line_names_the_running_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, printed = Sweep(tmp_path, 5), io.StringIO()
    monkeypatch.setattr("flyp_sweep.orchestrator.runs.progress.LINE_EVERY_SECONDS", 0.0)
    progress = Progress(sweep.protocol, Console(file=printed, width=200), sweep.under_way)
    progress.progressed(sweep.under_way.running[0])
    (line,) = printed.getvalue().splitlines()
    assert line.startswith("0 of 15 trials, 0 s elapsed, about ")
    assert " left; zeroshot seed 0 epoch 0/1, lp config 1/5 epoch 1/1 (90.0%), lp config 2/5 epoch" in line
    assert line.endswith("and 2 more")


def pace(**changes: Any) -> tuple[TimeLeft, dict[str, Cell]]:
    space = space_of(**{"methods": ["lp", "ft", "flyp"], "train": {"epochs": 10}, **changes})
    plans = {plan.cell: plan for plan in plans_of(space)}
    return TimeLeft(plans), {cell.method: cell for cell in plans}


def test_nothing_is_known_before_an_epoch_of_a_trained_method() -> None:
    known, cells = pace()
    waiting = dict.fromkeys(cells.values(), 2)
    assert known.estimate(waiting, [], 1).seconds is None
    known.learn(cells["lp"], 4.0, 1)
    assert known.estimate(waiting, [], 1).seconds is None


def test_the_time_left_comes_from_the_closest_trials_that_there_are() -> None:
    known, cells = pace()
    known.learn(cells["ft"], 100.0, 10)
    estimate = known.estimate({cells["ft"]: 3, cells["flyp"]: 2}, [], 1)
    assert (estimate.seconds, estimate.at_least) == (500.0, False), "of flyp nothing is known but ft"
    known.learn(cells["flyp"], 60.0, 3)
    assert known.estimate({cells["ft"]: 3, cells["flyp"]: 2}, [], 1).seconds == 420.0
    estimate = known.estimate({cells["ft"]: 3, cells["lp"]: 2}, [], 3)
    assert (estimate.seconds, estimate.at_least) == (100.0, True), "three at once; of lp nothing is known"
    assert known.estimate({cells["ft"]: 1}, [], 8).seconds == 100.0, "a trial takes its time, however many run at once"


def test_the_epochs_of_a_running_trial_tell_the_time_left(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, 1, methods=["ft", "flyp"])
    assert sweep.under_way.time_left().seconds is None
    for number, seconds in enumerate([50.0, 10.0], start=1):
        sweep.epoch(sweep.specs[0], number, seconds)
    planned = sum(sweep.under_way.planned.values())
    # Ten epochs of the running trial are left, and twelve of each other.
    assert sweep.under_way.time_left().seconds == pytest.approx((10 + (planned - 1) * 12) * 10.0, abs=10.0)


def test_times_are_told_in_words() -> None:
    assert [duration(seconds) for seconds in (-1, 7.6, 200, 3900, 200_000)] == [
        *("0 s", "8 s", "3 min 20 s", "1 h 05 min", "2 d 7 h"),
    ]
    assert time_left(90.0, at_least=True) == "at least 1 min 30 s left"
