"""WiSE-FT: interpolation between a fine-tuned model and the zero-shot one (Wortsman et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]


def interpolate(zero_shot: State, finetuned: State, alpha: float) -> dict[str, torch.Tensor]:
    """theta = alpha * finetuned + (1 - alpha) * zero_shot for every floating-point tensor of two equal state dicts.

    The ends are exact: alpha = 0 returns the zero-shot values, alpha = 1 the fine-tuned ones, bit for bit. Integer
    buffers come from the fine-tuned model. Raises ValueError when alpha is outside [0, 1] or the names differ.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a number in [0, 1]")
    if zero_shot.keys() != finetuned.keys():
        raise ValueError(f"the two models differ in {sorted(zero_shot.keys() ^ finetuned.keys())}")
    # torch.lerp computes start + w (end - start) below w = 1/2, end - (1 - w) (end - start) above: both ends are exact.
    return {
        name: torch.lerp(zero_shot[name], tuned, alpha) if tuned.is_floating_point() else tuned
        for name, tuned in finetuned.items()
    }
