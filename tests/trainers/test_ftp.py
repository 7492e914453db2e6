"""FTP's projection against numbers computed by hand, and against the plain algorithm over whole steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import a_batch, gradient_method
from torch import nn

from flyp_sweep.trainers.methods.ftp import project
from flyp_sweep.trainers.testing.bench import Bench

ORIGIN = torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.double)


def stepped(parameter: nn.Parameter, moved: list[list[float]], gradient: list[list[float]]) -> nn.Parameter:
    """The parameter after a step of an optimiser, before the projection."""
    parameter.data = ORIGIN + torch.tensor(moved, dtype=torch.double)
    parameter.grad = torch.tensor(gradient, dtype=torch.double)
    return parameter


@pytest.mark.parametrize(
    ("gradient", "annealing", "radius"),
    [
        # With one slope s, Adam's second step goes by 0.01 * (0.1 s / 0.19) / sqrt(0.001 s^2 / 0.001999).
        ([[-4.0, 4.0], [0.0, 0.0]], 1.0, 0.01 * (0.1 / 0.19) / (0.001 / 0.001999) ** 0.5),  # descent leads on: grow
        ([[4.0, -4.0], [0.0, 0.0]], 1.0, 1e-8),  # descent leads back: shrink, to the smallest one
        ([[4.0, -4.0], [0.0, 0.0]], 0.0, 1e-8),  # not to be shrunk: as it was
        ([[0.0, 0.0], [5.0, 0.0]], 1.0, 1e-8),  # the second row had not moved
    ],
)
def test_the_radius_follows_the_gradient_along_the_last_step_and_rows_are_brought_back_to_it(
    gradient: list[list[float]], annealing: float, radius: float
) -> None:
    parameter, state = nn.Parameter(ORIGIN.clone()), dict[str, torch.Tensor]()
    project(stepped(parameter, [[3.0, -1.0], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]]), ORIGIN, state, annealing)
    torch.testing.assert_close(parameter.data, ORIGIN, rtol=0, atol=1.1e-8)  # no slope is known yet
    project(stepped(parameter, [[3.0, 1.0], [-0.5, 0.5]], gradient), ORIGIN, state, annealing)
    assert float(state["ftp_radius"]) == pytest.approx(radius, rel=1e-5)
    expected = ORIGIN + radius * torch.tensor([[0.75, 0.25], [-0.5, 0.5]], dtype=torch.double)
    torch.testing.assert_close(parameter.data, expected, rtol=0, atol=2e-8)


def test_no_radius_is_larger_than_the_longest_row_and_a_row_within_it_is_left_alone() -> None:
    parameter, state = nn.Parameter(ORIGIN.clone()), dict[str, torch.Tensor]()
    project(stepped(parameter, [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]), ORIGIN, state, 1.0)
    moved = [[4e-3, 0.0], [0.0, 2e-3]]
    project(stepped(parameter, moved, [[-1.0, 0.0], [0.0, 0.0]]), ORIGIN, state, 1.0)
    assert float(state["ftp_radius"]) == pytest.approx(4e-3, rel=1e-4)
    torch.testing.assert_close(parameter.data, ORIGIN + torch.tensor(moved, dtype=torch.double), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("optimizer", "annealing"), [("adamw", 1.0), ("adamw", 0.3), ("sgd", 1.0)])
def test_every_step_is_the_optimiser_s_and_then_the_projection(
    bench: Bench, make_clip: Any, optimizer: str, annealing: float
) -> None:
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=make_clip()))
    hparams = {"lr": 1e-2, "weight_decay": 0.1, "ftp_annealing": annealing}
    task = bench.task(bench.spec("ftp", hparams=hparams, optimizer=optimizer), worker)
    ftp, ft = gradient_method("ftp"), gradient_method("ft")
    found, plain = ftp.start(task), ftp.start(task)
    origin = [one.detach().clone() for one in plain.parameters()]
    optimizers = ftp.optimizer(found, task), ft.optimizer(plain, task)
    radius, first, second = ([1e-8 if fill else 0.0] * len(origin) for fill in (1, 0, 0))
    before: list[torch.Tensor] = []
    for number in range(1, 7):
        batch = a_batch(torch.tensor([number % 3, 0, 1, 2]))
        for model, one in zip((found, plain), optimizers, strict=True):
            one.zero_grad()
            ft.loss(model, batch, task).backward()
            one.step()
        moved = [theta.detach() - start for theta, start in zip(plain.parameters(), origin, strict=True)]
        for at, theta in enumerate(plain.parameters()):
            rows = list(moved[at]) if moved[at].ndim > 1 else [moved[at]]
            lengths = [float(row.abs().sum()) + 1e-8 for row in rows]
            if before:
                was = list(before[at]) if moved[at].ndim > 1 else [before[at]]
                assert theta.grad is not None
                to = list(theta.grad) if moved[at].ndim > 1 else [theta.grad]
                slope = sum(
                    float((up * row).sum()) / (float(row.abs().sum()) + 1e-8) for up, row in zip(to, was, strict=True)
                )
                slope *= annealing if slope > 0 else 1
                first[at], second[at] = 0.9 * first[at] + 0.1 * slope, 0.999 * second[at] + 0.001 * slope**2
                by = first[at] / (1 - 0.9**number) / ((second[at] / (1 - 0.999**number)) ** 0.5 + 1e-8)
                radius[at] = min(max(radius[at] - 1e-2 * by, 1e-8), max(lengths))
            shares = [min(1.0, radius[at] / length) for length in lengths]
            kept = [share * row for share, row in zip(shares, rows, strict=True)]
            theta.data = origin[at] + (torch.stack(kept) if moved[at].ndim > 1 else kept[0])
        before = moved
        for one, other in zip(found.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10)
    assert max(radius) > 1e-3
