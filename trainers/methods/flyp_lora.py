"""FLYP-LoRA: trains low-rank updates of every matrix of both encoders, and the logit scale."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.task import Task

PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
"""The weights of an attention with three separate projections."""


class LowRank(nn.Module):
    """W + scale * B A, with the given A [rank, in], and B [out, rank] initially zero (Hu et al., 2022, Section 4.1)."""

    def __init__(self, weight: torch.Tensor, down: torch.Tensor, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(len(weight), len(down)))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.scale * self.up @ self.down


class FLYPLowRank(FLYP):
    """FLYP's loss over low-rank updates of all linear and attention matrices (Hu et al., 2022) and the logit scale.

    Convolutions, embeddings, biases and normalisations stay as pretrained. The updates have no scale alpha / r, because
    it acts like the learning rate. A fit exports merged weights. WiSE-FT therefore mixes matrices, not factors, whose
    product would not be linear in alpha.
    """

    name = "flyp_lora"
    label = "FLYP LoRA"
    summary = "as flyp, but trains updates of rank lora_rank of both encoders' matrices"
    hparams = {**FLYP.hparams, "lora_rank": Choice((4, 16))}
    domains = {**FLYP.domains, "lora_rank": Number(least=1, whole=True)}

    def start(self, task: Task) -> nn.Module:
        model = super().start(task).requires_grad_(False)
        for name, parameter in model.named_parameters(recurse=False):
            parameter.requires_grad_(name.startswith("logit_"))  # the scale, and SigLIP's bias
        generator = torch.Generator().manual_seed(int(task.stream("lora").integers(2**63)))
        for module, name in matrices(model):
            weight = getattr(module, name)
            columns = weight.shape[1]
            down = torch.randn(task.hparams["lora_rank"], columns, generator=generator) / math.sqrt(columns)
            parametrize.register_parametrization(module, name, LowRank(weight, down))
        return model

    def unfitted(self, task: Task) -> nn.Module:
        return self.start(task)

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        model = self.start(task)
        model.load_state_dict(state)
        for module, name in matrices(model):
            parametrize.remove_parametrizations(module, name)  # keeps the merged weight
        return dict(model.state_dict())


def matrices(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Linear layers and attention modules, each with the name of a weight [out, in]. Attention packs its projections
    into one weight, or has three if queries differ in width from keys and values."""
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            yield module, "weight"
        elif isinstance(module, nn.MultiheadAttention):
            packed = module.kdim == module.vdim == module.embed_dim
            yield from ((module, name) for name in (("in_proj_weight",) if packed else PROJECTIONS))
