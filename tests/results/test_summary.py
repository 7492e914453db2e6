"""The small table that a run ends with shows numbers of the run's tables, and only those that a run is judged by."""

from __future__ import annotations

import pytest
from ledgers import Example, Record

from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.summary import Summary, summary_of
from flyp_sweep.results.tables.table import Grid


def summary(records: list[Record]) -> Summary:
    return summary_of(Example().evidence(records))


def shown(grid: Grid) -> dict[str, list[tuple[str, str]]]:
    """Method -> its numbers with their marks."""
    return {row.method: [(entry.printed, entry.mark) for entry in row.entries] for row in grid.rows}


def test_it_holds_the_numbers_and_marks_of_the_run_s_table(example: Example) -> None:
    (grid,) = summary(example.run()).grids
    assert grid.title == "digits, digits-clip, full"
    sides = ("without ensembling", "with ensembling")
    assert [column.path for column in grid.columns] == [
        *((side, name) for side in sides for name in ("ID", "mean OOD")),
        ("n",),
    ]
    (whole,) = example.table(example.run(), "per_shift").grids
    at = [whole.columns.index(column) for column in grid.columns]
    assert len(at) < len(whole.columns)
    assert shown(grid) == {method: [numbers[index] for index in at] for method, numbers in shown(whole).items()}
    assert any(mark == "best" for numbers in shown(grid).values() for _, mark in numbers)


def test_its_legend_has_units_and_says_what_marks_mean(example: Example) -> None:
    assert summary(example.run()).legend == (
        "Accuracy in %: mean over 3 seeds with its 95% Student-t interval. "
        "Bold: highest of its column; underlined: not shown to be worse."
    )
    assert summary(example.finished_cell("ft", [0.9, 0.8])).legend.endswith("No marks: fewer than 3 seeds.")


def test_each_group_of_cells_has_a_grid(example: Example) -> None:
    records = [
        one
        for shots in (4, 16, None)
        for method in ("ft", "flyp")
        for one in example.finished_cell(method, [0.9, 0.8], shots=shots)
    ]
    titles = ["digits, digits-clip, 4-shot", "digits, digits-clip, 16-shot", "digits, digits-clip, full"]
    assert [grid.title for grid in summary(records).grids] == titles


def test_the_only_ood_set_is_a_column_of_its_own_name(example: Example) -> None:
    values = {"id_val": 0.9, "id_test": 0.9, "sketch": 0.5}
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(3)]
    (grid,) = summary([*trials, example.selection(trials)]).grids
    assert [column.name for column in grid.columns] == ["ID", "sketch", "ID", "sketch", "n"]


def test_held_out_domains_are_summed_up_by_their_mean(example: Example) -> None:
    family = {"name": "office", "kind": "domain", "parts": {"office-art": "art", "office-photo": "photo"}}
    records: list[Record] = []
    for dataset, own in family["parts"].items():  # type: ignore[attr-defined]
        values = {"id_val": 0.9, "id_test": 0.8, own: 0.5 if own == "art" else 0.7}
        trials = [example.repeat(example.cell("ft", dataset), seed, values, values) for seed in range(3)]
        records += [*trials, example.selection(trials, family=family)]
    (grid,) = summary(records).grids
    assert grid.title == "office, digits-clip, full"
    assert [column.name for column in grid.columns] == ["mean OOD", "ID", "mean OOD", "ID", "n"]
    assert [entry.printed for entry in grid.rows[0].entries[:2]] == ["60.0 (0.0)", "80.0 (0.0)"]


@pytest.mark.parametrize("records", [[], [Example().search(Example().cell("lp"), "c0")]], ids=["nothing", "a search"])
def test_without_numbers_it_has_no_legend(records: list[Record]) -> None:
    found = summary(records)
    assert found.legend == ""
    assert [entry.printed for grid in found.grids for row in grid.rows for entry in row.entries] == [
        "unfinished" for _ in found.grids
    ]


def test_it_has_the_labels_methods_and_control_of_the_tables(example: Example) -> None:
    options = TableOptions(labels={"flyp": "Ours", "digits": "Digits"}, methods=("flyp", "ft"), control="ft")
    found = summary_of(example.evidence(example.run()), options)
    (grid,) = found.grids
    assert (grid.title, [row.label for row in grid.rows]) == ("Digits, digits-clip, full", ["Ours", "FT"])
    (whole,) = example.table(example.run(), "per_shift", **vars(options)).grids
    at = [whole.columns.index(column) for column in grid.columns]
    assert shown(grid) == {method: [numbers[index] for index in at] for method, numbers in shown(whole).items()}
    assert "Bold: shown to be better than the control" in found.legend
