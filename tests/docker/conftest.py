"""What the tests of docker/ compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run
from services import ROOT

SPACE = """
name: through
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp, ft]
train: {epochs: 1, batch_size: 128, warmup_steps: 2}
search:
  algorithm: random
  num_samples: 2
  space: {lr: {loguniform: [1.0e-4, 1.0e-2]}, weight_decay: {choice: [0.1]}}
  per_method: {lp: {l2: {loguniform: [1.0e-5, 1.0e-1]}}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep on this machine alone: `space.yaml`, and the run in `runs/through`."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "space.yaml").write_text(SPACE)
    code, output = run("run", "space.yaml", cwd=folder, path=ROOT)
    assert code == 0, output
    return folder
