"""The tables of leave-one-out and k-fold: one for all data sets that an entry of the search space stands for."""

from __future__ import annotations

import pytest
from ledgers import evidence_in

from flyp_sweep.results import make_table, render
from flyp_sweep.results.statistics import mean_interval
from flyp_sweep.search_spaces.errors import InputError

DOMAINS = {"office-art": "art", "office-clipart": "clipart", "office-product": "product"}
FOLDS = {"birds-fold1": "fold 1", "birds-fold2": "fold 2"}


def cell_of_a_family(example, method, dataset, values, name="office", kind="domain", parts=DOMAINS, **splits):
    """A cell's repeats over seeds 0, 1, ...: `values` on the held-out domain or on ID test, as `splits` says."""
    trials = []
    for seed, value in enumerate(values):
        numbers = {split: value + more for split, more in splits.items()}
        mixed = {split: number + 0.1 for split, number in numbers.items()}
        trials.append(example.repeat(example.cell(method, dataset=dataset), seed, numbers, mixed))
    return [*trials, example.selection(trials, family={"name": name, "kind": kind, "parts": parts})]


def leave_one_out(example, domains=tuple(DOMAINS)):
    """Two methods, three seeds; the held-out domain and an ID test split of each data set."""
    records = []
    for at, dataset in enumerate(domains):
        for method, base in (("ft", 0.5), ("flyp", 0.6)):
            values = [base + at / 10 + more for more in (0.0, 0.01 * (at + 1), 0.05)]
            records += cell_of_a_family(example, method, dataset, values, **{DOMAINS[dataset]: 0.0, "id_test": 0.2})
    return records


def test_each_held_out_domain_is_a_column_and_their_mean_is_taken_by_seed(example):
    (grid,) = example.table(leave_one_out(example)).grids
    side = "without ensembling"
    assert grid.title == "office, digits-clip"
    assert [column.path for column in grid.columns] == [
        *((side, name) for name in ("art", "clipart", "product", "mean OOD", "ID")),
        *(("with ensembling", name) for name in ("art", "clipart", "product", "mean OOD", "ID")),
        ("n",),
    ]
    by_seed = [(0.6 + 0.7 + 0.8) / 3, (0.61 + 0.72 + 0.83) / 3, (0.65 + 0.75 + 0.85) / 3]
    mean = example.entry(grid, "flyp", side, "mean OOD")
    expected = mean_interval(by_seed)
    assert (mean.interval.mean, mean.interval.low, mean.interval.n) == pytest.approx((expected.mean, expected.low, 3))
    assert len(mean.trials) == 9
    assert mean.mark == "best"
    assert example.entry(grid, "flyp", side, "ID").interval.mean == pytest.approx(expected.mean + 0.2)
    assert example.entry(grid, "flyp", "n").text == "3"
    assert grid.notes == ("mean OOD, ID: by seed the mean over 3 held-out domains, then the mean over seeds",)
    assert "office" in render(example.table(leave_one_out(example)), "markdown")


def test_a_domain_that_has_not_run_leaves_no_mean(example):
    (grid,) = example.table(leave_one_out(example, ("office-art", "office-product"))).grids
    side = "without ensembling"
    assert example.entry(grid, "flyp", side, "art").interval.mean == pytest.approx(0.62)
    for name in ("clipart", "mean OOD", "ID"):
        assert example.entry(grid, "flyp", side, name).printed == "-"


def test_a_mean_takes_the_seeds_that_every_domain_has(example):
    records = leave_one_out(example)
    lost = next(one for one in records if one["kind"] == "trial" and one["cell"]["method"] == "flyp" and one["seed"])
    (grid,) = example.table([one for one in records if one is not lost]).grids
    mean = example.entry(grid, "flyp", "without ensembling", "mean OOD")
    assert (mean.interval.n, mean.is_short) == (2, True)
    assert example.entry(grid, "flyp", "n").text == "2 of 3"


def test_the_zero_shot_model_has_the_mean_of_its_constants(example):
    records = leave_one_out(example)
    for dataset, part in DOMAINS.items():
        trial, selection = example.zeroshot({part: 0.3, "id_test": 0.4}, dataset=dataset)
        records += [trial, selection | {"family": {"name": "office", "kind": "domain", "parts": DOMAINS}}]
    (grid,) = example.table(records).grids
    assert example.entry(grid, "zeroshot", "with ensembling", "mean OOD").printed == "30.0 (-)"


def test_folds_are_one_row_per_method_with_means_over_the_folds(example):
    records = []
    for at, dataset in enumerate(FOLDS):
        values = [0.5 + at / 10, 0.54 + at / 10]
        splits = {"id_test": 0.0, "photo": -0.1, "sketch": -0.2}
        records += cell_of_a_family(example, "ft", dataset, values, "birds", "fold", FOLDS, **splits)
    (grid,) = example.table(records, ensembling="without").grids
    assert [column.name for column in grid.columns] == ["ID", "photo", "sketch", "mean OOD", "n"]
    found, expected = example.entry(grid, "ft", "without ensembling", "ID").interval, mean_interval([0.55, 0.59])
    assert (found.mean, found.low, found.n) == pytest.approx((expected.mean, expected.low, 2))
    assert example.entry(grid, "ft", "without ensembling", "mean OOD").interval.mean == pytest.approx(0.42)


def test_a_data_set_that_stands_alone_has_a_table_of_its_own(example):
    table = example.table([*leave_one_out(example), *example.finished_cell("ft", [0.9, 0.8])])
    assert [grid.title for grid in table.grids] == ["office, digits-clip", "digits, digits-clip"]
    assert table.layout == "held_out"


@pytest.mark.parametrize("layout", ["per_shift", "auto"])
def test_the_error_under_each_corruption_is_a_column(example, layout):
    errors = {"fog": 0.25, "snow": 0.5}
    records = example.finished_cell("ft", [0.8, 0.9]) + example.finished_cell("flyp", [0.8, 0.9])
    for at in [at for one in records for at in one.get("evaluations", ())]:
        for split in at["splits"]:
            if split["split"] == "photo":
                own = {f"corruption_error/{name}": error + at["alpha"] / 10 for name, error in errors.items()}
                split["metrics"] |= own
    (grid,) = make_table([evidence_in(records, metric="corruption_error")], layout).grids
    without = [column for column in grid.columns if column.path[0] == "without ensembling"]
    assert [column.name for column in without] == ["photo fog", "photo snow", "mean OOD"]
    assert [entry.printed for entry in grid.rows[0].entries[:3]] == ["35.0 (0.0)", "60.0 (0.0)", "47.5 (0.0)"]
    assert "Error under each corruption in %" in grid.caption
    assert "Lower is better." in grid.caption
    for other in ("held_out", "transfer"):
        with pytest.raises(InputError, match="expected per_shift, or one of them, as in --metric corruption_error/fog"):
            make_table([evidence_in(records, metric="corruption_error")], other)


def test_a_domain_with_several_groups_has_no_single_number_for_all(example):
    records = leave_one_out(example)
    for at in [at for one in records for at in one.get("evaluations", ())]:
        for split in at["splits"]:
            split["metrics"] |= {"group_accuracy/day": 0.9, "group_accuracy/night": 0.1}
    table = make_table([evidence_in(records, metric="group_accuracy")])
    assert table.layout == "per_shift"
    names = [column.name for column in table.grids[0].columns if column.path[0] == "without ensembling"]
    assert names == ["ID day", "ID night", "art day", "art night", "mean OOD"]
