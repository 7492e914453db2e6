"""Tables in Python and on pages: HTML that a reader's software understands, and frames of numbers."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest

from flyp_sweep.results import render, reprint
from flyp_sweep.results.tables.formats.csv import FIELDS


class Cells(HTMLParser):
    """The cells of all tables: per line of each table (tag, scope, columns, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[list]]] = []
        self.open: list[str] = []
        self.texts: dict[str, str] = {}

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append([tag, named.get("scope"), int(named.get("colspan", 1)), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} is closed out of place"

    def handle_data(self, data):
        if "th" in self.open or "td" in self.open:
            self.tables[-1][-1][-1][3] += data
        for tag in self.open:
            self.texts[tag] = self.texts.get(tag, "") + data


def parsed(page: str) -> Cells:
    cells = Cells()
    cells.feed(page)
    assert not cells.open
    return cells


def test_html_has_headers_with_scopes_rows_of_equal_width_and_a_caption(example):
    table = example.table(example.run(), trace=True)
    page = render(table, "html")
    cells = parsed(page)
    (lines,) = cells.tables
    width = len(table.grids[0].columns) + 1
    assert {sum(cell[2] for cell in line) for line in lines} == {width}
    assert [(tag, scope) for tag, scope, *_ in lines[0]][1:] == [("th", "colgroup")] * 2 + [("td", None)]
    assert {scope for _, scope, *_ in lines[1]} == {"col"}
    assert [line[0][1] for line in lines[2:]] == ["row"] * 3
    assert [line[0][3] for line in lines[2:]] == ["Zeroshot", "FT", "FLYP"]
    assert cells.texts["caption"] == f"digits, digits-clip. {table.grids[0].caption}"
    assert "<strong>95.0 (5.0)</strong>" in page
    assert "<u>92.0 (5.0)</u>" in page
    assert "seed 0" in page
    assert table._repr_html_() == page


def test_html_escapes_every_name_and_needs_no_encoding(example):
    records = example.finished_cell('<script>alert("x")</script>', [0.8, 0.9], dataset="a&b")
    page = render(example.table(records, labels={"photo": "Φ < ½"}), "html")
    assert page.isascii()
    assert "<script" not in page
    assert "a&amp;b" in page
    assert "Φ < ½" in parsed(page).texts["th"]


def test_a_table_without_cells_is_a_page_too(example):
    assert "no cells yet" in render(example.table([]), "html")


def test_a_frame_has_the_columns_of_the_csv_and_numbers(example):
    frame = example.table(example.run()).to_frame()
    assert list(frame.columns) == list(FIELDS)
    assert {str(frame[name].dtype) for name in ("mean", "low", "high", "to_best", "p")} == {"float64"}
    assert {str(frame[name].dtype) for name in ("n", "shots", "planned")} == {"Int64"}
    flyp = frame[(frame["method"] == "flyp") & (frame["column"] == "without ensembling / ID")].iloc[0]
    assert (flyp["mean"], flyp["n"], flyp["mark"], flyp["printed"]) == (pytest.approx(0.95), 3, "best", "95.0 (5.0)")
    assert flyp["low"] < flyp["mean"] < flyp["high"]
    assert flyp["shots"] is pd.NA
    zeroshot = frame[frame["method"] == "zeroshot"].iloc[0]
    assert pd.isna(zeroshot["low"])
    printed = frame.pivot(index="row", columns="column", values="printed")
    assert printed.loc["FLYP", "without ensembling / ID"] == "95.0 (5.0)"


def test_frames_of_empty_and_of_printed_tables(example):
    assert example.table([]).to_frame().empty
    assert reprint("transfer").to_frame()["mean"].notna().all()
