"""Mixed precision: encoders compute in bfloat16, in the operations that autocast considers safe.

Weights, gradients, optimiser state and the encoders' outputs stay float32. So do heads and losses, because bfloat16
cannot distinguish the logits of similar classes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.training import Precision

ENCODERS = ("visual", "transformer", "text", "text_decoder")
"""Attribute names of the towers in open_clip models: the image tower, the text tower or its layers, and the captioning
tower."""


def set_precision(clip: nn.Module, precision: Precision) -> None:
    """From now on, the encoders of an open_clip model, and all copies of it, compute in `precision`."""
    if precision == "bf16":
        for name in ENCODERS:
            encoder = getattr(clip, name, None)
            if isinstance(encoder, nn.Module):
                kind: Any = type(encoder)
                encoder.__class__ = _in_bfloat16(kind)


@cache
def _in_bfloat16(kind: Any) -> Any:
    """A subclass with a forward under autocast. Copying and saving work as before."""

    def forward(self: nn.Module, inputs: torch.Tensor, *rest: Any, **more: Any) -> Any:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return _as_float32(kind.forward(self, inputs, *rest, **more))

    return type(kind.__name__, (kind,), {"forward": forward})


def _as_float32(outputs: Any) -> Any:
    if isinstance(outputs, tuple):
        return tuple(map(_as_float32, outputs))
    return outputs.float() if isinstance(outputs, torch.Tensor) and outputs.is_floating_point() else outputs
