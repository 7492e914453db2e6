"""The end of a run fits a screen of 80x24, whatever the sweep was, and names what it leaves out."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from commands import QUICK
from ledgers import Example, Record
from rich.console import Console
from serial_engine import run_serially

from flyp_sweep.orchestrator.runs.end_screen import BELOW, EndScreen
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.printing import wrapped
from flyp_sweep.orchestrator.runs.sweep import dry_run
from flyp_sweep.results.outputs import Outputs
from flyp_sweep.results.tables.make import make_table
from flyp_sweep.results.tables.summary import summary_of

METHODS = ("lp", "ft", "l2sp", "lpft", "flyp")
LONG = (
    "the selected weight_decay lies on the upper edge of what was searched (0.0001 to 0.003) for LP-FT "
    "(digits-of-a-long-name): 0.00299, FLYP (digits-of-a-long-name): 0.00298; a wider range may hold a better one"
)


def cells(shots: range) -> list[Record]:
    """Five methods of each number of shots; `flyp` is the best."""
    example = Example()
    return [
        one
        for count in shots
        for at, method in enumerate(METHODS)
        for one in example.finished_cell(method, [0.5 + at / 100, 0.51 + at / 100, 0.52 + at / 100], shots=count)
    ]


def printed(records: list[Record], warnings: list[str], *, terminal: bool = True, height: int = 24) -> list[str]:
    """The lines of the screen above those that are the same in every run."""
    evidence = Example().evidence(records)
    paths = [Path("runs/x/figures/a.png"), Path("runs/x/report.html")]
    outputs = Outputs(make_table([evidence]), paths, warnings, summary_of(evidence))
    screen = EndScreen(outputs, "runs/x", Path("runs/x/log.txt"))
    file = io.StringIO()
    console = Console(file=file, width=80, height=height, force_terminal=terminal, highlight=False, markup=False)
    screen.print(console)
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).splitlines()


@pytest.mark.parametrize("shots", [1, 12], ids=["5 cells", "60 cells"])
@pytest.mark.parametrize("warnings", [[], [LONG], [LONG] * 9], ids=["none", "one", "nine"])
def test_it_fits_whatever_the_sweep_was(shots: int, warnings: list[str]) -> None:
    lines = printed(cells(range(1, 1 + shots)), warnings)
    assert len(lines) <= 24 - BELOW
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if line.startswith(("LP ", "FT ", "L2-SP ", "LP-FT ", "FLYP "))]
    left = [line for line in lines if line.endswith("left out; all of them: flyp-sweep table runs/x")]
    counted = int(left[0].split()[0]) if left else 0
    assert len(rows) + counted == 5 * shots
    assert any(line.startswith("FLYP ") for line in rows), "the best is shown"
    words = " ".join(lines).split()
    if warnings:
        assert set(LONG.split()) <= set(words), "no word is broken"
        assert lines[0].startswith("warning: "), "warnings come first"
    if len(warnings) > 1:
        assert "8 more warnings: runs/x/log.txt" in lines


def test_a_higher_terminal_shows_more() -> None:
    few, many = (printed(cells(range(1, 5)), [LONG] * 3, height=height) for height in (24, 80))
    assert [line for line in many if "left out" in line or "more warning" in line] == []
    assert sum(line.startswith("FLYP ") for line in few) == 1
    assert sum(line.startswith("FLYP ") for line in many) == 4


def test_a_file_gets_every_warning_in_a_line_of_its_own() -> None:
    lines = printed(cells(range(1, 13)), [LONG] * 9, terminal=False)
    assert lines[:9] == [f"warning: {LONG}"] * 9
    assert "**54.0" not in lines[9]
    assert any(line.startswith("FLYP ") for line in lines)


def test_paths_and_the_next_step_are_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evidence = Example().evidence(Example().run())
    outputs = Outputs(make_table([evidence]), [Path("runs/x/report.html")], [], summary_of(evidence))

    def step(run: str, mlflow: str | None = None) -> str:
        return EndScreen(outputs, run, Path(run) / "log.txt", mlflow).next_step

    assert list(EndScreen(outputs, "runs/x", Path("runs/x/log.txt")).paths) == [
        "tables: runs/x/tables (printed by: flyp-sweep table runs/x)",
        "report: runs/x/report.html",
    ]
    assert step("runs/x") == "flyp-sweep ui"
    assert step("/data/my runs/x") == "flyp-sweep ui '/data/my runs/x'"
    assert step("runs/x", "https://mlflow.example.org") == "open https://mlflow.example.org"
    assert step("runs/x", "https://me:secret@mlflow.example.org") == "open runs/x/report.html"


def test_prose_breaks_between_words_and_keeps_its_indent() -> None:
    console = Console(width=30, file=io.StringIO(), force_terminal=True)
    lines = wrapped("  path /a/very/long/path/that-has-no-blank/in-it and some words", console)
    assert lines == ["  path", "    /a/very/long/path/that-has-no-blank/in-it", "    and some words"]
    assert wrapped("  " + "word " * 40, Console(width=30, file=io.StringIO())) == ["  " + "word " * 40]


@pytest.mark.slow
def test_a_run_says_what_is_there_how_long_it_may_take_and_what_it_has_done(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(QUICK)
    code, output = run_serially("quick.yaml", cwd=tmp_path, stop_after=4)
    lines = output.splitlines()
    unknown = "no estimate of time: no earlier trial of Zeroshot or LP with digits-clip on these data and this machine"
    assert (code, lines.count(unknown)) == (130, 1), output
    assert re.fullmatch(r"4 trials in .*\d s", lines[-5])
    assert lines[-4:] == [
        "tables: runs/quick/tables (printed by: flyp-sweep table runs/quick)",
        "figures: runs/quick/figures",
        "report: runs/quick/report.html",
        "nothing is lost; go on with: flyp-sweep run",
    ]
    code, output = run_serially("quick.yaml", cwd=tmp_path)
    lines = output.splitlines()
    assert code == 0
    assert "4 finished trials of this folder count" in lines
    assert unknown.replace("Zeroshot or LP", "LP") in lines, "no repeat of LP has ended"
    assert "digits, digits-clip, full" in lines
    assert lines[-1] == "next: flyp-sweep ui"
    code, output = run_serially("quick.yaml", cwd=tmp_path)
    assert "no trial was left to run" in output.splitlines()
    assert "time: " not in output
    with contextlib.chdir(tmp_path):
        lines = list(dry_run("quick.yaml", [], RunOptions(out=Path("runs/again"))))
    known = r"time: .+ s at most(, \d+ trials at once)?, estimated from 5 earlier trials in runs/quick"
    assert [bool(re.fullmatch(known, line)) for line in lines if line.startswith("time: ")] == [True], lines
