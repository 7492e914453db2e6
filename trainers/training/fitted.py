"""The result of a fit: its best epoch, the points of its curve, and its reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.spec import Epoch


@dataclass(frozen=True)
class Fitted:
    """The best epoch of a fit: its weights, and its scores on `id_val`.

    `trained` are the trained weights, `state` the weights that predict. They differ only if the method's trained model
    has another form, see `Method.export`.
    """

    state: Mapping[str, torch.Tensor]
    scores: Scores
    report: Epoch
    trained: Mapping[str, torch.Tensor]

    def noting(self, notes: Iterable[str]) -> Fitted:
        """A copy with more notes in its report."""
        return replace(self, report=replace(self.report, notes=[*self.report.notes, *notes]))


def point(epoch: int, scores: Scores, **more: float) -> dict[str, float]:
    """One point of a trial's curve."""
    return {"epoch": epoch, **more, "loss": scores.loss, **scores.metrics}


def report(
    epoch: int, best: Scores, best_epoch: int, curve: list[dict[str, float]], notes: Iterable[str] = ()
) -> Epoch:
    """The report after `epoch`, with copies of the curve so far and of the notes."""
    return Epoch(
        epoch=epoch, score=best.score, loss=best.loss, best_epoch=best_epoch, curve=list(curve), notes=list(notes)
    )
