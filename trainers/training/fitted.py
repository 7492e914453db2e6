"""What comes out of a fit: its best epoch, the points of its curve, and its reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.spec import Epoch


@dataclass(frozen=True)
class Fitted:
    """The best epoch of a fit: its weights, and its scores on `id_val`."""

    state: dict[str, torch.Tensor]
    scores: Scores
    report: Epoch


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
