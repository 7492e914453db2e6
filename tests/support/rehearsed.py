"""Methods for tests of rehearsals: with an error of shapes, and such as need values of tensors."""

from __future__ import annotations

from typing import Any

import torch

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.task import Task


class Misshapen(FineTuning):
    """Multiplies features [B, D] by themselves."""

    name = "misshapen"
    summary = "an error of shapes"

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        (features,) = outputs
        return (features @ features).sum()


class Choosy(FineTuning):
    """Looks at values, as whose it would fail if they were zeros."""

    name = "choosy"
    summary = "fails where features are zeros"

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        (features,) = outputs
        if not (features.norm(dim=-1) > 0).all():
            raise ValueError("features of zeros")
        return super().joint_loss(model, outputs, batch, task)


class Detour(FineTuning):
    """Takes a way by NumPy, which tensors without values cannot go."""

    name = "detour"
    summary = "a head that NumPy has made"

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        torch.from_dlpack(model.head.weight.detach()).numpy()
        return super().encode(model, inputs, task)
