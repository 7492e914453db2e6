"""The models between zero-shot and fine-tuned, evaluated: all alphas that must see an image share one pass over it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping

import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.ensembles.wise_ft import interpolate
from flyp_sweep.trainers.evaluation.metrics import Scores, score
from flyp_sweep.trainers.evaluation.predict import Classifier, classify
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.shared import batch_starts, identity
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fitted import Fitted

PIECE_BYTES = 512 * 2**20
"""Images that are held, normalised, while one alpha after the other sees them; at least a batch."""

Logits = MutableMapping[float, list[torch.Tensor]]
"""Alpha -> the logits [B, C] of the batches that this process has taken."""

Part = tuple[Split, torch.Tensor, bool]
"""A batch of a split, and whether it is the last one."""


def choose_alpha(on_id_val: Mapping[float, Scores]) -> float:
    """The alpha of best score on `id_val`; ties: lower loss, then nearer to the fine-tuned model."""
    return max(on_id_val, key=lambda alpha: (*on_id_val[alpha].rank, alpha))


class AlphaCurve:
    """The models between zero-shot (alpha = 0) and fine-tuned (alpha = 1), mixed in weight space."""

    def __init__(self, method: Method, task: Task, fitted: Fitted) -> None:
        self.method = method
        self.task = task
        self.fitted = fitted
        self.model = method.zero_shot(task)
        self.zero_shot = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self._loaded: float | None = None
        self._classifiers: dict[float, Classifier] = {}

    def on_id_val(self, alphas: Iterable[float]) -> dict[float, Scores]:
        """Scores on `id_val`; those at alpha = 1 are the fit's own."""
        others = [alpha for alpha in alphas if alpha != 1.0]
        ((_, found),) = self.on([self.task.id_val], others)
        return {alpha: self.fitted.scores if alpha == 1.0 else found[alpha] for alpha in alphas}

    def on(self, splits: Iterable[Split], alphas: Collection[float]) -> Iterator[tuple[Split, dict[float, Scores]]]:
        """Every split, with the scores of the models at `alphas` on it.

        Alpha = 0 is common to all trials and computed once.
        """
        seeing = self.seeing(alphas)
        logits: dict[str, Logits] = defaultdict(lambda: defaultdict(list))
        for piece in pieces((part for split in splits for part in self._parts(split, seeing)), PIECE_BYTES):
            for alpha in seeing:
                classifier = self._at(alpha)
                for split, batch, _ in piece:
                    logits[split.name][alpha].append(classify(classifier, batch))
            for split in (split for split, _, last in piece if last):
                found = self.scores(split, logits.pop(split.name), alphas) if seeing else {}
                yield split, {alpha: found.get(alpha) or zero_shot_scores(self.task, split) for alpha in alphas}

    def seeing(self, alphas: Iterable[float]) -> list[float]:
        """At which alphas a model has to see the images: all but that of the zero-shot one."""
        return [alpha for alpha in alphas if alpha != 0.0]

    def scores(self, split: Split, logits: Logits, alphas: Iterable[float]) -> dict[float, Scores]:
        """The scores on a split at all `alphas` but 0, from what the models at `seeing` made of it."""
        return {alpha: score(self.task.joined(logits.pop(alpha), split), split) for alpha in self.seeing(alphas)}

    def _parts(self, split: Split, seeing: Collection[float]) -> Iterator[Part]:
        """The batches of a split that this process takes; one of no images where no alpha has to see them."""
        if not seeing:
            yield split, torch.empty(0), True
            return
        batches = len(batch_starts(split)[self.task.turns(split)])
        for number, batch in enumerate(self.task.evaluation_inputs(split, self.method.frozen_encoder), start=1):
            yield split, batch, number == batches

    def _at(self, alpha: float) -> Classifier:
        """The classifier at `alpha`, whose weights the model then has."""
        if alpha != self._loaded:
            self.model.load_state_dict(interpolate(self.zero_shot, self.fitted.state, alpha))
            self._loaded = alpha
        if alpha not in self._classifiers:
            self._classifiers[alpha] = self.method.ready(self.model, self.task)
        return self._classifiers[alpha]


def pieces(parts: Iterable[Part], budget: int) -> Iterator[list[Part]]:
    """The parts in order, in lists of at most `budget` bytes or of one part."""
    piece: list[Part] = []
    size = 0
    for part in parts:
        size += part[1].nbytes
        if piece and size > budget:
            yield piece
            piece, size = [], part[1].nbytes
        piece.append(part)
    if piece:
        yield piece


def zero_shot_scores(task: Task, split: Split) -> Scores:
    """Scores of the pretrained model on `split`, computed once per (model, data set, prompts) in a worker."""

    def compute() -> Scores:
        return score(zero_shot_logits(task, split), split)

    return task.shared.once(("zero-shot", task.spec.templates, identity(split)), compute)


@torch.no_grad()
def zero_shot_logits(task: Task, split: Split) -> torch.Tensor:
    """Logits [N, C] of the pretrained model on `split`."""
    return task.shared.features(split) @ task.zero_shot_head.T
