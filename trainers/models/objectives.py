"""What a model was pretrained with: the loss between images and captions that FLYP continues, one class per family.

softmax     CLIP and its kin: EVA, DFN, MetaCLIP, PE
sigmoid     models with a trained bias: SigLIP, SigLIP 2
captioning  CoCa: softmax, and the next words of the captions
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import encode_unique

Outputs = tuple[torch.Tensor, ...]


class Objective(ABC):
    """The loss that a family of models was pretrained with, for an open_clip model `clip` of it.

    `encode` gives every row of its own, so that a batch may be encoded in parts; `joint_loss` needs all rows.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    bound: ClassVar[float | None] = None
    """The largest logarithm of the logit scale in pretraining; None: pretraining had no bound."""

    def encode(self, clip: Any, images: torch.Tensor, tokens: torch.Tensor) -> Outputs:
        """Normalised features of images [B, 3, H, W] and embeddings of their captions, `tokens` [B, L]: [B, D] both,
        then what else the objective needs of each pair."""
        return encode_image(clip.visual, images), encode_unique(clip, tokens)

    @abstractmethod
    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a batch in nats, a scalar, from the `outputs` of `encode`; row i of an image matches caption i.

        Pairs at `collisions`, bool [B, B], count neither as matching nor as not matching.
        """

    def keep_in_bounds(self, clip: Any, loaded: torch.Tensor) -> None:
        """Hold the logit scale at the family's bound, or at the `loaded` value where that is larger."""
        if self.bound is not None:
            with torch.no_grad():
                clip.logit_scale.clamp_(max=loaded.detach().clamp(min=self.bound))


class Softmax(Objective):
    """The contrastive loss of CLIP, whose code keeps the scale at 100 or below (Radford et al., 2021, Section 2.5)."""

    name = "softmax"
    summary = "contrastive, softmax over the batch (CLIP)"
    bound = math.log(100)

    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        return contrastive_loss(outputs[0], outputs[1], clip.logit_scale.exp(), collisions)


class Sigmoid(Objective):
    """The pairwise loss of SigLIP (Zhai et al., 2023, eq. 1 and Algorithm 1), whose scale has no bound there."""

    name = "sigmoid"
    summary = "pairwise sigmoid with a trained bias (SigLIP)"

    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        return pairwise_loss(outputs[0], outputs[1], clip.logit_scale.exp(), clip.logit_bias, collisions)


class Captioning(Softmax):
    """CoCa: the contrastive loss, plus `WEIGHT` times the cross-entropy of each caption's next token.

    Source: Yu et al. (2022), eq. 4 with the weights of Section 4.1, 1 and 2. As in open_clip, the mean goes over all
    tokens of the batch that are no padding.
    """

    name = "captioning"
    summary = "contrastive as CLIP's, plus twice the cross-entropy of the captions' next tokens (CoCa)"
    WEIGHT = 2.0

    def encode(self, clip: Any, images: torch.Tensor, tokens: torch.Tensor) -> Outputs:
        features, patches = clip.visual(images)
        unique, inverse = torch.unique(tokens, dim=0, return_inverse=True)
        texts, words = clip.text(unique)
        logits = clip.text_decoder(patches, words[inverse, :-1])
        following = tokens[:, 1:]
        nats = F.cross_entropy(logits.transpose(1, 2), following, ignore_index=clip.pad_id, reduction="none")
        counted = (following != clip.pad_id).sum(dim=1).to(nats)
        return F.normalize(features, dim=-1), F.normalize(texts, dim=-1)[inverse], nats.sum(dim=1), counted

    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        *pair, nats, counted = outputs
        return super().joint_loss(clip, tuple(pair), collisions) + self.WEIGHT * nats.sum() / counted.sum()


def objective_of(clip: Any) -> Objective:
    """The objective that the open_clip model `clip` was pretrained with."""
    if hasattr(clip, "text_decoder"):
        return Captioning()
    return Softmax() if getattr(clip, "logit_bias", None) is None else Sigmoid()


def contrastive_loss(
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    logit_scale: torch.Tensor,
    collisions: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE over a batch of matching pairs: mean of the image-to-text and the text-to-image cross-entropy.

    Shapes: `image_features` and `text_features` [B, D], both L2-normalised, row i of one matching row i of the other;
    `logit_scale` a scalar, already exponentiated. Returns a scalar in nats. Equal captions in a batch stay as they are:
    each is still a negative of the others (FLYP, eq. 1 and Section 3; the temperature and the mean in place of eq. 1's
    sum are those of CLIP's code), unless `collisions`, bool [B, B], leaves them out in both directions.
    """
    logits = logit_scale * image_features @ text_features.T
    if collisions is not None:
        logits = logits.masked_fill(collisions, -torch.inf)
    matching = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, matching) + F.cross_entropy(logits.T, matching)) / 2


def pairwise_loss(
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor,
    collisions: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum over all pairs of a batch of the loss of telling by a sigmoid whether they match, divided by B.

    Shapes and units as of `contrastive_loss`; `logit_bias` is a scalar.
    """
    logits = logit_scale * image_features @ text_features.T + logit_bias
    sign = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
    losses = -F.logsigmoid(sign * logits)
    if collisions is not None:
        losses = losses.masked_fill(collisions, 0.0)
    return losses.sum() / len(logits)
