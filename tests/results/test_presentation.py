"""What options and the section `tables` change of a table: names, rows, columns, order, caption, digits; no number."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flyp_sweep.results import RunFolder, TableOptions, render
from flyp_sweep.results.ledger.run_folder import LEDGER
from flyp_sweep.results.outputs import table_options, write_outputs
from flyp_sweep.search_spaces.errors import InputError

SPACE = """
name: run
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, ft, flyp]
search: {num_samples: 2, space: {lr: {loguniform: [1.0e-4, 1.0e-2]}}}
"""


def headers(grid) -> list[str]:
    return [" / ".join(column.path) for column in grid.columns]


def numbers(table) -> dict[tuple[str, str], str]:
    """(method, column) -> the number as CSV has it in full."""
    rows = csv.DictReader(io.StringIO(render(table, "csv")))
    return {
        (row["method"], row["ensembling"] + row["role"] + row["column"].rpartition(" / ")[2]): row["mean"]
        for row in rows
    }


def test_columns_and_methods_are_chosen_in_their_order_and_no_number_changes(example):
    plain = example.table(example.run())
    made = example.table(example.run(), columns=("mean OOD", "ID"), methods=("flyp", "zeroshot"), decimals=3)
    (grid,) = made.grids
    assert [row.method for row in grid.rows] == ["flyp", "zeroshot"]
    assert headers(grid) == [
        f"{side} ensembling / {name}" for side in ("without", "with") for name in ("mean OOD", "ID")
    ]
    assert numbers(made).items() <= numbers(plain).items()
    assert example.entry(grid, "flyp", "without ensembling", "ID").printed == "95.000 (4.968)"
    assert any(line == "Not shown, and not compared: FT." for line in grid.audit)
    assert "over all pairs of the methods shown" in grid.caption


def test_a_header_stands_where_its_first_column_would(example):
    records = [r for name in ("a", "b") for k in (4, 16) for r in example.task("ft", [0.8, 0.9], name, shots=k)]
    (grid,) = example.table(records, "few_shot", columns=("b", "a / 16", "a / 4")).grids
    assert headers(grid) == ["b / 4", "b / 16", "a / 16", "a / 4"]


def test_columns_that_are_not_shown_count_in_aggregates(example):
    records = [r for at, name in enumerate("abc") for r in example.task("ft", [0.5 + at / 10] * 3, name)]
    whole = example.table(records, "transfer").grids[0]
    (grid,) = example.table(records, "transfer", columns=("c", "Mean")).grids
    assert headers(grid) == ["c", "Mean"]
    assert example.entry(grid, "ft", "Mean").interval == example.entry(whole, "ft", "Mean").interval
    assert "Mean: over all columns, 2 of them not shown" in grid.caption


def test_differences_stay_with_their_numbers(example):
    records = example.run() + example.finished_cell("flyp_ce", [0.91, 0.93, 0.95])
    (grid,) = example.table(records, "ablation", columns=("OOD",)).grids
    assert [column.path[-1] for column in grid.columns] == ["OOD", "to FLYP"] * 2


def test_rows_are_sorted_by_the_best_number_of_a_column(example):
    records = example.run() + example.finished_cell("lp", [0.99, 0.98, 0.97])
    assert [row.method for row in example.table(records, sort="ID").grids[0].rows] == ["lp", "flyp", "ft", "zeroshot"]
    nll = [r for method, v in (("lp", 0.5), ("ft", 0.2)) for r in example.task(method, [v] * 3, "digits")]
    lower = [
        r | {"evaluations": [at | {"splits": [s | {"primary": "nll", "metrics": {"nll": s["metrics"]["accuracy"]}}
                                              for s in at["splits"]]} for at in r["evaluations"]]}
        if r["kind"] == "trial" else r for r in nll
    ]  # fmt: skip
    assert [row.method for row in example.table(lower, sort="ID").grids[0].rows] == ["ft", "lp"]


LABELS = {
    "flyp": "Ours & co_1",
    "photo": "Photos",
    "digits": "Digits",
    "digits-clip": "CLIP",
    "with ensembling": "WiSE",
}


def test_labels_name_methods_data_sets_splits_models_and_headers_everywhere(example):
    records = example.run() + example.finished_cell("flyp+greedy_soup", [0.9, 0.9, 0.9])
    table = example.table(records, labels=LABELS)
    (grid,) = table.grids
    assert grid.title == "Digits, CLIP"
    assert [row.label for row in grid.rows][-2:] == ["Ours & co_1", "Ours & co_1 greedy soup"]
    assert {"without ensembling / Photos", "WiSE / Photos", "WiSE / sketch"} <= set(headers(grid))
    assert "Ours & co_1" in grid.audit[0]
    assert r"Ours \& co\_1 &" in render(table, "latex")
    assert "Ours &amp; co_1</th>" in render(table, "html")
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert {row["method"] for row in rows} >= {"flyp"}
    assert {row["dataset"] for row in rows} == {"digits"}, "programs read names"


def test_labels_follow_the_papers_name_of_a_data_set_and_headings_around_a_split(example):
    records = example.task("ft", [0.8, 0.9], "pcam")
    assert headers(example.table(records, "transfer", labels={"pcam": "Camelyon"}).grids[0]) == ["Camelyon"]
    values = {"id_test": 0.9, "ood_val_x": 0.5, "photo": 0.4}
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(2)]
    labels = {"ood_val_x": "X", "id_test": "Test"}
    found = headers(example.table([*trials, example.selection(trials)], "per_shift", labels=labels).grids[0])
    assert found[:3] == ["without ensembling / Test", "without ensembling / OOD val. X", "without ensembling / photo"]


def test_a_label_of_a_header_that_another_layout_has_is_no_mistake(example):
    labels = {"OOD": "Shifts", "mean OOD": "Mean shift", "with ensembling": "WiSE", "Mean": "Average"}
    (grid,) = example.table(example.run(), ensembling="without", labels=labels).grids
    assert headers(grid)[-2:] == ["without ensembling / Mean shift", "n"]
    assert headers(example.table(example.run(), "distribution_shift", labels=labels).grids[0])[1].endswith("Shifts")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("men OOD",)}, r"--columns .*found 'men OOD' \(did you mean 'mean OOD'\?\), expected one of ID"),
        ({"methods": ("fly",)}, r"--methods .*found 'fly' \(did you mean 'flyp'\?\), expected one of zeroshot"),
        ({"sort": "foto"}, r"--sort .*found 'foto' \(did you mean 'photo'\?\)"),
        ({"control": "flip"}, r"--control .*found 'flip' \(did you mean 'flyp'\?\)"),
        ({"control": "ft", "methods": ("flyp",)}, "--control .*found 'ft', which --methods leaves out"),
        ({"labels": {"skech": "S"}}, r"--label .*found 'skech' \(did you mean 'sketch'\?\)"),
        ({"labels": {"ft": "FLYP"}}, "--label .*found 'FLYP' as the name of two"),
        ({"labels": {"photo": "sketch"}}, "--label .*found 'without ensembling / sketch' as the name of two"),
    ],
)  # fmt: skip
def test_unknown_names_are_refused_in_one_line(example, options, message):
    with pytest.raises(InputError, match=message) as caught:
        example.table(example.run(), **options)
    assert "\n" not in str(caught.value)


def test_columns_that_a_layout_does_not_have_are_refused_by_its_own(example):
    with pytest.raises(InputError, match="found none of photo in this layout, expected one or more of ID, OOD"):
        example.table(example.run(), "distribution_shift", columns=("photo",))


def test_a_caption_takes_the_place_of_the_generated_one_which_stays_below(example):
    generated = example.table(example.run()).grids[0].caption
    table = example.table(example.run(), caption="Ours: 5% & more.")
    (grid,) = table.grids
    assert (grid.caption, grid.audit[0]) == ("Ours: 5% & more.", generated)
    assert r"\caption{Ours: 5\% \& more.}" in render(table, "latex"), "no title before it"
    (joined,) = example.table(example.run(), caption="Ours. {generated}").grids
    assert joined.caption == f"Ours. {generated}"
    assert generated not in joined.audit


# The section of a run's space.yaml


def folder_of(path: Path, example, section: str = "", name: str = "run") -> RunFolder:
    folder = RunFolder.create(path / name, SPACE + section)
    example.write(path / name, example.run())
    assert (path / name / LEDGER).is_file()
    return folder


def test_the_section_shapes_the_tables_of_a_run_and_options_win(example, tmp_path):
    section = "tables: {labels: {flyp: Ours, ft: Tuned}, columns: [ID], decimals: 2}\n"
    folder = folder_of(tmp_path, example, section)
    options = table_options([folder], labels={"ft": "Fine-tuned"}, decimals=0, columns=())
    assert options.labels == {"flyp": "Ours", "ft": "Fine-tuned"}
    assert (options.columns, options.decimals) == (("ID",), 0)
    outputs = write_outputs(folder, [])
    assert not [line for line in outputs.warnings if "tables" in line]
    text = (folder.tables / "comparison.txt").read_text()
    assert "Ours" in text
    assert "95.00 (4.97)" in text
    assert "photo" not in text.partition("Selection saw")[0]


def test_labels_reach_the_report_its_figures_and_the_summary_as_text(example, tmp_path):
    folder = folder_of(tmp_path, example, "tables: {labels: {flyp: 'Ours <b>&--', photo: Photos}}\n")
    outputs = write_outputs(folder, [])
    page = folder.report.read_text()
    claims = page.partition('id="claims"')[2].partition('id="figures"')[0]
    assert "Ours &lt;b&gt;&amp;-- has the highest mean OOD accuracy" in claims
    assert "<b>&--" not in page
    assert "FLYP" not in claims
    assert [row.label for row in outputs.summary.grids[0].rows][-1] == "Ours <b>&--"
    drawn = sorted(folder.figures.glob("*.svg"))
    for path in drawn:
        ElementTree.fromstring(path.read_text())
    assert {path.stem.partition("-")[0] for path in drawn} >= {"frontier", "ood"}


def test_a_run_without_an_ood_set_says_that_a_frontier_needs_one(example, tmp_path):
    folder = RunFolder.create(tmp_path / "run", SPACE)
    example.write(folder.path, example.task("ft", [0.8, 0.9, 0.85], "digits"))
    outputs = write_outputs(folder, [])
    assert "no frontier of digits, vit: a frontier needs an OOD set, and there is none" in outputs.warnings
    assert (folder.figures / "ood-digits-vit-full.png").is_file()


def test_of_several_runs_the_first_that_says_something_wins(example, tmp_path):
    a = folder_of(tmp_path, example, "tables: {labels: {flyp: A}}\n", "a")
    b = folder_of(tmp_path, example, "tables: {labels: {flyp: B, ft: F}, decimals: 2}\n", "b")
    assert table_options([a, b]) == TableOptions(labels={"flyp": "A", "ft": "F"}, decimals=2)


def test_a_wrong_name_in_the_section_costs_no_table_but_a_warning(example, tmp_path):
    folder = folder_of(tmp_path, example, "tables: {labels: {phto: P, flyp: Ours}}\n")
    outputs = write_outputs(folder, [])
    (line,) = [line for line in outputs.warnings if "phto" in line]
    assert "did you mean 'photo'?" in line
    assert "space.yaml" in line
    assert "FLYP" in (folder.tables / "comparison.txt").read_text()
    assert "Ours" not in {*folder.frame()["method_label"], *(row.label for row in outputs.table.grids[0].rows)}


def test_names_are_not_refused_before_they_can_be_known(example):
    records = [*example.run(), example.search(example.cell("ft", "other"), "c0")]
    grid = example.table(records, labels={"not_yet": "x"}, columns=("later",)).grids[0]
    assert "digits / Without Ensembling / ID" in headers(grid)
