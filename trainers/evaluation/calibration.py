"""A model's predictions for each example, and how well its probabilities are calibrated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from flyp_sweep.trainers.datasets.base import Split

BINS = 15
CHUNK = 4096
"""Examples whose probabilities are in memory at once."""


@dataclass(frozen=True)
class Outputs:
    """Results for N examples: the `predicted` label, int64; its probability, `confidence`, float32; the probability of
    the true label, `p_label`, float64; the negative log-likelihood `nll` in nats; and the Brier score."""

    predicted: np.ndarray
    confidence: np.ndarray
    p_label: np.ndarray
    nll: np.ndarray
    brier: np.ndarray

    def calibration(self, labels: np.ndarray) -> dict[str, float]:
        """`nll` and `brier`, means over the examples, and `ece` in [0, 1]; `labels` is int64 [N].

        The Brier score is the multi-class one: the squared error summed over the classes, from 0 to 2 (Brier, 1950).
        """
        error = calibration_error(self.confidence, self.predicted == labels)
        return {"nll": float(self.nll.mean()), "brier": float(self.brier.mean()), "ece": error}


def outputs(logits: torch.Tensor, split: Split) -> Outputs:
    """The results of `logits` [N, C] for the examples of `split`, computed in float64.

    If the split has a class map, a label's probability is the sum over its classes, and the prediction is the label of
    the most likely class.
    """
    parts = [_chunk(rows, torch.from_numpy(labels), split.class_map) for rows, labels in _chunks(logits, split.labels)]
    predicted, p_predicted, log_p, squares = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    p_label = np.exp(log_p)
    return Outputs(predicted, p_predicted.astype(np.float32), p_label, -log_p, squares - 2 * p_label + 1)


def calibration_error(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """Expected calibration error: |mean confidence - accuracy| of each bin, weighted by the bin's share of examples.

    There are BINS equal-mass bins: ordered by confidence (ties: by index), they hold equally many examples, up to one
    (Nguyen and O'Connor, 2015, Section 3). The weighted mean is that of Guo et al., 2017, eq. 3.
    """
    order = np.argsort(confidence, kind="stable")
    gaps = confidence[order].astype(np.float64) - is_right[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, BINS)) / len(order))


def _chunks(logits: torch.Tensor, labels: np.ndarray) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    return zip(logits.split(CHUNK), np.split(labels, range(CHUNK, len(labels), CHUNK)), strict=True)


def _chunk(logits: torch.Tensor, labels: torch.Tensor, class_map: np.ndarray | None) -> tuple[torch.Tensor, ...]:
    """Predicted labels, their probability, the log-probability of the labels, and the sum of squared probabilities."""
    at = torch.arange(len(logits), device=logits.device)
    labels = labels.to(logits.device)
    if class_map is None:
        predicted = logits.argmax(dim=1)
        log_p = logits.double().log_softmax(dim=1)
        p = log_p.exp()
        return predicted, p[at, predicted], log_p[at, labels], p.square().sum(dim=1)
    kept = torch.from_numpy(np.flatnonzero(class_map >= 0)).to(logits.device)
    targets = torch.from_numpy(class_map).to(logits.device)[kept]
    among = logits[:, kept]
    predicted = targets[among.argmax(dim=1)]
    p = torch.zeros(len(logits), int(targets.max()) + 1, dtype=torch.float64, device=logits.device)
    p.index_add_(1, targets, among.double().softmax(dim=1))
    log_p = p[at, labels].clamp_min(torch.finfo(torch.float64).tiny).log()
    return predicted, p[at, predicted], log_p, p.square().sum(dim=1)
