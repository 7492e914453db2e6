"""From records to the numbers, states and notes of a table of one block."""

from __future__ import annotations

import math

import pytest
from refusal import refused
from scipy import stats

from flyp_sweep.results import make_table
from flyp_sweep.results.statistics import mean_interval
from flyp_sweep.search_spaces.cell import Cell

WITHOUT, WITH = "without ensembling", "with ensembling"


def test_rows_columns_and_numbers(example):
    (grid,) = example.table(example.run()).grids
    assert grid.title == "digits, digits-clip"
    assert [row.method for row in grid.rows] == ["zeroshot", "ft", "flyp"]
    names = ["ID", "photo", "sketch", "mean OOD"]
    assert [column.path for column in grid.columns] == [(s, name) for s in (WITHOUT, WITH) for name in names] + [("n",)]
    entry = example.entry(grid, "ft", WITHOUT, "ID")
    assert entry.interval == mean_interval([0.90, 0.92, 0.94])
    assert entry.interval.half_width == pytest.approx(stats.t.ppf(0.975, 2) * 0.02 / math.sqrt(3))
    assert example.entry(grid, "ft", WITH, "ID").interval.mean == pytest.approx(0.94)
    assert example.entry(grid, "ft", WITH, "photo").interval.mean == pytest.approx(0.92 + 0.02 - 0.2)
    assert example.entry(grid, "ft", "n").printed == "3"


def test_a_logit_ensemble_has_numbers_with_ensembling_alone_and_soups_have_both(example):
    cells = ("ft", "ft+logit_ensemble", "ft+greedy_soup")
    (grid,) = example.table([record for cell in cells for record in example.finished_cell(cell, [0.9, 0.92])]).grids
    assert [row.label for row in grid.rows] == ["FT", "FT greedy soup", "FT logit ensemble"]
    assert example.entry(grid, "ft+logit_ensemble", WITHOUT, "ID").printed == "-"
    assert example.entry(grid, "ft+logit_ensemble", WITH, "ID").interval.mean == pytest.approx(0.93)
    assert example.entry(grid, "ft+logit_ensemble", "n").printed == "2"
    assert example.entry(grid, "ft+greedy_soup", WITHOUT, "ID").interval.mean == pytest.approx(0.91)
    assert grid.notes == ()


def test_the_mean_ood_is_taken_per_seed_and_holds_no_id_number(example):
    cell, trials = example.cell("ft"), []
    for seed, (photo, sketch) in enumerate([(0.2, 0.8), (0.8, 0.2), (0.5, 0.5)]):
        tuned = {"id_val": 0.9, "id_test": 1.0, "photo": photo, "sketch": sketch}
        trials.append(example.repeat(cell, seed, tuned, tuned))
    (grid,) = example.table([*trials, example.selection(trials)]).grids
    mean = example.entry(grid, "ft", WITHOUT, "mean OOD").interval
    assert mean.mean == pytest.approx(0.5)
    assert mean.half_width == pytest.approx(0, abs=1e-12)  # over seeds: 0.5 each time
    assert example.entry(grid, "ft", WITHOUT, "photo").interval.half_width > 0.1


def test_one_ood_set_has_no_mean(example):
    values = {"id_val": 0.9, "id_test": 0.9, "photo": 0.7}
    trial = example.repeat(example.cell("ft"), 0, values, values)
    (grid,) = example.table([trial, example.selection([trial])]).grids
    assert [column.name for column in grid.columns] == ["ID", "photo", "ID", "photo", "n"]


@pytest.mark.parametrize("alpha", [None, 0.0])
def test_the_zero_shot_numbers_stand_on_both_sides_without_an_interval(example, alpha):
    records = example.zeroshot({"id_val": 0.6, "id_test": 0.61, "photo": 0.5}, alpha=alpha)
    (grid,) = example.table(records).grids
    for side in (WITHOUT, WITH):
        entry = example.entry(grid, "zeroshot", side, "ID")
        assert (entry.interval.mean, entry.interval.n, entry.printed) == (0.61, 1, "61.0 (-)")
    assert example.entry(grid, "zeroshot", "n").printed == "1"


def test_only_the_repeats_of_the_last_selection_count(example):
    winner = example.finished_cell("ft", [0.5, 0.6])
    later = [trial | {"trial_id": f"later{i}", "config_id": "c9"} for i, trial in enumerate(winner[:-1])]
    for seed, trial in enumerate(later):
        trial["evaluations"] = example.evaluations(1.0, {"id_test": 0.8 + seed / 100})
    (grid,) = example.table([*winner, *later, example.selection(later)], "per_shift").grids
    assert example.entry(grid, "ft", WITHOUT, "ID").interval == mean_interval([0.8, 0.81])
    assert example.entry(grid, "ft", WITHOUT, "ID").trials == ("later0", "later1")


def test_search_trials_never_enter(example):
    records = example.run()
    before = example.table(records)
    poisoned = example.search(example.cell("ft"), "c7")
    poisoned["evaluations"] += example.evaluations(1.0, {"id_test": 0.0, "photo": 0.0, "sketch": 0.0})
    assert example.table([poisoned, *records]) == before


def test_an_alpha_that_was_computed_is_still_found(example):
    evaluations = example.evaluations(1.0, {"id_test": 0.8}) + example.evaluations(0.1 + 0.2, {"id_test": 0.9})
    trial = example.trial(example.cell("ft"), 0, alpha=0.3, evaluations=evaluations)
    (grid,) = example.table([trial, example.selection([trial])], "per_shift").grids
    assert example.entry(grid, "ft", WITH, "ID").interval.mean == 0.9


def test_the_primary_metric_of_each_split_is_used(example):
    cell = example.cell("ft")
    evaluations = example.evaluations(1.0, {"id_test": 0.8}) + example.evaluations(1.0, {"photo": 0.3}, "macro_f1")
    trial = example.trial(cell, 0, evaluations=evaluations)
    (grid,) = example.table([trial, example.selection([trial])]).grids
    assert example.entry(grid, "ft", WITHOUT, "ID").interval.mean == 0.8
    assert example.entry(grid, "ft", WITHOUT, "photo").interval.mean == 0.3
    assert "ID: accuracy; photo: macro f1" in grid.caption


def test_missing_and_failed_repeats_are_counted_and_named(example):
    *trials, selection = example.finished_cell("ft", [0.90, 0.92, 0.94, 0.96, 0.98])
    failed = example.failure(example.cell("ft"), 3, "CUDA out\nof memory")
    (grid,) = example.table([trials[0], trials[1], trials[4], failed, selection]).grids
    assert example.entry(grid, "ft", "n").printed == "3 of 5"
    entry = example.entry(grid, "ft", WITHOUT, "ID")
    assert entry.interval == mean_interval([0.90, 0.92, 0.98])
    assert (entry.is_short, entry.planned) == (True, 5)
    (note,) = grid.notes
    assert f"FT: 3 of 5 repeats: repeat 3 missing (trial {trials[2]['trial_id']})" in note
    assert f"seed 3 failed (trial {failed['trial_id']}: CUDA out of memory)" in note


def test_many_missing_repeats_are_summed_up(example):
    *trials, selection = example.finished_cell("ft", [0.9] * 20)
    (note,) = example.table([*trials[:2], selection]).grids[0].notes
    assert note.endswith("and 15 more")
    assert len(note) < 200


def test_cells_without_a_number_do_not_disappear(example):
    selection = example.finished_cell("lpft", [0.9, 0.9])[-1]
    records = [
        *example.run(),
        example.search(example.cell("lp"), "c0"),
        selection,
        example.failure(example.cell("l2sp"), 0),
    ]
    evidence = example.evidence(records, planned=[Cell("digits", "digits-clip", None, "flyp_ce")])
    (grid,) = make_table([evidence], "per_shift").grids
    states = {row.method: row.entries[-1].printed for row in grid.rows}
    assert states == {
        "zeroshot": "1", "lp": "unfinished", "ft": "3", "l2sp": "failed",
        "lpft": "unfinished", "flyp": "3", "flyp_ce": "planned"
    }  # fmt: skip
    assert list(states) == ["zeroshot", "lp", "ft", "l2sp", "lpft", "flyp", "flyp_ce"]
    failures = [example.failure(example.cell("lpft"), seed) for seed in range(2)]
    (failed,) = example.table([*failures, selection]).grids
    assert failed.rows[0].entries[-1].printed == "failed"
    assert "0 of 2 repeats" in failed.notes[0]


def test_other_methods_come_after_the_papers_in_the_planned_order(example):
    records = [r for method in ("b_mine", "a_mine", "flyp", "lp") for r in example.finished_cell(method, [0.9])]
    planned = [Cell("digits", "digits-clip", None, method) for method in ("b_mine", "lp", "a_mine")]
    (grid,) = make_table([example.evidence(records, planned=planned)]).grids
    assert [row.method for row in grid.rows] == ["lp", "flyp", "b_mine", "a_mine"]


def test_without_a_chosen_alpha_the_ensembled_side_is_empty(example):
    trial = example.trial(example.cell("ft"), 0, evaluations=example.evaluations(1.0, {"id_test": 0.8}))
    (grid,) = example.table([trial, example.selection([trial])], "per_shift").grids
    assert example.entry(grid, "ft", WITHOUT, "ID").printed == "80.0 (-)"
    assert example.entry(grid, "ft", WITH, "ID").printed == "-"


def test_a_seed_that_lacks_a_split_is_noted_and_has_no_mean(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    trials[1] = example.without(trials[1], "sketch")
    (grid,) = example.table([*trials, selection]).grids
    assert "FT: sketch without ensembling holds 1 of 2 finished repeats" in grid.notes
    assert example.entry(grid, "ft", WITHOUT, "mean OOD").interval.n == 1
    assert example.entry(grid, "ft", WITHOUT, "sketch").is_short


def test_what_prints_like_the_best_is_marked_like_it(example):
    records = example.finished_cell("lp", [0.90] * 3) + example.finished_cell("ft", [0.9004] * 3)
    records += example.finished_cell("flyp", [0.8996] * 3) + example.finished_cell("lpft", [0.8990] * 3)
    (grid,) = example.table(records).grids
    marks = {row.method: row.entries[0].mark for row in grid.rows}
    assert marks == {"lp": "best", "ft": "best", "flyp": "best", "lpft": ""}


def test_records_that_make_no_cell_are_refused(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    first, second = trials
    other = example.finished_cell("lp", [0.7])[0] | {"seed": 5}
    twice = example.trial(example.cell("ft"), 0, evaluations=2 * example.evaluations(1.0, {"photo": 0.5}))
    mixed = "digits/digits-clip/full/ft: found repeats of 2 configurations (c0, c"
    for records, words in (
        ([first, second | {"config_id": "c1"}, selection], mixed + "1)"),
        ([*trials, selection | {"config_id": "c5"}], mixed),
        ([first, second | {"seed": 0}, selection], "found seed 0 in more than one repeat"),
        ([first, example.selection([first, first])], "found seed 0 in more than one repeat"),
        ([*trials, other, example.selection([*trials, other])], "of digits/digits-clip/full/lp among its repeats"),
        ([twice, example.selection([twice])], "two primary numbers for photo at alpha 1"),
    ):
        refused(lambda records=records: example.table(records), words)
