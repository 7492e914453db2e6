"""Names of users are neither markup nor keys: whatever is in them, every cell keeps its figure, label and line."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path
from typing import Any

import pytest
from ledgers import Example, record_of
from rich.console import Console

from flyp_sweep.results import outputs
from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.analysis.searches import searches_of
from flyp_sweep.results.figures import KINDS, Drawn, Material
from flyp_sweep.results.files import UnwritableError
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.naming import slugs
from flyp_sweep.results.tables.formats.text import renderable

NASTY = [
    *"[]{}()<>\"'`$%&#_~^\\/|?*:;,.!=+-@ ",
    "[/]",
    "[bold]",
    ":smile:",
    "$x$",
    "漢",
    "字",
    "ж",
    "é",
    "\u0301",
    "A",
    "b",
]
ALIKE = ["A b", "A-b", "A/b", "a b", "图像", "文本"]


def awkward(seed: int, count: int = 4) -> list[str]:
    """Different names of one to eight awkward pieces."""
    rng = random.Random(seed)
    return list({"".join(rng.choices(NASTY, k=rng.randint(1, 8))).strip() or "x" for _ in range(count)})


def run_folder(path: Path, models: list[str], shift: str = "photo") -> RunFolder:
    """A run in which one method has finished on each model."""
    example, folder = Example(), RunFolder.create(path, "")
    folder.space.unlink()
    numbers = {"id_val": 0.9, "id_test": 0.8, shift: 0.7}
    for model in models:
        cell = {**example.cell("ft"), "model": model}
        trials = [example.repeat(cell, seed, numbers, numbers) for seed in range(2)]
        for record in [*trials, example.selection(trials)]:
            folder.ledger.append(record_of(record))
    return folder


@pytest.mark.parametrize("names", [ALIKE, awkward(1), awkward(2)], ids=["alike", "fuzz 1", "fuzz 2"])
def test_every_cell_has_its_own_figure_label_and_line(names: list[str], tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", names, shift=names[0])
    written = outputs.write_outputs(folder, [])
    assert not written.warnings
    pictures = sorted(path.stem.lower() for path in folder.figures.glob("frontier-*.png"))
    assert len(set(pictures)) == len(names)
    labels = re.findall(r"\\label\{(.*?)\}", (folder.tables / "comparison.tex").read_text(encoding="utf-8"))
    assert len(labels) == len(set(labels)) >= 1
    assert all(re.fullmatch(r"[A-Za-z0-9:.-]+", label) for label in labels)
    printed = io.StringIO()
    Console(file=printed, width=200).print(renderable(written.table))
    csv = (folder.tables / "comparison.csv").read_text(encoding="utf-8").replace('""', '"')
    for name in names:
        assert name in csv
        assert name in printed.getvalue()


def labelled_run(path: Path, label: str) -> RunFolder:
    """A run of a method from outside, whose `label` its selections name, and of FLYP."""
    example, folder = Example(), RunFolder.create(path, "")
    folder.space.unlink()
    for shots in (2, 4, None):
        for method, own in (("my_module:Mine", label), ("flyp", "FLYP")):
            cell = example.cell(method, shots=shots)
            tried = [example.search(cell, f"c{at}", 0.8 + at / 100) | {"hparams": {"lr": 0.1 * at}} for at in range(3)]
            *repeats, selection = example.finished_cell(method, [0.9, 0.92, 0.94], shots=shots)
            selection |= {"label": own, "searched": [one["trial_id"] for one in tried]}
            for record in [*tried, *repeats, selection]:
                folder.ledger.append(record_of(record))
    return folder


def test_a_method_from_outside_is_printed_by_its_label_everywhere(tmp_path: Path) -> None:
    label = "Mine_1 & <b>{2}</b> $x$ 5%"
    folder = labelled_run(tmp_path / "run", label)
    written = outputs.write_outputs(folder, [])
    assert not written.warnings
    tables = {one.suffix: one.read_text(encoding="utf-8") for one in folder.tables.glob("comparison.*")}
    assert tables.keys() == {".txt", ".tex", ".md", ".csv", ".json", ".html"}
    assert r"Mine\_1 \& \textless{}b\textgreater{}\{2\}\textless{}/b\textgreater{} \$x\$ 5\% &" in tables[".tex"]
    assert r"| Mine\_1 & \<b\>{2}\</b\> \$x\$ 5% |" in tables[".md"]
    assert f"\n{label} " in tables[".txt"]
    assert ">Mine_1 &amp; &lt;b&gt;{2}&lt;/b&gt; $x$ 5%<" in tables[".html"]
    for suffix, names in ((".csv", r",my_module:Mine,"), (".json", '"method": "my_module:Mine"')):
        assert label in tables[suffix]
        assert names in tables[suffix], "the name is what programs read"
    assert not any("my_module" in tables[suffix] for suffix in (".tex", ".md", ".txt", ".html"))
    page = folder.report.read_text(encoding="utf-8")
    assert "Mine_1 &amp; &lt;b&gt;{2}&lt;/b&gt; $x$ 5%" in page
    assert "<b>{2}" not in page
    frame = folder.frame()
    assert set(zip(frame["method"], frame["method_label"], strict=True)) == {
        ("my_module:Mine", label),
        ("flyp", "FLYP"),
    }


@pytest.mark.parametrize("kind", ["frontier", "shots", "sensitivity"])
def test_figures_name_a_method_by_its_label(kind: str, tmp_path: Path) -> None:
    folder = labelled_run(tmp_path / "run", "Mine $1")
    drawn = KINDS[kind](Material(folder.frame(), read_evidence(folder), searches_of(folder.ledger.load())))
    assert drawn.figures
    for figure in drawn.figures.values():
        texts = [one.get_text() for legend in figure.legends for one in legend.texts]
        texts += [axes.get_title(loc="left") for axes in figure.axes]
        assert r"Mine \$1" in texts


def test_slugs_are_different_and_short_enough_for_a_file() -> None:
    names = [("frontier", name) for name in [*ALIKE, "x" * 400, "x" * 401, "plain"]] * 2
    made = slugs(names)
    assert len({one.lower() for one in made}) == len(names)
    assert all(len(one) < 200 for one in made)
    assert slugs([("frontier", "plain")]) == ["frontier-plain"]


def test_a_figure_that_fails_is_a_warning_and_costs_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    def broken(material: object) -> Drawn:
        raise RuntimeError("no font [at all]")

    monkeypatch.setitem(KINDS, "shots", broken)
    folder = run_folder(tmp_path / "run", ["clip"])
    written = outputs.write_outputs(folder, [])
    assert [line for line in written.warnings if "shots" in line and "no font [at all]" in line]
    assert (folder.figures / "frontier-digits-clip-full.png").is_file()
    assert folder.report.is_file()
    (folder.figures / "frontier-digits-clip-full.png").unlink()
    (folder.figures / "frontier-digits-clip-full.png").mkdir()
    with pytest.raises(UnwritableError):
        outputs.write_outputs(folder, [])
