"""One trial from its specification to its result."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import torch

from trainers.datasets.base import Split
from trainers.evaluation import Scores, as_evaluation, score
from trainers.methods.base import Method
from trainers.spec import SEARCH, Epoch, Evaluation, TrialResult
from trainers.task import Task, identity
from trainers.training import Fitted, classify, ready
from trainers.wise_ft import interpolate


def run(method: Method, task: Task) -> Generator[Epoch, None, TrialResult]:
    """Fit, then evaluate: yields a report per epoch and returns the result.

    In the search stage nothing but `id_val` is read. A repeat chooses alpha on `id_val`, and only then loads the ID
    test and OOD splits, which nothing is chosen on. Raises TrialFailed, and InputError for data that cannot be read.
    """
    fitted = yield from method.fit(task)
    if task.spec.stage == SEARCH:
        return _result(task, fitted, None, [as_evaluation(fitted.scores, task.id_val, 1.0)])
    curve = AlphaCurve(method, task, fitted)
    on_id_val = {alpha: curve.scores(alpha, task.id_val) for alpha in task.spec.alphas}
    chosen = choose_alpha(on_id_val)
    evaluations = [as_evaluation(scores, task.id_val, alpha) for alpha, scores in on_id_val.items()]
    reported = task.spec.alphas if task.spec.frontier else {1.0, chosen} & set(task.spec.alphas)
    for alpha in sorted(reported):
        for split in task.reported():
            evaluations.append(as_evaluation(curve.scores(alpha, split), split, alpha))
    return _result(task, fitted, chosen, evaluations)


def choose_alpha(on_id_val: dict[float, Scores]) -> float:
    """The alpha of best score on `id_val`; ties: lower loss, then nearer to the fine-tuned model."""
    return max(on_id_val, key=lambda alpha: (*on_id_val[alpha].rank, alpha))


class AlphaCurve:
    """The models between zero-shot (alpha = 0) and fine-tuned (alpha = 1), evaluated where asked."""

    def __init__(self, method: Method, task: Task, fitted: Fitted) -> None:
        self.method = method
        self.task = task
        self.fitted = fitted
        self.model = method.zero_shot(task)
        self.zero_shot = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self._loaded: float | None = None

    def scores(self, alpha: float, split: Split) -> Scores:
        """Scores of the model at `alpha` on `split`; alpha = 0 is common to all trials and computed once."""
        if alpha == 0.0:
            return zero_shot_scores(self.task, split)
        if alpha == 1.0 and split is self.task.id_val:
            return self.fitted.scores
        if alpha != self._loaded:
            self.model.load_state_dict(interpolate(self.zero_shot, self.fitted.state, alpha))
            self._classifier = ready(self.method, self.model, self.task)
            self._loaded = alpha
        return score(classify(self._classifier, self.method, self.task, split), split)


def zero_shot_scores(task: Task, split: Split) -> Scores:
    """Scores of the pretrained model on `split`, computed once per (model, data set, prompts) in a worker."""

    def compute() -> Scores:
        with torch.no_grad():
            return score(task.shared.features(split) @ task.zero_shot_head.T, split)

    return task.shared.once(("zero-shot", task.spec.templates, identity(split)), compute)


def _result(task: Task, fitted: Fitted, alpha: float | None, evaluations: Iterable[Evaluation]) -> TrialResult:
    report = fitted.report
    trouble = task.checkpoint.trouble if task.checkpoint is not None else None
    return TrialResult(
        score=report.score,
        loss=report.loss,
        metric=fitted.scores.primary,
        best_epoch=report.best_epoch,
        epochs=report.epoch,
        alpha=alpha,
        curve=report.curve,
        evaluations=list(evaluations),
        notes=report.notes + ([trouble] if trouble is not None else []),
    )
