"""A model beside an average of its weights, for methods that predict with the average or learn from it."""

from __future__ import annotations

import torch
from torch import nn


class Trailing(nn.Module):
    """A model that is trained, `current`, and one of the same form that trails it, `average`."""

    def __init__(self, current: nn.Module, average: nn.Module) -> None:
        super().__init__()
        self.current = current
        self.average = average.requires_grad_(False)

    @torch.no_grad()
    def follow(self, share: float | torch.Tensor) -> None:
        """Take the average's parameters this share of the way to the current ones."""
        for average, current in zip(self.average.parameters(), self.current.parameters(), strict=True):
            average.lerp_(current, share)
