"""Loads an exported folder and predicts: labels and probabilities of image files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.data.images import Loader
from flyp_sweep.trainers.datasets.decoding import read_image
from flyp_sweep.trainers.exporting.facts import Facts
from flyp_sweep.trainers.exporting.folder import HEAD, LABELS
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.preprocessing import CONFIG
from flyp_sweep.trainers.models.pretrained import Pretrained, load
from flyp_sweep.trainers.models.weights import FOLDER

if TYPE_CHECKING:
    import pandas as pd

TOP = 5
DECODERS = 8
"""The largest number of threads that decode images; decoding mostly runs without Python's lock."""


@dataclass(frozen=True)
class ExportedModel:
    """The model in a folder that `flyp-sweep export` made.

        from flyp_sweep import ExportedModel
        model = ExportedModel.load("exported")
        model.predict(["a.png", "b.png"])       # a pandas DataFrame, a row per image

    `labels` are in the order of the logits; `facts` describe the model's trial.
    """

    pretrained: Pretrained
    portable: Portable
    labels: tuple[str, ...]
    facts: Facts
    device: torch.device

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device | None = None) -> ExportedModel:
        """The model in `folder`, on `device` (None: a GPU if available). Raises InputError if it is no exported
        folder."""
        folder = Path(folder)
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_exported(folder)
        try:
            labels = tuple(map(str, json.loads((folder / LABELS).read_text(encoding="utf-8"))))
            with safe_open(folder / HEAD, "pt", device=str(place)) as file:
                facts = Facts.from_header(file.metadata() or {})
                head = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{folder}: not a folder of `flyp-sweep export` ({reason}); export the model again"
            ) from error
        pretrained = load(Model(arch=f"{FOLDER}{folder}"), place, facts.precision)
        return cls(pretrained, Portable.from_tensors(pretrained.clip, head), labels, facts, place)

    @torch.no_grad()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of images [B, 3, H, W] that the model's preprocessing has normalised."""
        features = encode_image(self.pretrained.clip.visual, images)
        return self.portable.logits(features)

    def predict(
        self, paths: Sequence[str | Path], advance: Callable[[int], None] = lambda images: None
    ) -> pd.DataFrame:
        """One row per image, in order, with the given `columns`. For an unreadable image, only `error` is set.

        Calls `advance` after every batch with its number of images.
        """
        import pandas as pd

        files = Files(list(map(str, paths)), self.facts)
        names = columns(min(TOP, len(self.labels)))
        table = pd.DataFrame([row for rows in self._rows(files, advance) for row in rows], columns=names, dtype=object)
        errors = [files.errors.get(at) for at in range(len(files))]
        table = table.mask(pd.Series([error is not None for error in errors], dtype=bool))
        table = table.astype({name: float for name in names if not name.startswith("label")})
        table.insert(0, "path", files.paths)
        return table.assign(error=pd.Series(errors, dtype=object))

    def _rows(self, files: Files, advance: Callable[[int], None]) -> Iterator[list[list[Any]]]:
        """The rows of each batch in turn."""
        loader = Loader(self.pretrained.preprocess, self.device, min(DECODERS, torch.get_num_threads()))
        for batch in loader.evaluation_batches(files, self.facts.batch):
            logits = self.logits(loader.to_device(batch)).double()
            best = logits.argsort(dim=1, descending=True, stable=True)[:, :TOP]
            probabilities = logits.log_softmax(dim=1).exp().gather(1, best)
            yield [self._row(*one) for one in zip(best.tolist(), probabilities.tolist(), strict=True)]
            advance(len(batch))

    def _row(self, best: Sequence[int], probabilities: Sequence[float]) -> list[Any]:
        top = [one for pair in zip((self.labels[label] for label in best), probabilities, strict=True) for one in pair]
        return [*top[:2], *top]


def columns(top: int) -> list[str]:
    """Columns of a prediction: `label`, `confidence`, then the most likely labels with their probabilities."""
    return ["label", "confidence", *(f"{what}_{at}" for at in range(1, top + 1) for what in ("label", "probability"))]


class Files:
    """Image files, decoded as in the trial. An undecodable one is black; `errors` holds the reason, by index."""

    def __init__(self, paths: list[str], facts: Facts) -> None:
        self.paths = paths
        self.errors: dict[int, str] = {}
        self._facts = facts

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image.Image:
        try:
            image = read_image(Path(self.paths[index]), self._facts.shown_as)
            border, (width, height) = self._facts.border, image.size
            return image.crop((border, border, width - border, height - border)) if border else image
        except (InputError, OSError, ValueError) as error:
            self.errors[index] = " ".join(str(error).split())
            return Image.new("RGB", (1, 1))


def check_exported(folder: Path) -> None:
    """Raise InputError if `folder` lacks a file of an exported model."""
    if absent := [name for name in (CONFIG, HEAD, LABELS) if not (folder / name).is_file()]:
        raise InputError(
            f"{folder}: found no {absent[0]}; expected a folder of `flyp-sweep export`, or a run folder; name one"
        )
