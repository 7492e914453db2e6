"""FTP: fine-tuning whose optimiser projects each tensor to a learned radius around its pretrained value."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.task import Task

RATE, BETAS, TINY = 1e-2, (0.9, 0.999), 1e-8
"""Constants of the Adam that learns the radii, as in the authors' code. `TINY` is also the smallest radius, at the
first step."""


class FastTrainableProjection(FineTuning):
    """FT with Fast Trainable Projection (Tian et al., 2023, NeurIPS) after every step of the optimiser.

    The distance of a row from its start is the sum of its absolute changes. Rows outside the tensor's radius are
    projected back onto it (see `project`). Adam learns the radius from the product of a step's gradient with the
    direction of the step before. `ftp_annealing`, from 0 to 1, multiplies products that would reduce the radius; at 1,
    the default, the constraint is strongest. The start is the pretrained encoder and the zero-shot head. The authors
    leave a randomly initialised head unconstrained.

    Compared with the authors' AdamP and SGDP: after 20 steps, the weights were equal to 1e-15. It was not compared with
    the paper's text. The authors' scripts have no weight decay, so the default is none.
    """

    name = "ftp"
    label = "FTP"
    summary = "as ft, but each tensor stays within a learned radius of the pretrained one"
    hparams = {**FineTuning.hparams, "weight_decay": Constant(0.0), "ftp_annealing": Constant(1.0)}
    domains = {**FineTuning.domains, "ftp_annealing": Number(least=0)}

    def optimizer(self, model: nn.Module, task: Task) -> torch.optim.Optimizer:
        optimizer = super().optimizer(model, task)
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        origins = [parameter.detach().clone() for parameter in trained]

        def project_all(*step: Any) -> None:
            for parameter, origin in zip(trained, origins, strict=True):
                if parameter.grad is not None:  # checkpoints include the optimiser's state, and with it the radii
                    project(parameter, origin, optimizer.state[parameter], task.hparams["ftp_annealing"])

        optimizer.register_step_post_hook(project_all)
        return optimizer


@torch.no_grad()
def project(parameter: nn.Parameter, origin: torch.Tensor, state: dict[str, torch.Tensor], annealing: float) -> None:
    """Project the rows of `parameter`, which has its gradient, into the radius in `state`, and update `state`.

    The first index selects a row; a vector is one row. The length of a row is the sum of its absolute values.
    """
    rows = (len(parameter), -1) if parameter.ndim > 1 else (1, -1)
    moved = (parameter - origin).reshape(rows)
    lengths = moved.abs().sum(dim=1, keepdim=True) + TINY
    if "ftp_radius" not in state:
        zero = lengths.new_zeros(())
        state |= {"ftp_step": zero + 1, "ftp_first": zero, "ftp_second": zero, "ftp_radius": zero + TINY}
    else:
        assert parameter.grad is not None
        slope = (parameter.grad.reshape(rows) * state["ftp_directions"]).sum()
        learn(state, torch.where(slope > 0, annealing * slope, slope))
        state["ftp_radius"] = state["ftp_radius"].clamp(min=TINY).minimum(lengths.max())
    state["ftp_directions"] = moved / lengths
    parameter.copy_(origin + ((state["ftp_radius"] / lengths).clamp(max=1) * moved).reshape(origin.shape))


def learn(state: dict[str, torch.Tensor], slope: torch.Tensor) -> None:
    """A step of Adam on the radius. As in the authors' code, bias correction counts the first step, which had no
    slope."""
    state["ftp_step"] = state["ftp_step"] + 1
    for name, beta, value in zip(("ftp_first", "ftp_second"), BETAS, (slope, slope.square()), strict=True):
        state[name] = beta * state[name] + (1 - beta) * value
    first, second = (
        state[name] / (1 - beta ** state["ftp_step"])
        for name, beta in zip(("ftp_first", "ftp_second"), BETAS, strict=True)
    )
    state["ftp_radius"] = state["ftp_radius"] - RATE * first / (second.sqrt() + TINY)
