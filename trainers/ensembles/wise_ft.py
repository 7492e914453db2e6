"""WiSE-FT: interpolation between a fine-tuned model and the zero-shot one (Wortsman et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]


def interpolate(zero_shot: State, finetuned: State, alpha: float) -> dict[str, torch.Tensor]:
    """theta = alpha * finetuned + (1 - alpha) * zero_shot for every floating-point tensor of two equal state dicts.

    The ends are exact: alpha = 0 returns the zero-shot values, alpha = 1 the fine-tuned ones, bit for bit. Integer
    buffers come from the fine-tuned model. Raises ValueError if alpha is outside [0, 1] or the names differ.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a number in [0, 1]")
    if zero_shot.keys() != finetuned.keys():
        raise ValueError(f"the two models differ in {sorted(zero_shot.keys() ^ finetuned.keys())}")
    return {name: between(zero_shot[name], tuned, alpha) for name, tuned in finetuned.items()}


def between(zero_shot: torch.Tensor, tuned: torch.Tensor, alpha: float) -> torch.Tensor:
    """The mixture of two tensors of one shape, with exact ends."""
    # torch.lerp turns -0.0 into 0.0 at the ends, so handle the ends separately.
    if alpha == 1 or not tuned.is_floating_point():
        return tuned
    return zero_shot if alpha == 0 else torch.lerp(zero_shot, tuned, alpha)
