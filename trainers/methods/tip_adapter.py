"""Tip-Adapter: training images vote, weighted by their similarity to the image in the frozen encoder. No training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.methods.base import SolvedMethod
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.portable import Portable, Votes
from flyp_sweep.trainers.task import Task


class KeyValueCache(nn.Module):
    """The zero-shot logits of the prompts' `head` [C, D], plus `Votes`."""

    def __init__(
        self, head: torch.Tensor, keys: torch.Tensor, labels: torch.Tensor, weight: float, sharpness: float
    ) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.head: torch.Tensor
        self.keys: torch.Tensor
        self.labels: torch.Tensor
        self.weight: torch.Tensor
        self.register_buffer("head", head.clone())
        self.register_buffer("keys", keys.clone())
        self.register_buffer("labels", labels.clone())
        self.register_buffer("weight", head.new_tensor(weight))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of normalised image features [B, D]."""
        return self.votes.added(F.linear(features, self.head), features)

    @property
    def votes(self) -> Votes:
        return Votes(self.keys, self.labels, self.weight, self.head.new_tensor(self.sharpness))


class TipAdapter(SolvedMethod):
    """Training-free Tip-Adapter (Zhang et al., 2022, Section 3.1), with its alpha and beta searched on `id_val`.

    They are called `cache_weight` and `cache_sharpness` here. At the zero-shot end of WiSE-FT the votes have weight 0,
    so interpolation scales their weight. Each key is one view of an image; the authors average ten random views.
    """

    name = "tip_adapter"
    label = "Tip-Adapter"
    summary = "frozen model plus votes of the training images; their weight and sharpness are searched"
    hparams = {
        "cache_weight": Choice((0.5, 1.0, 2.0, 4.0, 8.0)),
        "cache_sharpness": Choice((1.0, 2.0, 5.5, 10.0, 20.0)),
    }
    domains = {"cache_weight": Number(least=0), "cache_sharpness": Number(least=0)}
    frozen_encoder = True
    deterministic = True

    def zero_shot(self, task: Task) -> nn.Module:
        return cache_of(task, weight=0.0)

    def solve(self, task: Task) -> nn.Module:
        return cache_of(task, task.hparams["cache_weight"])

    def portable(self, model: Any, task: Task) -> Portable:
        return Portable(task.pretrained.clip, model.head, votes=model.votes)


def cache_of(task: Task, weight: float) -> KeyValueCache:
    """The cache from the training images."""
    keys, labels = task.shared.features(task.train), torch.from_numpy(task.train.labels).to(task.device)
    return KeyValueCache(task.zero_shot_head, keys, labels, weight, task.hparams["cache_sharpness"])
