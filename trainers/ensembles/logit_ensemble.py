"""The logit ensemble: a repeat whose logits are mixed with the zero-shot model's."""

from __future__ import annotations

import torch

from flyp_sweep.trainers.ensembles.base import Mixture


class LogitEnsemble(Mixture):
    """logits = alpha * finetuned + (1 - alpha) * zero_shot, with the same alpha for all images."""

    name = "logit_ensemble"
    summary = "a repeat's logits mixed with the zero-shot model's, by an alpha chosen on ID validation data"

    def mixed(self, zero_shot: torch.Tensor, finetuned: torch.Tensor, alpha: float) -> torch.Tensor:
        return torch.lerp(zero_shot, finetuned, alpha)
