"""What Ray needs of a machine: told in a line before Ray starts or when it fails, and nothing is left behind."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from flyp_sweep.orchestrator.engine import machine
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.sweep import dry_run
from flyp_sweep.search_spaces.errors import InputError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # a short path
    return tmp_path


def test_variables_that_stop_ray_tune_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_RESULT_DIR", "/somewhere")
    machine.check_machine()
    assert "TUNE_RESULT_DIR" not in os.environ


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_long_temporary_folder_is_told_by_the_variable_that_gave_it(name: str, monkeypatch: Any) -> None:
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv(name, "/tmp/" + "x" * 60)
    with pytest.raises(InputError, match=f"^{name}: found /tmp/x+; expected a path of at most .*set RAY_TMPDIR"):
        machine.check_machine()


def test_a_temporary_folder_that_cannot_be_written_is_told(temporary: Path, monkeypatch: Any) -> None:
    (temporary / "f").touch()
    monkeypatch.setattr(machine, "LONGEST_FOLDER", 500)
    monkeypatch.setenv("RAY_TMPDIR", str(temporary / "f"))
    with pytest.raises(InputError, match=r"^RAY_TMPDIR: found that .*/f/ray cannot be written \(Not a directory\)"):
        machine.check_machine()


def test_a_machine_without_shared_memory_is_told(temporary: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(machine, "SHARED_MEMORY", temporary / "shm")
    with pytest.raises(InputError, match="shm: found no such folder that can be written; expected shared memory"):
        machine.check_machine()


def test_a_dry_run_refuses_a_machine_on_which_a_run_could_not_start(temporary: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    with pytest.raises(InputError, match=r"^RAY_TMPDIR: found"):
        next(dry_run("quickstart", (), RunOptions(out=temporary / "run")))


def test_whatever_ray_raises_is_one_line_that_names_the_log(temporary: Path, caplog: Any) -> None:
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(InputError) as told,
        machine.faults_told(temporary / "log.txt"),
    ):
        raise RuntimeError("the raylet\ndied")
    assert str(told.value).startswith(r"Ray cannot start or go on (the raylet\ndied); ")
    assert f"{temporary}/log.txt has the trace; RAY_TMPDIR" in str(told.value)
    assert "RuntimeError: the raylet" in caplog.text


def test_session_folders_of_this_process_go_and_those_of_others_stay(temporary: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(temporary))
    other_container, ours, another = (
        temporary / "ray" / f"session_2026-01-01_00-00-0{at}_000000_{pid}"
        for at, pid in enumerate([os.getpid(), os.getpid(), f"{os.getpid()}1"])
    )
    other_container.mkdir(parents=True)
    with machine.session_removed():
        for folder in (ours, another):
            (folder / "logs").mkdir(parents=True)
    assert set((temporary / "ray").iterdir()) == {other_container, another}
