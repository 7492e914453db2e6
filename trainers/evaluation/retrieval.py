"""Retrieval between the images and the captions of a split: recall at K, in both directions."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.datasets.encoded import Packed, called
from flyp_sweep.trainers.evaluation.predict import TwoTowers
from flyp_sweep.trainers.shared import bare
from flyp_sweep.trainers.task import Task

NEAREST = (1, 5, 10)
SIMILARITIES = 2**24
"""Similarities that are in memory at once."""


class Captioned:
    """The images and captions of a split, and their embeddings by the models at several alphas.

    Rows with the same file, or the same bytes within a larger file, are one image. Captions with the same tokens are
    one text. An image may have several captions, and a caption several images: each of them is correct.
    """

    def __init__(self, task: Task, split: Split) -> None:
        tokens = task.shared.captions(split)
        assert tokens is not None, "a split without captions has nothing to retrieve"
        self.task, self.split = task, split
        self.tokens, texts = torch.unique(tokens, dim=0, return_inverse=True)
        self.rows, images = task.shared.once(("distinct images", split.name), lambda: _distinct(split))
        self.matches = torch.stack([images, texts]).unique(dim=1)
        self._features: dict[float, list[torch.Tensor]] = defaultdict(list)
        self._texts: dict[float, torch.Tensor] = {}

    @torch.no_grad()
    def seen(self, alpha: float, model: TwoTowers, images: torch.Tensor) -> torch.Tensor:
        """The logits [B, C] of a batch of `images` by the model at `alpha`. Keeps the embeddings."""
        if alpha not in self._texts:
            self._texts[alpha] = model.texts(self.tokens)
        features = model.features(images)
        self._features[alpha].append(features)
        return model.of_features(features)

    def metrics(self, alpha: float) -> dict[str, float]:
        """`image_to_text_r1`, ... of the model at `alpha`; the pretrained model's if no other has seen the images.

        A collective: every process must call it.
        """
        if alpha not in self._features:
            features, texts = self.task.shared.features(self.split), self._pretrained_texts()
        else:
            features, texts = self.task.joined(self._features.pop(alpha), self.split), self._texts.pop(alpha)
        images, matches = features[self.rows.to(features.device)], self.matches.to(features.device)
        found = {"image_to_text": recalls(images, texts, matches)}
        found["text_to_image"] = recalls(texts, images, matches.flip(0))
        return {f"{way}_r{k}": recall for way, shares in found.items() for k, recall in shares.items()}

    def _pretrained_texts(self) -> torch.Tensor:
        """Embeddings [U, D] of the distinct captions by the pretrained model, computed once per worker."""
        task = self.task

        @torch.no_grad()
        def compute() -> torch.Tensor:
            return TwoTowers(task.pretrained.clip, task.zero_shot_head).texts(self.tokens)

        return task.shared.once(("caption embeddings", self.split.name), compute)


def recalls(queries: torch.Tensor, candidates: torch.Tensor, matches: torch.Tensor) -> dict[int, float]:
    """K -> the share of `queries` with a correct candidate among the K most similar ones, for K of `NEAREST`.

    Shapes: `queries` [Q, D] and `candidates` [U, D], normalised; `matches` int64 [2, P], the correct pairs of a query
    and a candidate. Each query has at least one. On ties, wrong candidates rank before the correct one. A few queries
    at a time are compared with all candidates.
    """
    of, right_ones = matches[:, matches[0].argsort(stable=True)]
    step = max(1, SIMILARITIES // len(candidates))
    closer = []
    for at in range(0, len(queries), step):
        own = slice(*torch.searchsorted(of, torch.tensor([at, at + step], device=of.device)).tolist())
        similarities = queries[at : at + step].float() @ candidates.float().T
        right = torch.zeros_like(similarities, dtype=torch.bool)
        right[of[own] - at, right_ones[own]] = True
        nearest = similarities.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        closer.append((~(similarities < nearest) & ~right).sum(dim=1))
    ranks = torch.cat(closer)
    return {k: float((ranks < k).double().mean()) for k in NEAREST}


def _distinct(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """The first row of each image, int64 [I], and the image index of each row, int64 [N]."""
    found = bare(split.images)
    if isinstance(found, Packed):
        files = [hashlib.sha256(found.encoded(row)).hexdigest() for row in range(len(found))]
    else:
        files = called(found)
    if len(set(files)) < 2:  # no files, or one file for all images
        files = list(map(str, range(len(split))))
    numbers: dict[str, int] = {}
    rows = torch.tensor([numbers.setdefault(file, len(numbers)) for file in files])
    first = torch.full((len(numbers),), len(files)).scatter_reduce_(0, rows, torch.arange(len(files)), "amin")
    return first, rows
