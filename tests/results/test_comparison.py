from __future__ import annotations

import math

import pytest
from scipy import stats

from results.comparison import comparison_table, primary_numbers
from results.statistics import mean_interval
from results.tables import Column, Table
from search_spaces.cell import Cell
from search_spaces.errors import InputError

ID = Column("ID", "id_test", "accuracy")
PHOTO = Column("photo", "ood", "accuracy")
MEAN = Column("mean OOD", "mean_ood", "accuracy")


def row_of(table: Table, method: str, block: int = 0):
    return next(row for row in table.blocks[block].rows if row.cell.method == method)


def test_rows_columns_and_numbers(example):
    table = comparison_table(example.run())
    (block,) = table.blocks
    assert (block.dataset, block.model, block.shots) == ("digits", "digits-clip", None)
    assert [row.cell.method for row in block.rows] == ["zeroshot", "ft", "flyp"]
    assert [column.name for column in block.columns] == ["ID", "photo", "sketch", "mean OOD"]
    ft = row_of(table, "ft")
    assert ft.values["without", ID] == mean_interval([0.90, 0.92, 0.94])
    assert ft.values["without", ID].half_width == pytest.approx(stats.t.ppf(0.975, 2) * 0.02 / math.sqrt(3))
    assert ft.values["with", ID].mean == pytest.approx(0.94)
    assert ft.values["with", PHOTO].mean == pytest.approx(0.92 + 0.02 - 0.2)
    assert ft.n_label == "3"


def test_the_mean_ood_is_taken_per_seed_and_holds_no_id_number(example):
    cell, trials = example.cell("ft"), []
    for seed, (photo, sketch) in enumerate([(0.2, 0.8), (0.8, 0.2), (0.5, 0.5)]):
        tuned = {"id_val": 0.9, "id_test": 1.0, "photo": photo, "sketch": sketch}
        trials.append(example.repeat(cell, seed, tuned, tuned))
    values = row_of(comparison_table([*trials, example.selection(trials)]), "ft").values
    assert values["without", MEAN].mean == pytest.approx(0.5)
    assert values["without", MEAN].half_width == pytest.approx(0, abs=1e-12)  # over seeds: 0.5 each time
    assert values["without", PHOTO].half_width > 0.1


def test_one_ood_set_has_no_mean(example):
    values = {"id_val": 0.9, "id_test": 0.9, "photo": 0.7}
    trial = example.repeat(example.cell("ft"), 0, values, values)
    (block,) = comparison_table([trial, example.selection([trial])]).blocks
    assert [column.name for column in block.columns] == ["ID", "photo"]


def test_the_zero_shot_numbers_stand_on_both_sides_without_an_interval(example):
    for alpha in (None, 0.0):
        records = example.zeroshot({"id_val": 0.6, "id_test": 0.61, "photo": 0.5}, alpha=alpha)
        row = row_of(comparison_table(records), "zeroshot")
        for side in ("without", "with"):
            interval = row.values[side, ID]
            assert (interval.mean, interval.n) == (0.61, 1)
            assert math.isnan(interval.half_width)
        assert row.n_label == "1"


def test_only_the_repeats_of_the_last_selection_count(example):
    winner = example.finished_cell("ft", [0.5, 0.6])
    later = [trial | {"trial_id": f"later{i}", "config_id": "c9"} for i, trial in enumerate(winner[:-1])]
    for trial in later:
        trial["evaluations"] = example.evaluations(1.0, {"id_test": 0.8})
    row = row_of(comparison_table([*winner, *later, example.selection(later)]), "ft")
    assert row.values["without", ID].mean == pytest.approx(0.8)


def test_search_trials_never_enter(example):
    records = example.run()
    before = row_of(comparison_table(records), "ft").values
    poisoned = example.search(example.cell("ft"), "c7")
    poisoned["evaluations"] += example.evaluations(1.0, {"id_test": 0.0, "photo": 0.0, "sketch": 0.0})
    assert row_of(comparison_table([poisoned, *records]), "ft").values == before


def test_the_primary_metric_of_each_split_is_used(example):
    cell = example.cell("ft")
    evaluations = example.evaluations(1.0, {"id_test": 0.8}) + example.evaluations(1.0, {"photo": 0.3}, "macro_f1")
    trial = example.trial(cell, 0, evaluations=evaluations)
    table = comparison_table([trial, example.selection([trial])])
    values = row_of(table, "ft").values
    assert values["without", ID].mean == 0.8
    assert values["without", Column("photo", "ood", "macro_f1")].mean == 0.3
    assert "ID: accuracy; photo: macro f1" in table.caption


def test_missing_and_failed_repeats_are_counted_and_named(example):
    *trials, selection = example.finished_cell("ft", [0.90, 0.92, 0.94, 0.96, 0.98])
    failed = example.failure(example.cell("ft"), 3, "CUDA out\nof memory")
    row = row_of(comparison_table([trials[0], trials[1], trials[4], failed, selection]), "ft")
    assert (row.n, row.planned, row.n_label, row.state) == (3, 5, "3 of 5", "done")
    assert row.values["without", ID] == mean_interval([0.90, 0.92, 0.98])
    (note,) = row.notes
    assert f"repeat 3 missing (trial {trials[2]['trial_id']})" in note
    assert f"seed 3 failed (trial {failed['trial_id']}: CUDA out of memory)" in note


def test_many_missing_repeats_are_summed_up(example):
    *trials, selection = example.finished_cell("ft", [0.9] * 20)
    (note,) = row_of(comparison_table([*trials[:2], selection]), "ft").notes
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
    table = comparison_table(records, planned=[Cell("digits", "digits-clip", None, "flyp_ce")])
    states = {row.cell.method: row.n_label for row in table.blocks[0].rows}
    assert states == {
        "zeroshot": "1", "lp": "running", "ft": "3", "l2sp": "failed",
        "lpft": "running", "flyp": "3", "flyp_ce": "planned"
    }  # fmt: skip
    assert list(states) == ["zeroshot", "lp", "ft", "l2sp", "lpft", "flyp", "flyp_ce"]
    failures = [example.failure(example.cell("lpft"), seed) for seed in range(2)]
    failed = row_of(comparison_table([*failures, selection]), "lpft")
    assert failed.n_label == "failed"
    assert "0 of 2 repeats" in failed.notes[0]


def test_other_methods_come_after_the_papers_in_the_planned_order(example):
    records = [r for method in ("b_mine", "a_mine", "flyp", "lp") for r in example.finished_cell(method, [0.9])]
    methods = [row.cell.method for row in comparison_table(records).blocks[0].rows]
    assert methods == ["lp", "flyp", "a_mine", "b_mine"]
    planned = [Cell("digits", "digits-clip", None, method) for method in ("b_mine", "lp", "a_mine")]
    methods = [row.cell.method for row in comparison_table(records, planned).blocks[0].rows]
    assert methods == ["lp", "flyp", "b_mine", "a_mine"]


def test_one_block_per_dataset_model_and_shots(example):
    records = [r for shots in (None, 16, 4) for r in example.finished_cell("ft", [0.9], shots=shots)]
    records += example.finished_cell("ft", [0.9], dataset="cars")
    blocks = comparison_table(records).blocks
    assert [(block.dataset, block.shots) for block in blocks] == [
        ("cars", None), ("digits", 4), ("digits", 16), ("digits", None)
    ]  # fmt: skip
    assert [len(block.rows) for block in blocks] == [1, 1, 1, 1]


def test_a_mixture_of_configurations_is_refused(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    trials[1]["config_id"] = "c1"
    with pytest.raises(InputError, match=r"digits/digits-clip/full/ft: found repeats of 2 configurations \(c0, c1\)"):
        comparison_table([*trials, selection])


def test_repeats_of_another_configuration_than_the_selected_are_refused(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    with pytest.raises(InputError, match="2 configurations"):
        comparison_table([*trials, selection | {"config_id": "c5"}])


def test_the_same_seed_twice_is_refused(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    trials[1]["seed"] = 0
    with pytest.raises(InputError, match="found seed 0 in more than one repeat"):
        comparison_table([*trials, selection])
    with pytest.raises(InputError, match="found seed 0 in more than one repeat"):
        comparison_table([trials[0], example.selection([trials[0], trials[0]])])


def test_the_trial_of_another_cell_is_refused(example):
    *trials, _ = example.finished_cell("ft", [0.9, 0.92])
    other = example.finished_cell("lp", [0.7])[0] | {"seed": 5}
    with pytest.raises(InputError, match="of digits/digits-clip/full/lp among its repeats"):
        comparison_table([*trials, other, example.selection([*trials, other])])


def test_two_primary_numbers_for_one_split_are_refused(example):
    trial = example.trial(example.cell("ft"), 0, evaluations=2 * example.evaluations(1.0, {"photo": 0.5}))
    with pytest.raises(InputError, match="two primary numbers for photo at alpha 1"):
        primary_numbers(trial, 1.0)


def test_without_a_chosen_alpha_the_ensembled_side_is_empty(example):
    trial = example.trial(example.cell("ft"), 0, evaluations=example.evaluations(1.0, {"id_test": 0.8}))
    row = row_of(comparison_table([trial, example.selection([trial])]), "ft")
    assert ("without", ID) in row.values
    assert ("with", ID) not in row.values


def test_a_seed_that_lacks_a_split_is_noted(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    trials[1]["evaluations"] = [e for e in trials[1]["evaluations"] if e["split"] != "sketch"]
    row = row_of(comparison_table([*trials, selection]), "ft")
    assert "sketch without ensembling holds 1 of 2 finished repeats" in row.notes
    assert row.values["without", MEAN].n == 1  # a mean over fewer sets is no mean of the same kind


def test_best_by_the_printed_number_with_ties(example):
    records = example.finished_cell("lp", [0.90, 0.90]) + example.finished_cell("ft", [0.9004, 0.9004])
    records += example.finished_cell("flyp", [0.8996, 0.8996]) + example.finished_cell("lpft", [0.8990, 0.8990])
    (block,) = comparison_table(records).blocks
    best = {row.cell.method: block.is_best(row, "without", ID) for row in block.rows}
    assert best == {"lp": True, "ft": True, "flyp": True, "lpft": False}


def test_a_lone_number_is_not_best(example):
    (block,) = comparison_table(example.finished_cell("lp", [0.9, 0.9])).blocks
    assert not block.is_best(block.rows[0], "without", ID)


def test_the_caption_says_what_the_numbers_are(example):
    caption = comparison_table(example.run()).caption
    for words in ("Accuracy in %", "mean over 3 seeds", "95% Student-t interval", "selected on id_val accuracy"):
        assert words in caption
    uneven = comparison_table(example.run() + example.finished_cell("lp", [0.7, 0.8]), confidence=0.99).caption
    assert "mean over n seeds with its 99% Student-t interval" in uneven


def test_an_empty_ledger_gives_an_empty_table():
    assert comparison_table([]).blocks == ()
