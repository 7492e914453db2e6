"""What is printed never decides over work: a reader that is gone, a full disk, no stdout, an ASCII locale."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from commands import COMMAND, QUICK, trials
from serial_engine import run_serially

from flyp_sweep.orchestrator.cli.options import console_on

ONE_CELL = QUICK.replace("[zeroshot, lp]", "[zeroshot]").replace(
    "digits-clip, pre", "digits-clip, name: 'CLIP [/16] 漢', pre"
)
NOTEBOOK = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "FORCE_COLOR": "1",
    "TUNE_RESULT_DIR": "/somewhere",
    "HOME": "/dev/null/nobody",
}
"""What the environment of a notebook, or of a service without a home, may hold."""


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `$F` is the command."""
    command = " ".join(COMMAND)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; F='{command}'; {line}"],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("printing")
    (folder / "quick.yaml").write_text(ONE_CELL, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line", "environment"),
    [
        ("head", "$F run quick.yaml --out head | head -1", NOTEBOOK),
        ("full", "$F run quick.yaml --out full >/dev/full", {"PYTHONIOENCODING": "ascii"}),
        ("closed", "$F run quick.yaml --out closed >&-", {}),
    ],
)
def test_a_sweep_ends_as_if_its_output_were_read(
    name: str, line: str, environment: dict[str, str], space: Path
) -> None:
    done = shell(line, space, **environment)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (done.returncode, len(trials(space / name))) == (0, 1), done.stderr
    assert (space / name / "report.html").is_file()
    assert (space / name / "tables" / "comparison.csv").is_file()


def test_a_model_called_like_markup_is_printed_as_it_is(space: Path) -> None:
    code, printed = run_serially(space / "quick.yaml", cwd=space, out=space / "serial")
    assert code == 0
    assert "CLIP [/16] 漢" in printed
    done = subprocess.run(
        [*COMMAND, "status", "serial"], cwd=space, capture_output=True, text=True, check=True, timeout=60
    )
    assert "CLIP [/16] 漢" in done.stdout


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("$F list methods | head -1 >/dev/null || true", 0, ""),
        ("$F list methods >/dev/full", 2, "error: stdout: cannot be written (No space left on device)"),
        ("$F list methods >&-", 0, ""),
        ("$F run absent.yaml 2>&-", 2, ""),
        ("$F run absent.yaml 2>/dev/full", 2, ""),
    ],
)
def test_other_commands_fail_in_a_line_where_their_output_cannot_be_written(
    line: str, code: int, told: str, tmp_path: Path
) -> None:
    done = shell(line, tmp_path)
    assert (done.returncode, done.stderr.partition(";")[0].strip()) == (code, told)


def test_forced_colours_make_no_terminal_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not console_on(io.StringIO()).is_terminal
