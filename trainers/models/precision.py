"""Mixed precision: encoders that compute in bfloat16 where autocast holds that to be safe.

Weights, gradients, the optimiser's state and all that an encoder hands out stay float32; heads and losses are not
touched, because bfloat16 cannot tell logits of neighbouring classes apart.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.training import Precision

ENCODERS = ("visual", "transformer", "text", "text_decoder")
"""What open_clip's models call their towers: the image tower, the text tower's layers or the whole of it, and
the tower that writes captions."""


def set_precision(clip: nn.Module, precision: Precision) -> None:
    """Have the encoders of an open_clip model compute in `precision` from now on, and so all copies of them."""
    if precision == "bf16":
        for name in ENCODERS:
            encoder = getattr(clip, name, None)
            if isinstance(encoder, nn.Module):
                kind: Any = type(encoder)
                encoder.__class__ = _in_bfloat16(kind)


@cache
def _in_bfloat16(kind: Any) -> Any:
    """The same class of modules, with a forward under autocast: copying and saving one are as before."""

    def forward(self: nn.Module, inputs: torch.Tensor, *rest: Any, **more: Any) -> Any:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return _as_float32(kind.forward(self, inputs, *rest, **more))

    return type(kind.__name__, (kind,), {"forward": forward})


def _as_float32(outputs: Any) -> Any:
    if isinstance(outputs, tuple):
        return tuple(map(_as_float32, outputs))
    return outputs.float() if isinstance(outputs, torch.Tensor) and outputs.is_floating_point() else outputs
