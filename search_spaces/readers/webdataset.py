"""WebDataset shards in clip_benchmark's layout: a folder of tar archives for each split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from flyp_sweep.search_spaces.complaints import mismatch
from flyp_sweep.search_spaces.fields import Text, as_slug
from flyp_sweep.search_spaces.json_schema import name_is_optional
from flyp_sweep.search_spaces.own_data import SPLITS, OwnDataset, Splits, Templates
from flyp_sweep.search_spaces.roles import SHIFTED

_STARS = re.compile(r"[*?\[]")
_HUB = re.compile(r"(https?://huggingface\.co/datasets/[^/]+/([^/]+))(?:/(?:resolve|tree|raw|blob)/([^/]+))?")


class WebDataset(OwnDataset):
    """Tar archives in clip_benchmark's layout, below a folder or an http(s) address.

    Class names come from the file beside the shards. The default name is the last part of the place.
    """

    model_config = ConfigDict(json_schema_extra=name_is_optional)
    key: ClassVar[str] = "webdataset"
    splits_key: ClassVar[str] = "splits"

    webdataset: Text = Field(description="the path of a folder, or an http(s) address")
    """Where the tar shards lie, in the layout of clip_benchmark."""
    splits: Splits = Splits(id_test="test")
    """Split -> its folder of shards, from that place on."""
    templates: Templates | None = Field(  # type: ignore[assignment]
        default=None, description="a list of texts, each with one {} for the class name"
    )
    """Prompt templates. Left out: those of the file beside the shards."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_place(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data and isinstance(place := data.get("webdataset"), str):
            return {"name": as_slug(last_part(place)), **data}
        return data

    @model_validator(mode="after")
    def _can_be_fetched(self) -> WebDataset:
        if "://" in self.webdataset and not is_address(self.webdataset):
            raise mismatch(self.webdataset, "a path, or an address with http:// or https://", at=("webdataset",))
        if is_address(self.webdataset):
            for at, place in self._places():
                if _STARS.search(place):
                    hint = "(as in train/{0..9}.tar)"
                    raise mismatch(place, "a folder, an archive or a range at an address", hint, at=at)
        return self

    def _places(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The key and the text of each place of a split."""
        for split in SPLITS:
            if isinstance(place := getattr(self.splits, split), str):
                yield ("splits", split), place
        for role in SHIFTED:
            for label, place in getattr(self.splits, role).items():
                yield ("splits", role, label), place

    @property
    def sources(self) -> Splits:
        return self.splits


def is_address(place: str) -> bool:
    """Whether a place is one of the web."""
    return place.startswith(("http://", "https://"))


def address(place: str) -> str:
    """The address that names of files follow: for a data set on the Hugging Face Hub, that of its files."""
    found = _HUB.fullmatch(place.rstrip("/"))
    return f"{found[1]}/resolve/{found[3] or 'main'}" if found else place.rstrip("/")


def last_part(place: str) -> str:
    """What a data set at `place` is called: the last part of a path, or the repository's name on the hub."""
    found = _HUB.fullmatch(place.rstrip("/"))
    return found[2] if found else place.rstrip("/").rpartition("/")[2]
