"""Splits of CoOp: a JSON file of the paths, labels and class names of three splits."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from flyp_sweep.search_spaces.complaints import mismatch
from flyp_sweep.search_spaces.fields import Text, as_slug
from flyp_sweep.search_spaces.json_schema import name_is_optional
from flyp_sweep.search_spaces.own_data import PLAIN_TEMPLATES, HeldOut, OwnDataset, Place, Splits, Templates

SPLIT = "the name of a split in the file"
ID_VAL = "the name of a split in the file, or {from: train, fraction: 0.1} to hold out a tenth of train"
PREFIX = "split_zhou_"

TEMPLATES = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
}
"""CoOp's name of a data set -> its template; Caltech101, StanfordCars and SUN397 have the plain one."""


class CoopSplits(Splits):
    """The name of each split in the file; all images of an OOD set are those of one such split."""

    train: Text | None = Field(default="train", description=SPLIT)
    id_val: Place | None = Field(default="val", description=ID_VAL)
    id_test: Place | None = Field(default="test", description=ID_VAL)
    ood: dict[Text, Text] = Field(default={}, description="a mapping from labels to names of splits in the file")


class CoopDataset(OwnDataset):
    """A split of CoOp: a JSON file of paths, labels and class names."""

    model_config = ConfigDict(json_schema_extra=name_is_optional)
    key: ClassVar[str] = "coop"
    splits_key: ClassVar[str] = "splits"

    coop: Text = Field(description="the path of a split_zhou_*.json file")
    """CoOp's file of paths, labels and class names."""
    splits: CoopSplits = CoopSplits()
    """Split -> the name of a split in the file."""
    images: Text | None = Field(default=None, description="the path of a folder")
    """The folder of the images. Left out: where CoOp's instructions put it."""
    draws: Literal["coop"] | None = None
    """`coop` takes CoOp's own few-shot draws: seed 0 is CoOp's seed 1, and so on. Left out: draws by our seeds."""
    templates: Templates = PLAIN_TEMPLATES
    """Prompt templates. Left out: CoOp's template of this data set."""

    @model_validator(mode="before")
    @classmethod
    def _known_by_its_file(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("coop"), str):
            return data
        called = called_by_coop(data["coop"])
        known = {"templates": [TEMPLATES[called]]} if called in TEMPLATES else {}
        return {"name": as_slug(f"coop-{called}"), **known, **data}

    @model_validator(mode="after")
    def _draws_from_the_file(self) -> CoopDataset:
        for split in ("id_val", "id_test"):
            if self.draws and isinstance(getattr(self.splits, split), HeldOut):
                raise mismatch(self.draws, f"{split} to be a split of the file, as CoOp has it", at=("draws",))
        return self

    @property
    def sources(self) -> Splits:
        return self.splits


def called_by_coop(path: str) -> str:
    """CoOp's name of the data set of a file, such as OxfordPets."""
    return PurePath(path).stem.removeprefix(PREFIX)
