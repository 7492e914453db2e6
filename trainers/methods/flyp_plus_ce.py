"""FLYP + CE: the contrastive loss plus a weighted cross-entropy over a head of text embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp import FLYP, without_captions
from flyp_sweep.trainers.methods.flyp_ce import class_prompts, cross_entropy
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import encode_unique
from flyp_sweep.trainers.task import Task


class FLYPPlusCrossEntropy(FLYP):
    """FLYP's loss plus `ce_weight` times that of FLYP-CE (Goyal et al., 2023, end of Section 5: joint optimisation)."""

    name = "flyp_plus_ce"
    label = "FLYP + CE"
    summary = "as flyp, plus ce_weight * the cross-entropy of flyp_ce"
    smooths_labels = True
    hparams = {**FLYP.hparams, "ce_weight": Choice((0.1, 0.3, 1.0))}
    domains = {**FLYP.domains, "ce_weight": Number(least=0)}

    def start(self, task: Task) -> nn.Module:
        without_captions(self.name, task)
        return super().start(task)

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        images, prompts = super().inputs(batch, task)
        return images, torch.cat([prompts[:, None], class_prompts(batch, task.prompts)], dim=1)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, tokens = inputs
        # The text tower encodes the prompts of both losses together, so shared prompts are encoded once.
        texts = encode_unique(model, tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        return encode_image(model.visual, images), texts[:, 0], texts[:, 1:]

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, prompts, classes = outputs
        supervised = cross_entropy(images, classes, model.logit_scale.exp(), batch, task)
        return super().joint_loss(model, (images, prompts), batch, task) + task.hparams["ce_weight"] * supervised
