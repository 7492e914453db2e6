"""Converts weights of transformers' `CLIPModel` to open_clip's names, without needing transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from flyp_sweep.search_spaces.errors import InputError

CONFIG = "config.json"
QUICK_GELU = "quick_gelu"
"""The activation of OpenAI's models: the default of transformers' configurations."""

TOWERS = {"vision": "visual.", "text": ""}
LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
IN_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
QUERY_KEY_VALUE = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
OUTSIDE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "logit_scale": "logit_scale",
}
PROJECTIONS = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
"""Matrices with shape [D, W] there, [W, D] in open_clip."""

COUNTED = "position_ids"
"""Positions 0, 1, ...: buffers, not weights."""

State = Mapping[str, torch.Tensor]


def converted(state: State) -> dict[str, torch.Tensor] | None:
    """The weights by open_clip's names; None if a name is not one of a `CLIPModel`.

    Source: transformers' conversion script `convert_clip_original_pytorch_to_hf.py`, in reverse.
    """
    found: dict[str, torch.Tensor] = {}
    thirds: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        if name in OUTSIDE:
            found[OUTSIDE[name]] = value
        elif name in PROJECTIONS:
            found[PROJECTIONS[name]] = value.T
        elif layer := LAYER.fullmatch(name):
            tower, number, part, kind = layer.groups()
            block = f"{TOWERS[tower]}transformer.resblocks.{number}"
            if part in QUERY_KEY_VALUE:
                thirds.setdefault(f"{block}.attn.in_proj_{kind}", {})[part] = value
            elif part in IN_LAYER:
                found[f"{block}.{IN_LAYER[part]}.{kind}"] = value
            else:
                return None
        elif not name.endswith(COUNTED):
            return None
    if any(parts.keys() != set(QUERY_KEY_VALUE) for parts in thirds.values()):
        return None
    return found | {name: torch.cat([parts[one] for one in QUERY_KEY_VALUE]) for name, parts in thirds.items()}


def quick_gelu(path: Path) -> bool | None:
    """Whether the configuration beside `path` specifies QuickGELU; None if there is no configuration.

    Raises InputError for a configuration that cannot be read.
    """
    config = path.with_name(CONFIG)
    if not config.is_file():
        return None
    try:
        return str(json.loads(config.read_text("utf-8"))["vision_config"].get("hidden_act", QUICK_GELU)) == QUICK_GELU
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{config}: not the configuration of a CLIPModel ({error}); repair it or move it away"
        ) from error
