from __future__ import annotations

import csv
import io
import re

import pytest

from flyp_sweep.results import format_names, render, reprint
from flyp_sweep.results.tables.published import dataset_label, parse, published_table, published_tables
from flyp_sweep.search_spaces.errors import InputError

# Rows of the paper's tables, copied from it a second time, apart from published.yaml.
TABLE_1_FLYP = (
    "82.6 (0.0) 60.2 (0.1) 82.9 (0.0) 63.2 (0.1) 52.2 (0.6) 35.6 (1.2) 52.5 (0.6) 37.1 (1.2) 68.6 (0.2) 41.3 (0.8)"
)
TABLE_1_ZEROSHOT = "68.3 (-) 58.7 (-) 68.3 (-) 58.7 (-) 8.7 (-) 11.02 (-) 8.7 (-) 11.02 (-) 20.4 (-) 18.66 (-)"
TABLE_1_LPFT = (
    "81.8 (0.1) 60.5 (0.1) 82.1 (0.1) 61.8 (0.1) 49.7 (0.5) 34.7 (0.4) 50.2 (0.5) 35.7 (0.4) 68.4 (0.2) 40.4 (1.0)"
)
TABLE_2_LP = "60.4 (4.0) 64.4 (3.7) 67.0 (4.4) 60.8 (1.8) 61.9 (1.4) 62.9 (1.3)"
TABLE_2_FT = "63.1 (5.5) 71.6 (4.6) 75.2 (3.7) 61.1 (0.7) 62.4 (1.6) 63.4 (1.9)"
TABLE_3_ZEROSHOT = "56.49 (-) 87.7 (-) 64.4 (-) 71.2 (-) 68.3 (-) 8.7 (-)"
TABLE_3_FLYP = "90.3 (0.3) 97.6 (0.1) 89.6 (0.3) 97.7 (0.1) 82.6 (0.0) 52.2 (0.6)"

ROWS = [
    ("distribution_shift", "flyp", TABLE_1_FLYP),
    ("distribution_shift", "zeroshot", TABLE_1_ZEROSHOT),
    ("distribution_shift", "lpft", TABLE_1_LPFT),
    ("few_shot", "lp", TABLE_2_LP),
    ("few_shot", "ft", TABLE_2_FT),
    ("transfer", "zeroshot", TABLE_3_ZEROSHOT),
    ("transfer", "flyp", TABLE_3_FLYP),
]


@pytest.mark.parametrize(("layout", "method", "printed"), ROWS)
def test_the_papers_rows_digit_for_digit(layout, method, printed):
    (grid,) = reprint(layout).grids
    (row,) = [row for row in grid.rows if row.method == method]
    assert " ".join(entry.printed for entry in row.entries) == printed


@pytest.mark.parametrize("style", format_names())
@pytest.mark.parametrize("layout", published_tables())
def test_every_format_prints_every_digit(layout, style):
    printed = render(reprint(layout), style)
    numbers = [text for entries in published_table(layout).numbers.values() for text in entries]
    found = re.findall(r"\d+\.\d+ \((?:\d+\.\d+|-)\)", printed)
    assert sorted(found) == sorted(numbers)


def test_the_papers_averages_come_out_of_table_1():
    # "FLYP outperforms full finetuning by 4.24% OOD and 1.8% ID", over 7 OOD sets and 3 data sets (section 4.1)
    flyp, ft = (reprint("distribution_shift").grids[0].rows[i].entries for i in (5, 2))
    gain = [100 * (a.interval.mean - b.interval.mean) for a, b in zip(flyp, ft, strict=True)]
    assert (gain[0] + gain[4] + gain[8]) / 3 == pytest.approx(1.8, abs=0.05)
    assert (5 * gain[1] + gain[5] + gain[9]) / 7 == pytest.approx(4.24, abs=0.05)


def test_csv_keeps_the_numbers_as_fractions_too():
    rows = list(csv.DictReader(io.StringIO(render(reprint("transfer"), "csv"))))
    (entry,) = [row for row in rows if (row["method"], row["dataset"]) == ("ft", "pcam")]
    assert (entry["printed"], entry["n"]) == ("89.1 (1.3)", "5")
    assert (entry["mean"], entry["low"], entry["high"]) == ("0.891", "0.878", "0.904")


@pytest.mark.parametrize("layout", published_tables())
def test_csv_has_no_more_digits_than_the_paper(layout):
    rows = list(csv.DictReader(io.StringIO(render(reprint(layout), "csv"))))
    assert max(len(row[name]) for row in rows for name in ("mean", "low", "high")) <= len("0.1234")


def test_printed_numbers_are_read_with_their_last_digit():
    assert parse("11.02 (0.4)", 5).unit == pytest.approx(0.0001)
    assert parse("95.1 (0.4)", 5).mean == pytest.approx(0.951)
    assert parse("95.1 (0.4)", 5).half_width == pytest.approx(0.004)


def test_the_papers_names_of_data_sets():
    assert [dataset_label(layout, "pcam") for layout in ("few_shot", "transfer")] == ["PatchCamelyon", "PCAM"]
    assert dataset_label("transfer", "my_set") == "my_set"


def test_a_layout_that_the_paper_lacks_is_refused():
    with pytest.raises(InputError, match="found layout 'per_shift', expected one that the paper has a table of"):
        reprint("per_shift")
