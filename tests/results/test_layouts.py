from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from scipy import stats

from flyp_sweep.results import RunFolder, Table, layout_names, make_table, read_evidence, render
from flyp_sweep.results.statistics import mean_interval
from flyp_sweep.results.tables import layouts
from flyp_sweep.results.tables.layouts.ablation import VARIANTS
from flyp_sweep.results.tables.make import comparable_blocks, natural_layout
from flyp_sweep.search_spaces.errors import InputError


def few_shot_run(example, datasets=("rendered_sst2", "pcam"), shots=(32, 4, 16)):
    return [
        record
        for dataset in datasets
        for k in shots
        for method, base in (("lp", 0.6), ("flyp", 0.7))
        for record in example.task(method, [base + k / 1000, base + 0.01], dataset, shots=k)
    ]


def test_few_shot_has_the_papers_columns_in_its_order(example):
    (grid,) = example.table(few_shot_run(example)).grids
    assert grid.stub == "k (shots)"
    assert grid.title == "vit, without ensembling"
    assert [column.path for column in grid.columns[:6]] == [
        (dataset, k) for dataset in ("PatchCamelyon", "SST2") for k in ("4", "16", "32")
    ]
    assert example.entry(grid, "flyp", "SST2", "16").interval == mean_interval([0.716, 0.71])
    assert "mean over 2 seeds" in grid.caption
    assert "Without ensembling." in grid.caption


def test_transfer_and_its_aggregates(example):
    stream = random.Random(0)
    tasks = {
        name: [stream.gauss(0.8, 0.05) for _ in range(5)] for name in ("caltech101", "pcam", "imagenet", "my_own_set")
    }
    records = [record for name, values in tasks.items() for record in example.task("flyp", values, name)]
    (grid,) = example.table(records).grids
    assert [column.path for column in grid.columns] == [
        ("PCAM",), ("CalTech",), ("ImageNet",), ("my_own_set",), ("Mean",), ("IQM",)
    ]  # fmt: skip
    assert example.entry(grid, "flyp", "Mean").interval.mean == pytest.approx(np.mean(list(tasks.values())))
    iqm = example.entry(grid, "flyp", "IQM")
    assert iqm.interval.mean == pytest.approx(stats.trim_mean(np.ravel(list(tasks.values())), 0.25))
    assert iqm.printed.count("[") == 1
    (plain,) = example.table(records, aggregate=False).grids
    assert len(plain.columns) == 4


def test_a_row_that_lacks_a_data_set_has_no_aggregate(example):
    records = [*example.task("lp", [0.5, 0.6], "pcam"), *example.task("flyp", [0.7, 0.8], "pcam")]
    records += example.task("flyp", [0.9, 0.8], "caltech101")
    (grid,) = example.table(records, "transfer").grids
    assert example.entry(grid, "lp", "Mean").printed == "-"
    assert example.entry(grid, "lp", "CalTech").printed == "-"
    assert example.entry(grid, "flyp", "Mean").interval.mean == pytest.approx(0.8)


def test_distribution_shift_has_the_papers_groups_in_its_order(example):
    records = []
    for dataset in ("fmow", "imagenet"):
        records += example.finished_cell("flyp", [0.80, 0.82], dataset=dataset)
        records += example.finished_cell("lp", [0.70, 0.72], dataset=dataset)
    (grid,) = example.table(records).grids
    sides = ("Without Ensembling", "With Ensembling")
    assert [column.path for column in grid.columns] == [
        (dataset, side, role) for dataset in ("Imagenet", "FMoW") for side in sides for role in ("ID", "OOD")
    ]
    assert [row.label for row in grid.rows] == ["LP", "FLYP"]
    ood = example.entry(grid, "flyp", "Imagenet", "With Ensembling", "OOD").interval
    assert ood.mean == pytest.approx(0.81 + 0.02 - 0.25)


def test_models_stand_apart(example):
    records = example.task("lp", [0.5, 0.6], "pcam", "ViT-B-16") + example.task("lp", [0.7, 0.8], "pcam", "ViT-L-14")
    titles = [grid.title for grid in example.table(records, "transfer").grids]
    assert titles == ["ViT-B-16, without ensembling", "ViT-L-14, without ensembling"]


@pytest.mark.parametrize(("asked", "sides"), [("with", ["with"]), ("both", ["without", "with"])])
def test_the_side_can_be_chosen(example, asked, sides):
    grids = example.table(few_shot_run(example), ensembling=asked).grids
    assert [grid.title for grid in grids] == [f"vit, {side} ensembling" for side in sides]
    (shift,) = example.table(example.run(), ensembling="with").grids
    assert {column.path[0] for column in shift.columns} == {"with ensembling", "n"}


def test_one_per_shift_table_per_dataset_model_and_shots(example):
    records = [r for shots in (None, 16, 4) for r in example.finished_cell("ft", [0.9], shots=shots)]
    records += example.finished_cell("ft", [0.9], dataset="cars")
    titles = [grid.title for grid in example.table(records, "per_shift").grids]
    assert titles == ["cars, digits-clip", "digits, digits-clip, 4-shot", "digits, digits-clip, 16-shot",
                      "digits, digits-clip"]  # fmt: skip


def test_ablations_differ_from_flyp_paired_by_seed(example):
    flyp, frozen = [0.90, 0.92, 0.94], [0.88, 0.91, 0.91]
    (grid,) = example.table(
        example.finished_cell("flyp_frozen_text", frozen) + example.finished_cell("flyp", flyp)
    ).grids
    assert [row.method for row in grid.rows] == ["flyp", "flyp_frozen_text"]
    assert [column.name for column in grid.columns[:4]] == ["ID", "to FLYP", "OOD", "to FLYP"]
    difference = grid.rows[1].entries[1]
    expected = stats.ttest_rel(frozen, flyp).confidence_interval(0.95)
    assert (difference.interval.low, difference.interval.high) == pytest.approx(tuple(expected))
    assert difference.printed == f"-2.0 ({100 * difference.interval.half_width:.1f})"
    assert grid.rows[0].entries[1].printed == "-"
    assert " & $-$2.0 (" in render(Table((grid,)), "latex")


def test_differences_that_are_shown_are_marked_by_a_correction_within_their_column(example):
    flyp = [0.90, 0.92, 0.94, 0.91, 0.93, 0.92]
    worse, noisy = [one - 0.02 + 0.002 * (at % 2) for at, one in enumerate(flyp)], [0.91, 0.91, 0.95, 0.9, 0.94, 0.91]
    cells = {"flyp": flyp, "flyp_ce": worse, "flyp_masked": noisy}
    (grid,) = example.table([record for cell in cells.items() for record in example.finished_cell(*cell)]).grids
    p_values = {
        (row.method, index): stats.ttest_rel(cells[row.method], flyp).pvalue
        for row in grid.rows[1:]
        for index, column in enumerate(grid.columns)
        if column.kind == "difference"
    }
    assert (
        "(paired t-test, Holm-corrected within each column, 5%). Bold elsewhere: highest of its column" in grid.caption
    )
    for row in grid.rows[1:]:
        for index, column in enumerate(grid.columns):
            if column.kind == "difference":
                assert row.entries[index].mark == ("differs" if row.method == "flyp_ce" else "")
    assert max(p for (method, _), p in p_values.items() if method == "flyp_ce") * 2 < 0.05
    assert "**-1.9 (0.1)**" in render(Table((grid,)), "markdown")
    assert "**-1.9 (0.1)**" in render(Table((grid,)), "text")
    assert "\\textbf{$-$1.9 (0.1)}" in render(Table((grid,)), "latex")


def test_ablations_of_settings_are_rows_named_by_them(example):
    def run(name, templates, values):
        *trials, selection = example.finished_cell("flyp", values)
        trials = [trial | {"settings": {"templates": templates, "epochs": 5}} for trial in trials]
        return example.evidence([*trials, selection], name)

    runs = [run("all", None, [0.9, 0.92]), run("one", 1, [0.89, 0.91])]
    (grid,) = make_table(runs, "ablation").grids
    assert [row.label for row in grid.rows] == ["FLYP (templates all)", "FLYP (templates 1)"]
    assert grid.rows[1].entries[1].interval.mean == pytest.approx(-0.01)
    assert [column.name for column in grid.columns[:2]] == ["ID", "to FLYP"]
    assert grid.notes == ("'to FLYP' is to FLYP (templates all)", "templates: all (flyp), 1 (flyp)")


def test_an_ablation_without_flyp_is_refused(example):
    with pytest.raises(InputError, match="found no cell of flyp"):
        example.table(example.finished_cell("lp", [0.9]), "ablation")


def test_auto_is_the_natural_layout(example):
    def natural(records):
        return natural_layout(comparable_blocks([example.evidence(records)]))

    shifted = [r for name in ("a", "b") for r in example.finished_cell("ft", [0.9], dataset=name)]
    assert natural(example.run()) == "per_shift"
    assert natural(shifted) == "distribution_shift"
    assert natural(few_shot_run(example)) == "few_shot"
    assert natural(example.task("lp", [0.5], "pcam") + example.task("lp", [0.5], "cars")) == "transfer"
    assert natural(example.run() + example.finished_cell(VARIANTS[0], [0.9])) == "ablation"
    assert natural(example.finished_cell("ft", [0.9], shots=4)) == "per_shift"
    assert natural([example.search(example.cell("lp"), "c0")]) == "per_shift"
    assert natural([]) == "per_shift"


@pytest.mark.parametrize("layout", layout_names())
def test_every_layout_takes_a_run_that_has_only_begun(example, layout):
    records = [example.search(example.cell("flyp"), "c0"), *example.finished_cell("lp", [0.9, 0.8])]
    grids = example.table(records, layout).grids
    assert {row.method for grid in grids for row in grid.rows} == {"lp", "flyp"}


def test_soups_of_one_run_may_stand_beside_repeats_of_another_whatever_their_seeds(example):
    runs = [changed(example, "a"), changed(example, "b", "flyp+greedy_soup", n=1)]
    (grid,) = make_table(runs, "transfer").grids
    assert [row.method for row in grid.rows] == ["flyp", "flyp+greedy_soup"]


def changed(example, run, method="flyp", n=2, settings=None, **selected):
    *trials, selection = example.task(method, [0.7, 0.8, 0.9][:n], "pcam")
    trials = [trial | {"settings": trial["settings"] | (settings or {})} for trial in trials]
    return example.evidence([*trials, selection | selected], run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 3}, "found planned seeds 2 in run a .* and 3 in run b"),
        ({"metric": "macro_f1"}, "found selection metric accuracy in run a"),
        ({"split": "id_test"}, "found selection split id_val in run a"),
        ({"settings": {"data": "other"}}, "found data None in run a .* and other in run b"),
        ({"settings": {"weights": "other"}}, "found weights None in run a"),
    ],
)
def test_runs_that_were_not_made_alike_are_refused_in_one_column(example, change, message):
    with pytest.raises(InputError, match=message) as caught:
        make_table([changed(example, "a", "lp"), changed(example, "b", **change)], "transfer")
    assert "\n" not in str(caught.value)


def test_a_run_named_twice_is_refused(example):
    with pytest.raises(InputError, match="run: found this run named twice"):
        make_table([example.evidence(example.run())] * 2)


def two_metrics(example):
    trials = [
        example.trial(example.cell(method), 0, evaluations=example.evaluations(1.0, {"id_test": 0.5}, metric))
        for method, metric in (("lp", "accuracy"), ("flyp", "macro_f1"))
    ]
    return [record for trial in trials for record in (trial, example.selection([trial]))]


@pytest.mark.parametrize("layout", ["distribution_shift", "few_shot", "transfer", "ablation"])
def test_two_metrics_are_refused_in_one_column(example, layout):
    with pytest.raises(InputError, match="found id_test measured by accuracy and by macro_f1"):
        example.table(two_metrics(example), layout)


def test_per_shift_shows_two_metrics_apart(example):
    (grid,) = example.table(two_metrics(example), "per_shift").grids
    assert {(column.name, column.metric) for column in grid.columns[:-1]} == {("ID", "accuracy"), ("ID", "macro_f1")}


def test_an_unknown_layout_is_refused_with_the_nearest_name(example):
    with pytest.raises(InputError, match=r"found layout 'few_shots' \(did you mean 'few_shot'\?\), expected auto or"):
        example.table([], "few_shots")


def test_the_caption_says_what_the_numbers_are(example):
    (grid,) = example.table(example.run()).grids
    for words in (
        "Accuracy in %: mean over 3 seeds with its 95% Student-t interval.",
        "Zeroshot is deterministic: run once, without an interval.",
        "(paired t-test over common seeds on one fixed test set, 5%, Holm-corrected within each column, ",
        "Hyper-parameters, epoch and mixing coefficient were selected on ID validation accuracy (ties: lower loss).",
    ):
        assert words in grid.caption
    (uneven,) = example.table(example.run() + example.finished_cell("lp", [0.7, 0.8]), confidence=0.99).grids
    assert "mean over n = 2 to 3 seeds with its 99% Student-t interval" in uneven.caption


def test_interval_and_test_are_taken_as_asked_and_named(example):
    (grid,) = example.table(example.run(), interval="bca", test="wilcoxon").grids
    assert "95% BCa bootstrap interval, which covers less at so few seeds" in grid.caption
    assert "Wilcoxon signed-rank test" in grid.caption
    assert {row.entries[0].interval.kind for row in grid.rows} == {"bca"}
    assert grid.rows[1].entries[0].printed.startswith("92.0 [")
    assert example.table(example.run(), interval="bca") == example.table(example.run(), interval="bca")


def test_the_caption_names_methods_that_never_vary_and_a_test_that_can_show_nothing(example):
    same = example.run() + example.finished_cell("lp", [0.7, 0.7, 0.7])
    (grid,) = example.table(same, test="wilcoxon").grids
    assert "; LP gave one number at all seeds;" in grid.caption
    assert "; with 3 seeds this test can show nothing)" in grid.caption
    (grid,) = example.table(example.run()).grids
    assert "gave one number" not in grid.caption
    assert "can show nothing" not in grid.caption


def test_the_caption_says_what_a_column_ood_is_and_that_differences_are_not_corrected(example):
    (grid,) = example.table(example.run(), "ablation").grids
    assert "OOD: unweighted mean over the 2 OOD sets of a data set." in grid.caption
    assert "with its 95% Student-t interval, each by itself: not corrected" in grid.caption
    (grid,) = example.table(example.run(), "few_shot").grids
    assert "Hyper-parameters and epoch were selected on" in grid.caption


def test_the_audit_names_selection_seeds_statistics_packages_and_ledger(example, tmp_path):
    example.write(tmp_path, example.run())
    (grid,) = make_table([read_evidence(RunFolder(tmp_path))]).grids
    digest = hashlib.sha256((tmp_path / "ledger.jsonl").read_bytes()).hexdigest()
    audit = " ".join(grid.audit)
    for words in (
        "Selection saw id_val accuracy and loss alone.",
        "8 configurations x 1 seed (Zeroshot, FT, FLYP)",
        "1 of 1 (Zeroshot), 3 of 3 (FT, FLYP)",
        "95% Student-t intervals; paired t-test, 8 comparisons with the best of a column (Holm).",
        "torch 2.15.0",
        f"{tmp_path.name} sha256 {digest[:12]}.",
    ):
        assert words in audit


@pytest.mark.parametrize(
    ("told", "start"), [({}, "Made with"), ({"objective": "sigmoid"}, "Pretraining: sigmoid. Made with")]
)
def test_the_audit_names_the_loss_of_pretraining_unless_an_earlier_version_wrote_none(example, told, start):
    *trials, selection = example.task("flyp", [0.8, 0.82], "pcam", "siglip")
    (audit,) = {grid.audit for grid in example.table([*trials, selection | told], "transfer").grids}
    assert audit[-1].startswith(start)


def test_the_audit_names_the_rules_of_splits_with_the_data_set_where_there_are_several(example):
    rules = ["id_val: 10% of each class, held out of train with seed 0", "photo: predictions among 3 of 9 classes"]
    *trials, selection = example.task("flyp", [0.8, 0.82], "own")
    selection["split_rules"] = rules
    others = example.task("flyp", [0.7, 0.72], "other")
    for records, end in (([], ""), (others, " (own)")):
        (grid,) = example.table([*trials, selection, *records], "transfer").grids
        assert grid.audit[1] == f"Splits: {rules[0]}{end}; {rules[1]}{end}."
    assert not any("Splits:" in line for line in example.table(others, "transfer").grids[0].audit)


def test_the_audit_tells_the_rule_of_all_folds_once(example):
    records = []
    for fold in (1, 2, 3):
        *trials, selection = example.task("flyp", [0.8, 0.82], f"own-fold{fold}")
        selection["split_rules"] = [f"id_val: fold {fold} of 3 of each class, held out of train", "photo: its own rule"]
        records += [*trials, selection]
    (grid,) = example.table(records, "transfer").grids
    assert grid.audit[1] == (
        "Splits: id_val: fold k of 3 of each class, held out of train (own-foldk); photo: its own rule."
    )
    (grid,) = example.table(records[:3], "transfer").grids
    assert grid.audit[1].startswith("Splits: id_val: fold 1 of 3 ")


def test_incomplete_data_is_said(example):
    *trials, selection = example.finished_cell("ft", [0.9, 0.92])
    selection["incomplete"] = {"photo": {"found": 10_000, "published": 18_574}, "sketch": {"found": 9, "published": 8}}
    (grid,) = example.table([*trials, selection]).grids
    assert "split photo holds 10,000 of 18,574 published images" in grid.notes
    assert "split sketch holds 9 images, where 8 were published" in grid.notes


def test_the_trace_names_the_trials_of_every_cell(example):
    records = example.run()
    table = example.table(records, trace=True)
    ft = next(line for line in table.trace if line.startswith("digits/digits-clip/full/ft (run run): "))
    repeats = [r for r in records if r["kind"] == "trial" and r["cell"]["method"] == "ft" and r["stage"] == "repeat"]
    assert ft.endswith(", ".join(f"seed {trial['seed']} {trial['trial_id']}" for trial in repeats))
    assert example.table(records).trace == ()


def test_a_layout_is_a_file_of_its_own(example, tmp_path, monkeypatch):
    (tmp_path / "id_alone.py").write_text(
        "from flyp_sweep.results.tables.columns import id_column, rows_of\n"
        "from flyp_sweep.results.tables.grid import Plan\n"
        "from flyp_sweep.results.tables.layouts import Layout\n"
        "LAYOUT = Layout(lambda blocks, options: "
        "[Plan('ID', tuple(id_column(blocks[0], 'without', ('ID',))), rows_of(blocks))])\n"
    )
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(tmp_path)])
    assert "id_alone" in layout_names()
    (grid,) = example.table(example.run(), "id_alone").grids
    assert [column.path for column in grid.columns] == [("ID",)]
    assert example.entry(grid, "ft", "ID").printed == "92.0 (5.0)"


def test_deterministic_methods_have_one_run_no_interval_and_may_stand_beside_more_seeds(example):
    *trials, selection = example.finished_cell("lp", [0.7])
    records = [*trials, selection | {"deterministic": True}, *example.finished_cell("ft", [0.9, 0.92, 0.94])]
    (grid,) = example.table(records, "distribution_shift").grids
    entry = example.entry(grid, "lp", "Without Ensembling", "ID")
    assert (entry.printed, entry.planned, entry.mark) == ("70.0 (-)", 1, "")
    assert entry.to_best.difference.n == 3, "it takes part at every seed"
    assert "mean over 3 seeds" in grid.caption
    assert "LP is deterministic: run once, without an interval." in grid.caption
    runs = [example.evidence(records[:2], "a"), example.evidence(records[2:], "b")]
    assert len(make_table(runs, "distribution_shift").grids[0].rows) == 2
    (alone,) = example.table(records[:2], "distribution_shift").grids
    assert alone.caption.startswith("Accuracy in % on digits: one run, no interval. LP is deterministic")


def test_a_caption_names_what_all_cells_share_and_the_title_does_not(example):
    few = [
        *example.task("ft", [0.8, 0.9, 0.85], "pcam", shots=4),
        *example.task("flyp", [0.9, 0.95, 0.92], "pcam", shots=4),
    ]
    (grid,) = example.table(few, "few_shot", labels={"pcam": "Camelyon"}).grids
    assert grid.caption.startswith("Accuracy in % on Camelyon, 4-shot: mean over 3 seeds")
    (grid,) = example.table([*few, *example.task("ft", [0.8, 0.9, 0.85], "pcam", shots=8)], "few_shot").grids
    assert grid.caption.startswith("Accuracy in % on pcam: mean over 3 seeds")
    assert "with 3 seeds this test has little power" in grid.caption
    (grid,) = example.table(example.run()).grids
    assert grid.caption.startswith("Accuracy in %: mean")
