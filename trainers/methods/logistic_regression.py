"""Multinomial logistic regression with an L2 penalty on its weights, solved to convergence by Newton's method."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from flyp_sweep.trainers.errors import TrialFailed

TOLERANCE = 1e-11
"""Tolerance of the objective in nats, for half of Newton's decrement: the expected gain of another step."""
MOST_STEPS, MOST_PRODUCTS = 100, 500
"""The most Newton steps, and the most products with the Hessian per step."""


def logistic_regression(
    features: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    l2: float,
    start: list[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise mean cross-entropy + l2 / 2 * |W|^2 over W [C, D] and b [C], in float64.

    Shapes: `features` [N, D], `labels` int64 [N]; `start` holds an initial W and b. The bias is not penalised. The
    problem equals scikit-learn's LogisticRegression with C = 1 / (l2 N). For two classes, scikit-learn has a single
    weight vector, and the equivalent is C = 2 / (l2 N).

    Conjugate gradients solve for the Newton steps, on centred features along their principal axes. Their preconditioner
    is the variance along each axis, so weak penalties take as few steps as strong ones. Raises TrialFailed if it does
    not converge.
    """
    problem = Problem(features, labels, classes, l2)
    theta = problem.rotated(start)
    value, logits = problem.value(theta)
    for _ in range(MOST_STEPS):
        local = Local(problem, theta, logits)
        direction, is_exact = local.newton_step()
        decrement = -(local.gradient * direction).sum().item()
        if is_exact and decrement <= 2 * TOLERANCE:
            return problem.unrotated(theta + direction)
        length = 1.0
        while (found := problem.value(theta + length * direction))[0] > value - 1e-4 * length * decrement + 1e-14:
            length /= 2
            if length < 1e-9:
                raise TrialFailed(f"the logistic regression with l2 = {l2:g} found no step down; search larger values")
        theta, (value, logits) = theta + length * direction, found
    raise TrialFailed(f"the logistic regression did not converge with l2 = {l2:g}; search larger values")


class Problem:
    """The objective of one regression on the principal axes of its features.

    `theta` is [C, D + 1]: weights along the axes, then the bias; `inputs` are [N, D + 1], the last column of ones.
    """

    def __init__(self, features: torch.Tensor, labels: torch.Tensor, classes: int, l2: float) -> None:
        x = features.double()
        self.labels, self.classes = labels.to(x.device), classes
        self.mean = x.mean(dim=0)
        centred = x - self.mean
        variances, self.axes = torch.linalg.eigh(centred.T @ centred / len(x))
        one = x.new_ones(1)
        self.variances = torch.cat([variances.clamp_min(0), one])
        self.inputs = torch.cat([centred @ self.axes, x.new_ones(len(x), 1)], dim=1)
        self.strengths = torch.cat([x.new_full((x.shape[1],), l2), 0 * one])
        sums = x.new_zeros(classes, len(self.strengths)).index_add(0, self.labels, self.inputs)
        self.targets = sums / len(x)

    def rotated(self, start: list[torch.Tensor] | None) -> torch.Tensor:
        """`theta` of W [C, D] and b [C]; zeros without a start."""
        if start is None:
            return self.mean.new_zeros(self.classes, len(self.strengths))
        weight, bias = start
        return torch.cat([weight @ self.axes, (bias + weight @ self.mean)[:, None]], dim=1)

    def unrotated(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """W [C, D] and b [C] of `theta`, with mean bias 0: a constant added to all biases changes no probability."""
        weight = theta[:, :-1] @ self.axes.T
        bias = theta[:, -1] - weight @ self.mean
        return weight, bias - bias.mean()

    def value(self, theta: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The objective, and the logits [N, C]."""
        logits = self.inputs @ theta.T
        return (F.cross_entropy(logits, self.labels) + (self.strengths * theta.square()).sum() / 2).item(), logits


class Local:
    """Gradient and Hessian of the objective at one `theta`."""

    def __init__(self, problem: Problem, theta: torch.Tensor, logits: torch.Tensor) -> None:
        self.problem = problem
        self.chances = F.softmax(logits, dim=1)
        means = self.chances.T @ problem.inputs / len(logits)
        self.gradient = means - problem.targets + problem.strengths * theta

    def times(self, direction: torch.Tensor) -> torch.Tensor:
        """The Hessian's product with `direction` [C, D + 1]."""
        change = self.problem.inputs @ direction.T
        change = self.chances * (change - (self.chances * change).sum(dim=1, keepdim=True))
        return change.T @ self.problem.inputs / len(change) + self.problem.strengths * direction

    def newton_step(self) -> tuple[torch.Tensor, bool]:
        """The step to the optimum of the quadratic model, and whether conjugate gradients converged in time."""
        spread = (self.chances * (1 - self.chances)).mean(dim=0)
        diagonal = (spread[:, None] * self.problem.variances + self.problem.strengths).clamp_min(1e-12)
        step = torch.zeros_like(self.gradient)
        rest = -self.gradient
        scaled = rest / diagonal
        direction = scaled
        size = (rest * scaled).sum()
        least = 1e-3 * TOLERANCE  # rounding limits the reachable accuracy
        goal = max(min(0.25, size.item() ** 0.25) ** 2 * size.item(), least)
        for _ in range(MOST_PRODUCTS):
            if size.item() <= goal:
                return step, True
            product = self.times(direction)
            length = size / (direction * product).sum()
            step, rest = step + length * direction, rest - length * product
            scaled = rest / diagonal
            before, size = size, (rest * scaled).sum()
            direction = scaled + size / before * direction
        return step, False
