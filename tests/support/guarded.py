"""A method whose training fails where it is forbidden: the proof that a later evaluation takes no step."""

from __future__ import annotations

import os
from typing import Any

import torch

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.task import Task

FORBIDDEN = "FORBIDDEN_TRIALS"
"""Environment variable: the ids of trials that take no step, divided by commas."""


class Guarded(FLYP):
    """FLYP, but for the trials that may not be trained."""

    name = "guarded"
    summary = "FLYP that can be forbidden to train"

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        if task.spec.trial_id in os.environ.get(FORBIDDEN, "").split(","):
            raise RuntimeError(f"trial {task.spec.trial_id} takes a step")
        return super().joint_loss(model, outputs, batch, task)
