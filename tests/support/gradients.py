"""Gradients of one batch in double precision, and a method that runs out of memory."""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.data.images import Preprocess
from flyp_sweep.trainers.methods import GradientMethod
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, without_dropout

GRADIENT = [name for name, method in methods.registry().items() if isinstance(method, GradientMethod)]
TRANSFORMERS = {"maple", "promptsrc"}
"""Methods that need open_clip's own image transformer, which the bundled model does not have."""
LABELS = torch.tensor([0, 1, 0, 2, 0, 1, 0, 2, 2, 1, 0, 1])
"""A batch with class collisions."""


def worker_of(bench: Bench, clip: Any) -> Shared:
    """A worker with this double-precision CLIP, which takes the float32 images of the data set."""
    open_clip.model.set_model_preprocess_cfg(clip, vars(open_clip.transform.PreprocessCfg(clip.visual.image_size)))
    clip.visual.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    return bench.worker(pretrained=dataclasses.replace(bench.pretrained, clip=clip, preprocess=Preprocess.of(clip)))


def gradient_method(name: str) -> GradientMethod:
    method = methods.get(name)
    assert isinstance(method, GradientMethod)
    return method


def a_batch(labels: torch.Tensor = LABELS, seed: int = 5, side: int = 16) -> Batch:
    images = torch.randn(len(labels), 3, side, side, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    return Batch(images, labels, np.random.default_rng(seed))


def batch_for(method: GradientMethod, labels: torch.Tensor = LABELS) -> Batch:
    """`a_batch`, or features of width 12 for a method that is trained on these."""
    batch = a_batch(labels)
    if not method.on_features:
        return batch
    return dataclasses.replace(batch, images=F.normalize(batch.images.flatten(1)[:, :12], dim=1))


def started(method: GradientMethod, task: Task) -> nn.Module:
    """The method's model in training mode, but without dropout, a little away from the pretrained one."""
    model = without_dropout(method.start(task).train())
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
    return model


def gradients(model: nn.Module, loss: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Those that the parameters have, or those of `loss` alone."""
    if loss is not None:
        model.zero_grad()
        loss.backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Equal to 1e-10 of each tensor's largest entry."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-10 * float(value.abs().max()) + 1e-15, msg=name)


class Whole(FineTuning):
    """Says what its loss is, of whole batches alone."""

    name = "whole"

    def loss(self, model: nn.Module, batch: Batch, task: Task) -> torch.Tensor:
        return F.cross_entropy(model(batch.images), batch.labels)


class Cramped(FineTuning):
    """Fine-tuning on a device that has room for the graph of `room` images."""

    def __init__(self, room: int, backward: bool = False) -> None:
        self.room, self.backward = room, backward
        self.attempts: list[weakref.ref[torch.Tensor]] = []
        self.kept = 0

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        self.kept += sum(attempt() is not None for attempt in self.attempts)
        encoded = super().encode(model, inputs, task)
        if len(inputs[0]) > self.room and encoded[0].requires_grad:
            self.attempts += map(weakref.ref, encoded)
            if not self.backward:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            encoded[0].register_hook(self.run_out)
        return encoded

    def run_out(self, gradient: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")
