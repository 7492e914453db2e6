"""LP: linear probing, multinomial logistic regression on frozen image features."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import SolvedMethod, linear_head
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.shared import identity
from flyp_sweep.trainers.task import Task

MAX_ITERATIONS = 10_000
GRADIENT_SHARE, MAX_TOLERANCE_SCALE = 1e-2, 1e-4

STRENGTHS = tuple(10.0**exponent for exponent in range(-7, 1))
"""L2 strengths searched when the YAML gives none."""


class LinearProbing(SolvedMethod):
    """Cross-entropy + l2 / 2 * |W|^2, solved to convergence; the encoder is never run twice on an image."""

    name = "lp"
    summary = "linear head on frozen, normalised image features, by L-BFGS; l2 is searched"
    hparams = {"l2": Choice(STRENGTHS)}
    domains = {"l2": Number(above=0)}
    frozen_encoder = True
    deterministic = True

    def zero_shot(self, task: Task) -> nn.Module:
        return linear_head(task.zero_shot_head)

    def solve(self, task: Task) -> nn.Module:
        return probe(task, task.hparams["l2"])


def probe(task: Task, l2: float) -> nn.Linear:
    """The head for this L2 strength, solved once per (training images, l2) in a worker."""

    def solve() -> nn.Linear:
        features = task.shared.features(task.train)
        labels = torch.from_numpy(task.train.labels)
        weight, bias = logistic_regression(features, labels, len(task.shared.dataset.class_names), l2)
        return linear_head(weight.to(features), bias.to(features))

    return task.shared.once(("probe", l2, identity(task.train)), solve)


def best_probe(task: Task) -> nn.Linear:
    """The head of the best of `STRENGTHS` on `id_val` (ties: lower loss): the linear-probing stage of LP-FT.

    Raises TrialFailed when L-BFGS converges for none of them.
    """
    method = LinearProbing()
    probes = []
    for l2 in STRENGTHS:
        with contextlib.suppress(TrialFailed):
            head = probe(task, l2)
            probes.append((head, method.scores(head, task, task.id_val)))
    if not probes:
        raise TrialFailed(f"L-BFGS converged for none of the strengths {', '.join(f'{l2:g}' for l2 in STRENGTHS)}")
    return max(probes, key=lambda found: found[1].rank)[0]


def logistic_regression(
    features: torch.Tensor, labels: torch.Tensor, classes: int, l2: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise mean cross-entropy + l2 / 2 * |W|^2 over W [C, D] and b [C], in float64, by L-BFGS.

    Shapes: `features` [N, D], `labels` int64 [N]. The bias is not penalised. The same problem as scikit-learn's
    LogisticRegression with C = 1 / (l2 * N). Converged means that no gradient is larger than a small share of what the
    penalty itself contributes. Raises TrialFailed when that is not reached.
    """
    x, y = features.double(), labels.to(features.device)
    width = x.shape[1]

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        both = torch.from_numpy(theta).to(x.device).reshape(classes, width + 1)
        weight, bias = both[:, :width], both[:, width]
        logits = x @ weight.T + bias
        residual = (F.softmax(logits, dim=1) - F.one_hot(y, classes)) / len(x)
        gradient = torch.cat([residual.T @ x + l2 * weight, residual.sum(0)[:, None]], dim=1)
        value = F.cross_entropy(logits, y) + l2 / 2 * weight.square().sum()
        return value.item(), gradient.cpu().numpy().ravel()

    from scipy.optimize import minimize  # half a second, for which no check before a sweep has to wait

    tolerance = GRADIENT_SHARE * min(l2, MAX_TOLERANCE_SCALE)
    solution = minimize(
        objective,
        np.zeros(classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "gtol": tolerance, "ftol": 0, "maxcor": 20},
    )
    # The line search may give up at the last bits of float64, a hair short of the tolerance: that is converged too.
    if not (solution.success or np.abs(solution.jac).max() <= 10 * tolerance):
        raise TrialFailed(f"L-BFGS did not converge with l2 = {l2:g}: {solution.message}; search larger values")
    both = torch.from_numpy(solution.x).reshape(classes, width + 1)
    return both[:, :width], both[:, width]
