"""FLYP-CE: both encoders, but cross-entropy over a head of text embeddings in place of the contrastive loss."""

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
    """The embeddings of all classes' prompts are the head, and cross-entropy trains both encoders and the logit scale.

    Source: Goyal et al. (2023), Section 5, "Replacing contrastive loss of FLYP with cross-entropy". The paper leaves
    open which description stands for a class in a step; here it is one template per class, drawn anew each step from
    the distribution that FLYP draws from. So prompts stay as random as FLYP's, the loss alone differs, and a step costs
    C prompts in place of C times the number of templates.
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
    """Tokens [B, K, L] of one of `prompts` [C, T, L] per class, dealt out to a batch, K to an image, in order of class.

    So each image brings its share of the head to `encode`, and micro-batches divide the text tower's work as they do
    the image encoder's. Where there is room for more than the C classes, neighbours hold the same prompt.
    """
    classes, templates, _ = prompts.shape
    drawn = torch.from_numpy(batch.rng.integers(templates, size=classes)).to(prompts.device)
    size = len(batch.labels)
    each = -(-classes // size)
    held = torch.arange(size * each, device=prompts.device).mul(classes) // (size * each)
    return prompts[held, drawn[held]].unflatten(0, (size, each))


def dealt(texts: torch.Tensor, task: Task) -> torch.Tensor:
    """One embedding per class [C, D], of the encoded `class_prompts` [B, K, D] of a batch."""
    classes, places = task.prompts.shape[0], texts.shape[0] * texts.shape[1]
    first = -(-torch.arange(classes, device=texts.device) * places // classes)  # the first place that holds each class
    return texts.flatten(0, 1)[first]


def cross_entropy(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, batch: Batch, task: Task
) -> torch.Tensor:
    """Mean cross-entropy of `images` [B, D] over the head that `texts` [B, K, D], encoded `class_prompts`, hold."""
    return label_loss(scale * images @ dealt(texts, task).T, batch, task)
