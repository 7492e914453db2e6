"""A CLIP of a few thousand parameters beside its vocabulary, with random weights; also as OpenAI stores its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


def some_clip(quick_gelu: bool = False) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        clip = open_clip.CLIP(**TINY, quick_gelu=quick_gelu).eval()
        for parameter in clip.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    return clip


def archive(clip: Any, path: Path, extras: dict[str, int]) -> None:
    """Save as TorchScript in half precision, as OpenAI's files are, with their `extras` among the weights."""
    vars(clip)["attn_mask"] = clip._buffers.pop("attn_mask")  # theirs is a constant of the code
    for name, value in extras.items():
        vars(clip).pop(name, None)
        clip.register_buffer(name, torch.tensor(value))
    views = torch.zeros(1, 3, 16, 16), torch.zeros(1, 77, dtype=torch.int64)
    torch.jit.trace(clip, views, check_trace=False).half().save(path)
