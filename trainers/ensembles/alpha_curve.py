"""Evaluates the models between zero-shot and fine-tuned, with one shared pass over the images for all alphas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace

import torch
from torch import nn

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.ensembles.wise_ft import interpolate
from flyp_sweep.trainers.evaluation.metrics import Scores, score
from flyp_sweep.trainers.evaluation.predict import Classifier, TwoTowers, classify
from flyp_sweep.trainers.evaluation.retrieval import Captioned
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.shared import EVALUATION_BATCH, batch_starts
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fitted import Fitted
from flyp_sweep.trainers.training.kept import exported, same

PIECE_BYTES = 512 * 2**20
"""Bytes of normalised images kept in memory while every alpha evaluates them; at least one batch."""

Logits = MutableMapping[float, list[torch.Tensor]]
"""Alpha -> the logits [B, C] of each batch that this process computes."""

Judge = Callable[[Split, float, torch.Tensor], Scores]
"""The scores of the model at an alpha on a split, from its logits [N, C]."""

Mixed = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Mixes logits [N, C] of the zero-shot and the fine-tuned model at an alpha between 0 and 1."""

Part = tuple[Split, torch.Tensor, bool]
"""A batch of a split, and whether it is the last one."""


def choose_alpha(on_id_val: Mapping[float, Scores]) -> float:
    """The alpha with the best score on `id_val`; ties: lower loss, then nearer to the fine-tuned model."""
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
        self.retrieves = method.retrieves
        self._captioned: dict[str, Captioned] = {}

    def on_id_val(self, alphas: Iterable[float]) -> dict[float, Scores]:
        """Scores on `id_val`; at alpha = 1 those of the fit."""
        others = [alpha for alpha in alphas if alpha != 1.0]
        ((_, found),) = self.on([self.task.id_val], others)
        return {alpha: self.fitted.scores if alpha == 1.0 else found[alpha] for alpha in alphas}

    def on(
        self, splits: Iterable[Split], alphas: Collection[float], judge: Judge = lambda split, _, own: score(own, split)
    ) -> Iterator[tuple[Split, dict[float, Scores]]]:
        """Yield every split with the scores, by `judge`, of the models at `alphas`.

        All trials share the logits at alpha = 0.
        """
        seeing = self.seeing(alphas)
        logits: dict[str, Logits] = defaultdict(lambda: defaultdict(list))
        for piece in pieces((part for split in splits for part in self._parts(split, seeing)), PIECE_BYTES):
            for alpha in seeing:
                classifier = self._classifier(alpha)
                for split, batch, _ in piece:
                    logits[split.name][alpha].append(self._seen(split, alpha, classifier, batch))
            for split in (split for split, _, last in piece if last):
                own = self.joined(split, logits.pop(split.name), alphas) if seeing else {}
                own |= {0.0: zero_shot_logits(self.task, split)} if 0.0 in alphas else {}
                found = {alpha: judge(split, alpha, own.pop(alpha)) for alpha in alphas}
                if captioned := self._captions_of(split):
                    found = {alpha: scores.adding(captioned.metrics(alpha)) for alpha, scores in found.items()}
                    del self._captioned[split.name]
                yield split, found

    def _seen(self, split: Split, alpha: float, classifier: Classifier, batch: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of a batch of a split. If the split has captions, the batch's features are kept for
        retrieval."""
        captioned = self._captions_of(split)
        if captioned is None or self.method.frozen_encoder:
            return classify(classifier, batch)
        assert isinstance(classifier, TwoTowers), f"{self.method.name} says that it retrieves"
        return captioned.seen(alpha, classifier, batch)

    def _captions_of(self, split: Split) -> Captioned | None:
        """The captions of a reported split; None if it has none, or if the method does not compare texts with
        images."""
        if split.captions is None or split.role == "id_val" or not self.retrieves:
            return None
        if split.name not in self._captioned:
            self._captioned[split.name] = Captioned(self.task, split)
        return self._captioned[split.name]

    def on_all(
        self, splits: Iterable[Split], alphas: Collection[float], judge: Judge
    ) -> Iterator[tuple[Split, dict[float, Scores]]]:
        """As `on`. Splits with classes of their own come last, except those that the models cannot predict."""
        apart = []

        def alike() -> Iterator[Split]:
            for split in splits:
                if split.class_names is None:
                    yield split
                else:
                    apart.append(split)

        yield from self.on(alike(), alphas, judge)
        for split in apart:
            if (models := self.with_classes(split)) is not None:
                yield from models.on([split], alphas, judge)

    def with_classes(self, split: Split) -> AlphaCurve | None:
        """The models for the classes of `split`, which training did not have; None if the models cannot predict them.

        They are exported again from the trained weights. A soup cannot predict new classes if it averages heads, which
        belong to the training classes.
        """
        if not self.method.open_vocabulary:
            return None
        task = self.task.with_classes(split)
        if task.spec.ingredients:
            state = self.method.zero_shot(task).state_dict()
            if not all(same(state[name], one) for name, one in self.zero_shot.items()):
                return None
        return self._with(task, replace(self.fitted, state=exported(self.fitted.trained, self.method, task)))

    def _with(self, task: Task, fitted: Fitted) -> AlphaCurve:
        """A curve of the same kind."""
        return AlphaCurve(self.method, task, fitted)

    def seeing(self, alphas: Iterable[float]) -> list[float]:
        """The alphas whose models must see the images: all except the zero-shot model's."""
        return [alpha for alpha in alphas if alpha != 0.0]

    def joined(self, split: Split, logits: Logits, alphas: Iterable[float]) -> dict[float, torch.Tensor]:
        """The logits [N, C] of a split at all `alphas` except 0, from the batch logits of the models at `seeing`."""
        return {alpha: self.task.joined(logits.pop(alpha), split) for alpha in self.seeing(alphas)}

    def _parts(self, split: Split, seeing: Collection[float]) -> Iterator[Part]:
        """The batches of a split that this process computes; one batch without images if no alpha must see them."""
        if not seeing:
            yield split, torch.empty(0), True
            return
        batches = len(batch_starts(split)[self.task.turns(split)])
        for number, batch in enumerate(self.task.evaluation_inputs(split, self.method.frozen_encoder), start=1):
            yield split, batch, number == batches

    def at(self, alpha: float) -> nn.Module:
        """The model at `alpha`, valid until the next call: the models share their memory."""
        if alpha != self._loaded:
            self.model.load_state_dict(interpolate(self.zero_shot, self.fitted.state, alpha))
            self._loaded = alpha
        return self.model

    def _classifier(self, alpha: float) -> Classifier:
        """The classifier at `alpha`, after loading its weights into the model."""
        model = self.at(alpha)
        if alpha not in self._classifiers:
            self._classifiers[alpha] = self.method.ready(model, self.task)
        return self._classifiers[alpha]


class OutputCurve(AlphaCurve):
    """The models between zero-shot (alpha = 0) and fine-tuned (alpha = 1), with logits [N, C] mixed by `mixed`.

    Only the fine-tuned model sees the images; all trials share the zero-shot logits. Retrieval is impossible, because a
    mixture of outputs has no encoders.
    """

    def __init__(self, method: Method, task: Task, fitted: Fitted, mixed: Mixed) -> None:
        super().__init__(method, task, fitted)
        self.retrieves = False
        self.mixed = mixed

    def _with(self, task: Task, fitted: Fitted) -> AlphaCurve:
        return OutputCurve(self.method, task, fitted, self.mixed)

    def seeing(self, alphas: Iterable[float]) -> list[float]:
        return [1.0] if super().seeing(alphas) else []

    def joined(self, split: Split, logits: Logits, alphas: Iterable[float]) -> dict[float, torch.Tensor]:
        own = self.task.joined(logits.pop(1.0), split).float()
        zero_shot = zero_shot_logits(self.task, split).float()
        return {alpha: own if alpha == 1.0 else self.mixed(zero_shot, own, alpha) for alpha in super().seeing(alphas)}


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


@torch.no_grad()
def zero_shot_logits(task: Task, split: Split) -> torch.Tensor:
    """Logits [N, C] of the pretrained model on `split`.

    They are computed in the same batches as those of other models, because the last bits of a product depend on the
    batch.
    """
    head = task.zero_shot_head.T
    return torch.cat([features @ head for features in task.shared.features(split).split(EVALUATION_BATCH)])
