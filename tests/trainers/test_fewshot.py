"""Few-shot draws: k per class, disjoint, and set by stage and seed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.data.few_shot import draw
from flyp_sweep.trainers.datasets.base import Subset
from flyp_sweep.trainers.testing.bench import Bench

if TYPE_CHECKING:
    from flyp_sweep.trainers.task import Task


def drawn(task: Task) -> tuple[list[int], list[int]]:
    """Indices of the training and of the validation draw within the splits that they are drawn from."""
    train, id_val = task.train.images, task.id_val.images
    assert isinstance(train, Subset)
    assert isinstance(id_val, Subset)
    return train.indices.tolist(), id_val.indices.tolist()


@pytest.mark.parametrize("own_id_val", [False, True])
@pytest.mark.parametrize(("shots", "seed"), [(1, 0), (3, 1), (4, 2)])
def test_draws_are_balanced_and_disjoint_and_their_images_carry_their_own_labels(
    bench: Bench, own_id_val: bool, shots: int, seed: int
) -> None:
    dataset = bench.dataset(own_id_val=own_id_val)
    task = bench.task(bench.spec(shots=shots, seed=seed), bench.worker(dataset))
    pools = dataset.load("train"), dataset.load("id_val" if own_id_val else "train")
    for split, pool, indices in zip((task.train, task.id_val), pools, drawn(task), strict=True):
        assert np.bincount(split.labels).tolist() == [shots] * 3
        assert len(split) == len(split.images) == len(set(indices)) == 3 * shots
        assert split.labels.tolist() == pool.labels[indices].tolist()
        for at, index in enumerate(indices):
            assert split.images[at].tobytes() == pool.images[index].tobytes()
    train, id_val = drawn(task)
    assert own_id_val or not set(train) & set(id_val)
    assert (task.train.role, task.id_val.role) == ("train", "id_val")
    assert (task.train.name, task.id_val.name) == ("train", "id_val")


def test_a_draw_depends_on_stage_and_seed_and_on_nothing_else(bench: Bench) -> None:
    def draw_of(method: str = "ft", **changes: Any) -> tuple[list[int], list[int]]:
        return drawn(bench.task(bench.spec(method, shots=2, **changes)))

    reference = draw_of()
    for name in methods.registry():
        assert draw_of(name) == reference
    other_settings = {"lr": 9.0, "weight_decay": 9.0}
    assert draw_of(hparams=other_settings, epochs=9, batch_size=2, templates=1, patience=1, warmup_steps=7) == reference
    seeds = [draw_of(seed=seed) for seed in range(10)]
    assert len({str(indices) for both in seeds for indices in both}) == 20
    assert draw_of(stage="repeat")[0] != reference[0]
    assert draw_of(stage="repeat")[1] != reference[1]


def test_excluded_images_are_never_drawn() -> None:
    labels = np.array([0, 1] * 10)
    excluded = np.arange(0, 14)
    for seed in range(20):
        found = draw(labels, 3, np.random.default_rng(seed), exclude=excluded)
        assert found.tolist() == [14, 15, 16, 17, 18, 19]


def test_every_image_is_as_likely() -> None:
    labels = np.repeat([0, 1], [5, 10])
    counts = np.zeros(15)
    rng = np.random.default_rng(0)
    for _ in range(4000):
        counts[draw(labels, 2, rng)] += 1
    np.testing.assert_allclose(counts / 4000, np.repeat([2 / 5, 2 / 10], [5, 10]), atol=0.03)


def test_too_few_images_of_a_class_are_refused_by_its_number() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="class 1 has 2 images to draw from, fewer than 3"):
        draw(labels, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="class 0 has 1 image to draw"):
        draw(labels, 2, np.random.default_rng(0), exclude=np.array([0, 2]))
