from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import pytest
from rich.console import Console

from results import FORMATS, comparison_table, render
from results.formats.latex import escape
from results.formats.text import renderable
from search_spaces.errors import InputError


@pytest.fixture
def table(example):
    *trials, selection = example.finished_cell("my_method", [0.80, 0.82])
    return comparison_table([*example.run(), trials[0], selection, example.search(example.cell("lp"), "c0")])


def test_text_stacks_the_two_sections_in_100_columns(table):
    lines = render(table, "text").splitlines()
    assert max(map(len, lines)) <= 100
    assert lines.index("without ensembling") < lines.index("with ensembling")
    ft = [line.split() for line in lines if line.strip().startswith("FT")]
    assert ft[0] == ["FT", "92.0", "±5.0", "72.0", "±5.0", "62.0", "±5.0", "67.0", "±5.0", "3"]
    assert ft[1] == ["FT", "94.0", "±5.0", "74.0", "±5.0", "64.0", "±5.0", "69.0", "±5.0", "3"]
    assert next(line.split() for line in lines if "zero-shot" in line)[:3] == ["zero-shot", "61.0", "(-)"]
    assert next(line.split() for line in lines if line.strip().startswith("LP")) == ["LP", *"----", "running"]
    text = " ".join(" ".join(lines).split())
    assert "1 of 2 *" in text
    assert "* my_method: 1 of 2 repeats: repeat 2 missing" in text
    assert table.caption in text


def test_text_never_cuts_a_number_off(example):
    names = [f"a_rather_long_ood_set_{i}" for i in range(8)]
    values = {"id_test": 0.9} | dict.fromkeys(names, 0.5)
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(2)]
    text = render(comparison_table([*trials, example.selection(trials)]))
    assert all(name in text for name in names)
    assert text.count("50.0 ±0.0") == 2 * 9


def test_the_terminal_shows_the_best_in_bold_and_takes_names_as_they_are(example):
    records = example.finished_cell("[red]mine", [0.8, 0.9]) + example.finished_cell("flyp", [0.9, 0.9])
    console = Console(width=80, force_terminal=True, file=io.StringIO())
    console.print(renderable(comparison_table(records)))
    shown = console.file.getvalue()
    assert "\x1b[1m90.0 ±0.0\x1b[0m" in shown
    assert "[red]mine" in shown
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80


def test_markdown(table):
    lines = render(table, "markdown").splitlines()
    assert lines[0] == "### digits, digits-clip"
    assert "| method | ID | photo | sketch | mean OOD | n |" in lines
    assert "| zero-shot | 61.0 (-) | 50.0 (-) | 40.0 (-) | 45.0 (-) | 1 |" in lines
    assert "| FT | 92.0 (5.0) | 72.0 (5.0) | 62.0 (5.0) | 67.0 (5.0) | 3 |" in lines
    best = "| FLYP | **95.0 (5.0)** | **75.0 (5.0)** | **65.0 (5.0)** | **70.0 (5.0)** | 3 |"
    assert best in lines
    assert r"| my\_method | 80.0 (-) | 60.0 (-) | 50.0 (-) | 55.0 (-) | 1 of 2 \* |" in lines
    assert "| LP | - | - | - | - | running |" in lines
    tables = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {7}


def test_csv_holds_the_raw_numbers(table):
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert len(rows) == 5 * 2 * 4
    (entry,) = [r for r in rows if (r["method"], r["ensembling"], r["column"]) == ("flyp", "with", "mean OOD")]
    row = next(row for row in table.blocks[0].rows if row.cell.method == "flyp")
    (interval,) = [
        value for (side, column), value in row.values.items() if side == "with" and column.role == "mean_ood"
    ]
    assert float(entry["mean"]) == interval.mean  # every digit
    assert float(entry["half_width"]) == interval.half_width
    assert (entry["n"], entry["planned"], entry["confidence"], entry["shots"]) == ("3", "3", "0.95", "")
    assert {r["half_width"] for r in rows if r["method"] == "zeroshot"} == {""}
    assert {(r["n"], r["mean"], r["state"]) for r in rows if r["method"] == "lp"} == {("0", "", "running")}


def test_a_table_without_any_number_still_names_its_cells(example):
    table = comparison_table([example.search(example.cell("lp"), "c0")])
    (row,) = csv.DictReader(io.StringIO(render(table, "csv")))
    assert (row["method"], row["state"]) == ("lp", "running")
    for name in FORMATS:
        assert "running" in render(table, name)


def test_latex_has_grouped_headers_rules_caption_and_label(table):
    tex = render(table, "latex")
    lines = tex.splitlines()
    assert r" & \multicolumn{4}{c}{Without ensembling} & \multicolumn{4}{c}{With ensembling} &  \\" in lines
    assert lines[lines.index(r"\toprule") + 2] == r"\cmidrule(lr){2-5} \cmidrule(lr){6-9}"
    flyp = next(line for line in lines if line.startswith("FLYP"))
    assert flyp.startswith(r"FLYP & \textbf{95.0 (5.0)} & \textbf{75.0 (5.0)}")
    assert r"my\_method & 80.0 (-)" in tex
    assert r"\label{tab:digits-digits-clip-full}" in lines
    assert r"95\% Student-t interval" in tex
    assert r"id\_val" in tex
    assert [lines.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}")
    assert not re.search(r"(?<!\\)_", tex.replace("my-", ""))


def test_latex_escapes_every_special_character():
    assert escape(r"a_b%c&d#e$f{g}h~i^j\k") == (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_whatever_the_names(tmp_path, example):
    records = example.finished_cell(r"my_%&#${}~^\<>|", [0.8, 0.82], dataset="data_set 100%")
    *trials, selection = example.finished_cell("flyp", [0.9, 0.91], dataset="data_set 100%")
    failed = example.failure(trials[1]["cell"], 1, r"CUDA_ERROR: {100%} \of ~memory & more")
    (tmp_path / "table.tex").write_text(render(comparison_table([*records, trials[0], failed, selection]), "latex"))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{table}\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-1500:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def test_an_unknown_format_is_refused_with_the_nearest_name(table):
    with pytest.raises(InputError, match=r"found format 'latx' \(did you mean 'latex'\?\), expected one of text, "):
        render(table, "latx")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_prints_every_method_an_empty_table_and_the_same_twice(table, name):
    printed = render(table, name)
    assert printed == render(table, name)
    assert printed.endswith("\n")
    labels = [row.cell.method if name == "csv" else row.label for row in table.blocks[0].rows]
    assert all(label.replace("_", r"\_") in printed or label in printed for label in labels)
    assert render(comparison_table([]), name).strip()
