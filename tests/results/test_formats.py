from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console

from flyp_sweep.results import format_names, render
from flyp_sweep.results.metrics import METRICS, percent
from flyp_sweep.results.tables import formats
from flyp_sweep.results.tables.formats.latex import escape, latex
from flyp_sweep.results.tables.formats.text import renderable
from flyp_sweep.results.tables.panels import header_levels, panels
from flyp_sweep.results.tables.table import Column, Entry, Grid
from flyp_sweep.search_spaces.errors import InputError


@pytest.fixture
def table(example):
    *trials, selection = example.finished_cell("my_method", [0.80, 0.82])
    records = [*example.run(), trials[0], selection, example.search(example.cell("lp"), "c0")]
    return example.table(records, trace=True)


def grid_of(*paths: tuple[str, ...], apart: int = 0) -> Grid:
    kinds = ["number"] * (len(paths) - apart) + ["count"] * apart
    return Grid("title", "stub", tuple(Column(path, kind) for path, kind in zip(paths, kinds, strict=True)), ())


def test_panels_keep_headers_together_and_repeat_what_stands_apart():
    grid = grid_of(*[(group, name) for group in "AB" for name in "xyz"], ("C", "x"), ("n",), apart=1)
    assert panels(grid, len, 8) == [(0, 1, 2, 3, 4, 5, 6, 7)]
    assert panels(grid, len, 5) == [(0, 1, 2, 7), (3, 4, 5, 6, 7)]
    assert panels(grid, len, 4) == [(0, 1, 2, 7), (3, 4, 5, 7), (6, 7)]


def test_panels_of_one_header_are_even_and_never_mixed_with_others():
    grid = grid_of(*[("A", str(i)) for i in range(8)], ("B", "x"))
    assert panels(grid, len, 7) == [(0, 1, 2, 3), (4, 5, 6, 7), (8,)]
    assert panels(grid, len, 0) == [(i,) for i in range(9)]


def test_headers_span_equal_neighbours_and_short_paths_stand_below():
    columns = grid_of(("A", "p", "x"), ("A", "q", "y"), ("B", "q", "z"), ("n",)).columns
    levels = [[(span.label, span.count) for span in line] for line in header_levels(columns)]
    assert levels == [
        [("A", 2), ("B", 1), ("", 1)],
        [("p", 1), ("q", 1), ("q", 1), ("", 1)],
        [("x", 1), ("y", 1), ("z", 1), ("n", 1)],
    ]


def test_numbers_are_printed_as_the_paper_prints_them():
    assert [percent(0.9512), percent(-0.0001), METRICS["accuracy"].printed(0.012, signed=True)] == [
        "95.1",
        "0.0",
        "+1.2",
    ]
    assert Entry().printed == "-"


def test_text_has_grouped_headers_and_fits_100_columns(table):
    lines = render(table, "text").splitlines()
    assert max(map(len, lines)) <= 100
    (without,) = [i for i, line in enumerate(lines) if line.strip() == "without ensembling"]
    assert set(lines[without + 1].strip()) == {"─"}
    assert lines[without + 2].split() == ["Methods", "ID", "photo", "sketch", "mean", "OOD", "n"]
    ft = [line.split() for line in lines if line.startswith("FT")]
    assert ft[0] == ["FT", "_92.0", "(5.0)_", "72.0", "(5.0)", "62.0", "(5.0)", "_67.0", "(5.0)_", "3"]
    assert next(line.split() for line in lines if "Zeroshot" in line)[:3] == ["Zeroshot", "61.0", "(-)"]
    assert next(line.split() for line in lines if line.startswith("LP")) == ["LP", *"----", "unfinished"]
    text = " ".join(" ".join(lines).split())
    assert "1 of 2 *" in text
    assert "* my_method: 1 of 2 repeats: repeat 2 missing" in text
    (grid,) = table.grids
    assert all(" ".join(said.split()) in text for said in (grid.caption, *grid.audit, *table.trace))


def test_a_caption_that_two_tables_share_stands_once(example):
    records = [r for name in ("a", "b") for r in example.finished_cell("ft", [0.9, 0.8], dataset=name)]
    table = example.table(records, "per_shift")
    for style in ("text", "markdown"):
        assert " ".join(render(table, style).split()).count("Student-t interval.") == 1


def test_text_never_cuts_a_number_off(example):
    names = [f"a_rather_long_ood_set_{i}" for i in range(8)]
    values = {"id_test": 0.9} | dict.fromkeys(names, 0.5)
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(2)]
    text = render(example.table([*trials, example.selection(trials)]))
    assert all(name in text for name in names)
    assert text.count("50.0 (0.0)") == 2 * 9


def test_the_terminal_shows_bold_and_underlined_and_takes_names_as_they_are(example):
    records = example.finished_cell("[red]mine", [0.8, 0.9, 0.85]) + example.finished_cell("flyp", [0.9] * 3)
    console = Console(width=80, force_terminal=True, file=io.StringIO())
    console.print(renderable(example.table(records)))
    shown = console.file.getvalue()
    assert "\x1b[1m90.0 (0.0)\x1b[0m" in shown
    assert "\x1b[4m85.0 (12.4)\x1b[0m" in shown
    assert "[red]mine" in shown
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80


def test_markdown(table):
    lines = render(table, "markdown").splitlines()
    assert lines[0] == "### digits, digits-clip"
    assert lines.index("_without ensembling_") < lines.index("_with ensembling_")
    assert lines.count("| Methods | ID | photo | sketch | mean OOD | n |") == 2
    assert "| FLYP | **95.0 (5.0)** | 75.0 (5.0) | 65.0 (5.0) | **70.0 (5.0)** | 3 |" in lines
    assert "| FT | <ins>92.0 (5.0)</ins> | 72.0 (5.0) | 62.0 (5.0) | <ins>67.0 (5.0)</ins> | 3 |" in lines
    assert any(line.startswith(r"| my\_method | 80.0 (-) \* ") for line in lines)
    assert "| LP | - | - | - | - | unfinished |" in lines
    tables = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {7}


def test_csv_holds_the_raw_numbers(table):
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert len(rows) == 5 * 9
    (entry,) = [r for r in rows if (r["method"], r["column"]) == ("flyp", "with ensembling / mean OOD")]
    (grid,) = table.grids
    at = [column.path for column in grid.columns].index(("with ensembling", "mean OOD"))
    found = next(row for row in grid.rows if row.method == "flyp").entries[at]
    assert (float(entry["mean"]), float(entry["low"]), float(entry["high"])) == (
        found.interval.mean, found.interval.low, found.interval.high
    )  # fmt: skip
    assert (entry["n"], entry["planned"], entry["confidence"], entry["shots"]) == ("3", "3", "0.95", "")
    assert entry["trials"].split() == list(found.trials)
    assert len(found.trials) == 3
    assert {r["low"] for r in rows if r["method"] == "zeroshot"} == {""}
    assert {(r["n"], r["mean"], r["state"]) for r in rows if r["method"] == "lp"} == {("0", "", "unfinished")}


def test_latex_has_grouped_headers_rules_caption_and_label(table):
    tex = latex(table, textwidth=600)
    lines = tex.splitlines()
    assert r" & \multicolumn{4}{c}{without ensembling} & \multicolumn{4}{c}{with ensembling} &  \\" in lines
    assert lines[lines.index(r"\toprule") + 2] == r"\cmidrule(lr){2-5} \cmidrule(lr){6-9}"
    flyp = next(line for line in lines if line.startswith("FLYP"))
    assert flyp.startswith(r"FLYP & \textbf{95.0 (5.0)} & 75.0 (5.0)")
    assert r"FT & \underline{92.0} (5.0) & " in tex
    assert r"my\_method & 80.0 (-)$^{*}$" in tex
    assert r"\label{tab:per-shift-digits-digits-clip}" in lines
    assert r"95\% Student-t interval" in tex
    assert "ID validation accuracy" in tex
    assert [lines.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    body = "\n".join(line for line in lines if not line.startswith("%"))
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    assert not re.search(r"(?<!\\)_", body)
    assert sum(line.startswith("% digits/") for line in lines) == 5


def test_latex_is_smaller_or_in_panels_where_the_page_is_narrow(table):
    sizes = [re.search(r"\\(small|footnotesize|scriptsize)\\set", latex(table, width))[1] for width in (600, 540)]
    assert sizes == ["small", "footnotesize"]
    assert [latex(table, width).count(r"\toprule") for width in (600, 540, 350)] == [1, 1, 2]


def test_a_latex_table_goes_across_the_page_only_if_it_is_wider_than_a_column(example):
    narrow = example.table(example.run(), columns=("ID",), ensembling="without")
    wide = example.table(example.run())
    assert r"\begin{table}[t]" in render(narrow, "latex")
    assert r"\begin{table*}[t]" in render(wide, "latex")


def test_latex_escapes_every_special_character():
    assert escape(r"a_b%c&d#e$f{g}h~i^j\k[l]") == (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k{[}l{]}"
    )


def test_latex_opens_and_closes_quotes():
    assert escape("'to FLYP' is FT's \"own\" ('x')") == "`to FLYP' is FT's ``own'' (`x')"


def test_latex_labels_of_two_layouts_of_a_run_differ_and_audits_are_comments(example):
    made = [latex(example.table(example.run(), layout)) for layout in ("distribution_shift", "ablation")]
    labels = [re.search(r"\\label{(.*)}", tex)[1] for tex in made]
    assert labels == ["tab:distribution-shift-digits-clip", "tab:ablation-digits-clip"]
    assert all(tex.count("\n% Selection saw") == 1 for tex in made)
    assert all("Ledger" not in line for tex in made for line in tex.splitlines() if not line.startswith("%"))


def test_an_unknown_format_is_refused_with_the_nearest_name(table):
    with pytest.raises(InputError, match=r"found format 'latx' \(did you mean 'latex'\?\), expected one of csv, "):
        render(table, "latx")


@pytest.mark.parametrize("name", format_names())
def test_every_format_prints_every_method_an_empty_table_and_the_same_twice(example, table, name):
    printed = render(table, name)
    assert printed == render(table, name)
    assert printed.endswith("\n")
    (grid,) = table.grids
    assert all(row.label.replace("_", r"\_") in printed or row.label in printed for row in grid.rows)
    assert render(example.table([]), name).strip()


@pytest.mark.parametrize("name", format_names())
def test_a_table_without_any_number_still_names_its_cells(example, name):
    printed = render(example.table([example.search(example.cell("lp"), "c0")]), name)
    assert "unfinished" in printed
    assert "LP" in printed


def test_a_format_is_a_file_of_its_own(table, tmp_path, monkeypatch):
    (tmp_path / "count.py").write_text(
        "from flyp_sweep.results.tables.formats import Format\n"
        "FORMAT = Format(lambda table: str(len(table.grids)), 'n')\n"
    )
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    assert "count" in format_names()
    assert render(table, "count") == str(len(table.grids))
