"""The bundled search spaces: what the paper ran is in them, and without the data each says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.runs.dry_run import describe, passes
from flyp_sweep.results.tables.layouts.ablation import VARIANTS
from flyp_sweep.search_spaces.loading import bundled, load

EMBEDDED = {"ablations", "quickstart"}
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
def test_the_grid_of_a_space_contains_what_was_published(name):
    space = load(name)
    lr, weight_decay, epochs, batch_size, warmup = PUBLISHED[name]
    flyp = space.for_method("flyp")
    assert lr in flyp["lr"].values()
    assert weight_decay in flyp["weight_decay"].values()
    shots = space.shots_list[0]
    assert (space.train.epochs, space.train.batch_size, space.train.warmup(shots)) == (epochs, batch_size, warmup)


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
    space = space_of(methods=["zeroshot", "lp", "ft", "coop"])
    zero_shot, lp, ft, coop = plans_of(space)
    reported = 597 + 6 * 300
    assert passes(zero_shot) == 400 + reported
    assert passes(lp) == 800 + 400 + reported
    fitting = 2 * (800 + 400)
    assert passes(ft) == 5 * fitting + 3 * (fitting + 1 * 400 + 2 * reported)  # alphas 0, 0.5, 1
    assert passes(coop) == (5 + 3) * 2 * 800 + 400 + reported  # training images, which are cropped anew, and features
    assert f"{passes(ft):,} image passes" in describe(space, plans_of(space))
