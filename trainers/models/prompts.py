"""Prompts: tokenised once, encoded without their padding, averaged into zero-shot heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn


class Tokenizer(Protocol):
    """Tokens of each text, int64 [N, context length]; the context length is the model's, or another on request."""

    def __call__(self, texts: list[str], context_length: int | None = None, /) -> torch.Tensor: ...


CHUNK = 1024
"""Prompts per text tower batch when a head is built."""


def tokenize(tokenizer: Tokenizer, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Tokens of every class in every template, int64 [classes, templates, context length]."""
    prompts = [template.format(name) for name in class_names for template in templates]
    return tokenizer(prompts).reshape(len(class_names), len(templates), -1)


def tokens_of(tokenizer: Tokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Tokens of many texts, int32 [N, context length]: half the memory of the tokenizer's int64."""
    return torch.cat([tokenizer(list(texts[at : at + CHUNK])).int() for at in range(0, len(texts), CHUNK)])


def encode_text(clip: Any, tokens: torch.Tensor) -> torch.Tensor:
    """L2-normalised text embeddings [N, D] of `tokens` [N, context length]; `clip` is any open_clip model.

    In a causal tower, tokens after the end token cannot change its embedding. The batch is therefore truncated after
    the end token of its longest prompt; the result is the same up to rounding. Other towers get all tokens.
    """
    tower = getattr(clip, "text", clip)
    ends = _end_positions(tower, tokens)
    if ends is None:
        return F.normalize(clip.encode_text(tokens), dim=-1)
    length = int(ends.max()) + 1
    tokens = tokens[:, :length]
    dtype = tower.transformer.get_cast_dtype()
    hidden = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[:length].to(dtype)
    hidden = tower.ln_final(tower.transformer(hidden, attn_mask=tower.attn_mask[:length, :length]))
    pooled = hidden[torch.arange(len(hidden), device=hidden.device), ends]
    projection = tower.text_projection
    if projection is not None:
        pooled = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
    return F.normalize(pooled, dim=-1)


def encode_unique(clip: Any, tokens: torch.Tensor) -> torch.Tensor:
    """As `encode_text`, but each distinct prompt of the batch is encoded once; gradients add up over its copies."""
    unique, inverse = torch.unique(tokens, dim=0, return_inverse=True)
    return encode_text(clip, unique)[inverse]


def class_embeddings(clip: Any, prompts: torch.Tensor) -> torch.Tensor:
    """Normalised mean over templates of normalised prompt embeddings, [C, D], from tokens [C, T, context length].

    Source: CLIP (Radford et al., 2021), Section 3.1.4, prompt ensembling.
    """
    classes, templates, _ = prompts.shape
    chunks = [encode_text(clip, chunk) for chunk in prompts.flatten(0, 1).split(CHUNK)]
    return F.normalize(torch.cat(chunks).reshape(classes, templates, -1).mean(dim=1), dim=-1)


def zero_shot_head(clip: Any, prompts: torch.Tensor) -> torch.Tensor:
    """Weights [C, D] of the zero-shot linear head: class embeddings times the exponentiated logit scale."""
    return clip.logit_scale.exp() * class_embeddings(clip, prompts)


def _end_positions(tower: Any, tokens: torch.Tensor) -> torch.Tensor | None:
    """Index [N] of the token whose embedding is the text's, if later tokens cannot change it; None if they can.

    `tower` is a text tower, or a plain CLIP, which is its own text tower. Its causal mask and its pooling tell. Towers
    that build a mask per text, for padding or for CoCa's last token, get None.
    """
    is_causal = getattr(tower, "attn_mask", None) is not None and getattr(tower, "cls_emb", None) is None
    if not is_causal or getattr(tower, "use_pad_mask", False):
        return None
    pooling = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    if pooling == "argmax":
        return tokens.argmax(dim=-1)
    if pooling == "eos":
        eos = tower.text_eos_id if hasattr(tower, "text_eos_id") else tower.eos_id
        return (tokens == eos).int().argmax(dim=-1)
    return None
