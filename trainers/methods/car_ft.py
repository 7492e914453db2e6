"""CAR-FT: fine-tuning that preserves the pretrained encoder's predictions of an image's context."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp_frozen_text import embeddings
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.task import Task


class ContextAwareFineTuning(FineTuning):
    """FT plus `context_weight` times the divergence between context distributions (Mao et al., 2024, Section 4).

    A context is a template. Its embedding is the normalised mean of its prompts' embeddings over the classes. The
    context distribution of an image is the softmax over contexts of its cosines with their embeddings, times the
    pretrained logit scale. The divergence is KL(pretrained || tuned), averaged over a batch.

    Source: the paper's abstract and summaries only. The authors' code was not found. The direction of the divergence,
    the scale in the softmax, and the weight of 1 are therefore unverified.
    """

    name = "car_ft"
    label = "CAR-FT"
    summary = "as ft, plus context_weight * KL divergence from what the pretrained encoder tells of contexts"
    hparams = {**FineTuning.hparams, "context_weight": Constant(1.0)}
    domains = {**FineTuning.domains, "context_weight": Number(least=0)}

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (images,) = inputs
        return model.features(images), pretrained_features(images, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        tuned, pretrained = outputs
        head = contexts(task)
        kept = divergence(pretrained @ head.T, tuned @ head.T)
        return super().joint_loss(model, (tuned,), batch, task) + task.hparams["context_weight"] * kept

    def notes(self, task: Task) -> list[str]:
        one = task.prompts.shape[1] == 1
        return ["car_ft: with one template there is one context, so this is ft"] if one else []


@torch.no_grad()
def pretrained_features(images: torch.Tensor, task: Task) -> torch.Tensor:
    """Normalised features [B, D] of `images` by the pretrained encoder."""
    return encode_image(task.pretrained.clip.visual, images)


def contexts(task: Task) -> torch.Tensor:
    """Weights [T, D] of a linear head that classifies the context of an image, computed once per worker."""

    @torch.no_grad()
    def compute() -> torch.Tensor:
        return task.pretrained.clip.logit_scale.exp() * F.normalize(embeddings(task).mean(dim=0), dim=-1)

    return task.shared.once(("contexts", task.spec.templates), compute)


def divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Mean over rows of KL(softmax `before` || softmax `after`) in nats, a scalar; logits are [B, T]."""
    return F.kl_div(after.log_softmax(dim=1), before.log_softmax(dim=1), reduction="batchmean", log_target=True)
