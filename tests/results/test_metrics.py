"""`--metric`: tables of another metric than the primary one, also of those whose lowest number is the best."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ledgers import Example, evidence_in

from flyp_sweep.results import layout_names, make_table, render
from flyp_sweep.results.metrics import METRICS, metric_of
from flyp_sweep.results.outputs import refuse_without_metric
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.evaluation.metrics import METRICS as COMPUTED


class Calibrated(Example):
    """Records that hold calibration, too: where accuracy is v, nll is 2 (1 - v), brier 1 - v and ece (1 - v) / 10."""

    def evaluations(self, alpha: float | None, values: dict[str, float], primary: str = "accuracy") -> list[Any]:
        made = super().evaluations(alpha, values, primary)
        for split in made[0]["splits"]:
            wrong = 1 - split["metrics"]["accuracy"]
            split["metrics"] |= {"nll": 2 * wrong, "brier": wrong, "ece": wrong / 10}
        return made


@pytest.fixture
def calibrated() -> Calibrated:
    return Calibrated()


def test_every_metric_that_is_computed_is_known_here():
    assert COMPUTED.keys() < METRICS.keys()
    assert (metric_of("own_metric").label, metric_of("own_metric").better) == ("Own metric", "higher")


@pytest.mark.parametrize("layout", ["auto", *layout_names()])
@pytest.mark.parametrize("metric", ["nll", "brier", "ece", "macro_f1"])
def test_every_layout_and_format_shows_any_metric_in_its_unit(calibrated, metric, layout):
    table = make_table([evidence_in(calibrated.run(), metric=metric)], layout)
    entry = calibrated.entry(table.grids[0], "flyp", *table.grids[0].columns[0].path)
    mean = {"nll": 0.1, "brier": 0.05, "ece": 0.005, "macro_f1": 0.475}[metric]
    assert entry.interval.mean == pytest.approx(mean)
    assert entry.printed.startswith({"nll": "0.100", "brier": "0.050", "ece": "0.5", "macro_f1": "47.5"}[metric])
    for style in ("text", "markdown", "latex"):
        printed = " ".join(render(table, style).split())
        assert entry.printed in printed
        assert {"nll": "log-likelihood in nats", "brier": "Brier score"}.get(metric, "in ") in printed
    column = json.loads(render(table, "json"))["tables"][0]["columns"][0]
    lower = METRICS[metric].lower_is_better
    assert (column["metric"], column["better"]) == (metric, "lower" if lower else "higher")
    assert column["unit"] == {"nll": "nats", "brier": ""}.get(metric, "fraction")
    assert f",{metric},{column['unit']},{column['better']}," in render(table, "csv")


def test_the_lowest_number_is_the_best_where_lower_is_better(calibrated):
    records = [
        *calibrated.finished_cell("ft", [0.80, 0.81, 0.82, 0.83]),
        *calibrated.finished_cell("lp", [0.801, 0.82, 0.80, 0.833]),
        *calibrated.finished_cell("flyp", [0.91, 0.92, 0.95, 0.96]),
    ]
    by_metric = {}
    for metric in (None, "nll"):
        grid = make_table([evidence_in(records, metric=metric)], "per_shift").grids[0]
        by_metric[metric] = [calibrated.entry(grid, name, "without ensembling", "ID").mark for name in ("ft", "flyp")]
        worst = calibrated.entry(grid, "ft", "without ensembling", "ID").to_best
        assert worst.best == "FLYP"
        assert worst.difference.mean == pytest.approx(-0.12 if metric is None else 0.24)
        assert ("lowest" if metric else "highest") in grid.caption
        assert ("Lower is better." in grid.caption) == bool(metric)
        assert ("highest" in grid.caption) == (metric is None)
    assert by_metric[None] == by_metric["nll"] == ["", "best"]


def test_a_number_that_an_older_line_lacks_is_a_dash_with_a_reason(calibrated, example):
    records = [*example.finished_cell("ft", [0.8, 0.9]), *calibrated.finished_cell("flyp", [0.9, 0.91])]
    grid = make_table([evidence_in(records, metric="ece")], "per_shift").grids[0]
    assert [entry.printed for entry in grid.rows[0].entries][:4] == ["-"] * 4
    assert grid.rows[1].entries[0].interval
    (note,) = [note for note in grid.notes if "expected calibration error" in note]
    assert note.startswith("no expected calibration error of FT on id_test, photo, sketch: its lines")
    assert "`flyp-sweep evaluate RUN` adds it" in note


def test_a_split_without_groups_has_no_column_and_a_note(example):
    records = [*example.finished_cell("ft", [0.8, 0.9]), *example.finished_cell("flyp", [0.8, 0.9])]
    for record in records:
        for at in record.get("evaluations", ()):
            at["splits"][-1]["metrics"]["worst_group_accuracy"] = 0.3
    grid = make_table([evidence_in(records, metric="worst_group_accuracy")], "per_shift").grids[0]
    assert [column.name for column in grid.columns if column.kind == "number"] == ["sketch"] * 2
    assert "no worst group accuracy on id_test, photo: the split has no groups" in grid.notes


def test_the_accuracy_of_a_group_is_a_metric_of_its_own(example):
    records = example.finished_cell("ft", [0.8, 0.9])
    for record in records[:-1]:
        for at in record["evaluations"]:
            at["splits"][1]["metrics"]["group_accuracy/y=0,place=1"] = 0.25
    grid = make_table([evidence_in(records, metric="group_accuracy/y=0,place=1")], "per_shift").grids[0]
    assert example.entry(grid, "ft", "without ensembling", "ID").printed.startswith("25.0")
    assert grid.caption.startswith("Accuracy of group y=0,place=1 in %: ")
    assert "no accuracy of group y=0,place=1 of FT on photo, sketch: the split has no such group" in grid.notes


def test_a_metric_that_no_repeat_has_is_one_line(example):
    evidence = evidence_in(example.run(), metric="ece")
    with pytest.raises(InputError, match=r"--metric ece: found none in run, expected .*; its lines were written by"):
        refuse_without_metric([evidence], "ece")
