"""A small CLIP with random weights of a fixed seed: 64-pixel images, a ViT, and a text tower of no toy width."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

IMAGE_SIZE = 64
SHAPE = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": IMAGE_SIZE, "patch_size": 8, "width": 192, "layers": 4, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 4},
}
PREPROCESSING = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic"}
SEED = 0


def make(folder: Path, shape: Mapping[str, Any] = SHAPE) -> str:
    """Write the model, or one of another `shape`, into `folder`; returns its name as `model.arch`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": shape, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        state = open_clip.CLIP(**shape).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"
