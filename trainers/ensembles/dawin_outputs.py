"""DaWin's coefficients, applied to outputs: for each image, the more confident model gets the larger share."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from flyp_sweep.trainers.ensembles.base import Mixture


class DawinOutputs(Mixture):
    """p = c * p1 + (1 - c) * p0, where c / (1 - c) = alpha / (1 - alpha) * exp(H(p0) - H(p1)).

    p1 and p0 are the probabilities of the fine-tuned and the zero-shot model for an image; H is entropy in nats. At
    alpha = 0.5, c is the coefficient of DaWin (Oh et al., 2025, Section 3).

    DaWin interpolates weights by c, which needs a model per image, or per cluster of test images. This class mixes
    outputs instead, like the output ensemble of DaWin's code (`ensemble_coef`): each image needs one pass, and its
    result does not depend on other images. It omits the code's temperatures, and its offset from test-set statistics.
    """

    name = "dawin_outputs"
    label = "DaWin outputs"
    summary = "a repeat's probabilities mixed with the zero-shot model's, of each image by their entropies, as in DaWin"

    def mixed(self, zero_shot: torch.Tensor, finetuned: torch.Tensor, alpha: float) -> torch.Tensor:
        of_zero_shot, of_finetuned = F.log_softmax(zero_shot, dim=1), F.log_softmax(finetuned, dim=1)
        odds = torch.logit(torch.tensor(alpha, device=zero_shot.device)) + entropy(of_zero_shot) - entropy(of_finetuned)
        return torch.logaddexp(F.logsigmoid(odds) + of_finetuned, F.logsigmoid(-odds) + of_zero_shot)


def entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Entropies [N, 1] in nats, of log probabilities [N, C]."""
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1, keepdim=True)
