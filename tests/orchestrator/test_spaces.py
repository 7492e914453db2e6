"""The bundled search spaces: what the paper ran is in them, and without the data each says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import call
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.runs.dry_run import describe, passes
from flyp_sweep.results.tables.layouts.ablation import VARIANTS
from flyp_sweep.search_spaces.loading import bundled, load
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data_checks import check_shots
from flyp_sweep.trainers.datasets import Dataset, Split
from flyp_sweep.trainers.models.pretrained import check_architecture
from flyp_sweep.trainers.schedule import check_schedule

EMBEDDED = {"ablations", "all_methods", "quickstart"}
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))

PUBLISHED = {
    "imagenet": (1e-5, 0.1, 10, 512, 500),
    "iwildcam": (1e-5, 0.2, 20, 256, 500),
    "fmow": (1e-5, 0.2, 20, 256, 500),
    "fewshot_sst2": (1e-5, 0.2, 20, 256, 0),
    "fewshot_pcam": (1e-6, 0.0, 20, 256, 0),
    "transfer": (1e-5, 0.0, 100, 256, 500),
}
"""Space -> learning rate, weight decay, epochs, batch size and warm-up of the paper's released FLYP scripts."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_grid_of_a_space_contains_what_was_published_and_begins_with_it(name):
    space = load(name)
    lr, weight_decay, epochs, batch_size, warmup = PUBLISHED[name]
    assert space.search.first == ({"lr": lr, "weight_decay": weight_decay},)
    flyp = space.for_method("flyp")
    assert lr in flyp["lr"].values()
    assert weight_decay in flyp["weight_decay"].values()
    assert (space.train.epochs, space.train.batch_size, space.train.warmup_of(10**6)) == (epochs, batch_size, warmup)


SIZES = {
    "imagenet": {"train": (1000, 717), "id_val": (1000, 14)},
    "pcam": {"train": (2, 131_072), "id_val": (2, 16_369)},
    "rendered_sst2": {"train": (2, 3_310), "id_val": (2, 428)},
    "mnist": {"train": (10, 535), "id_val": (10, 178)},
    "caltech101": {"train": (101, 18), "id_val": (101, 6)},
    "stanford_cars": {"train": (196, 17), "id_val": (196, 1)},
    "flowers102": {"train": (102, 10), "id_val": (102, 10)},
    "iwildcam": {"train": (182, 1), "id_val": (182, 0)},
    "fmow": {"train": (62, 1), "id_val": (62, 0)},
    "digits": {"train": (10, 70), "id_val": (10, 30)},
}
"""Data set -> split -> classes, and images of the smallest class, as published or cut from what is published."""


def sized(name: str) -> Dataset:
    """The data set `name` in its published sizes, without its images."""
    kind: type[Dataset] = datasets.registry()[name]

    class Sized(kind):  # type: ignore[misc, valid-type]
        def load(self, split: str) -> Split:
            classes, smallest = SIZES[name][split]
            images = self.published.get(split, 1000 if name != "mnist" else {"train": 6000, "id_val": 2000}[split])
            others = images - smallest
            labels = np.concatenate([np.zeros(smallest, np.int64), 1 + np.arange(others) % (classes - 1)])
            return Split(split, kind.splits[split], range(images), labels)

    return Sized(Path("nowhere"))


@pytest.mark.parametrize("name", sorted(bundled()))
def test_a_space_fits_the_published_sizes_of_its_data_sets(name: str) -> None:
    space = load(name)
    for entry in space.datasets:
        assert isinstance(entry, str)
        dataset = sized(entry)
        check_shots(dataset, space)
        for shots in space.shots_list:
            images = len(dataset.load("train")) if shots is None else shots * len(dataset.class_names)
            lines = check_schedule(space, entry, shots, images)
            assert not any("warms up" in line for line in lines), lines
            assert len(dataset.class_names) == SIZES[entry]["train"][0]


def test_few_shot_imagenet_is_as_the_authors_ran_it() -> None:
    space = load("imagenet_fewshot")
    assert (space.repeats.seeds, space.train.batch_size, space.train.warmup_steps) == (50, 256, 0)
    assert space.for_method("flyp")["weight_decay"].values() == [0.0]
    assert datasets.registry()["imagenet"].held_out


def test_the_weights_of_imagenet_laion_are_those_of_flyp_s_code() -> None:
    (model,) = load("imagenet_laion").models
    assert (model.arch, model.pretrained) == ("ViT-B-16", "laion400m_e31")
    check_architecture(model)


def test_a_dry_run_counts_in_the_singular_and_in_the_plural() -> None:
    search = {"algorithm": "grid", "seeds": 1, "space": {"lr": 1e-3, "weight_decay": {"choice": [0.0, 0.1]}}}
    space = space_of(methods=["ft"], search=search, repeats={"seeds": 1})
    cells, steps, total = describe(space, plans_of(space)).splitlines()
    assert cells.endswith(": 1 cell")
    assert "2 configurations x 1 seed searched, 1 repeat," in steps
    assert total.startswith("3 trials and ")


@pytest.mark.parametrize("name", sorted(set(bundled()) - EMBEDDED))
def test_a_space_without_its_data_says_what_is_missing_in_one_line(name, tmp_path):
    code, output = call("run", name, "--data-root", "empty", cwd=tmp_path)
    assert code == 2
    assert len(output.strip().splitlines()) == 1, output
    assert "found no" in output
    assert str(tmp_path / "empty") in output
    assert not (tmp_path / "runs").exists()


def test_what_is_missing_is_said_before_anything_heavy_is_imported(tmp_path):
    code = (
        "import sys\n"
        "from flyp_sweep.orchestrator.cli import main\n"
        "sys.argv = ['flyp-sweep', 'run', 'imagenet', '--data-root', 'empty']\n"
        "try:\n"
        "    main.main()\n"
        "finally:\n"
        "    print(sorted({'torch', 'open_clip', 'ray', 'mlflow', 'pandas'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "[]\n"), ended.stderr


def test_the_ablations_are_those_of_the_ablation_table():
    space = load("ablations")
    assert set(space.methods) == {"flyp", *VARIANTS}
    assert space.repeats.seeds == 10


def test_image_passes_are_counted_as_by_hand():
    space = space_of(methods=["zeroshot", "lp", "ft", "coop", "clip_adapter"])
    zero_shot, lp, ft, coop, on_features = plans_of(space)
    reported = 597 + 6 * 300
    assert passes(zero_shot) == 400 + reported
    assert passes(lp) == passes(on_features) == 800 + 400 + reported
    fitting = 2 * (800 + 400) + 400  # the model is looked at before its first step too
    assert passes(ft) == 5 * fitting + 3 * (fitting + 1 * 400 + 2 * reported)  # alphas 0, 0.5, 1
    assert passes(coop) == (5 + 3) * 2 * 800 + 400 + reported  # training images, which are cropped anew, and features
    assert f"{passes(ft):,} image passes" in describe(space, plans_of(space))
