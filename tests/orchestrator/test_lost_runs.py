"""A driver whose run another one has taken over, or whose store stays down: what it still writes, and what it says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from rich.console import Console
from sweeps import space_of

from flyp_sweep.orchestrator.exit_codes import BAD_INPUT
from flyp_sweep.orchestrator.runs import end_of_sweep
from flyp_sweep.orchestrator.runs.end_of_sweep import report
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.prepared import prepared
from flyp_sweep.orchestrator.runs.sweep import Sweep, open_folder
from flyp_sweep.orchestrator.store.remote_run import RemoteRun
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.trainers.preflight import check


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "small"


def sweep(path: Path, remote: Any = None) -> tuple[Sweep, io.StringIO]:
    """A sweep that has not begun, and what it prints."""
    space = space_of(methods=["zeroshot"])
    path.parent.mkdir()
    said = io.StringIO()
    console = Console(file=said, width=120, markup=False)
    ready = prepared(space, check(space, Path("absent")), path)
    folder = open_folder(path, ready.space_text)
    made = Sweep(ready, folder, RunOptions(command="flyp-sweep run x"), console, remote)
    return made, said


def replaced(path: Path) -> None:
    owner = {"host": "elsewhere", "pid": 4711, "since": "2026-01-02T03:04:05+00:00"}
    (path.parent / f".{path.name}.owner").write_text(json.dumps(owner))


def in_store(path: Path, **said: Any) -> Any:
    """A run in a store that says this."""
    kept = {name: TrialFiles(path / name) for name in ("running", "weights", "predictions")}
    return mock.Mock(spec=RemoteRun, url="s3://bucket/small", path=path, **kept, **said)


def ending() -> dict[str, Any]:
    return {"status": "failed", "seconds": 1.0, "reason": "a test", "result": None}


def test_a_driver_whose_folder_another_one_has_adds_no_line_and_writes_no_file(path: Path) -> None:
    one, said = sweep(path)
    spec = one.protocol.next()
    assert spec is not None
    replaced(path)
    one.recorder.ended(spec, ending())
    assert one.recorder.broken
    assert report(one) == BAD_INPUT
    assert "error: " in said.getvalue()
    assert "another flyp-sweep has taken this run over (process 4711 on elsewhere" in said.getvalue()
    assert {found.name for found in path.iterdir()} == {"run_id", "space.yaml"}


def test_a_driver_whose_run_in_a_store_another_one_has_adds_no_line(path: Path) -> None:
    one, said = sweep(path, in_store(path, lost="another has it", **{"close.return_value": "another has it"}))
    spec = one.protocol.next()
    assert spec is not None
    one.recorder.ended(spec, ending())
    assert not (path / "ledger.jsonl").exists()
    with mock.patch.object(end_of_sweep, "_write_outputs", return_value=None):
        assert report(one) == BAD_INPUT
    assert "error: another has it" in said.getvalue()


def test_a_store_that_stays_down_is_told_with_the_command_that_publishes_what_it_lacks(path: Path) -> None:
    one, said = sweep(path, in_store(path, lost=None, **{"close.return_value": "http://me:word@host is down"}))
    with mock.patch.object(end_of_sweep, "_write_outputs", return_value=None):
        assert report(one) == BAD_INPUT
    (line,) = [line for line in said.getvalue().splitlines() if line.startswith("error")]
    assert line == f"error: s3://bucket/small: is behind {path} (http://me:***@host is down)"
    assert "nothing is lost; go on with: flyp-sweep run x" in said.getvalue()
