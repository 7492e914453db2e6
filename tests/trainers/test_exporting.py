"""Exported folders: what open_clip finds in them, how they predict, and that nothing half-written is left."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers import methods
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.exporting.exported import ExportedModel
from flyp_sweep.trainers.exporting.facts import Facts
from flyp_sweep.trainers.exporting.folder import Export, drafted
from flyp_sweep.trainers.exporting.listing import image_paths
from flyp_sweep.trainers.methods import portable
from flyp_sweep.trainers.models import pretrained
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import CPU, Bench

MODEL = Model(arch="digits-clip", pretrained="bundled")
FACTS = Facts("0123456789abcdef", "zeroshot", 0.0)

Saved = Callable[..., Path]


@pytest.fixture
def save(bench: Bench, tmp_path: Path) -> Saved:
    """Writes the zero-shot model into a folder; `facts` replace those that it has."""

    def save(**facts: Any) -> Path:
        task = bench.task(bench.repeat("zeroshot"))
        export = Export(portable.zero_shot(task), task, MODEL, Facts(**{**vars(FACTS), **facts}))
        with drafted(tmp_path / "model") as draft:
            export.write(draft)
        return tmp_path / "model"

    return save


def write_digits(folder: Path, bench: Bench, count: int = 5) -> list[Path]:
    """Images of the bench's ID test split, as files."""
    folder.mkdir(parents=True)
    split = bench.dataset().split("id_test")
    paths = [folder / f"{row}.png" for row in range(count)]
    for row, path in enumerate(paths):
        split.images[row].save(path)
    return paths


@pytest.mark.parametrize("name", ["flyp", "ft", "lp"])
def test_a_trial_in_bf16_comes_out_in_bf16(
    bench: Bench, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bench.worker(pretrained=pretrained.load(MODEL, CPU, "bf16"))
    spec = bench.repeat(name, epochs=1, shots=2, precision="bf16")
    task, method = bench.task(spec, worker), methods.get(name)
    curve = AlphaCurve(method, task, bench.fit(spec, worker))
    export = Export.of(curve, spec.trial_id, 1.0, MODEL, threads=1)
    with drafted(tmp_path / "model") as draft:
        export.write(draft)
    own = method.logits(curve.at(1.0), task, task.shared.split("id_test"))
    paths = write_digits(tmp_path / "images", bench, len(own))
    names: dict[str, Any] = {}
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    with contextlib.chdir(tmp_path / "model"), torch.random.fork_rng():
        exec(export.snippet, names)
    assert torch.equal(names["logits"](paths), own)


def test_predictions_are_those_of_the_bare_model(bench: Bench, save: Saved, tmp_path: Path) -> None:
    paths = write_digits(tmp_path / "images", bench, 7)
    model = ExportedModel.load(save(), "cpu")
    seen = list[int]()
    table = model.predict(paths, seen.append)
    with torch.random.fork_rng():
        clip, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'model'}")
    clip.eval()
    with torch.no_grad():
        images = torch.stack([prepare(Image.open(path).convert("RGB")) for path in paths])
        logits = torch.nn.functional.normalize(clip.visual(images), dim=-1) @ model.portable.weight.T
    probabilities = logits.double().softmax(dim=1).numpy()
    order = np.argsort(-probabilities, axis=1)
    assert table["path"].tolist() == list(map(str, paths))
    assert table["label"].tolist() == [model.labels[row[0]] for row in order]
    assert table["label_3"].tolist() == [model.labels[row[2]] for row in order]
    np.testing.assert_allclose(table["confidence"], probabilities.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table[[f"probability_{at}" for at in (1, 2, 3)]].sum(axis=1), 1, rtol=1e-12)
    assert list(table) == [
        *("path", "label", "confidence", "label_1", "probability_1", "label_2", "probability_2"),
        *("label_3", "probability_3", "error"),
    ], "three classes have no top five"
    assert table["error"].isna().all()
    assert seen == [7]


def test_an_image_that_cannot_be_read_has_its_error_and_changes_no_other(
    bench: Bench, save: Saved, tmp_path: Path
) -> None:
    paths = write_digits(tmp_path / "images", bench)
    model = ExportedModel.load(save(), "cpu")
    whole = model.predict(paths)
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    paths[3].unlink()
    table = model.predict(paths)
    assert table["error"].notna().tolist() == [False, True, False, True, False]
    assert "1.png: not a readable image" in table["error"][1]
    assert "3.png: the image is gone" in table["error"][3]
    assert table.loc[[1, 3], ["label", "confidence", "label_1", "probability_3"]].isna().all(axis=None)
    kept = [0, 2, 4]
    assert table.loc[kept].equals(whole.loc[kept])
    assert model.predict([tmp_path / "absent.png"])["confidence"].dtype == float, "also where no image can be read"
    assert len(model.predict([])) == 0


def test_images_are_decoded_as_the_trial_s_were(bench: Bench, save: Saved, tmp_path: Path) -> None:
    (upright,) = write_digits(tmp_path / "images", bench, 1)
    turned = tmp_path / "images" / "turned.png"
    image = Image.open(upright)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    assert ImageOps.exif_transpose(Image.open(turned)).tobytes() == image.tobytes()
    as_viewed = ExportedModel.load(save(shown_as="viewer"), "cpu")
    table = as_viewed.predict([upright, turned])
    assert table["confidence"][0] == table["confidence"][1]
    as_stored = ExportedModel(as_viewed.pretrained, as_viewed.portable, as_viewed.labels, FACTS, CPU)
    table = as_stored.predict([upright, turned])
    assert table["confidence"][0] != table["confidence"][1]
    bordered = ExportedModel(
        as_viewed.pretrained, as_viewed.portable, as_viewed.labels, Facts(**{**vars(FACTS), "border": 4}), CPU
    )
    image.crop((4, 4, 28, 28)).save(turned)
    assert bordered.predict([upright])["confidence"][0] == as_stored.predict([turned])["confidence"][0]


def test_the_facts_come_back_and_other_folders_are_refused(save: Saved, tmp_path: Path) -> None:
    model = ExportedModel.load(save(threads=3, alpha=0.25), "cpu")
    assert model.facts == Facts("0123456789abcdef", "zeroshot", 0.25, threads=3)
    assert model.labels == ("zero", "one", "two")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o644}
    (tmp_path / "model" / "labels.json").write_text("[")
    with pytest.raises(InputError, match="not a folder of `flyp-sweep export`"):
        ExportedModel.load(tmp_path / "model")
    (tmp_path / "model" / "labels.json").unlink()
    with pytest.raises(InputError, match=r"found no labels\.json; expected a folder of `flyp-sweep export`"):
        ExportedModel.load(tmp_path / "model")


@pytest.mark.parametrize(("tag", "quick"), [("openai", True), ("laion2b_s34b_b79k", False)])
def test_the_configuration_has_the_activation_that_the_weights_want(tag: str, quick: bool) -> None:
    config = pretrained.architecture_of(Model(arch="ViT-B-32", pretrained=tag))
    assert config.get("quick_gelu", False) is quick
    assert open_clip.get_model_config("ViT-B-32").get("quick_gelu", False) is False, "open_clip's own stays as it is"
    assert json.loads(json.dumps(config)) == config


class Opaque(methods.GradientMethod):
    name = "opaque"
    summary = "has a model of a form of its own"

    def zero_shot(self, task: Task) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3, 3))


def test_a_model_of_another_form_names_the_hook_that_is_missing(bench: Bench) -> None:
    task = bench.task(bench.repeat("zeroshot"))
    message = r"opaque: its model is a Sequential.*; define Opaque.portable\(model, task\)"
    with pytest.raises(InputError, match=message):
        Opaque().portable(Opaque().zero_shot(task), task)


def test_what_breaks_off_an_export_leaves_nothing(tmp_path: Path) -> None:
    def broken_off(error: BaseException) -> None:
        with drafted(tmp_path / "new" / "model") as draft:
            (draft / "half").write_text("x")
            raise error

    with pytest.raises(KeyboardInterrupt):
        broken_off(KeyboardInterrupt())
    with pytest.raises(InputError, match=r"model: cannot be written \(No space left on device\), and nothing is left"):
        broken_off(OSError(28, "No space left on device"))
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), drafted(tmp_path / "file" / "model"):
        pass
    with pytest.raises(InputError, match="found something there already"), drafted(tmp_path / "file"):
        pass


def test_images_are_files_folders_and_the_rows_of_tables(bench: Bench, tmp_path: Path) -> None:
    images = write_digits(tmp_path / "all" / "deeper", bench, 3)
    (tmp_path / "all" / "notes.txt").write_text("no image")
    (tmp_path / "all" / "list.csv").write_text("label,path\nx,deeper/2.png\ny,gone.png\n")
    found = image_paths([tmp_path / "all" / "list.csv", images[1], tmp_path / "all"])
    assert found == [
        *(str(tmp_path / "all" / name) for name in ("deeper/2.png", "gone.png")),
        *map(str, [images[1], *images]),
    ]
    with pytest.raises(InputError, match=r"found no column 'file' among .*, or its name in --column"):
        image_paths([tmp_path / "all" / "list.csv"], "file")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"found no image in it or below \(1 not opened by Pillow \(notes.txt\)\)"):
        image_paths([images[0], tmp_path / "empty"])
    with pytest.raises(InputError, match="found nothing; expected an image, a folder of images, or a table"):
        image_paths([tmp_path / "absent"])
