"""One trial from its specification to its result."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import chain

from flyp_sweep.trainers import ensembles
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve, choose_alpha
from flyp_sweep.trainers.ensembles.base import Ensemble
from flyp_sweep.trainers.evaluation.metrics import as_evaluation
from flyp_sweep.trainers.evaluation.predictions import Predictions
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.spec import SEARCH, Epoch, Evaluation, TrialResult
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fit import fit, found_or_fitted
from flyp_sweep.trainers.training.fitted import Fitted


def run(method: Method, task: Task, ensemble: Ensemble | None = None) -> Generator[Epoch, None, TrialResult]:
    """Fit, or make an ensemble, then evaluate: yields a report per epoch and returns the result.

    The ensemble is the one that the cell names, unless it is given.
    In the search stage nothing but `id_val` is read. A repeat chooses alpha on `id_val`, and only then loads the ID
    test and OOD splits, which nothing is chosen on. Raises TrialFailed, and InputError for data that cannot be read.
    """
    if task.spec.stage == SEARCH:
        fitted = yield from fit(method, task)
        return _result(task, fitted, None, [as_evaluation(fitted.scores, task.id_val, 1.0)])
    curve = yield from models(method, task, ensemble)
    on_id_val = curve.on_id_val(task.spec.alphas)
    chosen = choose_alpha(on_id_val)
    shown = sorted({1.0, chosen} & set(task.spec.alphas))
    predictions = Predictions(task, shown, chosen)
    reported = curve.on_all(task.reported(), task.spec.alphas if task.spec.frontier else shown, predictions.judge)
    on_all = chain([(task.id_val, on_id_val)], reported)
    evaluations = [as_evaluation(scores, split, alpha) for split, found in on_all for alpha, scores in found.items()]
    return _result(task, curve.fitted, chosen, evaluations, predictions.write())


def models(method: Method, task: Task, ensemble: Ensemble | None = None) -> Generator[Epoch, None, AlphaCurve]:
    """The models of a repeat between zero-shot and fine-tuned. Nothing is trained where its fit is kept."""
    if task.spec.members:
        return (yield from ensembles.curve(ensemble or ensembles.get(task.spec.cell.ensemble), method, task))
    return AlphaCurve(method, task, (yield from found_or_fitted(method, task)))


def _result(
    task: Task, fitted: Fitted, alpha: float | None, evaluations: Iterable[Evaluation], trouble: str | None = None
) -> TrialResult:
    report = fitted.report
    troubles = [task.checkpoint.trouble if task.checkpoint is not None else None, trouble]
    return TrialResult(
        score=report.score,
        loss=report.loss,
        metric=fitted.scores.primary,
        best_epoch=report.best_epoch,
        epochs=report.epoch,
        alpha=alpha,
        curve=report.curve,
        evaluations=list(evaluations),
        notes=report.notes + [one for one in troubles if one is not None],
    )
