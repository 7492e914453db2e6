"""LP: linear probing, i.e. multinomial logistic regression on frozen image features."""

from __future__ import annotations

import math

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.methods.base import SolvedMethod, linear_head
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.logistic_regression import logistic_regression
from flyp_sweep.trainers.shared import identity
from flyp_sweep.trainers.task import Task

STRENGTHS = tuple(10.0**exponent for exponent in range(-6, 7))
"""Default values of C: the range of CLIP's linear probes (Radford et al., 2021, App. A.3).

It includes the range of FLYP's code, 0.1 to 100, and that of LP-FT's code except its weakest end, 1e-7.
"""

BEST = "best"
"""The value of `probe_C` for LP-FT's best probe on `id_val`."""


class LinearProbing(SolvedMethod):
    """Cross-entropy + l2 / 2 * |W|^2, solved to convergence; the encoder runs only once per image.

    The strength is scikit-learn's C, the weight of the summed losses against |W|^2 / 2. It corresponds to l2 = 1 / (C
    N) for N images, so one range of C suits few images and many. Alternatively, set `l2`. For two classes, scikit-learn
    has a single weight vector, so l2 = 2 / (C N).
    """

    name = "lp"
    label = "LP"
    summary = "linear head on frozen, normalised image features, solved to convergence; C is searched"
    hparams = {"C": Choice(STRENGTHS)}
    in_place_of = {"l2": "C"}
    domains = {"C": Number(above=0), "l2": Number(above=0)}
    frozen_encoder = True
    deterministic = True

    def zero_shot(self, task: Task) -> nn.Module:
        return linear_head(task.zero_shot_head)

    def solve(self, task: Task) -> nn.Module:
        if "l2" in task.hparams:
            return probe(task, _vectors(task) / (task.hparams["l2"] * len(task.train)))
        return probe(task, task.hparams["C"])


def probe(task: Task, c: float) -> nn.Linear:
    """The linear head for this C."""
    weight, bias = _solution(task, c)
    like = task.zero_shot_head
    return linear_head(weight.to(like), bias.to(like))


def best_probe(task: Task) -> tuple[nn.Linear, float]:
    """The best head of `STRENGTHS` on `id_val` (ties: lower loss), and its C: the probing stage of LP-FT."""
    method = LinearProbing()
    probes = [(probe(task, c), c) for c in STRENGTHS]
    return max(probes, key=lambda one: method.scores(one[0], task, task.id_val).rank)


def _solution(task: Task, c: float) -> list[torch.Tensor]:
    """Weights [C, D] and biases [C] for this C, solved once per (training images, C) in a worker.

    The solver starts from the solutions for smaller powers of ten, from strong penalties to weak ones. This path does
    not depend on earlier trials of the worker.
    """

    def solve() -> list[torch.Tensor]:
        below = 10.0 ** (math.ceil(math.log10(c) - 1e-9) - 1)
        start = _solution(task, below) if below >= STRENGTHS[0] else None
        labels = torch.from_numpy(task.train.labels)
        l2 = _vectors(task) / (c * len(labels))
        classes = len(task.shared.dataset.class_names)
        return list(logistic_regression(task.shared.features(task.train), labels, classes, l2, start))

    return task.shared.once(("probe", c, identity(task.train)), solve)


def _vectors(task: Task) -> int:
    """l2 C N: 1, or 2 for two classes."""
    return 2 if len(task.shared.dataset.class_names) == 2 else 1
