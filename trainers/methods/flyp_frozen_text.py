"""FLYP with the text encoder frozen: prompts keep their pretrained embeddings."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP, templates_of, without_captions
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import CHUNK, encode_text
from flyp_sweep.trainers.task import Task


class FLYPFrozenText(FLYP):
    """The pretraining loss, training only the image encoder (Goyal et al., 2023, Section 5, "Updating image embeddings
    via contrastive loss").

    The logit scale (and SigLIP's bias) belongs to neither encoder and is trained as in FLYP.
    """

    name = "flyp_frozen_text"
    label = "FLYP frozen text"
    summary = "as flyp, but the text encoder stays as pretrained"

    def start(self, task: Task) -> nn.Module:
        without_captions(self.name, task)
        model = super().start(task)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(("visual.", "logit_")))
        return model

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        if batch.captions is None:
            return batch.images, embeddings(task)[batch.labels, templates_of(batch, task)]
        with torch.no_grad():
            chunks = [encode_text(task.pretrained.clip, chunk) for chunk in batch.captions.split(CHUNK)]
        return batch.images, torch.cat(chunks)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, texts = inputs
        return encode_image(model.visual, images), texts

    def head(self, model: Any, task: Task) -> torch.Tensor:
        return model.logit_scale.exp() * F.normalize(task.zero_shot_head, dim=-1)


def embeddings(task: Task) -> torch.Tensor:
    """Normalised embeddings [C, T, D] of all class prompts by the pretrained text encoder, once per worker."""

    @torch.no_grad()
    def compute() -> torch.Tensor:
        chunks = task.prompts.flatten(0, 1).split(CHUNK)
        encoded = torch.cat([encode_text(task.pretrained.clip, chunk) for chunk in chunks])
        return encoded.unflatten(0, task.prompts.shape[:2])

    return task.shared.once(("prompt embeddings", task.spec.templates), compute)
