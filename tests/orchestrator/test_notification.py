"""`notify` runs a command at every kind of end, tells it which, and never changes what the run comes to."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from commands import QUICK, trials
from serial_engine import run_serially
from sweeps import plans_of, space_of
from waiting import until

from flyp_sweep.orchestrator.runs import notification
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, load

COMMAND = "env | grep ^FLYP_SWEEP_ | grep -v _CACHE= > told.txt"
ONE_CELL = QUICK.replace("[zeroshot, lp]", "[zeroshot]")


def write(folder: Path, text: str, command: str = COMMAND) -> Path:
    path = folder / "quick.yaml"
    path.write_text(f"{text}notify: '{command}'\n")
    return path


def told(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / "told.txt").read_text().splitlines())


@pytest.mark.slow
def test_the_command_is_told_how_the_run_ended_and_where_it_is(tmp_path: Path) -> None:
    code, output = run_serially(write(tmp_path, QUICK), cwd=tmp_path, stop_after=1)
    run = tmp_path.resolve() / "runs" / "quick"
    assert (code, told(tmp_path)["FLYP_SWEEP_STATUS"], told(tmp_path)["FLYP_SWEEP_EXIT_CODE"]) == (
        130,
        "interrupted",
        "130",
    )
    assert "notify" not in output
    code, output = run_serially(run / "space.yaml", cwd=tmp_path)
    found = told(tmp_path)
    assert 0 <= int(found.pop("FLYP_SWEEP_SECONDS")) < 600
    assert (code, found) == (
        0,
        {
            "FLYP_SWEEP_STATUS": "done",
            "FLYP_SWEEP_EXIT_CODE": "0",
            "FLYP_SWEEP_RUN": str(run),
            "FLYP_SWEEP_NAME": "quick",
            "FLYP_SWEEP_REPORT": str(run / "report.html"),
        },
    ), "the run folder's own space keeps the command"
    assert output.splitlines()[-1] == "next: flyp-sweep ui"


def test_bad_input_is_told_too(tmp_path: Path) -> None:
    space = write(tmp_path, ONE_CELL.replace("dataset: digits", "dataset: pcam"))
    code, _ = run_serially(space, cwd=tmp_path, data_root=Path("nowhere"))
    found = told(tmp_path)
    assert (code, found["FLYP_SWEEP_STATUS"], found["FLYP_SWEEP_REPORT"]) == (2, "bad_input", "")


@pytest.mark.slow
def test_a_command_that_fails_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    code, output = run_serially(write(tmp_path, ONE_CELL, "echo first; echo no route >&2; exit 7"), cwd=tmp_path)
    assert (code, len(trials(tmp_path / "runs" / "quick"))) == (0, 1)
    assert output.splitlines()[-2:] == [
        "next: flyp-sweep ui",
        "warning: notify: the command ended with exit code 7 (no route)",
    ]
    assert "first" not in output
    before = len(trials(tmp_path / "runs" / "quick"))
    code, output = run_serially(write(tmp_path, ONE_CELL, "true"), cwd=tmp_path)
    assert (code, len(trials(tmp_path / "runs" / "quick"))) == (0, before), "a changed command runs nothing again"
    assert "warning" not in output
    assert "no longer match" not in output


def test_a_command_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    late = tmp_path / "late"
    said = notification.run(f"(sleep 1; touch {late}) & sleep 60", {}, limit=0.3)
    assert said == "the command took longer than 0.3 s and was stopped"
    assert time.monotonic() - began < 5
    time.sleep(1.2)
    assert not late.exists()
    assert notification.run("nonexistent-command-of-nobody", {}) is not None


def test_a_run_that_has_to_leave_at_once_starts_the_command_and_does_not_wait(tmp_path: Path) -> None:
    space = space_of(methods=["ft"], notify=f"sleep 0.5; echo $FLYP_SWEEP_STATUS > {tmp_path}/left")
    began = time.monotonic()
    notification.Ending(space, RunOptions(out=tmp_path / "run")).leave()
    assert time.monotonic() - began < 0.5
    until((tmp_path / "left").exists)
    until(lambda: (tmp_path / "left").read_text() == "interrupted\n")


def test_it_determines_no_number() -> None:
    plain, with_command = space_of(methods=["ft"]), space_of(methods=["ft"], notify="true")
    ids = [plans_of(space)[0].repeat_trial({"lr": 1e-3}, 0).trial_id for space in (plain, with_command)]
    assert ids[0] == ids[1]
    assert "notify" not in dump(plain)
    assert "notify: 'true'" in dump(with_command)


@pytest.mark.parametrize("value", ["''", "[a]", "3"])
def test_a_command_that_is_none_is_refused(value: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"{QUICK}notify: {value}\n")
    with pytest.raises(InputError, match=r"x\.yaml:9: notify: found .*; expected "):
        load(tmp_path / "x.yaml")
