"""FLYP-CE: trains both encoders, but with cross-entropy over a head of text embeddings, not the contrastive loss."""

from __future__ import annotations

from typing import Any

import torch

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.methods.label_loss import label_loss
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import encode_unique
from flyp_sweep.trainers.task import Task


class FLYPCrossEntropy(FLYP):
    """The embeddings of all classes' prompts form the head; cross-entropy trains both encoders and the logit scale.

    Source: Goyal et al. (2023), Section 5, "Replacing contrastive loss of FLYP with cross-entropy". The paper does not
    specify the templates per step. Here each step draws one template per class, from the same distribution as FLYP. The
    prompts are therefore as random as FLYP's, and only the loss differs. A step costs C prompts, not C times the number
    of templates.
    """

    name = "flyp_ce"
    label = "FLYP-CE"
    summary = "as flyp, but cross-entropy over the text embeddings of all classes"
    pairs_templates = False
    reads_captions = False
    smooths_labels = True

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        return batch.images, class_prompts(batch, task.prompts)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, tokens = inputs
        texts = encode_unique(model, tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        return encode_image(model.visual, images), texts

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, texts = outputs
        return cross_entropy(images, texts, model.logit_scale.exp(), batch, task)


def class_prompts(batch: Batch, prompts: torch.Tensor) -> torch.Tensor:
    """Tokens [B, K, L]: one of `prompts` [C, T, L] per class, distributed over a batch, K per image, in order of class.

    Each image thereby carries its share of the head into `encode`, and micro-batches divide the text tower's work as
    well as the image encoder's. If B x K exceeds C, neighbouring places hold the same prompt.
    """
    classes, templates, _ = prompts.shape
    drawn = torch.from_numpy(batch.rng.integers(templates, size=classes)).to(prompts.device)
    size = len(batch.labels)
    each = -(-classes // size)
    held = torch.arange(size * each, device=prompts.device).mul(classes) // (size * each)
    return prompts[held, drawn[held]].unflatten(0, (size, each))


def dealt(texts: torch.Tensor, task: Task) -> torch.Tensor:
    """One embedding per class [C, D], from the encoded `class_prompts` [B, K, D] of a batch."""
    classes, places = task.prompts.shape[0], texts.shape[0] * texts.shape[1]
    first = -(-torch.arange(classes, device=texts.device) * places // classes)  # the first place of each class
    return texts.flatten(0, 1)[first]


def cross_entropy(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, batch: Batch, task: Task
) -> torch.Tensor:
    """Mean cross-entropy of `images` [B, D] over the head in `texts` [B, K, D], the encoded `class_prompts`."""
    return label_loss(scale * images @ dealt(texts, task).T, batch, task)
