"""What the tests of docker/ compare with."""

from __future__ import annotations

import pytest
from finished import Finish, Finished

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
def local(finish: Finish) -> Finished:
    """A sweep on this machine alone."""
    return finish("through", SPACE)
