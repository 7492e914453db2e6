"""Trials that several processes train together, seen from the worker: what one of them meets, ends the trial in all."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.settings import Reply, Settings
from flyp_sweep.orchestrator.engine.trainable import Worker, configured
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.model import Resources, SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.spec import TrialSpec

pytestmark = pytest.mark.slow


def first_trial(space: SearchSpace) -> TrialSpec:
    spec = Protocol(plans_of(space)).next()
    assert spec is not None
    return spec


@contextmanager
def worker_of(
    folder: Path, processes: int, method: str = "flyp", hang_minutes: float | None = None, **settings: Any
) -> Iterator[Worker]:
    """A worker that has the first trial of a small search space before it."""
    failures = {"hang_minutes": hang_minutes}
    space = space_of(methods=[method], shots=[4], train={"epochs": 2, "batch_size": 15}, failures=failures)
    given = Settings(
        space,
        Path("absent"),
        Policy(folder / "running", 0.0),
        Policy(folder / "weights"),
        PredictionFiles("none", folder / "predictions"),
        Resources(cpu=processes, processes=processes),
        str(folder / "stacks"),
    )
    worker = configured(replace(given, **settings))({"spec": first_trial(space).to_json()})
    try:
        yield worker
    finally:
        worker.cleanup()


def again(worker: Worker) -> None:
    """Have the worker take up its trial anew, as after a death."""
    worker.reset_config({"spec": worker.spec.to_json()})


def steps(worker: Worker) -> Generator[Reply]:
    """Replies up to the trial's ending."""
    while True:
        reply = worker.step()
        yield reply
        if "ending" in reply:
            return


def ending(worker: Worker) -> dict[str, Any]:
    *_, last = steps(worker)
    return json.loads(last["ending"])


def ranks() -> list[int]:
    """Pids of the processes that train together, which this process's fork server has forked, in order of rank."""
    servers = [child for child in psutil.Process().children() if "multiprocessing.forkserver" in str(child.cmdline())]
    forked = [process for server in servers for process in server.children()]
    return [process.pid for process in sorted(forked, key=psutil.Process.create_time)]


def test_two_processes_get_the_result_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = []
    for processes in (1, 2):
        with worker_of(tmp_path / str(processes), processes) as worker:
            found.append(ending(worker))
            assert len(ranks()) == (processes if processes > 1 else 0)
            assert not list(tmp_path.glob("flyp-sweep-*"))
        assert ranks() == []
        assert not any((tmp_path / str(processes)).glob("stacks/*")), "nothing is left behind"
    one, two = found
    assert two["machine"] == one["machine"] | {"processes": 2}
    assert two["result"]["score"] == pytest.approx(one["result"]["score"], abs=0.01)
    for point, wanted in zip(two["result"]["curve"], one["result"]["curve"], strict=True):
        assert point.get("train_loss", 0.0) == pytest.approx(wanted.get("train_loss", 0.0), rel=1e-4)
    assert two["result"]["curve"] != one["result"]["curve"], "nothing was divided"


def test_when_one_is_killed_all_are_started_anew_and_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    with worker_of(tmp_path / "undisturbed", 2) as worker:
        wanted = ending(worker)
    with worker_of(tmp_path / "disturbed", 2) as worker:
        worker.step()
        before = ranks()
        os.kill(before[1], signal.SIGKILL)
        reply = json.loads(worker.step()["ending"])
        assert reply["status"] == "died"
        assert "ended by SIGKILL" in reply["reason"]
        again(worker)
        found = ending(worker)
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


def test_an_error_in_one_is_said_and_ends_the_trial_in_all(tmp_path: Path, faulty: Callable[[str], str]) -> None:
    with worker_of(tmp_path, 2, faulty("raise OSError('a disk')")) as worker:
        found = ending(worker)
        assert found["status"] == "died"
        assert "OSError: a disk" in found["reason"]
        assert ranks() == []


def test_a_silent_one_is_found_and_says_where_it_is(tmp_path: Path, faulty: Callable[[str], str]) -> None:
    with worker_of(tmp_path, 2, faulty("time.sleep(1000)"), hang_minutes=0.3) as worker:
        found = ending(worker)
        assert found["status"] == "died"
        assert "it hung" in found["reason"]
        assert "time.sleep" in found["log"] or "inputs" in found["log"]
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


@pytest.mark.parametrize(("processes", "where", "times"), [(1, "True", 2), (2, "task.ranks.rank == 1", 1)])
def test_what_torch_cannot_repeat_exactly_is_computed_nevertheless_and_noted_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, where: str, times: int
) -> None:
    torch.use_deterministic_algorithms(False)  # as in a driver, whatever a worker in this process has left
    module = f"inexact_{processes}"  # Python keeps the module of the other test by its name
    (tmp_path / f"{module}.py").write_text(INEXACT.format(where=where))
    monkeypatch.syspath_prepend(tmp_path)
    unsaved = Policy(tmp_path / "running", every_seconds=1e9)
    with worker_of(tmp_path, processes, f"{module}:Inexact", checkpoints=unsaved) as worker:
        for _ in range(times):
            assert ending(worker)["result"]["notes"] == [
                "another run may differ in the last bits: put_ does not have a deterministic implementation"
            ]
            again(worker)
