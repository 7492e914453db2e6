"""The contrastive loss of CLIP's pretraining, which FLYP continues."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def contrastive_loss(
    image_features: torch.Tensor, text_features: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE over a batch of matching pairs: mean of the image-to-text and the text-to-image cross-entropy.

    Shapes: `image_features` and `text_features` [B, D], both L2-normalised, row i of one matching row i of the other;
    `logit_scale` a scalar, already exponentiated. Returns a scalar in nats. Equal captions in a batch stay as they are:
    each is still a negative of the others (FLYP, eq. 1 and Section 3; the temperature and the mean in place of eq. 1's
    sum are those of CLIP's code).
    """
    logits = logit_scale * image_features @ text_features.T
    matching = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, matching) + F.cross_entropy(logits.T, matching)) / 2
