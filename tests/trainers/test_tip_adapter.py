"""Tip-Adapter's votes against the plain formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods import portable
from flyp_sweep.trainers.methods.tip_adapter import KeyValueCache
from flyp_sweep.trainers.testing.bench import Bench


def some_features(count: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return F.normalize(drawn, dim=1)


@pytest.mark.parametrize("chunk", [3, 100])
def test_its_logits_are_zero_shot_plus_the_weighted_votes(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "CHUNK", chunk)
    head, keys, images = 30 * some_features(4, 0), some_features(10, 1), some_features(6, 2)
    labels = torch.arange(10) % 3  # no image of the last class
    found = KeyValueCache(head, keys, labels, weight=1.5, sharpness=5.5)(images)
    expected = (images @ head.T).numpy().copy()
    for row, image in enumerate(images.numpy()):
        for key, label in zip(keys.numpy(), labels.tolist(), strict=True):
            expected[row, label] += 1.5 * np.exp(-5.5 * (1 - image @ key))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_interpolation_scales_the_votes(bench: Bench) -> None:
    spec = bench.repeat("tip_adapter", shots=2, hparams={"cache_weight": 4.0, "cache_sharpness": 5.5})
    task, method = bench.task(spec), methods.get("tip_adapter")
    fitted = bench.fit(spec, task.shared).state
    zero_shot = method.zero_shot(task).state_dict()
    assert {name for name in fitted if not torch.equal(fitted[name], zero_shot[name])} == {"weight"}
    assert (zero_shot["weight"], fitted["weight"]) == (0.0, 4.0)
    assert fitted["labels"].tolist() == task.train.labels.tolist()


def test_its_votes_correct_a_model_that_is_wrong(bench: Bench) -> None:
    wrong = bench.worker(bench.dataset(poisoned=("train", "id_val")))
    hparams = {"cache_weight": 100.0, "cache_sharpness": 5.5}
    assert bench.run(bench.spec("zeroshot"), wrong).score < 0.1
    assert bench.run(bench.spec("tip_adapter", hparams=hparams), wrong).score > 0.9
