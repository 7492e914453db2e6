"""Crops of a whole batch, against those of one image at a time; and trials on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg
from PIL import Image
from spaces import space_with
from trees import write_noise

from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.images import (
    CROP_TRIES,
    PAPER,
    Augmentation,
    Loader,
    Preprocess,
    random_crop,
    random_crops,
)
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import TrialSpec
from flyp_sweep.trainers.testing.bench import Bench

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
BIRDS = {"name": "birds", "folders": {"train": "train", "id_val": "val", "id_test": "test"}}
SEARCH = {"num_samples": 1, "space": {"lr": 1e-3, "weight_decay": 0.0}}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "data", "train", "val", "test")


def runner(root: Path, cache: Cache | None = None, threads: int = 1) -> TrialRunner:
    """A fresh worker."""
    return TrialRunner(space_with(dataset=BIRDS, methods=["ft"]), root, CPU, threads, cache)


def birds_spec(bench: Bench, method: str = "ft", shots: int | None = None, **changes: Any) -> TrialSpec:
    cell = Cell("birds", "digits-clip", shots, method)
    return replace(bench.spec(method), cell=cell, crops="batched", epochs=3, batch_size=4, **changes)


@pytest.mark.parametrize(
    "size", [(32, 32), (224, 224), (40, 24), (101, 37), (7, 5), (1, 9), (500, 375), (1, 1)], ids=str
)
def test_boxes_are_those_of_one_image_at_a_time(size: tuple[int, int]) -> None:
    uniforms = np.random.default_rng(size).random((2000, CROP_TRIES, 4))
    found = random_crops(*size, uniforms)
    assert found.shape == (2000, 4)
    assert list(map(tuple, found.tolist())) == [random_crop(*size, one.tolist()) for one in uniforms]


def preprocess(make_clip: Any, **config: Any) -> Preprocess:
    clip = make_clip()
    clip.visual.preprocess_cfg = vars(PreprocessCfg(**config))
    return Preprocess.of(clip)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [32, 224, (36, 40), 17], ids=str)
def test_views_are_pil_s_but_for_the_last_rounding(make_clip: Any, size: Any, interpolation: str) -> None:
    wanted = preprocess(make_clip, size=size, interpolation=interpolation)
    height, width = wanted.size
    rng = np.random.default_rng(height)
    noise = rng.integers(256, size=(16, height, width, 3), dtype=np.uint8)
    boxes = random_crops(width, height, rng.random((16, CROP_TRIES, 4)))
    found = wanted.crops(torch.from_numpy(noise), boxes).numpy()
    views = [wanted.crop(Image.fromarray(one), tuple(box)) for one, box in zip(noise, boxes.tolist(), strict=True)]
    apart = np.abs(found.astype(int) - np.stack([np.asarray(view) for view in views]))
    assert found.dtype == np.uint8
    assert apart.max() <= 1
    assert apart.mean() < 0.05  # those that are 1 apart: sums half-way between two pixels
    assert len({tuple(box) for box in boxes.tolist()}) > 4


def test_a_view_does_not_depend_on_the_rest_of_its_batch(make_clip: Any) -> None:
    wanted = preprocess(make_clip, size=32)
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(256, size=(9, 32, 32, 3), dtype=np.uint8))
    boxes = random_crops(32, 32, rng.random((9, CROP_TRIES, 4)))
    alone = torch.cat([wanted.crops(noise[i : i + 1], boxes[i : i + 1]) for i in range(9)])
    assert torch.equal(wanted.crops(noise, boxes), alone)


@pytest.mark.parametrize(
    "augmentation", [PAPER, Augmentation((0.08, 1.0), True), Augmentation(None), Augmentation(None, True)]
)
def test_images_of_the_model_s_size_are_cut_as_ever_and_chance_goes_on_from_where_it_did(
    bench: Bench, augmentation: Augmentation
) -> None:
    pictures = [
        Image.fromarray(np.random.default_rng(i).integers(256, size=(32, 32, 3), dtype=np.uint8)) for i in range(23)
    ]
    order = np.random.default_rng(0).permutation(23)
    batches = [order[at : at + 4] for at in range(0, 23, 4)]
    loader = Loader(bench.pretrained.preprocess, CPU)
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    expected = torch.cat(list(loader.training_batches(pictures, batches, first, augmentation)))
    views = loader.crops(loader.resized(pictures, batches), batches, 23, second, augmentation)
    assert first.bit_generator.state == second.bit_generator.state, "all is drawn before the first batch is asked for"
    found = torch.cat(list(views))
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found != expected).float().mean() < 0.001


@pytest.mark.parametrize("shots", [None, 3])
def test_a_trial_has_the_same_bits_wherever_its_pixels_come_from(
    bench: Bench, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shots: int | None
) -> None:
    spec = birds_spec(bench, shots=shots)
    kept = Cache(tmp_path / "cache", 10**7)
    plain = runner(birds).result(spec).to_json()
    assert runner(birds, kept).result(spec).to_json() == plain
    assert runner(birds, kept, threads=3).result(spec).to_json() == plain
    assert runner(birds, Cache(tmp_path / "none", 100)).result(spec).to_json() == plain, "no room"
    monkeypatch.setattr("flyp_sweep.trainers.shared.MEMORY_BUDGET", 5 * 32 * 32 * 3)
    assert runner(birds, kept).result(spec).to_json() == plain, "too many for a worker's memory"
    assert runner(birds, threads=3).result(spec).to_json() == plain, "decoded each time"
    assert runner(birds).result(replace(spec, crops="exact")).to_json() != plain


def test_images_are_resized_once_per_machine_and_a_small_draw_once_per_worker(
    bench: Bench, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resized: list[str] = []
    decode = Loader.resized
    monkeypatch.setattr(
        Loader, "resized", lambda self, found, batches: resized.append(str(len(found))) or decode(self, found, batches)
    )  # type: ignore[func-returns-value]
    cache = Cache(tmp_path / "cache", 10**7)

    def kept() -> list[str]:
        return sorted(entry.told[1] for entry in cache.entries() if entry.told[0] == "pixels")

    for _ in range(2):
        runner(birds, cache).result(birds_spec(bench))
    assert resized == ["10", "10"], "the training and the validation images"
    assert kept() == ["birds/id_val, 10 images of 32x32", "birds/train, 10 images of 32x32"]
    resized.clear()
    runner(birds, cache).result(birds_spec(bench, shots=3))
    assert resized == ["6", "6"]
    assert len(kept()) == 2
    monkeypatch.setattr("flyp_sweep.trainers.shared.MEMORY_BUDGET", 0)
    for seed in (0, 0, 1):
        runner(birds, cache).result(birds_spec(bench, shots=3, seed=seed))
    assert kept().count("birds/train, 6 images of 32x32") == 2, "one per seed, as there is no room in memory"


def test_views_without_crops_are_resized_once_and_are_the_same_either_way(
    bench: Bench, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = birds_spec(bench, crop_scale=None, flip=True)
    exact = replace(spec, crops="exact")
    found = runner(birds).result(exact).to_json()
    assert found == runner(birds).result(spec).to_json()
    monkeypatch.setattr(Augmentation, "of_evaluation", False)
    assert found == runner(birds).result(exact).to_json(), "cut out of each image anew"


def test_a_search_space_s_crops_come_to_its_trials(birds: Path) -> None:
    for train, crops in (({"crops": "batched"}, "batched"), ({}, "exact")):
        space = space_with(dataset=BIRDS, methods=["ft"], search=SEARCH, train=train | {"batch_size": 4})
        (cell,) = plan(space, check(space, birds))
        assert cell.search_trial({}, 0).crops == crops
