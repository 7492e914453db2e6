"""Comparisons with a control that was named beforehand: the family of tests has them alone."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from scipy import stats

from flyp_sweep.results import against_published, render
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.significance import Sample, column_marks, control_marks
from flyp_sweep.search_spaces.errors import InputError


def sample(*values: float) -> Sample:
    return Sample(dict(enumerate(values)))


A = [0.900, 0.920, 0.910, 0.930, 0.900]
B = [0.890, 0.900, 0.905, 0.900, 0.895]
C = [0.905, 0.899, 0.915, 0.921, 0.903]
D = [0.700, 0.750, 0.720, 0.710, 0.700]


def test_holms_factors_are_those_of_the_comparisons_with_the_control_alone():
    found = control_marks([sample(*A), sample(*B), sample(*C), sample(*D)], 0)
    p = {at: stats.ttest_rel(values, A).pvalue for at, values in ((1, B), (2, C), (3, D))}
    order = sorted(p, key=p.get)
    expected, worst = {}, 0.0
    for factor, at in zip((3, 2, 1), order, strict=True):
        worst = max(worst, min(1.0, factor * p[at]))
        expected[at] = worst
    assert found.versus[0] is None
    assert {at: found.versus[at].adjusted for at in (1, 2, 3)} == pytest.approx(expected)
    assert (found.best, found.comparisons) == (0, 3)


def test_a_pair_that_all_pairs_hide_is_told_apart_beside_a_control():
    others = [sample(0.893, 0.921, 0.895, 0.922, 0.881), sample(0.9, 0.91, 0.92, 0.92, 0.89)]
    p = stats.ttest_rel(A, B).pvalue
    assert 0.05 / 6 < p < 0.05
    assert column_marks([sample(*A), sample(*B), *others]).marks[1] == "level"
    assert control_marks([sample(*A), sample(*B)], 0).marks == ("", "")
    assert control_marks([sample(*A), sample(*B)], 1).marks == ("better", "")
    assert control_marks([sample(*A), sample(*C)], 0).marks == ("", "level")


def test_lower_numbers_are_better_where_the_metric_says_so():
    assert control_marks([sample(*A), sample(*D)], 0, lower_is_better=True).marks == ("", "better")
    assert control_marks([sample(*A), sample(*D)], 0).marks == ("", "")


def test_constants_few_seeds_and_absent_numbers():
    zeroshot, lp = Sample({0: 0.5}, constant=True), Sample({0: 0.7}, constant=True)
    found = control_marks([zeroshot, lp, sample(0.9), None], 0)
    assert (found.marks, found.few, found.comparisons) == (("", "better", "", ""), (2,), 0)
    assert math.isnan(found.versus[1].adjusted)
    assert control_marks([None, sample(*A)], 0).best is None
    assert control_marks([sample(*A), None], 0).best is None


def test_a_table_says_what_was_compared_with_what(example):
    records = example.run() + example.finished_cell("lp", [0.5, 0.52, 0.54])
    table = example.table(records, control="flyp")
    (grid,) = table.grids
    assert "Every method is compared with FLYP alone." in grid.caption
    assert "Holm-corrected within each column, over the 3 comparisons with FLYP alone" in grid.caption
    assert "all pairs" not in grid.caption
    assert any("12 comparisons with FLYP (Holm)" in line for line in grid.audit)
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    lp = next(row for row in rows if (row["method"], row["column"]) == ("lp", "without ensembling / ID"))
    assert (lp["best"], lp["reference"], float(lp["to_best"])) == ("FLYP", "control", pytest.approx(-0.43))
    entries = [entry for row in json.loads(render(table, "json"))["tables"][0]["rows"] for entry in row["entries"]]
    assert {entry["to_best"]["reference"] for entry in entries if entry["to_best"]} == {"control"}


def test_what_is_better_than_the_control_is_bold_in_every_format(example):
    records = example.run() + example.finished_cell("lp", [0.5, 0.52, 0.541])
    table = example.table(records, control="lp")
    assert "**92.0 (5.0)**" in render(table, "markdown")
    assert "**92.0 (5.0)**" in render(table, "text")
    assert r"\textbf{92.0 (5.0)}" in render(table, "latex")
    assert "<strong>92.0 (5.0)</strong>" in render(table, "html")


def test_an_ablation_takes_its_differences_to_the_control(example):
    records = example.run() + example.finished_cell("flyp_ce", [0.91, 0.93, 0.95])
    (grid,) = example.table(records, "ablation", control="ft").grids
    assert {column.name for column in grid.columns if column.kind == "difference"} == {"to FT"}


def test_a_control_has_no_place_beside_a_papers_numbers(example):
    with pytest.raises(InputError, match="--control: found --against, whose numbers have no marks"):
        against_published([example.evidence(example.run())], options=TableOptions(control="ft"))


def test_the_control_errs_as_often_as_it_says():
    """Six equal methods, five seeds: some method is told from the control in at most 5 of 100 columns."""
    rng = np.random.default_rng(0)
    draws = rng.normal(0.9, 0.01, (400, 6, 5))
    found = [control_marks([sample(*row) for row in values], 0) for values in draws]
    wrong = [any(one and (one.is_better or one.is_worse) for one in column.versus) for column in found]
    assert np.mean(wrong) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
