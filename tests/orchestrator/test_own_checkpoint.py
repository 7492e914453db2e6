"""A sweep with a model that was fine-tuned elsewhere among its methods: its row, resume, the dry run, other content."""

from __future__ import annotations

from pathlib import Path

import pytest
import refusal
import torch
from commands import call, trials
from safetensors.torch import load_file
from serial_engine import run_serially
from spaces import space_with

from flyp_sweep.orchestrator.engine.nodes import look, outlines_of
from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.search_spaces.loading import dump, from_mapping, load
from flyp_sweep.search_spaces.yaml_text import read
from flyp_sweep.trainers.models.digits_clip import CHECKPOINT
from flyp_sweep.trainers.preflight import check

SPACE = """
name: own
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, {checkpoint: ours.pt, label: ours}]
search: none
wise_ft: {alphas: 3}
"""


def write(path: Path, scale: float) -> None:
    state = load_file(CHECKPOINT)
    bias = state["ln_final.bias"]
    torch.save({"epoch": 1, "state_dict": {**state, "ln_final.bias": bias + scale * torch.ones_like(bias)}}, path)


@pytest.mark.slow
def test_a_checkpoint_is_a_row_that_is_run_once_wherever_its_file_lies_and_whose_content_is_pinned(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.yaml").write_text(SPACE)
    write(tmp_path / "ours.pt", 0.1)
    code, printed = call("run", "own.yaml", "--dry-run", cwd=tmp_path)
    assert code == 0, printed
    assert "digits/digits-clip/full/ours: 0 configurations x 1 seed searched, 1 repeat, 5,594 image passes" in printed
    assert "methods: ours: ours.pt, sha256:" in printed
    assert "alpha = 0 is digits-clip" in printed

    code, printed = run_serially("own.yaml", cwd=tmp_path)
    folder = tmp_path / "runs" / "own"
    assert code == 0, printed
    assert "warning" not in printed
    first = trials(folder)
    assert [(one["cell"]["method"], one["stage"], one["status"]) for one in first] == [
        ("zeroshot", "repeat", "done"),
        ("ours", "repeat", "done"),
    ]
    assert first[1]["hparams"]["checkpoint"].startswith("sha256:")
    assert {one["alpha"] for one in first[1]["evaluations"]} >= {0.0, 0.5, 1.0}
    assert "ours" in (folder / "tables" / "comparison.md").read_text()

    space = load(folder / "space.yaml")
    assert from_mapping(read(dump(space), "again")) == space
    assert space.checkpoint_files == {"ours": "ours.pt"}
    (tmp_path / "moved").mkdir()
    (tmp_path / "ours.pt").rename(tmp_path / "moved" / "ours.pt")
    moved = "methods=[zeroshot, {checkpoint: moved/ours.pt, label: ours}]"
    code, printed = run_serially(folder / "space.yaml", moved, cwd=tmp_path)
    assert code == 0, printed
    assert trials(folder) == first, "its path is no part of a trial"

    write(tmp_path / "moved" / "ours.pt", 0.2)
    code, printed = run_serially(folder / "space.yaml", cwd=tmp_path)
    assert code == 2
    assert "search.per_method.ours.checkpoint: found sha256:" in printed
    assert "; moved/ours.pt has the content sha256:" in printed


def test_a_few_shot_cell_has_a_repeat_per_seed_for_the_seed_draws_what_alpha_is_chosen_on(tmp_path: Path) -> None:
    write(tmp_path / "ours.pt", 0.1)
    entry = {"checkpoint": str(tmp_path / "ours.pt"), "label": "ours"}
    space = space_with(methods=[entry], shots=[4], repeats={"seeds": 2})
    (few,) = plan(space, check(space, Path("data")))
    assert (few.repeat_seeds, few.fixed is not None) == (range(2), True)
    spec = few.repeat_trial(few.fixed or {}, 0)
    assert len(spec.alphas) == 11
    assert str(tmp_path) not in str(spec.to_json())


@pytest.mark.parametrize("scale", [0.1, 0.2])
def test_a_node_needs_the_very_file_of_the_driver(tmp_path: Path, scale: float) -> None:
    write(tmp_path / "ours.pt", 0.1)
    space = space_with(methods=[{"checkpoint": str(tmp_path / "ours.pt"), "label": "ours"}])
    plans = plan(space, check(space, Path("data")))
    outlines = outlines_of(space, Path("data"))
    write(tmp_path / "ours.pt", scale)
    (tmp_path / "probe").touch()
    asked = plans[0].space, plans, outlines, Path("data"), tmp_path / "probe"
    if scale == 0.1:
        assert look(*asked)["torch"]
    else:
        refusal.refused(lambda: look(*asked), "ours.pt has the content sha256:")


def test_a_bad_file_ends_the_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SPACE)
    line = next(at for at, text in enumerate(SPACE.splitlines(), start=1) if text.startswith("methods:"))
    code, printed = call("run", "own.yaml", cwd=tmp_path)
    assert code == 2
    assert printed.splitlines()[-1].startswith(
        f"error: own.yaml:{line}: methods: ours: ours.pt: found no file; expected"
    )
    assert not (tmp_path / "runs").exists()
