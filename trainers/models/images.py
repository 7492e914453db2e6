"""Image features of any of open_clip's image towers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def encode_image(visual: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """L2-normalised features [B, D] of `images` [B, 3, H, W]. Drops the patch features of captioning towers."""
    features = visual(images)
    return F.normalize(features[0] if isinstance(features, tuple) else features, dim=-1)
