"""CLIP-LoRA: low-rank updates of the attentions' q, k and v matrices in both encoders, with cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.domains import Number, Words
from flyp_sweep.trainers.methods.flyp_ce import FLYPCrossEntropy
from flyp_sweep.trainers.methods.flyp_lora import LowRank
from flyp_sweep.trainers.task import Task

LAYERS = {"qkv": "qkv", "q_proj": "q", "k_proj": "k", "v_proj": "v", "query": "q", "key": "k", "value": "v"}
"""Names of linear layers in attention modules other than torch's -> the matrices in their weight."""


class Updated(nn.Module):
    """A frozen layer whose weight holds the matrices `parts`, some of them with a low-rank update.

    In training, each update has its own dropout on its input. In evaluation, the updates are merged into the weight.
    """

    layer: Any
    source: str
    """The name of the layer's weight."""

    def __init__(self, layer: nn.Module, parts: str, hparams: Mapping[str, Any], generator: torch.Generator) -> None:
        super().__init__()
        self.layer, self.parts = layer, parts
        self.dropout = nn.Dropout(hparams["lora_dropout"])
        rank = hparams["lora_rank"]
        self.updates = nn.ModuleDict()
        for part, weight in self._weights():
            if part in hparams["lora_matrices"]:
                width = weight.shape[1]
                down = (2 * torch.rand(rank, width, generator=generator) - 1) / math.sqrt(width)
                self.updates[part] = LowRank(weight, down, hparams["lora_alpha"] / math.sqrt(rank))

    @property
    def weight(self) -> torch.Tensor:
        """The layer's weight with the updates."""
        weights = [self.updates[part](weight) if part in self.updates else weight for part, weight in self._weights()]
        return torch.cat(weights)

    def _weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        return zip(self.parts, getattr(self.layer, self.source).chunk(len(self.parts)), strict=True)

    def projected(self, inputs: tuple[torch.Tensor, ...], bias: torch.Tensor | None) -> list[torch.Tensor]:
        """The output of each part for its input [..., in]."""
        biases = [None] * len(self.parts) if bias is None else bias.chunk(len(self.parts))
        found = []
        for given, (part, weight), own in zip(inputs, self._weights(), biases, strict=True):
            outputs = F.linear(given, weight, own)
            if part in self.updates:
                update: Any = self.updates[part]
                outputs = outputs + update.scale * F.linear(F.linear(self.dropout(given), update.down), update.up)
            found.append(outputs)
        return found


class UpdatedLinear(Updated):
    """A linear layer with one matrix, or with several packed ones."""

    source = "weight"

    @property
    def bias(self) -> torch.Tensor | None:
        return self.layer.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return F.linear(inputs, self.weight, self.bias)
        return torch.cat(self.projected((inputs,) * len(self.parts), self.bias), dim=-1)


class UpdatedAttention(Updated):
    """torch's attention, batch first, with packed projections."""

    source = "in_proj_weight"

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if not self.training:
            given, options = (query, key, value), {"need_weights": need_weights, "attn_mask": attn_mask}
            return torch.func.functional_call(self.layer, {self.source: self.weight}, given, options)
        projected = self.projected((query, key, value), self.layer.in_proj_bias)
        q, k, v = (one.unflatten(-1, (self.layer.num_heads, -1)).transpose(1, 2) for one in projected)
        if attn_mask is not None and attn_mask.ndim == 3:  # [B * heads, L, L]
            attn_mask = attn_mask.unflatten(0, (len(query), -1))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask)
        return self.layer.out_proj(mixed.transpose(1, 2).flatten(2)), None


class CLIPLoRA(FLYPCrossEntropy):
    """Cross-entropy over the classes' prompts, training only updates of rank r = `lora_rank` of attention matrices
    (Zanella and Ben Ayed, 2024, "Low-Rank Few-Shot Adaptation of Vision-Language Models", Section 3).

    W x becomes W x + alpha / sqrt(r) * B A dropout(x), with `lora_alpha` and `lora_dropout`, for the matrices in
    `lora_matrices`, in all layers of both encoders. The logit scale stays fixed. As in `flyp_lora`, a fit exports
    merged weights. There is no dropout if an encoder reads a layer's weight directly, as RN50's pooling does.

    Formula, scale, initial weights and defaults were compared with the authors' code. That code uses the first template
    in every step; here each step draws one per class (`train.templates: 1` is the same). It updates neither pooling
    layers nor encoders of other libraries.
    """

    name = "clip_lora"
    label = "CLIP-LoRA"
    summary = "as flyp_ce, but trains updates of rank lora_rank of the attentions' q, k and v matrices alone"
    hparams = {
        "lr": Constant(2e-4),
        "weight_decay": Constant(0.01),
        "lora_rank": Constant(2),
        "lora_alpha": Constant(1.0),
        "lora_dropout": Constant(0.25),
        "lora_matrices": Constant("qkv"),
    }
    domains = {
        **FLYPCrossEntropy.domains,
        "lora_rank": Number(least=1, whole=True),
        "lora_alpha": Number(above=0),
        "lora_dropout": Number(least=0, below=1),
        "lora_matrices": Words("q", "k", "v", "qk", "qv", "kv", "qkv"),
    }

    def start(self, task: Task) -> nn.Module:
        model = super().start(task).requires_grad_(False)
        generator = torch.Generator().manual_seed(int(task.stream("lora").integers(2**63)))
        count = 0
        for parent, name, layer, parts in attention_layers(model):
            kind = UpdatedLinear if isinstance(layer, nn.Linear) else UpdatedAttention
            updated = kind(layer, parts, task.hparams, generator)
            setattr(parent, name, updated)
            count += len(updated.updates)
        if not count:
            raise TrialFailed(f"{self.name}: found no attention in {task.pretrained.arch}; expected some in an encoder")
        return model

    def notes(self, task: Task) -> list[str]:
        if any(attention_layers(task.pretrained.clip, texts=False)):
            return []
        return [f"{self.name}: the image encoder of {task.pretrained.arch} has no attention, so it stays as pretrained"]

    def unfitted(self, task: Task) -> nn.Module:
        return self.start(task)

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        model = self.start(task)
        model.load_state_dict(state)
        for parent in list(model.modules()):
            for name, updated in list(parent.named_children()):
                if isinstance(updated, Updated):
                    with torch.no_grad():
                        getattr(updated.layer, updated.source).copy_(updated.weight)
                    setattr(parent, name, updated.layer)
        return dict(model.state_dict())


def attention_layers(clip: Any, texts: bool = True) -> Iterator[tuple[nn.Module, str, nn.Module, str]]:
    """The layers with q, k and v matrices in the image encoder and, with `texts`, in the text encoder.

    Each item holds the parent module, the layer's name there, the layer, and the matrices in its weight.
    """
    encoders = [clip.visual, *([getattr(clip, "text", None) or clip.transformer] if texts else [])]
    for parent in [module for encoder in encoders for module in encoder.modules()]:
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and name in LAYERS:
                yield parent, name, layer, LAYERS[name]
            elif isinstance(layer, nn.MultiheadAttention) and layer.batch_first and layer.in_proj_weight is not None:
                yield parent, name, layer, "qkv"
