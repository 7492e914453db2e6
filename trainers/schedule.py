"""The number of steps that a cell trains for, and checks of its warm-up and batch size."""

from __future__ import annotations

from collections.abc import Mapping

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.model import SearchSpace

MUCH_WARMUP = 0.2
"""A warm-up of at least this share of all steps gets a warning."""


def total_steps(epochs: int, batch_size: int, images: int) -> int:
    """Steps of a whole training. An epoch's last batch may be smaller than the others."""
    return epochs * -(-images // batch_size)


def check_schedules(space: SearchSpace, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Remarks of `check_schedule` for each data set and number of shots; `sizes`: training images and classes."""
    return [
        line
        for name, (images, classes) in sizes.items()
        for shots in space.shots_list
        for line in check_schedule(space, name, shots, images if shots is None else shots * classes)
    ]


def check_schedule(space: SearchSpace, dataset: str, shots: int | None, images: int) -> list[str]:
    """Remarks about the cells of `dataset` and `shots`, which train on `images` images.

    A few-shot cell with fewer images than `train.batch_size` trains on batches of all its images, as in the paper; a
    remark reports this. Raises InputError for a warm-up that never ends, and for batches larger than a whole training
    set.
    """
    train = space.train
    steps = total_steps(train.epochs, train.batch_size, images)
    warmup = train.warmup_of(steps)
    place = dataset if shots is None else f"{dataset}, {shots}-shot"
    lines = []
    if train.batch_size > images:
        if shots is None:
            raise space.error(
                "train.batch_size", train.batch_size, f"at most the {images} training images of {dataset}"
            )
        lines.append(f"train.batch_size: batches of {place} hold all its {images} images, not {train.batch_size}")
    found, key = (train.warmup, "warmup") if train.warmup_steps is None else (train.warmup_steps, "warmup_steps")
    if warmup >= steps:
        expected = f"less than the {counted(steps, 'step')} that {place} trains for"
        hint = "(leave it out: 5% of all steps, 500 at most)"
        raise space.error(f"train.{key}", found, expected, hint)
    if warmup >= MUCH_WARMUP * steps:
        lines.append(
            f"train.{key}: {place} warms up for {warmup} of its {counted(steps, 'step')}; "
            "a shorter warm-up trains longer at the learning rate that was searched"
        )
    return lines
