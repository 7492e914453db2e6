"""A model together with an average of its weights, for methods that predict with the average or learn from it."""

from __future__ import annotations

import torch
from torch import nn


class Trailing(nn.Module):
    """A trained model, `current`, and a model of the same form that follows it, `average`."""

    def __init__(self, current: nn.Module, average: nn.Module) -> None:
        super().__init__()
        self.current = current
        self.average = average.requires_grad_(False)

    @torch.no_grad()
    def follow(self, share: float | torch.Tensor) -> None:
        """Move the average's parameters by this share towards the current ones."""
        for average, current in zip(self.average.parameters(), self.current.parameters(), strict=True):
            average.lerp_(current, share)
