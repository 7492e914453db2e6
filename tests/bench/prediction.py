"""Prediction on image files by an exported model, against a bare loop of the same model, in turns.

The loop is what one writes with open_clip: decode, prepare and stack a batch, then run the model. Model and images are
small, so that what surrounds the model weighs as much as it ever can.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from measuring import Options, Report, Row, alternate, main, scratch, seconds
from PIL import Image

from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.datasets.digits import Digits
from flyp_sweep.trainers.exporting.exported import ExportedModel
from flyp_sweep.trainers.exporting.facts import Facts
from flyp_sweep.trainers.exporting.folder import Export, drafted
from flyp_sweep.trainers.methods.portable import zero_shot
from flyp_sweep.trainers.testing.bench import Bench, shipped

IMAGES = 10_000
SIZE = 224
"""Pixels of an image file's side: that of photographs as data sets store them."""


def benchmark(options: Options) -> Report:
    images = 300 if options.tiny else IMAGES
    with scratch() as folder:
        paths = written(folder / "images", images)
        exported(folder / "model")
        ours = ExportedModel.load(folder / "model", "cpu")
        bare = Bare(folder / "model", ours)
        assert ours.predict(paths[:300])["label"].tolist() == bare.labels(paths[:300])
        mine, other = alternate(
            options.runs, lambda: seconds(lambda: ours.predict(paths)), lambda: seconds(lambda: bare.labels(paths))
        )
    rate = f"{images / mine.median:.0f} and {images / other.median:.0f} images/s"
    note = f"{images:,} PNG files of {SIZE}x{SIZE}, {torch.get_num_threads()} threads, {rate}"
    result = other.over(mine).told("times as fast")
    return Report([Row("prediction by an exported model", mine.told("s"), other.told("s"), result, options.runs, note)])


class Bare:
    """The loop."""

    def __init__(self, folder: Path, model: ExportedModel) -> None:
        made: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.clip, _, self.prepare = made
        self.clip.eval()
        self.weight, self.names = model.portable.weight, model.labels

    @torch.no_grad()
    def labels(self, paths: Sequence[Path]) -> list[str]:
        found = []
        for at in range(0, len(paths), 256):
            images = torch.stack([self.prepare(Image.open(path).convert("RGB")) for path in paths[at : at + 256]])
            logits = F.linear(F.normalize(self.clip.encode_image(images), dim=-1), self.weight)
            found += [self.names[label] for label in logits.argmax(dim=1).tolist()]
        return found


def written(folder: Path, count: int) -> list[Path]:
    """So many files of digits, some of them alike."""
    folder.mkdir()
    split = Digits(folder).split("id_test")
    paths = [folder / f"{row:05}.png" for row in range(count)]
    for row, path in enumerate(paths):
        split.images[row % len(split)].resize((SIZE, SIZE)).save(path)
    return paths


def exported(folder: Path) -> None:
    """The bundled model with the bench's three classes."""
    bench = Bench(shipped())
    task = bench.task(bench.repeat("zeroshot"))
    facts = Facts(task.spec.trial_id, "zeroshot", 0.0)
    with drafted(folder) as draft:
        Export(zero_shot(task), task, Model(arch="digits-clip", pretrained="bundled"), facts).write(draft)


if __name__ == "__main__":
    main(benchmark, __doc__)
