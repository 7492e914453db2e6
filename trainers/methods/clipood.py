"""CLIPood: fine-tunes the image encoder with margins between classes, and averages weights along the trajectory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.methods.label_loss import label_loss
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.methods.trailing import Trailing
from flyp_sweep.trainers.task import Task


class CLIPood(FineTuning):
    """Margin metric softmax, and a Beta moving average of the weights for prediction (Shu et al., 2023, Section 3).

    The head holds the class embeddings of the pretrained text encoder; only the image encoder is trained. The loss adds
    a margin to each class's cosine: `margin` times the distance (1 - cosine) between its embedding and the label's. The
    average weighs the weights after step t of n, with t = 0 the pretrained ones, by the density of Beta(`beta`, `beta`)
    at (t + 0.5) / (n + 1). An epoch is evaluated with the average so far.

    The defaults, 0.3 and 0.5, and the average are those of the authors' code. As there, the encoder stays in evaluation
    mode: batch norm keeps the pretrained statistics, also in the average.
    """

    name = "clipood"
    label = "CLIPood"
    summary = "image encoder, cross-entropy with margins by the texts' distances, Beta average of the weights"
    hparams = {**FineTuning.hparams, "margin": Constant(0.3), "beta": Constant(0.5)}
    domains = {**FineTuning.domains, "margin": Number(least=0), "beta": Number(above=0)}

    def zero_shot(self, task: Task) -> nn.Module:
        return Trailing(super().zero_shot(task), super().zero_shot(task))

    def start(self, task: Task) -> nn.Module:
        model: Any = super().start(task)
        model.current.head.requires_grad_(False)
        return model

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        model.current.encoder.eval()
        return super().encode(model.current, inputs, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        (features,) = outputs
        logits = model.current.head(features) + task.hparams["margin"] * distances(batch.labels, task)
        return label_loss(logits, batch, task)

    def after_step(self, model: Any, task: Task, step: Step) -> None:
        model.follow(float(shares(step.total, task.hparams["beta"])[step.number]))

    def classifier(self, model: Any, task: Task) -> Classifier:
        return super().classifier(model.average, task)

    def portable(self, model: Any, task: Task) -> Portable:
        return super().portable(model.average, task)


def distances(labels: torch.Tensor, task: Task) -> torch.Tensor:
    """[B, C]: the distance of every class's embedding from that of each of `labels` [B], times the logit scale."""
    texts = F.normalize(task.zero_shot_head, dim=-1)
    return task.pretrained.clip.logit_scale.detach().exp() * (1 - texts[labels] @ texts.T)


@lru_cache(maxsize=4)
def shares(total: int, beta: float) -> np.ndarray:
    """[total + 1]: the share of the current weights in the average's update after each step; 1 for step 0."""
    at = (np.arange(total + 1) + 0.5) / (total + 1)
    logs: np.ndarray = (beta - 1) * np.log(at * (1 - at))  # log density, up to a constant that cancels
    return np.exp(logs - np.logaddexp.accumulate(logs))
