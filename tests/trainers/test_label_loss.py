"""Label smoothing: the target of an image is 1 - e for its class plus e / C for every class."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods.base import Batch, GradientMethod
from flyp_sweep.trainers.testing.bench import Bench


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_ft_s_loss_is_the_cross_entropy_against_smoothed_targets(bench: Bench, smoothing: float) -> None:
    task = bench.task(bench.spec("ft", label_smoothing=smoothing))
    method = methods.get("ft")
    assert isinstance(method, GradientMethod)
    model = method.start(task)
    images, labels = (
        next(iter(task.training_batches([torch.arange(6).numpy()], task.stream("x"), 1))),
        task.train.labels,
    )
    batch = Batch(images, torch.from_numpy(labels[:6]), task.stream("y"))
    targets = (1 - smoothing) * F.one_hot(batch.labels, 3) + smoothing / 3
    expected = -(targets * model(images).log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(method.loss(model, batch, task), expected)
