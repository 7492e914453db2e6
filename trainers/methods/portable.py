"""A fitted model as open_clip parts, for use without this package."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.task import Task

CHUNK = 16_384
"""Training images that vote at once, to bound the memory."""


class NotPortable(InputError):
    """A method's models are more than an open_clip model and a head; the message says why, in one line."""


@dataclass(frozen=True)
class Portable:
    """An open_clip model with both towers, and a linear head over its L2-normalised image features.

    `weight` is [C, D]; a head of text embeddings includes the logit scale. `bias` is [C] or None. `votes` are added to
    the logits: see `Votes`. `adapter` first changes the features: see `Adapter`.
    """

    clip: Any
    weight: torch.Tensor
    bias: torch.Tensor | None = None
    votes: Votes | None = None
    adapter: Adapter | None = None

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of normalised image features [B, D]."""
        features = features if self.adapter is None else self.adapter.changed(features)
        logits = F.linear(features, self.weight, self.bias)
        return logits if self.votes is None else self.votes.added(logits, features)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The head as named tensors, for a file; `from_tensors` reads them."""
        named: dict[str, torch.Tensor | None] = {"weight": self.weight, "bias": self.bias}
        for part in (self.votes, self.adapter):
            named |= {} if part is None else part.tensors
        return {name: tensor.detach() for name, tensor in named.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, clip: Any, tensors: Mapping[str, torch.Tensor]) -> Portable:
        """The head in `tensors`, over the features of `clip`."""
        return cls(
            clip, tensors["weight"], tensors.get("bias"), Votes.from_tensors(tensors), Adapter.from_tensors(tensors)
        )


@dataclass(frozen=True)
class Votes:
    """Votes of `keys` [N, D], normalised features, for `labels` int64 [N], times `weight`.

    A key's vote for its label is exp(-sharpness * (1 - cosine)): 1 for the same image (Zhang et al., 2022, eq. 4-6).
    """

    keys: torch.Tensor
    labels: torch.Tensor
    weight: torch.Tensor
    sharpness: torch.Tensor

    def added(self, logits: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """`logits` [B, C] plus the votes for images with normalised `features` [B, D]."""
        for keys, labels in zip(self.keys.split(CHUNK), self.labels.split(CHUNK), strict=True):
            votes = torch.exp(-self.sharpness * (1 - features @ keys.T))
            logits = logits + self.weight * votes @ F.one_hot(labels, logits.shape[1]).to(votes)
        return logits

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"cache_{name}": tensor for name, tensor in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Votes | None:
        """The votes in `tensors`; None if there are none."""
        named = _named("cache_", tensors)
        return cls(**named) if named else None


@dataclass(frozen=True)
class Adapter:
    """Two layers, `down` [H, D] and `up` [D, H], whose output replaces `ratio` of the features.

    The new features are ratio * relu(up relu(down features)) + (1 - ratio) * features, normalised (Gao et al., 2024,
    Section 3.2).
    """

    down: torch.Tensor
    up: torch.Tensor
    ratio: torch.Tensor

    def changed(self, features: torch.Tensor) -> torch.Tensor:
        """The adapted, normalised features [B, D] for normalised `features` [B, D]."""
        learned = F.relu(F.linear(F.relu(F.linear(features, self.down)), self.up))
        return F.normalize(self.ratio * learned + (1 - self.ratio) * features, dim=-1)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"adapter_{name}": tensor for name, tensor in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Adapter | None:
        """The adapter in `tensors`; None if there is none."""
        named = _named("adapter_", tensors)
        return cls(**named) if named else None


def _named(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def zero_shot(task: Task) -> Portable:
    """The pretrained model with its prompts: alpha = 0 of all methods."""
    return Portable(task.pretrained.clip, task.zero_shot_head)


def with_encoder(encoder: nn.Module, task: Task) -> Any:
    """The pretrained open_clip model with another image encoder."""
    clip = task.pretrained.clip
    return copy.deepcopy(clip, {id(clip.visual): encoder})
