"""The pretraining losses between images and captions, which FLYP continues: one class per family of models.

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
    """The pretraining loss of a family of models, for an open_clip model `clip`.

    `encode` treats every row separately, so a batch may be encoded in parts; `joint_loss` needs all rows.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    bound: ClassVar[float | None] = None
    """The largest logarithm of the logit scale in pretraining; None if pretraining had no bound."""

    def encode(self, clip: Any, images: torch.Tensor, tokens: torch.Tensor) -> Outputs:
        """Normalised features of images [B, 3, H, W] and embeddings of their captions, `tokens` [B, L]: both [B, D],
        then further outputs per pair that the objective needs."""
        return encode_image(clip.visual, images), encode_unique(clip, tokens)

    @abstractmethod
    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a batch in nats, a scalar, from the `outputs` of `encode`; image i matches caption i.

        Pairs at `collisions`, bool [B, B], count neither as positives nor as negatives.
        """

    def keep_in_bounds(self, clip: Any, loaded: torch.Tensor) -> None:
        """Clamp the logit scale to the family's bound, or to the `loaded` value if that is larger."""
        if self.bound is not None:
            with torch.no_grad():
                clip.logit_scale.clamp_(max=loaded.detach().clamp(min=self.bound))


class Softmax(Objective):
    """CLIP's contrastive loss. CLIP's code clips the scale to at most 100 (Radford et al., 2021, Section 2.5)."""

    name = "softmax"
    summary = "contrastive, softmax over the batch (CLIP)"
    bound = math.log(100)

    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        return contrastive_loss(outputs[0], outputs[1], clip.logit_scale.exp(), collisions)


class Sigmoid(Objective):
    """SigLIP's pairwise loss (Zhai et al., 2023, eq. 1 and Algorithm 1), with an unbounded scale."""

    name = "sigmoid"
    summary = "pairwise sigmoid with a trained bias (SigLIP)"

    def joint_loss(self, clip: Any, outputs: Outputs, collisions: torch.Tensor | None = None) -> torch.Tensor:
        return pairwise_loss(outputs[0], outputs[1], clip.logit_scale.exp(), clip.logit_bias, collisions)


class Captioning(Softmax):
    """CoCa: the contrastive loss, plus `WEIGHT` times the cross-entropy of each caption's next token.

    Source: Yu et al. (2022), eq. 4 with the weights of Section 4.1, 1 and 2. As in open_clip, the mean is over all
    tokens of the batch except padding.
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

    Shapes: `image_features` and `text_features` [B, D], both L2-normalised, with matching rows; `logit_scale` a scalar,
    already exponentiated. Returns a scalar in nats. Equal captions in a batch remain negatives of each other (FLYP, eq.
    1 and Section 3), unless `collisions`, bool [B, B], leaves such pairs out in both directions. As in CLIP's code,
    there is a temperature, and a mean instead of eq. 1's sum.
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
    """Sum of the sigmoid losses of all pairs of a batch, matching or not, divided by B.

    Shapes and units as in `contrastive_loss`; `logit_bias` is a scalar.
    """
    logits = logit_scale * image_features @ text_features.T + logit_bias
    sign = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
    losses = -F.logsigmoid(sign * logits)
    if collisions is not None:
        losses = losses.masked_fill(collisions, 0.0)
    return losses.sum() / len(logits)
