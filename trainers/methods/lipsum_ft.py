"""Lipsum-FT: fine-tuning that preserves the cosines of images with random texts."""

from __future__ import annotations

from typing import Any

import torch

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.car_ft import pretrained_features
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.models.prompts import encode_text
from flyp_sweep.trainers.task import Task


class LipsumFineTuning(FineTuning):
    """FT plus `lipsum_weight` times 1 / (2 M) times the squared change of an image's logits for M random texts.

    Each step draws `lipsum_texts` texts of `lipsum_tokens` uniformly random tokens. The pretrained text encoder embeds
    them; logits are cosines times the pretrained logit scale.

    Source: Nam et al. (2024), Section 5.1. The formula and the defaults (weight 1, 80 texts of 8 tokens) are those of
    the authors' code. That code's head has no bias and is multiplied by the logit scale; here the head includes the
    scale, as in FT.
    """

    name = "lipsum_ft"
    label = "Lipsum-FT"
    summary = "as ft, plus lipsum_weight * squared change of the logits of random texts"
    hparams = {
        **FineTuning.hparams,
        "lipsum_weight": Constant(1.0),
        "lipsum_texts": Constant(80),
        "lipsum_tokens": Constant(8),
    }
    domains = {
        **FineTuning.domains,
        "lipsum_weight": Number(least=0),
        "lipsum_texts": Number(least=1, whole=True),
        "lipsum_tokens": Number(least=1, whole=True),
    }

    def draw(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        """Embeddings [M, D] of random texts."""
        with torch.no_grad():
            return (encode_text(task.pretrained.clip, random_texts(batch, task)),)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (images,) = inputs
        return model.features(images), pretrained_features(images, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        tuned, pretrained = outputs
        (texts,) = batch.drawn
        gap = task.pretrained.clip.logit_scale.detach().exp() * (tuned - pretrained) @ texts.T
        return (
            super().joint_loss(model, (tuned,), batch, task) + task.hparams["lipsum_weight"] / 2 * gap.square().mean()
        )


def random_texts(batch: Batch, task: Task) -> torch.Tensor:
    """Tokens [M, context length] of random texts between CLIP's start and end tokens.

    Raises TrialFailed for a tokenizer without these tokens, and for texts that exceed the context.
    """
    tokenizer: Any = task.pretrained.tokenizer
    start, end = (getattr(tokenizer, name, None) for name in ("sot_token_id", "eot_token_id"))
    if start is None or end is None:
        raise TrialFailed(f"lipsum_ft: found {task.pretrained.arch}; expected a model with CLIP's own tokenizer")
    count, length = task.hparams["lipsum_texts"], task.hparams["lipsum_tokens"]
    most = task.prompts.shape[2] - 2
    if length > most:
        raise TrialFailed(f"lipsum_tokens: found {length}; expected at most {most}, as {task.pretrained.arch} reads")
    tokens = torch.zeros(count, most + 2, dtype=torch.int64)
    tokens[:, 0], tokens[:, length + 1] = start, end
    tokens[:, 1 : length + 1] = torch.from_numpy(batch.rng.integers(start, size=(count, length)))
    return tokens.to(task.device)
