"""Trials that several processes train together, seen from the worker: what one of them meets, ends the trial in all."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flyp_sweep.orchestrator.engine.forked import Lease
from flyp_sweep.orchestrator.engine.team import Team
from flyp_sweep.orchestrator.engine.trial_process import PRELOADED, Reply, Settings
from processes import trial_processes
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.spec import TrialSpec

SERVER = f"{os.getpid()}-team"


@pytest.fixture(scope="module", autouse=True)
def _one_server() -> Iterator[None]:
    """All tests share what one server has imported."""
    with closing(Lease(SERVER, PRELOADED)):
        yield


def first_trial(space: SearchSpace) -> TrialSpec:
    spec = Protocol(plans_of(space)).next()
    assert spec is not None
    return spec


@contextmanager
def team_of(folder: Path, processes: int, method: str = "flyp", **settings: Any) -> Iterator[Team]:
    """A team that has begun with the first trial of a small search space."""
    space = space_of(methods=[method], shots=[4], train={"epochs": 2, "batch_size": 15})
    mapping = space.model_dump(mode="json", exclude_none=True)
    given = Settings(mapping, "absent", Policy(folder / "running", 0.0), 1, "cpu", None, SERVER, processes)
    with closing(Team(replace(given, **settings))) as team:
        team.begin(first_trial(space))
        yield team


def steps(team: Team) -> Generator[Reply]:
    """Replies up to the trial's ending."""
    while True:
        reply = team.step()
        yield reply
        if "ending" in reply:
            return


def ending(team: Team) -> dict[str, Any]:
    *_, last = steps(team)
    return json.loads(last["ending"])


def ranks() -> list[int]:
    """Pids of the trial processes of this test."""
    return sorted(process.pid for process in trial_processes(os.getpid()))


def test_two_processes_get_the_result_of_one(tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        with team_of(tmp_path / str(processes), processes) as team:
            found.append(ending(team))
            assert len(ranks()) == processes
    one, two = found
    assert two["machine"] == one["machine"] | {"processes": 2}
    assert two["result"]["score"] == pytest.approx(one["result"]["score"], abs=0.01)
    for point, wanted in zip(two["result"]["curve"], one["result"]["curve"], strict=True):
        assert point["train_loss"] == pytest.approx(wanted["train_loss"], rel=1e-4)
    assert two["result"]["curve"] != one["result"]["curve"], "nothing was divided"


@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_is_killed_all_are_started_anew_and_go_on_from_the_checkpoint(tmp_path: Path, rank: int) -> None:
    with team_of(tmp_path / "undisturbed", 2) as team:
        wanted = ending(team)
    with team_of(tmp_path / "disturbed", 2) as team:
        team.step()
        before = ranks()
        os.kill(before[rank], signal.SIGKILL)
        reply = json.loads(team.step()["ending"])
        assert reply["status"] == "died"
        assert "ended by SIGKILL" in reply["reason"]
        team.begin(team._spec)
        found = ending(team)
        assert not set(before) & set(ranks())
    assert found["result"] == wanted["result"]


FAULTY = """
import os, time
from flyp_sweep.trainers.methods.flyp import FLYP

class Faulty(FLYP):
    name = "faulty"
    def inputs(self, batch, task):
        if task.ranks.rank == 1:
            {fault}
        return super().inputs(batch, task)
"""


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def write(fault: str) -> str:
        name = f"faulty_{time.monotonic_ns()}"
        (tmp_path / f"{name}.py").write_text(FAULTY.format(fault=fault))
        monkeypatch.syspath_prepend(tmp_path)
        return f"{name}:Faulty"

    return write


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("raise ValueError('only here')", "failed", "ValueError: only here"),
        ("raise OSError('a disk')", "died", "OSError: a disk"),
        ("os._exit(7)", "died", "the trial's process was ended by exit code 7"),
        ("os.kill(os.getpid(), 9)", "died", "ended by SIGKILL"),
    ],
)
def test_what_one_meets_is_said_and_ends_the_trial_in_all(
    tmp_path: Path, faulty: Callable[[str], str], fault: str, status: str, reason: str
) -> None:
    with team_of(tmp_path, 2, faulty(fault)) as team:
        found = ending(team)
        assert found["status"] == status
        assert reason in found["reason"]
        assert ranks() == []


def test_a_silent_one_is_found_and_says_where_it_is(tmp_path: Path, faulty: Callable[[str], str]) -> None:
    with team_of(tmp_path, 2, faulty("time.sleep(1000)"), hang_seconds=5.0) as team:
        found = ending(team)
        assert found["status"] == "died"
        assert "it hung: nothing was reported for 5 s" in found["reason"]
        assert ranks() == []


INEXACT = """
import torch
from flyp_sweep.trainers.methods.flyp import FLYP

class Inexact(FLYP):
    name = "inexact"
    def encode(self, model, inputs, task):
        if {where}:
            torch.zeros(1).put_(torch.tensor([0]), torch.ones(1))  # torch has no code for it that repeats its bits
        return super().encode(model, inputs, task)
"""


@pytest.mark.parametrize(("processes", "where"), [(1, "True"), (2, "True"), (2, "task.ranks.rank == 1")])
def test_what_torch_cannot_repeat_exactly_is_computed_nevertheless_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, where: str
) -> None:
    (tmp_path / "inexact.py").write_text(INEXACT.format(where=where))
    monkeypatch.syspath_prepend(tmp_path)
    with team_of(tmp_path / "exact", processes) as team:
        wanted = ending(team)["result"]
    unsaved = Policy(tmp_path / "running", every_seconds=1e9)
    with team_of(tmp_path / "inexact", processes, "inexact:Inexact", policy=unsaved) as team:
        for _ in range(2):
            found = ending(team)["result"]
            assert found.pop("notes") == [
                "another run may differ in the last bits: put_ does not have a deterministic implementation"
            ]
            assert found == {name: value for name, value in wanted.items() if name != "notes"}
            team.begin(team._spec)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with team_of(tmp_path / "files", 2) as team:
        team.step()
        assert not list(tmp_path.glob("flyp-sweep-*"))
    assert ranks() == []
