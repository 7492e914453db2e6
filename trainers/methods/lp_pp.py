"""LP++: a linear probe whose weights are visual prototypes plus, per class, a learned share of the text embedding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.base import SolvedMethod, linear_head
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.task import Task

MOMENTUM = 0.9
"""Momentum of the prototypes' descent."""
TURN = 10
"""Iterations of the prototypes per iteration of the shares."""
FIRST_SHARE = 250
"""The initial shares are this number times the mean cosine of an image with its class's text."""


class LPPlusPlus(SolvedMethod):
    """Cross-entropy over logits f . (w_k + a_k t_k) + b_k of normalised image features f and text embeddings t_k (Huang
    et al., 2024, "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP").

    It uses full-batch gradient descent in two blocks, with step sizes from the data: 4 N / (largest eigenvalue of F'F)
    for w and b, N / (4 max_k sum_i (f_i . t_k)^2) for a. Prototypes start as the sums of their classes' features. The
    result is the best model on `id_val` (ties: lower loss, then the later) after every tenth iteration and after the
    last.

    Formulas, steps and constants are those of the authors' code with its default settings. It was not compared with the
    paper's text. As in the code, the gradient by a accumulates over all iterations. There are three differences: b
    starts at zero, not at random; all features are of one view; and the authors evaluate validation images after every
    iteration.
    """

    name = "lp_pp"
    label = "LP++"
    summary = "linear head of visual prototypes and learned shares of the text embeddings, by full-batch descent"
    hparams = {"iterations": Constant(300)}
    domains = {"iterations": Number(least=1, whole=True)}
    frozen_encoder = True
    deterministic = True

    def zero_shot(self, task: Task) -> nn.Module:
        return linear_head(task.zero_shot_head)

    def solve(self, task: Task) -> nn.Module:
        labels = torch.from_numpy(task.train.labels).to(task.device)
        texts = F.normalize(task.zero_shot_head, dim=-1)
        found = descent(task.shared.features(task.train), labels, texts, task.hparams["iterations"])
        heads = [linear_head(weight, bias) for weight, bias in found]
        return max(reversed(heads), key=lambda head: self.scores(head, task, task.id_val).rank)


def descent(
    features: torch.Tensor, labels: torch.Tensor, texts: torch.Tensor, iterations: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Weights [C, D] and biases [C] after every tenth iteration and after the last.

    Shapes: `features` [N, D] and `texts` [C, D], normalised; `labels` int64 [N].
    """
    count, classes = len(features), len(texts)
    targets = features.new_zeros(count, classes).scatter_(1, labels[:, None], 1)
    cosines = features @ texts.T
    step = 4 * count / torch.linalg.matrix_norm(features, 2).square()
    step_of_shares = count / (4 * cosines.square().sum(dim=0).max())
    images = targets.sum(dim=0)
    own = (targets * cosines).sum(dim=0) / images.clamp_min(1)
    shares = (FIRST_SHARE * own.sum() / (images > 0).sum()).expand(classes)
    weight, bias = targets.T @ features, features.new_zeros(classes)
    velocity, velocity_of_bias, summed = torch.zeros_like(weight), torch.zeros_like(bias), torch.zeros_like(bias)
    for number in range(1, iterations + 1):
        logits = features @ weight.T + bias + shares * cosines
        error = (logits.softmax(dim=1) - targets) / count
        velocity = MOMENTUM * velocity + error.T @ features
        velocity_of_bias = MOMENTUM * velocity_of_bias + error.sum(dim=0)
        weight, bias = weight - step * velocity, bias - step * velocity_of_bias
        summed = summed + (error * cosines).sum(dim=0)
        if number % TURN == 0:
            shares = shares - step_of_shares * summed
        if number % TURN == 0 or number == iterations:
            yield weight + shares[:, None] * texts, bias
