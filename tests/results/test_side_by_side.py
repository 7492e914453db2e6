"""Two runs that hold the same cells: side by side, each number of one run."""

from __future__ import annotations

import csv
import io

from flyp_sweep.results import format_names, make_table, render
from flyp_sweep.results.tables.options import TableOptions


def two(example, layout="auto", **options):
    a = example.evidence(example.run(), "a")
    lower = example.finished_cell("ft", [0.5, 0.6]) + example.finished_cell("lp", [0.7, 0.8])
    return make_table([a, example.evidence(lower, "b")], layout, TableOptions(**options))


def test_each_run_has_columns_of_its_own(example):
    (grid,) = two(example, columns=("ID", "n")).grids
    assert [column.path for column in grid.columns] == [
        ("a", "without ensembling", "ID"), ("a", "with ensembling", "ID"), ("a", "", "n"),
        ("b", "without ensembling", "ID"), ("b", "with ensembling", "ID"), ("b", "", "n"),
    ]  # fmt: skip
    assert [row.method for row in grid.rows] == ["zeroshot", "lp", "ft", "flyp"]
    ft = next(row for row in grid.rows if row.method == "ft")
    assert [entry.printed.split()[0] for entry in ft.entries] == ["92.0", "94.0", "3", "55.0", "57.0", "2"]
    lp = next(row for row in grid.rows if row.method == "lp")
    assert [entry.printed for entry in lp.entries[:3]] == ["-", "-", "-"], "run a has no such cell"


def test_numbers_and_marks_are_those_of_each_run_alone(example):
    (grid,) = two(example).grids
    alone = example.table(example.run()).grids[0]
    for row in alone.rows:
        beside = next(one for one in grid.rows if one.method == row.method)
        assert beside.entries[: len(row.entries)] == row.entries
    assert "a and b are runs side by side: marks compare methods within one run." in grid.caption
    assert {line.partition(": ")[0] for line in grid.audit} == {"a", "b"}


def test_trials_of_other_runs_never_stand_in_a_column(example):
    rows = csv.DictReader(io.StringIO(render(two(example), "csv")))
    seen = {}
    for row in rows:
        seen.setdefault(row["run"], set()).update([row["n"]] if row["method"] == "ft" and row["mean"] else [])
    assert seen == {"a": {"3"}, "b": {"2"}}


def test_runs_of_different_protocols_may_stand_side_by_side_and_be_labelled(example):
    *trials, selection = example.finished_cell("ft", [0.5, 0.6])
    other = [trial | {"settings": {"data": "other"}} for trial in trials]
    table = make_table(
        [example.evidence([*trials, selection], "a"), example.evidence([*other, selection], "b")],
        options=TableOptions(labels={"b": "New data"}),
    )
    assert {column.path[0] for column in table.grids[0].columns} == {"a", "New data"}
    assert all("New data" in render(table, style) for style in format_names())


def test_aggregates_are_over_the_columns_of_one_run(example):
    def tasks(low):
        return [r for at, name in enumerate("xy") for r in example.task("ft", [low + at / 10] * 3, name)]

    table = make_table([example.evidence(tasks(0.5), "a"), example.evidence(tasks(0.7), "b")], "transfer")
    (grid,) = table.grids
    means = [e.interval.mean for c, e in zip(grid.columns, grid.rows[0].entries, strict=True) if c.name == "Mean"]
    assert [round(mean, 6) for mean in means] == [0.55, 0.75]


def test_an_ablation_keeps_its_rows_for_runs(example):
    runs = [example.evidence(example.finished_cell("flyp", [0.9, 0.91, 0.92]), name) for name in ("a", "b")]
    (grid,) = make_table(runs, "ablation").grids
    assert [row.label for row in grid.rows] == ["FLYP (a)", "FLYP (b)"]
