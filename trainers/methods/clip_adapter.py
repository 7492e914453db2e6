"""CLIP-Adapter: two small layers adapt the frozen encoder's image features."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.feature_classifier import FeatureClassifier
from flyp_sweep.trainers.methods.portable import Adapter, Portable
from flyp_sweep.trainers.task import Task


class AdaptedHead(nn.Module):
    """The prompts' `head` [C, D] over features adapted by the layers `down` [H, D] and `up` [D, H] (see `Adapter`)."""

    def __init__(self, head: torch.Tensor, down: torch.Tensor, up: torch.Tensor, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.head: torch.Tensor
        self.register_buffer("head", head.clone())
        self.down = nn.Parameter(down.to(head))
        self.up = nn.Parameter(up.to(head))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of normalised image features [B, D]."""
        return F.linear(self.adapter.changed(features), self.head)

    @property
    def adapter(self) -> Adapter:
        return Adapter(self.down, self.up, self.head.new_tensor(self.ratio))


class CLIPAdapter(FeatureClassifier):
    """Cross-entropy over an adapter of the image features, with a residual connection (Gao et al., 2024, Section 3.2).

    The adapter's output replaces a share `adapter_ratio` of the features. Its hidden layer is narrower by the factor
    `adapter_reduction`. The head stays zero-shot. Defaults, layers and their initial weights are those of the authors'
    code. That code passes features before normalisation, which changes no logit: layers without biases are homogeneous.

    At the zero-shot end of WiSE-FT both layers are zero. Their product scales with alpha squared, so every alpha equals
    the fitted model with a smaller ratio: ratio / (1 - ratio) times alpha squared.

    The implementation was not compared with the paper's text. Of the paper's two adapters this is the visual one, as in
    the code. The authors choose the ratio per data set, and train on crops of the images.
    """

    name = "clip_adapter"
    label = "CLIP-Adapter"
    summary = "two layers that change a share adapter_ratio of the frozen image features, by cross-entropy"
    hparams = {**FeatureClassifier.hparams, "adapter_ratio": Constant(0.2), "adapter_reduction": Constant(4)}
    domains = {
        **FeatureClassifier.domains,
        "adapter_ratio": Number(above=0, below=1),
        "adapter_reduction": Number(least=1, whole=True),
    }

    def zero_shot(self, task: Task) -> nn.Module:
        width, hidden = _widths(task)
        return self._model(torch.zeros(hidden, width), torch.zeros(width, hidden), task)

    def start(self, task: Task) -> nn.Module:
        width, hidden = _widths(task)
        generator = torch.Generator().manual_seed(int(task.stream("adapter").integers(2**63)))
        down, up = (
            (2 * torch.rand(rows, columns, generator=generator) - 1)
            / columns**0.5  # torch's initialisation of linear layers
            for rows, columns in ((hidden, width), (width, hidden))
        )
        return self._model(down, up, task)

    def portable(self, model: Any, task: Task) -> Portable:
        return Portable(task.pretrained.clip, model.head, adapter=model.adapter)

    def _model(self, down: torch.Tensor, up: torch.Tensor, task: Task) -> nn.Module:
        return AdaptedHead(task.zero_shot_head, down, up, task.hparams["adapter_ratio"])


def _widths(task: Task) -> tuple[int, int]:
    """The widths of the features and of the hidden layer."""
    width = task.zero_shot_head.shape[1]
    return width, max(1, width // task.hparams["adapter_reduction"])
