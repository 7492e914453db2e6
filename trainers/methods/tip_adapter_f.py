"""Tip-Adapter-F: Tip-Adapter with trained keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.feature_classifier import FeatureClassifier
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.methods.tip_adapter import TipAdapter, cache_of
from flyp_sweep.trainers.task import Task

EPSILON = 1e-4
"""AdamW's epsilon in the authors' code, 10,000 times the usual one."""


class TipAdapterF(FeatureClassifier):
    """Cross-entropy over the keys of Tip-Adapter's cache (Zhang et al., 2022, Section 3.2); the labels stay fixed.

    Training starts from the training-free cache. The zero-shot end of WiSE-FT has that cache's keys and votes of weight
    0, so interpolation mixes the keys and scales the votes.

    AdamW's epsilon, `lr` and `weight_decay` are those of the authors' code. That code trains with a sharpness of 1 and
    one weight per data set (1.17 on ImageNet), on random crops, and searches both values on validation data afterwards.
    Here a trial predicts with its training values, and every image has one view.
    """

    name = "tip_adapter_f"
    label = "Tip-Adapter-F"
    summary = "as tip_adapter, but its keys, the training images' features, are trained by cross-entropy"
    hparams = {"lr": Constant(1e-3), "weight_decay": Constant(0.01), **TipAdapter.hparams}
    domains = {**FeatureClassifier.domains, **TipAdapter.domains}

    def zero_shot(self, task: Task) -> nn.Module:
        return _trainable(task, weight=0.0)

    def start(self, task: Task) -> nn.Module:
        return _trainable(task, task.hparams["cache_weight"])

    def optimizer(self, model: nn.Module, task: Task) -> torch.optim.Optimizer:
        optimizer = super().optimizer(model, task)
        for group in optimizer.param_groups:
            if "eps" in group:
                group["eps"] = EPSILON
        return optimizer

    def portable(self, model: Any, task: Task) -> Portable:
        return Portable(task.pretrained.clip, model.head, votes=model.votes)


def _trainable(task: Task, weight: float) -> nn.Module:
    model = cache_of(task, weight)
    model.keys = nn.Parameter(model.keys)
    return model
