"""The baseline follows the protocol: on a small sweep it selects and tabulates what the project does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from agreement import differences
from baseline import Baseline
from commands import trials
from measuring import sweep

from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.loading import load

TINY = """
name: tiny
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [ft, flyp]
train: {epochs: 2, batch_size: 200, warmup_steps: 1}
search:
  algorithm: grid
  seeds: 2
  space: {lr: {choice: [0.0001, 0.001]}, weight_decay: 0.1}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Our run of the tiny space, and the baseline's."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.yaml").write_text(TINY)
    space = load(str(folder / "tiny.yaml"))
    ours, theirs = folder / "ours" / "tiny", folder / "theirs" / "tiny"
    sweep(folder / "tiny.yaml", ours)
    Baseline(space, theirs, folder, at_once=os.cpu_count() or 1).go()  # on one thread each, as ours
    return ours, theirs


@pytest.mark.slow
def test_it_selects_and_tabulates_what_the_project_does(runs: tuple[Path, Path]) -> None:
    assert differences(*runs) == []
    scores = [{record["trial_id"]: record.get("score") for record in trials(run)} for run in runs]
    assert len(scores[0]) == 12
    assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["alpha", "entry", "selection"])
def test_what_differs_is_named(runs: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    """One record of the baseline's ledger is changed: a chosen alpha, a number of the table, a selection."""
    records = [json.loads(line) for line in RunFolder(runs[1]).ledger.path.read_text().splitlines()]
    repeat = next(record for record in records if record.get("stage") == "repeat")
    if what == "alpha":
        repeat["alpha"] = next(one for one in (0.0, 0.5, 1.0) if one != repeat["alpha"])
    elif what == "entry":
        for split in (one for at in repeat["evaluations"] for one in at["splits"]):
            split["metrics"] = {name: value / 2 for name, value in split["metrics"].items()}
    else:
        next(record for record in records if record["kind"] == "selection")["score"] += 0.01
    changed = RunFolder.create(tmp_path / "tiny", (runs[1] / "space.yaml").read_text())
    changed.ledger.path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert any(name.startswith(f"{what} of ") for name in differences(runs[1], changed.path))
