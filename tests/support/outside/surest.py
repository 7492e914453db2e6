"""An ensemble that asks, for every image, the model that is surer."""

from __future__ import annotations

import torch

from flyp_sweep import Mixture


class Surest(Mixture):
    """The logits of the model whose largest probability is larger: alpha times the fine-tuned one, or 1 - alpha."""

    name = "surest"
    label = "by confidence"
    summary = "of each image the logits of the surer model, the fine-tuned or the zero-shot one"

    def mixed(self, zero_shot: torch.Tensor, finetuned: torch.Tensor, alpha: float) -> torch.Tensor:
        of_finetuned, of_zero_shot = (logits.softmax(dim=1).amax(dim=1) for logits in (finetuned, zero_shot))
        is_surer = alpha * of_finetuned >= (1 - alpha) * of_zero_shot
        return torch.where(is_surer[:, None], finetuned, zero_shot)
