"""Every benchmark can be loaded, and those that start no sweep run by the command. Their figures are read by people."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith(("_", "test_")))
)
def test_it_finds_all_that_it_imports(name: str) -> None:
    import_module(name)


@pytest.mark.slow
def test_the_command_runs_them_as_a_user_does(tmp_path: Path) -> None:
    told = tmp_path / "bench.md"
    command = [
        sys.executable,
        HERE,
        "gpu_step",
        "data_parallel",
        "prediction",
        "readers",
        "--tiny",
        "--runs",
        "1",
        "-o",
        told,
    ]
    ran = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert sum(line.startswith("| FLYP step") for line in told.read_text().splitlines()) == 2
    assert "an epoch of FLYP" in told.read_text()
    assert told.read_text().count("of Pillow's rate") == 15
    assert "prediction by an exported model" in told.read_text()
