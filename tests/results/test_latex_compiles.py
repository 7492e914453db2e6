r"""The LaTeX that is written, set by pdflatex: it compiles, and nothing is wider than \textwidth."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flyp_sweep.results import reprint
from flyp_sweep.results.tables.formats.latex import TEXT_WIDTH, latex, standalone
from flyp_sweep.results.tables.published import published_tables
from flyp_sweep.results.tables.table import Table

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")

TWO_COLUMNS = 496.0


def compile_tex(source: str, folder: Path) -> str:
    """The log of compiling a document; fails where there is no PDF."""
    (folder / "paper.tex").write_text(source)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-1500:]
    assert (folder / "paper.pdf").stat().st_size > 1000
    return done.stdout


def awkward(example) -> Table:
    records = example.finished_cell(r"my_%&#${}~^\<>|[]", [0.8, 0.82], dataset="data_set 100%")
    *trials, selection = example.finished_cell("flyp", [0.9, 0.91], dataset="data_set 100%")
    failed = example.failure(trials[1]["cell"], 1, r'CUDA_ERROR: {100%} \of ~memory & "more"')
    return example.table([*records, trials[0], failed, selection], trace=True)


def many_shifts(example, **options) -> Table:
    splits = {"id_test": 0.9} | {f"imagenet_{name}": 0.5 for name in ("v2", "r", "a", "sketch", "c", "vid", "object")}
    trials = [
        example.repeat(example.cell(method), seed, splits, splits) for method in ("ft", "flyp") for seed in range(3)
    ]
    return example.table([*trials, example.selection(trials[:3]), example.selection(trials[3:])], **options)


@pytest.mark.parametrize("width", [TEXT_WIDTH, TWO_COLUMNS])
@pytest.mark.parametrize("layout", published_tables())
def test_the_papers_tables_fit_the_text(tmp_path, layout, width):
    log = compile_tex(standalone(latex(reprint(layout), width), width), tmp_path)
    assert r"Overfull \hbox" not in log


@pytest.mark.parametrize("size", ["10pt", "11pt", "12pt"])
@pytest.mark.parametrize("options", [{}, {"interval": "bca"}, {"layout": "ablation"}], ids=str)
def test_wide_tables_fit_the_text_of_an_article_of_any_size(tmp_path, example, options, size):
    (tmp_path / "table.tex").write_text(latex(many_shifts(example, **options)))
    log = compile_tex(
        f"\\documentclass[{size}]{{article}}\\usepackage{{booktabs}}\\begin{{document}}\\input{{table}}\\end{{document}}",
        tmp_path,
    )
    assert r"Overfull \hbox" not in log


def test_a_table_of_many_panels_is_several_floats_each_of_which_fits_a_page(tmp_path, example):
    names = [f"a_rather_long_ood_set_{at}" for at in range(14)]
    values = {"id_test": 0.9} | dict.fromkeys(names, 0.5)
    trials = [example.repeat(example.cell("ft"), seed, values, values) for seed in range(2)]
    source = standalone(latex(example.table([*trials, example.selection(trials)])))
    assert source.count(r"\begin{table*}") >= 4
    labels = re.findall(r"\\label{(.*)}", source)
    assert len(set(labels)) == source.count(r"\begin{table*}")
    compile_tex(source, tmp_path)
    log = compile_tex(source, tmp_path)
    assert "Float too large" not in log
    assert "undefined references" not in log
    assert r"Overfull \hbox" not in log


def test_any_name_and_reason_compiles(tmp_path, example):
    compile_tex(standalone(latex(awkward(example))), tmp_path)
