"""Features of prompted towers by the plain formula, layer by layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from flyp_sweep.trainers.task import Task


def image_features(visual: Any, images: torch.Tensor, patches: list[torch.Tensor]) -> torch.Tensor:
    """Of an image tower that reads the class token, with the M tokens of each layer after its own."""
    tokens = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(images), 1, -1)
    tokens = torch.cat([first, tokens], dim=1) + visual.positional_embedding
    own = tokens.shape[1]
    tokens = visual.ln_pre(torch.cat([tokens, patches[0].expand(len(images), -1, -1)], dim=1))
    for layer, block in enumerate(visual.transformer.resblocks):
        if 0 < layer < len(patches):
            tokens = torch.cat([tokens[:, :own], patches[layer].expand(len(images), -1, -1)], dim=1)
        tokens = block(tokens)
    return F.normalize(visual.ln_post(tokens[:, 0]) @ visual.proj, dim=1)


def text_features(clip: Any, words: list[torch.Tensor], task: Task) -> torch.Tensor:
    """Of the class names behind the M vectors of each layer, one at a time."""
    rows, count = [], len(words[0])
    for name in task.shared.dataset.class_names:
        ids = task.pretrained.tokenizer([f"{'the ' * count}{name}."])
        tokens = clip.token_embedding(ids)
        tokens = torch.cat([tokens[:, :1], words[0][None], tokens[:, 1 + count :]], dim=1) + clip.positional_embedding
        for layer, block in enumerate(clip.transformer.resblocks):
            if layer and layer < len(words):
                tokens = torch.cat([tokens[:, :1], words[layer][None], tokens[:, 1 + count :]], dim=1)
            tokens = block(tokens, attn_mask=clip.attn_mask)
        rows.append(F.normalize(clip.ln_final(tokens)[0, ids[0].argmax()] @ clip.text_projection, dim=0))
    return torch.stack(rows)
