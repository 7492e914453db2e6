"""Model Stock: the mean of two fine-tuned models, moved towards the pretrained one by the angle between them."""

from __future__ import annotations

from collections.abc import Generator

import torch

from flyp_sweep.trainers.ensembles.base import Members, Soup
from flyp_sweep.trainers.ensembles.wise_ft import between
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.training.fitted import Fitted


class ModelStock(Soup):
    """w = t * (w1 + w2) / 2 + (1 - t) * w0 for every tensor, with t = 2 cos / (1 + cos) (Jang et al., 2024, Section 4).

    w0 are the pretrained weights, and cos is the cosine of the angle between w1 - w0 and w2 - w0. Here w1 and w2 are
    the two best trials of a search, merged once, at the end. They differ in hyper-parameters and share the image order.
    The paper's two models share hyper-parameters and differ in the order, and are merged after every epoch as well.

    For an obtuse angle t is 0 here; the formula would leave the segment from w0 to the mean. If the search has one
    trial, the result is that trial, and a note says so.
    """

    name = "model_stock"
    label = "Model Stock"
    summary = "mean of a search's two best trials, drawn to the pretrained weights by the angle between them"

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        first = yield from members.weights(members.specs[0])
        if len(members.specs) == 1:
            fitted = members.fitted(first).noting(["its search has only one trial: the result is that trial"])
        else:
            second = yield from members.weights(members.specs[1])
            mean = members.mixed(first, second, 0.5)
            pretrained = members.method.zero_shot(members.task).state_dict()
            fitted = members.fitted(
                {
                    name: between(pretrained[name], mean[name], share(pretrained[name], first[name], second[name]))
                    for name in mean
                }
            )
        yield fitted.report
        return fitted


def share(pretrained: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> float:
    """t, from 0 to 1: the share of the mean of `first` and `second`. All three tensors have one shape."""
    one, other = ((tensor.double() - pretrained.double()).flatten() for tensor in (first, second))
    lengths = one.norm() * other.norm()
    cos = float(one @ other / lengths) if lengths > 0 else 0.0
    return min(2 * cos / (1 + cos), 1.0) if cos > 0 else 0.0
