"""Bad input through the command line: one clear line, exit code 2, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import QUICK, call, numbers
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from serial_engine import SerialEngine, run_serially

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs import sweep
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.trainers.models import digits_clip
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.spec import DONE

FOLDERS = """
name: own
dataset:
  name: tiny
  folders: {train: train, id_val: id_val, id_test: id_test, ood: {shifted: shifted}}
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp]
search: {algorithm: random, num_samples: 2, space: {l2: {loguniform: [1.0e-3, 1.0e-1]}}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""

MISTAKES = {
    "in the YAML": (QUICK.replace("repeats:", "repeat:"), "unknown key 'repeat'", "did you mean 'repeats'"),
    "in the search": (QUICK.replace("random", "randm"), "search.algorithm: found 'randm'", "did you mean 'random'"),
    "in the data": (QUICK + "shots: 500\n", "shots: found 500", "images in train"),
    "in the model": (QUICK.replace("bundled", "absent.safetensors"), "absent.safetensors", "expected"),
}
"""One for each place that checks; what each place finds is shown with it."""


def one_line(output: str) -> str:
    """The error line; fails when there is a traceback or more than one line."""
    lines = [line for line in output.splitlines() if line.strip()]
    assert len(lines) == 1, output
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_before_anything_starts(tmp_path, mistake):
    text, *fragments = MISTAKES[mistake]
    (tmp_path / "quick.yaml").write_text(text)
    code, output = call("run", "quick.yaml", cwd=tmp_path)
    line = one_line(output)
    assert code == 2
    assert all(fragment in line for fragment in fragments), line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_weights_that_do_not_fit_the_architecture_are_refused_before_anything_starts(tmp_path, arguments):
    tensors = load_file(digits_clip.CHECKPOINT)
    tensors["visual.head.proj.weight"] = torch.zeros(7, 7)
    save_file(tensors, tmp_path / "other.safetensors")
    (tmp_path / "quick.yaml").write_text(QUICK.replace("bundled", "other.safetensors"))
    code, output = call("run", "quick.yaml", *arguments, cwd=tmp_path)
    assert code == 2
    assert "other.safetensors: found visual.head.proj.weight of shape (7, 7); expected (64, 128)" in one_line(output)
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def without_hub(tmp_path, monkeypatch):
    """An empty cache and no network, as far as huggingface_hub can tell."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


TAG = ("--set", "model.arch=ViT-B-16", "--set", "model.pretrained=openai", "--set", "methods=[zeroshot]")


@pytest.mark.usefixtures("without_hub")
def test_weights_that_cannot_be_fetched_are_named_before_anything_starts(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    code, output = call("run", "quick.yaml", *TAG, cwd=tmp_path)
    assert code == 2
    assert "weights 'openai' of ViT-B-16 are not in the cache" in one_line(output)
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("without_hub")
def test_a_dry_run_says_what_would_be_fetched(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    code, output = call("run", "quick.yaml", *TAG, "--dry-run", cwd=tmp_path)
    assert code == 0
    assert "would first fetch weights 'openai' of ViT-B-16" in output
    assert "model ViT-B-16/openai: its pretraining is contrastive, softmax over the batch (CLIP)\n" in output
    assert "would first fetch" not in call("run", "quick.yaml", "--dry-run", cwd=tmp_path)[1]


def test_only_cells_that_go_on_need_their_weights(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    overrides = ["methods=[zeroshot]", "model=[{arch: ViT-B-16, pretrained: openai}, {arch: RN50, pretrained: openai}]"]
    space = load(str(tmp_path / "quick.yaml"), overrides)
    plans = plan(space, check(space, tmp_path))
    protocol = Protocol(plans)
    assert sweep.still_used(space, protocol) == list(space.models)
    first = protocol.next()
    protocol.finish(Outcome(first.trial_id, DONE, 0.5, 0.5))
    assert sweep.still_used(space, protocol) == [space.models[1]]


def test_the_run_folder_of_another_space_is_refused_and_left_alone(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    mine = RunFolder.create(tmp_path / "mine", QUICK)
    code, output = call("run", "quick.yaml", "--set", "name=other", "--out", "mine", cwd=tmp_path)
    assert code == 2
    assert "found a run of search space 'quick', expected 'other'" in one_line(output)
    assert mine.space.read_text() == QUICK


def test_a_folder_that_is_no_run_folder_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("precious")
    (tmp_path / "quick.yaml").write_text(QUICK)
    code, output = call("run", "quick.yaml", "--out", "full", cwd=tmp_path)
    assert code == 2
    assert "expected a run folder" in one_line(output)
    assert call("status", "absent", cwd=tmp_path)[0] == 2


@pytest.fixture
def own_data(tmp_path) -> Path:
    """A tiny data set in folders and its search space."""
    for shade, (split, count) in enumerate((("train", 6), ("id_val", 3), ("id_test", 3), ("shifted", 3))):
        for name, grey in (("dark", 40), ("light", 210)):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (40, 36), (grey + 5 * index + shade,) * 3).save(
                    tmp_path / split / name / f"{index}.png"
                )
    (tmp_path / "own.yaml").write_text(FOLDERS)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("run", "own.yaml", "--data-root", "."),
        ("run", "own.yaml", "--data-root", ".", "--dry-run", "--deep"),
        ("data", "check", "own.yaml", "--root", ".", "--deep"),
    ],
)
def test_corrupt_images_are_told_together_before_anything_starts(own_data, command):
    bad = [own_data / name for name in ("id_test/light/1.png", "shifted/dark/0.png")]
    for path in bad:
        path.write_bytes(path.read_bytes()[:60])
    code, output = call(*command, cwd=own_data)
    assert code == 2
    last = output.splitlines()[-1]
    assert last.startswith("error: ")
    assert f"data set 'tiny': 2 of 30 images cannot be decoded: {bad[0]}, {bad[1]} (" in last
    assert "Traceback" not in output
    assert not (own_data / "runs").exists()
    assert call(*command[:-1], cwd=own_data)[0] == (0 if command[-1] == "--deep" else 2)


@pytest.mark.slow
def test_corrupt_images_are_skipped_on_request_and_counted_in_the_caption(own_data):
    (own_data / "train/light/1.png").write_bytes(b"")
    code, output = run_serially("own.yaml", "images.unreadable=skip", cwd=own_data, data_root=Path())
    assert code == 0, output
    assert "train: 1 of 12 images left out as unreadable" in output
    assert "split train holds 11 images without 1 that cannot be decoded" in output
    assert len(numbers(own_data / "runs/own")) == 1 + 2 + 1, "lp repeats once on all images"
    assert "{as: viewer, unreadable: skip}" in (own_data / "runs/own/space.yaml").read_text()


@pytest.mark.slow
def test_an_image_that_breaks_during_a_run_stops_it_and_once_mended_the_run_goes_on(own_data):
    bad = own_data / "id_test/light/1.png"
    good = bad.read_bytes()

    class Breaking(SerialEngine):
        def run(self, work):
            bad.write_bytes(good[:60])
            super().run(work)

    code, output = run_serially("own.yaml", cwd=own_data, data_root=Path(), engine=Breaking())
    assert code == 2, output
    assert output.splitlines()[-1].startswith(f"error: {bad}: not a readable image"), "alone, and last"
    assert "written:" not in output
    assert "go on with" not in output
    assert "Traceback" not in output
    kept = numbers(own_data / "runs/own")
    bad.write_bytes(good)
    code, output = run_serially("own.yaml", cwd=own_data, data_root=Path())
    assert code == 0, output
    after = numbers(own_data / "runs/own")
    assert len(after) == 1 + 2 + 1
    assert kept.items() <= after.items()


def test_a_dry_run_shows_classes_names_and_what_was_left_out(own_data):
    (own_data / "train/dark/notes.txt").write_text("none")
    code, output = call("run", "own.yaml", "--data-root", ".", "--dry-run", cwd=own_data)
    assert code == 0, output
    assert "train: left out 1 not opened by Pillow (dark/notes.txt)" in output
    assert [line.split() for line in output.splitlines() if line.startswith("  dark ")] == [
        ["dark", "6", "3", "3", "3"]
    ]
