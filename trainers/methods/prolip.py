"""ProLIP: fine-tunes only the image encoder's last projection, with a penalty on its distance from the pretrained
one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.carot import projector
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.task import Task

PER_SHOT = "1/shots"


class ProLIP(FineTuning):
    """Cross-entropy over the projection's weights, plus `prolip_strength` times their squared distance from the
    pretrained ones (Fahes et al., 2025, "CLIP's Visual Embedding Projector is a Few-shot Cornucopia").

    The zero-shot head, all other weights and the projection's bias stay as pretrained. The authors' choice without a
    validation set is the strength 1/shots; here `shots` is the mean number of training images per class.

    The formula and the default were compared with the authors' code. That code trains on stored features of many views
    of each image, with all images in a batch and no weight decay. Here every batch is encoded anew.
    """

    name = "prolip"
    label = "ProLIP"
    summary = "the image encoder's last projection, plus prolip_strength * squared distance to the pretrained one"
    decays_layers = False
    hparams = {**FineTuning.hparams, "weight_decay": Constant(0.0), "prolip_strength": Constant(PER_SHOT)}
    domains = {**FineTuning.domains, "prolip_strength": Number(least=0, word=PER_SHOT)}

    def start(self, task: Task) -> nn.Module:
        model: Any = super().start(task)
        model.requires_grad_(False)
        weights = projector(model.encoder)
        if weights is None:
            raise TrialFailed(
                f"{self.name}: found {task.pretrained.arch}, whose image encoder has no linear projection; expected one"
            )
        weights.requires_grad_()
        return model

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        model.encoder.eval()  # keeps the pretrained statistics of batch norm
        return super().encode(model, inputs, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        tuned, pretrained = projector(model.encoder), projector(task.pretrained.clip.visual)
        assert tuned is not None, "`start` refuses such a model"
        assert pretrained is not None
        distance = (tuned - pretrained.detach()).square().sum()
        return super().joint_loss(model, outputs, batch, task) + strength(task) * distance


def strength(task: Task) -> float:
    """The weight of the squared distance: the given one, or 1 / (training images per class)."""
    given = task.hparams["prolip_strength"]
    return len(task.shared.dataset.class_names) / len(task.train) if given == PER_SHOT else float(given)
