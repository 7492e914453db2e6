from __future__ import annotations

import csv
import io
import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from flyp_sweep.results import layout_names, render
from flyp_sweep.results.statistics import holm_with_the_best
from flyp_sweep.results.tables.significance import Sample, column_marks

SIMULATIONS = 1000


def sample(*values: float) -> Sample:
    return Sample(dict(enumerate(values)))


def test_the_best_is_marked_and_what_is_clearly_worse_is_not():
    best, level, worse = sample(0.90, 0.92, 0.91), sample(0.91, 0.90, 0.905), sample(0.50, 0.52, 0.511)
    found = column_marks([worse, level, best])
    assert found.marks == ("", "level", "best")
    assert (found.best, found.comparisons) == (2, 2)


def test_differences_to_the_best_have_their_interval_and_both_p_values():
    a, b, c = [0.90, 0.92, 0.91, 0.93, 0.90], [0.89, 0.90, 0.905, 0.90, 0.895], [0.7, 0.75, 0.72, 0.71, 0.70]
    found = column_marks([sample(*b), sample(*a), sample(*c)])
    assert found.versus[1] is None
    p = {}
    for row, values in ((0, b), (2, c)):
        expected = stats.ttest_rel(values, a)
        versus = found.versus[row]
        low, high = expected.confidence_interval(0.95)
        difference = versus.comparison.difference
        assert (difference.mean, difference.low, difference.high) == pytest.approx(
            (np.mean(values) - np.mean(a), low, high)
        )
        assert versus.p_value == pytest.approx(expected.pvalue)
        p[row] = expected.pvalue
    # three methods: one of three pairs at first, then the pair that is left
    assert [found.versus[row].adjusted for row in (2, 0)] == pytest.approx([3 * p[2], max(3 * p[2], p[0])])


def test_corrected_p_values_on_a_hand_worked_family():
    # four methods: 6 pairs, then 3 among the three that are left, then 1
    assert holm_with_the_best(np.array([0.02, 0.004, 0.03])) == pytest.approx([0.06, 0.024, 0.06])
    assert holm_with_the_best(np.array([math.nan, 0.5, 0.6])) == pytest.approx([math.nan, 1.0, 1.0], nan_ok=True)


def test_the_correction_can_be_left_out():
    a, b = sample(0.90, 0.92, 0.91, 0.93, 0.90), sample(0.89, 0.90, 0.905, 0.90, 0.895)  # p of the pair is some 0.02
    others = [sample(0.893, 0.921, 0.895, 0.922, 0.881), sample(0.9, 0.91, 0.92, 0.92, 0.89)]
    assert column_marks([a, b]).marks == ("best", "")
    assert column_marks([a, b, *others]).marks[1] == "level"
    assert column_marks([a, b, *others], correction="none").marks[1] == ""


def test_a_constant_is_compared_with_the_seeds_of_the_others():
    zeroshot = Sample({0: 0.70}, constant=True)
    assert column_marks([zeroshot, sample(0.90, 0.91, 0.92)]).marks == ("", "best")
    assert column_marks([zeroshot, sample(0.40, 0.41, 0.42)]).marks == ("best", "")
    assert column_marks([zeroshot, sample(0.60, 0.75, 0.85)]).marks == ("level", "best")


def test_two_constants_need_no_test_whether_they_ran_once_or_on_every_seed():
    zeroshot, lp = Sample({0: 0.5}, constant=True), Sample({0: 0.7}, constant=True)
    found = column_marks([zeroshot, lp, sample(0.71, 0.66, 0.68)])
    assert (found.marks, found.comparisons) == (("", "best", "level"), 1)
    assert column_marks([zeroshot, lp, Sample({1: 0.7}, constant=True)]).marks == ("", "level", "best")
    assert column_marks([zeroshot, sample(0.7, 0.7, 0.7)]).marks == ("", "best")


def test_only_shared_seeds_are_compared():
    a = Sample({0: 0.9, 1: 0.8, 2: 0.7, 3: 0.75})
    b = Sample({1: 0.501, 2: 0.402, 3: 0.451, 4: 0.9})  # 0.299, 0.298 and 0.299 below a, where both are
    assert column_marks([a, b]).marks == ("best", "")
    lucky = Sample(
        {seed: value + 0.01 + seed / 1e4 for seed, value in b.values.items()} | {9: 0.99}
    )  # above b wherever both are
    assert column_marks([replace(b, values={**b.values, 8: 0.99, 7: 0.99}), lucky]).marks == ("best", "level")


def test_below_three_seeds_nothing_is_marked():
    found = column_marks([sample(0.9, 0.91), sample(0.1, 0.11), None])
    assert (found.marks, found.comparisons, found.few) == (("", "", ""), 0, (0, 1))
    assert found.versus[1].comparison.difference.n == 2  # its interval stands all the same
    assert column_marks([None, sample(0.9, 0.8, 0.7)]).marks == ("", "")
    assert column_marks([]).marks == ()


def test_a_row_of_too_few_seeds_is_not_marked_and_where_it_leads_nothing_is():
    many, more = sample(0.80, 0.81, 0.82), sample(0.70, 0.81, 0.80)
    soup = sample(0.75)
    found = column_marks([many, more, soup])
    assert (found.marks, found.few) == (("best", "level", ""), (2,))
    leading = column_marks([many, more, sample(0.95)])
    assert (leading.marks, leading.few, leading.best) == (("", "", ""), (0, 1, 2), 2)


def test_wilcoxon_can_tell_nothing_apart_with_five_seeds():
    a, b = sample(0.90, 0.92, 0.91, 0.93, 0.90), sample(0.10, 0.12, 0.15, 0.13, 0.17)
    assert column_marks([a, b], "wilcoxon").marks == ("best", "level")
    assert column_marks([a, b], "t").marks == ("best", "")


def test_the_order_of_rows_with_equal_means_changes_no_mark():
    rows = {"a": sample(0.5, 0.7, 0.6), "b": sample(0.6, 0.6, 0.6), "c": sample(0.59, 0.591, 0.592)}
    found = set()
    for order in itertools.permutations(rows):
        marks = column_marks([rows[name] for name in order]).marks
        found.add(frozenset(zip(order, marks, strict=True)))
    assert len(found) == 1


# In tables

CLOSE, WORSE = [0.93, 0.955, 0.96, 0.94, 0.95], [0.90, 0.91, 0.90, 0.89, 0.91]


def records_of(example):
    values = {"id_val": 0.6, "id_test": 0.61, "photo": 0.5, "sketch": 0.4}
    cells = {"ft": WORSE, "lpft": CLOSE, "flyp": [0.94, 0.95, 0.965, 0.945, 0.955], "l2sp": [0.5] * 5}
    return example.zeroshot(values) + [record for cell in cells.items() for record in example.finished_cell(*cell)]


def marks_of(table) -> dict[tuple[str, str, str, str], str]:
    """Data set, method, side and role -> the mark, of the numbers that a data set is summed up by."""
    found = {}
    for grid in table.grids:
        for row in grid.rows:
            for column, entry in zip(grid.columns, row.entries, strict=True):
                if column.headline and column.kind == "number":
                    found[column.dataset, row.method, column.side, column.role] = entry.mark
    return found


def test_a_pair_has_the_same_mark_in_every_layout_and_format(example):
    records = records_of(example)
    tables = [example.table(records, layout, ensembling="both") for layout in layout_names()]
    whole = marks_of(example.table(records, "per_shift"))
    assert set(whole.values()) == {"best", "level", ""}
    for table in tables:
        assert marks_of(table).items() <= whole.items()
        for row in csv.DictReader(io.StringIO(render(table, "csv"))):
            if row["role"] in ("id_test", "mean_ood") and not row["column"].endswith("to FLYP"):
                assert row["mark"] == whole["digits", row["method"], row["ensembling"], row["role"]]


def test_a_data_set_more_in_the_table_changes_no_mark(example):
    other = [r for name in ("ft", "flyp") for r in example.finished_cell(name, [0.8, 0.81, 0.79], dataset="other")]
    own = records_of(example)
    alone, together = (marks_of(example.table(records, "distribution_shift")) for records in (own, own + other))
    assert len(alone) < len(together)
    assert alone.items() <= together.items()


@pytest.mark.parametrize(
    ("asked", "marked"),
    [("headline", {"ID", "mean OOD"}), ("all", {"ID", "photo", "sketch", "mean OOD"}), ("none", set())],
)
def test_which_columns_are_marked(example, asked, marked):
    (grid,) = example.table(records_of(example), "per_shift", marks=asked).grids
    held = {
        column.name
        for at, column in enumerate(grid.columns)
        if any(row.entries[at].mark for row in grid.rows)
    }  # fmt: skip
    assert held == marked
    assert ("Only ID and mean OOD are marked." in grid.caption) == (asked == "headline")
    assert ("Bold" in grid.caption) == (asked != "none")


def test_a_single_ood_set_is_a_headline(example):
    records = []
    for method, values in (("ft", WORSE), ("flyp", CLOSE)):
        splits = [{"id_test": value, "photo": value} for value in values]
        trials = [example.repeat(example.cell(method), seed, one, one) for seed, one in enumerate(splits)]
        records += [*trials, example.selection(trials)]
    for layout in ("per_shift", "distribution_shift"):
        marks = marks_of(example.table(records, layout))
        assert marks["digits", "flyp", "with", "ood"] == "best"
        assert marks["digits", "ft", "with", "ood"] == ""


@pytest.mark.parametrize(
    ("n", "words"),
    [(1, "one seed, no interval. "), (2, "mean over 2 seeds with its 95% Student-t interval. ")],
)
def test_below_three_seeds_the_caption_says_why_nothing_is_marked(example, n, words):
    records = example.finished_cell("ft", WORSE[:n]) + example.finished_cell("flyp", CLOSE[:n])
    for layout in ("per_shift", "ablation"):
        (grid,) = example.table(records, layout).grids
        assert not any(entry.mark for row in grid.rows for entry in row.entries)
        assert words in grid.caption
        assert (
            "No marks: the highest number of a column shares fewer than 3 seeds with the others, too few"
            in grid.caption
        )
        assert "Bold" not in grid.caption
        assert "1 seed" not in grid.caption
        assert ("No intervals; no test." in grid.audit) == (n == 1)


def test_the_caption_names_rows_of_too_few_seeds_and_columns_that_one_of_them_leads(example):
    records = records_of(example) + example.finished_cell("flyp+greedy_soup", [0.95])
    (grid,) = example.table(records, "per_shift").grids
    assert "Not marked, for fewer than 3 seeds: FLYP greedy soup." in grid.caption
    records = records_of(example) + example.finished_cell("flyp+greedy_soup", [0.99])
    (grid,) = example.table(records, "per_shift").grids
    assert "No marks:" in grid.caption


def test_csv_and_json_hold_the_differences_to_the_best_of_every_column(example):
    table = example.table(records_of(example), "per_shift")
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    (entry,) = [r for r in rows if (r["method"], r["column"]) == ("ft", "without ensembling / photo")]
    flyp = [0.94, 0.95, 0.965, 0.945, 0.955]
    expected = stats.ttest_rel(WORSE, flyp)
    low, high = expected.confidence_interval(0.95)
    found = [float(entry[name]) for name in ("to_best", "to_best_low", "to_best_high", "p")]
    assert found == pytest.approx([np.mean(WORSE) - np.mean(flyp), low, high, expected.pvalue])
    assert (entry["best"], entry["to_best_n"], entry["mark"]) == ("FLYP", "5", "")
    (best,) = [r for r in rows if (r["method"], r["column"]) == ("flyp", "without ensembling / photo")]
    assert best["to_best"] == best["best"] == ""

    (made,) = json.loads(render(table, "json"))["tables"]
    at = [column["path"] for column in made["columns"]].index(["without ensembling", "photo"])
    own = next(row for row in made["rows"] if row["method"] == "ft")["entries"][at]
    assert own["to_best"]["difference"]["low"] == float(entry["to_best_low"])
    assert own["to_best"]["p_corrected"] == float(entry["p_corrected"])
    assert own["trials"] == entry["trials"].split()
    zeroshot = next(row for row in made["rows"] if row["method"] == "zeroshot")["entries"][at]
    assert zeroshot["number"]["low"] is None


# Error rates: `tests/bench/error_rates.py` has the tables


def unmarked(means: list[float], deviations: list[float], n: int, *, zeroshot: bool = False) -> int:
    """In how many columns a truly best row goes unmarked; the seed moves all methods together."""
    stream, missed = np.random.default_rng(0), 0
    best = [mean == max(means) for mean in means] + [True] * zeroshot
    constant = [Sample({0: max(means)}, constant=True)] * zeroshot
    for _ in range(SIMULATIONS):
        values = stream.normal(0, 1, (len(means), n)) * np.array(deviations)[:, None] + np.array(means)[:, None]
        shared = 0 if zeroshot else stream.normal(0, 1, n)
        marks = column_marks([*(sample(*row) for row in values + shared), *constant]).marks
        missed += any(is_best and not mark for is_best, mark in zip(best, marks, strict=True))
    return missed


@pytest.mark.parametrize("n", [5, 50])
@pytest.mark.parametrize(
    ("means", "deviations", "zeroshot"),
    [
        ([0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], False),
        ([0, 0, -1, -2, -3], [0.3, 1, 3, 1, 1], False),
        ([0, 0, 0, 0], [1, 1, 1, 1], True),
    ],
    ids=["all equal", "two best, unequal spreads", "beside a constant"],
)
def test_a_truly_best_method_goes_unmarked_in_at_most_5_of_100_simulated_columns(means, deviations, zeroshot, n):
    # A rule that errs in 5% exactly stays below this bound in 99 of 100 such simulations; Holm's factors of a control
    # that was named beforehand miss in some 10% of the columns of six equal methods.
    assert unmarked(means, deviations, n, zeroshot=zeroshot) <= stats.binom(SIMULATIONS, 0.05).ppf(0.99)


@pytest.mark.parametrize("n", [3, 5])
def test_accuracies_that_are_equal_by_chance_prove_nothing(n):
    # counts of 300 images over few seeds are often equal; all methods and the constant are truly the same
    stream, missed = np.random.default_rng(5), 0
    for _ in range(SIMULATIONS):
        rows = [sample(*row) for row in stream.binomial(300, 0.97, (4, n)) / 300]
        missed += "" in column_marks([*rows, Sample({0: 0.97}, constant=True)]).marks
    assert missed <= stats.binom(SIMULATIONS, 0.05).ppf(0.99)
